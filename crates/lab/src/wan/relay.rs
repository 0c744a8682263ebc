//! The relay's loop: sockets on one side, [`Gateway`] and [`Paths`] on the other.
//!
//! It sleeps until a frame arrives or the next one is due. The kernel stamps arrivals, so waking up
//! late costs nothing there; under load it therefore reads in intervals instead of for every frame
//! (never longer than a frame stays in the WAN anyway), and sends what falls due within a
//! [`QUANTUM`] together. That keeps two cores free for the guests.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use serde::{Deserialize, Serialize};

use super::control::{self, Answer, Inbox, Request};
use super::gateway::{Gateway, Outgoing, Packet, Received};
use super::links::LinkEvents;
use super::paths::Paths;
use super::shaping::{Change, Direction, Nanos, Shaping};
use super::socket::{PacketSocket, cpu_ms, monotonic};
use super::stats::{LatenessLog, SiteStats, WanStats};
use crate::net::Plan;

/// How much too early a packet may leave, so as to go with others and to make up for the time that
/// waking up takes.
const EARLY: Nanos = 75_000;

/// Departures are collected for at most this long (counted from the last time, so a lone packet
/// does not wait at all).
const QUANTUM: Nanos = 225_000;

/// While packets are under way, arrivals are read at least this often; more often where packets
/// stay in the WAN for less than four times this.
const READ_EVERY: Nanos = 1_000_000;

/// Where they stay for less than four times this, arrivals wake the relay up.
const READ_OFTEN: Nanos = 200_000;

/// What a relay is started with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WanConfig {
    /// The sites and their uplinks.
    pub plan: Plan,
    /// What every access does at first.
    pub shaping: Shaping,
    /// What losses and jitter follow from.
    pub seed: u64,
}

impl WanConfig {
    /// The default WAN for a plan: 31 ms round trip, 200 Mbit/s.
    pub fn new(plan: Plan) -> Self {
        Self {
            plan,
            shaping: Shaping::default(),
            seed: 1,
        }
    }
}

/// Runs the relay in the current network namespace until it fails; it never returns otherwise.
pub fn run(config: &WanConfig, control_socket: &Path) -> io::Result<()> {
    config
        .shaping
        .check()
        .map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
    // Timers at the exact time instead of up to 50 us later (prctl(2)); best effort.
    // SAFETY: plain numbers.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
    let mut relay = Relay::open(config)?;
    relay.find_links()?;
    let inbox = control::serve(control_socket)?;
    loop {
        let woken_by = relay.sleep(&inbox)?;
        relay.turn(&inbox, woken_by)?;
    }
}

/// What is known to be readable; that spares the relay two system calls a turn.
#[derive(Debug, Clone, Copy, Default)]
struct WokenBy {
    links: bool,
    control: bool,
}

struct Relay {
    names: Vec<String>,
    gateway: Gateway,
    paths: Paths<Packet>,
    socket: PacketSocket,
    links: LinkEvents,
    port_of_name: HashMap<String, usize>,
    port_of_interface: HashMap<i32, usize>,
    interface_of_port: Vec<i32>,
    out: Vec<Outgoing>,
    lateness: LatenessLog,
    kernel_drops: u64,
    wakeups: u64,
    last_turn: Nanos,
    /// More frames wait in the ring.
    more: bool,
}

impl Relay {
    fn open(config: &WanConfig) -> io::Result<Self> {
        let plan = &config.plan;
        let wan_ends = plan
            .sites
            .iter()
            .flat_map(|site| &site.uplinks)
            .map(|u| u.wan_end.clone());
        let port_of_name: HashMap<String, usize> = wan_ends
            .enumerate()
            .map(|(port, name)| (name, port))
            .collect();
        Ok(Self {
            names: plan.sites.iter().map(|site| site.name.clone()).collect(),
            gateway: Gateway::new(plan),
            paths: Paths::new(plan.sites.len(), config.shaping, config.seed),
            socket: PacketSocket::open(plan.mtu)?,
            links: LinkEvents::open()?,
            interface_of_port: vec![0; port_of_name.len()],
            port_of_name,
            port_of_interface: HashMap::new(),
            out: Vec::new(),
            lateness: LatenessLog::new(),
            kernel_drops: 0,
            wakeups: 0,
            last_turn: 0,
            more: false,
        })
    }

    /// Learns all links before anybody counts on the relay.
    fn find_links(&mut self) -> io::Result<()> {
        // The kernel has answered the question of `LinkEvents::open` by now (netlink(7)).
        self.read_links()?;
        let missing = |(name, port): (&String, &usize)| {
            (self.interface_of_port[*port] == 0).then(|| name.clone())
        };
        match self.port_of_name.iter().find_map(missing) {
            None => Ok(()),
            Some(name) => Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("the uplink {name} is not in this namespace"),
            )),
        }
    }

    fn read_links(&mut self) -> io::Result<()> {
        for link in self.links.read()? {
            if let Some(port) = self.port_of_name.get(&link.name) {
                self.port_of_interface.insert(link.interface, *port);
                self.interface_of_port[*port] = link.interface;
                self.gateway.carrier(*port, link.up);
            }
        }
        Ok(())
    }

    /// Sleeps until there is something to do.
    fn sleep(&self, inbox: &Inbox) -> io::Result<WokenBy> {
        let now = monotonic();
        // Packets stay in the WAN at least for its floor, so their arrival can be read later.
        let read_every = READ_EVERY.min(self.paths.floor() / 4);
        let patient = !self.paths.is_idle() && read_every >= READ_OFTEN;
        let mut wake = match (self.paths.next(), self.gateway.next()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (one, other) => one.or(other),
        };
        if let Some(at) = &mut wake {
            *at = (*at).max(self.last_turn + QUANTUM);
        }
        if patient {
            let read_at = self.last_turn + read_every;
            wake = Some(wake.map_or(read_at, |at| at.min(read_at)));
        }
        if self.more {
            wake = Some(now);
        }
        let limit =
            wake.map(|at| TimeSpec::from_duration(Duration::from_nanos(at.saturating_sub(now))));
        let mut fds = [
            PollFd::new(self.links.as_fd(), PollFlags::POLLIN),
            PollFd::new(inbox.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.socket.as_fd(), PollFlags::POLLIN),
        ];
        let watched = if patient { 2 } else { 3 };
        match ppoll(&mut fds[..watched], limit, None) {
            Ok(_) => {
                let [links, control] = [&fds[0], &fds[1]].map(|fd| fd.any().unwrap_or(true));
                Ok(WokenBy { links, control })
            }
            Err(nix::errno::Errno::EINTR) => Ok(WokenBy::default()),
            Err(e) => Err(e.into()),
        }
    }

    fn turn(&mut self, inbox: &Inbox, woken_by: WokenBy) -> io::Result<()> {
        self.wakeups += 1;
        if woken_by.links {
            self.read_links()?;
        }
        let Self {
            socket,
            gateway,
            paths,
            port_of_interface,
            out,
            ..
        } = self;
        let more = socket.receive(|frame| {
            let Some(port) = port_of_interface.get(&frame.interface) else {
                return;
            };
            let got = gateway.receive(frame.arrived, *port, frame.bytes.to_vec(), out);
            if let Received::Route { from, to, packet } = got {
                paths.offer(frame.arrived, from, to, frame.bytes.len(), packet);
            }
        });
        self.more = more;
        // Answers of the gateway itself leave at once and are not counted as late.
        self.flush();
        let now = monotonic();
        self.last_turn = now;
        let Self {
            gateway,
            paths,
            out,
            lateness,
            ..
        } = self;
        paths.advance(now + EARLY, |at, site, packet| {
            lateness.add(now.saturating_sub(at));
            gateway.deliver(now, site, packet, out);
        });
        self.gateway.advance(now, &mut self.out);
        self.flush();
        if woken_by.control {
            inbox.clear();
        }
        while let Some((request, reply)) = inbox.take() {
            // A caller that is gone needs no answer.
            let _ = reply.send(self.answer(&request));
        }
        Ok(())
    }

    fn flush(&mut self) {
        if self.out.is_empty() {
            return;
        }
        let frames: Vec<(i32, &[u8])> = self
            .out
            .iter()
            .map(|o| (self.interface_of_port[o.port], o.frame.as_slice()))
            .collect();
        let (gateway, out) = (&mut self.gateway, &self.out);
        self.socket
            .send(&frames, |i, accepted| gateway.sent(out[i].port, accepted));
        self.out.clear();
    }

    fn answer(&mut self, request: &Request) -> Answer {
        match request {
            Request::Stats => Answer {
                stats: Some(self.stats()),
                ..Answer::done()
            },
            Request::ResetLateness => {
                self.lateness = LatenessLog::new();
                Answer::done()
            }
            Request::Set(change) => match self.set(change) {
                Ok(()) => Answer::done(),
                Err(text) => Answer::error(text),
            },
        }
    }

    fn set(&mut self, change: &Change) -> Result<(), String> {
        let sites: Vec<usize> = match &change.site {
            None => (0..self.names.len()).collect(),
            Some(name) => {
                let site = self.names.iter().position(|n| n == name).ok_or_else(|| {
                    format!(
                        "there is no site {name}: the lab has {}",
                        self.names.join(", ")
                    )
                })?;
                vec![site]
            }
        };
        let now = monotonic();
        let wants = |direction| change.direction.is_none_or(|d| d == direction);
        let mut changes = Vec::new();
        for site in sites {
            for direction in [Direction::Up, Direction::Down]
                .into_iter()
                .filter(|d| wants(*d))
            {
                let (old, _) = match direction {
                    Direction::Up => self.paths.up(site, now),
                    Direction::Down => self.paths.down(site, now),
                };
                let new = change.applied_to(&old).map_err(|e| e.to_string())?;
                changes.push((site, direction, new));
            }
        }
        for (site, direction, new) in changes {
            match direction {
                Direction::Up => self.paths.set_up(site, now, new),
                Direction::Down => self.paths.set_down(site, now, new),
            }
        }
        Ok(())
    }

    fn stats(&mut self) -> WanStats {
        self.kernel_drops += self.socket.kernel_drops();
        let now = monotonic();
        let sites = self.names.iter().enumerate().map(|(site, name)| {
            let ((up_shaping, up), (down_shaping, down)) =
                (self.paths.up(site, now), self.paths.down(site, now));
            SiteStats {
                site: name.clone(),
                up_shaping,
                down_shaping,
                up,
                down,
                drops: self.gateway.drops(site),
                ports: self.gateway.port_stats(site),
            }
        });
        WanStats {
            sites: sites.collect(),
            lateness: self.lateness.summary(),
            kernel_drops: self.kernel_drops,
            wakeups: self.wakeups,
            cpu_ms: cpu_ms(),
        }
    }
}
