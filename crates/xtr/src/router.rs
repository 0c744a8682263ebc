//! A running router: its threads, and the handle of whoever embeds it.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use lisp::Eid;
use ring::rand::{SecureRandom, SystemRandom};

use crate::config::{Config, Rloc, Role};
use crate::control::outcome::Event;
use crate::control::status::Status;
use crate::control::{Change, Core, Outcome, Saved, Waiting};
use crate::data::counters::{self, Counters};
use crate::data::table::Tables;
use crate::edge::control_port;
use crate::edge::forward::Forwarder;
use crate::edge::hooks::{Hooks, Port, Settings};
use crate::edge::kernel::KernelRoutes;
use crate::edge::netlink::Netlink;
use crate::edge::worker;
use crate::error::Error;
use offload::packet::Inner;
use offload::tun::{Layer, Queue};
use offload::udp::{Socket, Use, unspecified};
use offload::vnet::Vnet;

/// Bytes of the outer headers that an inner MTU leaves room for: those of IPv4, the smaller ones.
const OUTER: u16 = 36;

/// What the threads share.
pub(crate) struct Shared {
    core: Mutex<Core>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) sockets: Vec<Socket>,
    resume: Mutex<Option<Forwarder>>,
    kernel: Mutex<Option<KernelRoutes>>,
    counters: Mutex<Vec<Arc<Counters>>>,
    state: Option<PathBuf>,
    began: Instant,
    pub(crate) stop: Arc<AtomicBool>,
}

/// The door for workers, which must not keep the router alive.
struct Doors(std::sync::Weak<Shared>);

impl Hooks for Doors {
    fn missed(&self, instance: u32, vnet: Vnet, packet: &[u8], inner: &Inner) -> bool {
        let Some(shared) = self.0.upgrade() else {
            return false;
        };
        let packet = Waiting {
            instance,
            vnet,
            packet: packet.to_vec(),
        };
        shared.with(|core, now, outcome| core.missed(inner.destination, packet, now, outcome))
    }

    fn late(&self, instance: u32, inner: &Inner, from: IpAddr) {
        if let Some(shared) = self.0.upgrade() {
            let eid = Eid::host(instance, inner.destination);
            shared.with(|core, now, outcome| core.late(eid, from, now, outcome));
        }
    }
}

/// For packets that have waited: one whose mapping is gone again already is lost.
struct Closed;

impl Hooks for Closed {
    fn missed(&self, _: u32, _: Vnet, _: &[u8], _: &Inner) -> bool {
        false
    }

    fn late(&self, _: u32, _: &Inner, _: IpAddr) {}
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A thread that has panicked leaves nothing half done that another one could not live with.
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Shared {
    /// Calls the core and does what it wants. Tables change before the next call, in order; packets
    /// that were waiting go last.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Core, Duration, &mut Outcome) -> T) -> T {
        let mut outcome = Outcome::default();
        let mut core = lock(&self.core);
        let value = call(&mut core, self.began.elapsed(), &mut outcome);
        self.carry_out(&mut outcome);
        drop(core);
        self.resume(outcome.resume);
        value
    }

    fn carry_out(&self, outcome: &mut Outcome) {
        for change in outcome.changes.drain(..) {
            if let Some(kernel) = &mut *lock(&self.kernel) {
                kernel.change(&change);
            }
            match change {
                Change::Route(eid, route) => self.tables.set_route(eid, route),
                Change::Own(eid, presence) => self.tables.set_own(eid, presence),
            }
        }
        // Packets take their new way before a disk is waited for; messages with a new nonce do not.
        if let (Some(saved), Some(path)) = (&outcome.save, &self.state)
            && let Err(error) = save(path, saved)
        {
            tracing::error!(%error, "what must outlive a restart is not saved");
        }
        for (to, bytes) in outcome.send.drain(..) {
            let mut family = self.sockets.iter();
            let socket = family.find(|socket| socket.is_ipv4() == to.is_ipv4());
            if let Some(socket) = socket
                && let Err(error) = socket.send(to, &bytes)
            {
                tracing::debug!(%to, %error, "cannot send a control message");
            }
        }
        for event in outcome.events.drain(..) {
            tell(&event);
        }
    }

    fn resume(&self, packets: Vec<Waiting>) {
        if packets.is_empty() {
            return;
        }
        if let Some(forwarder) = &mut *lock(&self.resume) {
            for waiting in packets {
                forwarder.resume(waiting.instance, waiting.vnet, &waiting.packet);
            }
        }
    }

    pub(crate) fn status(&self) -> Status {
        let mut status = lock(&self.core).status(self.began.elapsed());
        let all = lock(&self.counters).clone();
        let total = counters::total(all.iter().map(AsRef::as_ref));
        let named = total
            .into_iter()
            .map(|(name, count)| (name.to_owned(), count));
        status.packets = named.collect::<BTreeMap<_, _>>();
        status
    }
}

fn tell(event: &Event) {
    match event {
        Event::Registered { eid, server } => tracing::debug!(%eid, %server, "registered"),
        Event::Locator { address, up: true } => tracing::info!(%address, "locator is up"),
        Event::Locator { address, up: false } => tracing::warn!(%address, "locator is down"),
        Event::Unresolved { eid } => tracing::warn!(%eid, "nobody answers for this destination"),
        Event::Rejected { from, reason } => {
            tracing::debug!(%from, reason = reason.name(), "control message dropped");
        }
    }
}

/// A running router. It stops when this is dropped.
pub struct Handle {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    socket: Option<PathBuf>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

/// The tunnel router.
#[derive(Debug)]
pub struct Router;

impl Router {
    /// Starts a router in the network namespace of the calling thread: makes its TUNs, opens its
    /// sockets, registers its endpoints. Everything is in place when this returns, except answers of
    /// others. The router has threads of its own; do not call this on a thread that must not wait some
    /// milliseconds.
    ///
    /// # Errors
    /// [`Error`]: a device, a socket, or the configuration.
    pub fn start(config: Config) -> Result<Handle, Error> {
        config.check()?;
        let stop = Arc::new(AtomicBool::new(false));
        let workers = match config.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            some => some,
        };
        let netlink = Netlink::open()?;
        let saved = config.state.as_deref().map(load).transpose()?;
        let random = SystemRandom::new();
        let unix = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let began = Instant::now();
        let (core, mut first) = Core::new(
            &config,
            saved.unwrap_or_default(),
            unix.as_secs(),
            Box::new(move || number(&random)),
            Duration::ZERO,
        )?;
        let mut queues: Vec<Vec<Port>> = (0..=workers).map(|_| Vec::new()).collect();
        for instance in &config.instances {
            for (number, queues) in queues.iter_mut().enumerate() {
                // The last one is for packets that have waited, and reads no TUN: the kernel would put
                // packets into a queue that nobody reads.
                if number < workers {
                    queues.push(Port {
                        instance: instance.id,
                        queue: Queue::open(&instance.tun, Layer::Ip)?,
                    });
                }
            }
            let mtu = instance
                .mtu
                .unwrap_or(config.underlay_mtu.saturating_sub(OUTER));
            netlink.set_up(instance, mtu)?;
        }
        let kernel = match &config.kernel {
            None => None,
            Some(kernel) => {
                let mtu = config.underlay_mtu.saturating_sub(OUTER);
                Some(KernelRoutes::start(
                    Netlink::open()?,
                    kernel,
                    &config.instances,
                    mtu,
                )?)
            }
        };
        let shared = Arc::new(Shared {
            core: Mutex::new(core),
            tables: Arc::new(Tables::default()),
            sockets: control_port::open(&config)?,
            resume: Mutex::new(None),
            kernel: Mutex::new(kernel),
            counters: Mutex::new(Vec::new()),
            state: config.state.clone(),
            began,
            stop: Arc::clone(&stop),
        });
        let mut handle = Handle {
            shared: Arc::clone(&shared),
            threads: Vec::new(),
            socket: None,
        };
        let seed = number(&SystemRandom::new());
        for (worker, ports) in queues.into_iter().enumerate() {
            let counters = Arc::new(Counters::default());
            lock(&shared.counters).push(Arc::clone(&counters));
            let (sockets, v4_sockets) = senders(&config)?;
            let settings = Settings {
                underlay_mtu: config.underlay_mtu.into(),
                takes_all: config.is(Role::Petr),
                v4_sockets,
                seed,
                status: config.status_bits.then(|| status_bits(&config)),
            };
            let hooks: Arc<dyn Hooks> = match worker < workers {
                true => Arc::new(Doors(Arc::downgrade(&shared))),
                false => Arc::new(Closed),
            };
            let tables = Arc::clone(&shared.tables);
            let forwarder = Forwarder::new(settings, tables, hooks, counters, sockets, ports);
            if worker < workers {
                let receivers = receivers(&config)?;
                let name = format!("xtr-{worker}");
                let stop = Arc::clone(&stop);
                let thread = worker::start(name, forwarder, receivers, stop)?;
                handle.threads.push(thread);
            } else {
                *lock(&shared.resume) = Some(forwarder);
            }
        }
        shared.carry_out(&mut first);
        handle
            .threads
            .push(control_port::start(Arc::clone(&shared))?);
        if let Some(path) = &config.socket {
            let thread = crate::edge::status_socket::start(path, Arc::clone(&shared))?;
            handle.threads.push(thread);
            handle.socket = Some(path.clone());
        }
        Ok(handle)
    }
}

impl Handle {
    /// Sets where a prefix is, until it is set again; none to have it asked for.
    pub fn set_mapping(&self, eid: Eid, rlocs: Option<Vec<Rloc>>) {
        self.shared
            .with(|core, now, outcome| core.set_mapping(eid, rlocs, now, outcome));
    }

    /// An endpoint is here now: packets for it are taken, and it is registered at once.
    pub fn own_eid_arrived(&self, eid: Eid) {
        self.shared
            .with(|core, now, outcome| core.own_eid_arrived(eid, now, outcome));
    }

    /// An endpoint went to other locators. What still arrives for it is sent on for this time, then
    /// dropped and counted; whoever sends it is told. It is not registered by us again.
    pub fn own_eid_left(&self, eid: Eid, to: Vec<Rloc>, send_on: Duration) {
        self.shared.with(|core, now, outcome| {
            core.own_eid_left(eid, to, now + send_on, now, outcome);
        });
    }

    /// An endpoint does not exist any more: its registration is withdrawn.
    pub fn own_eid_gone(&self, eid: Eid) {
        self.shared
            .with(|core, now, outcome| core.own_eid_gone(eid, now, outcome));
    }

    /// What the router knows and has done.
    pub fn status(&self) -> Status {
        self.shared.status()
    }

    /// Stops it: its devices and routes are gone when this returns. Registrations run out by
    /// themselves, so that a router that is started again loses nothing.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a thread of the tunnel router has panicked");
            }
        }
        if let Some(kernel) = lock(&self.shared.kernel).take() {
            kernel.stop();
        }
        if let Some(path) = &self.socket {
            drop(std::fs::remove_file(path));
        }
    }
}

fn number(random: &SystemRandom) -> u64 {
    let mut bytes = [0; 8];
    // Without randomness nonces could be guessed: the kernel has it, or nothing here works.
    if random.fill(&mut bytes).is_err() {
        tracing::error!("no random numbers");
    }
    u64::from_ne_bytes(bytes)
}

/// Our locator of a family, or any address of it; nothing if we have none of it.
fn local(config: &Config, v4: bool) -> Option<IpAddr> {
    let mut mine = config.rlocs.iter().map(|rloc| rloc.address);
    mine.find(|address| address.is_ipv4() == v4)
}

/// The sockets that packets are sent from: first those of IPv4, whose number is the second part.
fn senders(config: &Config) -> Result<(Vec<Socket>, usize), Error> {
    let mut sockets = Vec::new();
    let mut v4_sockets = 0;
    for v4 in [true, false] {
        if let Some(address) = local(config, v4) {
            for _ in 0..config.source_ports.max(1) {
                sockets.push(Socket::open(SocketAddr::new(address, 0), Use::Send)?);
            }
        }
        if v4 {
            v4_sockets = sockets.len();
        }
    }
    Ok((sockets, v4_sockets))
}

/// The sockets that packets are received by.
fn receivers(config: &Config) -> Result<Vec<Socket>, Error> {
    let families = [true, false].into_iter().filter_map(|v4| local(config, v4));
    families
        .map(|address| {
            let any = SocketAddr::new(unspecified(address), config.data_port);
            Ok(Socket::open(any, Use::Receive)?)
        })
        .collect()
}

fn status_bits(config: &Config) -> u32 {
    let count = config.rlocs.len().min(8) as u32;
    (1u32 << count) - 1
}

fn load(path: &Path) -> Result<Saved, Error> {
    let text = match std::fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Saved::default()),
        Err(source) => {
            return Err(Error::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    serde_json::from_slice(&text).map_err(|error| Error::File {
        path: path.to_owned(),
        source: error.into(),
    })
}

/// Writes a new file and puts it in the place of the old one, so that a crash leaves one of them.
fn save(path: &Path, saved: &Saved) -> std::io::Result<()> {
    let new = path.with_extension("new");
    let file = std::fs::File::create(&new)?;
    serde_json::to_writer(&file, saved)?;
    file.sync_all()?;
    std::fs::rename(&new, path)
}
