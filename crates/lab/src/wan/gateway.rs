//! The gateway of every site: answers for its addresses, finds the site of a destination, and
//! finds the way to a host there.
//!
//! Pure: frames and time in, frames to send (with their uplink) and packets for the WAN out.
//! Between [`Gateway::receive`] and [`Gateway::deliver`] lies the WAN itself ([`super::Paths`]).

use std::net::IpAddr;

use crate::net::{Attachment, Mac, Network, Plan};

use super::frames::{self, Seen};
use super::lacp;
use super::neighbours::{Due, Neighbours, Place};
use super::shaping::Nanos;
use super::stats::{GatewayDrops, PortStats};

/// A packet on its way through the WAN: a whole frame whose MACs are set on delivery.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) network: Network,
    pub(crate) target: IpAddr,
    pub(crate) frame: Vec<u8>,
}

/// A frame to send on an uplink.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Outgoing {
    pub(crate) port: usize,
    pub(crate) frame: Vec<u8>,
}

/// What became of a received frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// It goes through the WAN to this site.
    Route {
        from: usize,
        to: usize,
        packet: Packet,
    },
    /// It was handled here (answered, learned from, or dropped and counted).
    Handled,
}

#[derive(Debug)]
struct Port {
    site: usize,
    network: Network,
    stats: PortStats,
}

#[derive(Debug)]
struct Site {
    data: Attachment,
    mgmt: Attachment,
    drops: GatewayDrops,
    /// The data uplink that was used last.
    last_data: Option<usize>,
}

impl Site {
    fn attachment(&self, network: Network) -> &Attachment {
        match network {
            Network::Data => &self.data,
            Network::Mgmt => &self.mgmt,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Gateway {
    sites: Vec<Site>,
    ports: Vec<Port>,
    neighbours: Neighbours,
}

impl Gateway {
    /// A gateway for a plan. Ports are numbered as the plan lists the uplinks; all count as up.
    pub(crate) fn new(plan: &Plan) -> Self {
        let mut ports = Vec::new();
        for (site, planned) in plan.sites.iter().enumerate() {
            ports.extend(planned.uplinks.iter().map(|uplink| Port {
                site,
                network: uplink.network,
                stats: PortStats {
                    site_end: uplink.site_end.clone(),
                    up: true,
                    ..PortStats::default()
                },
            }));
        }
        let sites = plan.sites.iter().map(|site| Site {
            data: site.data.clone(),
            mgmt: site.mgmt.clone(),
            drops: GatewayDrops::default(),
            last_data: None,
        });
        Self {
            sites: sites.collect(),
            ports,
            neighbours: Neighbours::default(),
        }
    }

    /// Takes a frame that an uplink brought. Answers go to `out`.
    pub(crate) fn receive(
        &mut self,
        now: Nanos,
        port: usize,
        mut frame: Vec<u8>,
        out: &mut Vec<Outgoing>,
    ) -> Received {
        let Port {
            site,
            network,
            ref mut stats,
        } = self.ports[port];
        stats.received += 1;
        let (Some(to), Some(from)) = (frames::destination(&frame), frames::source(&frame)) else {
            self.sites[site].drops.malformed += 1;
            return Received::Handled;
        };
        if from.is_group() {
            self.sites[site].drops.malformed += 1;
            return Received::Handled;
        }
        self.neighbours.seen(site, from, port);
        if network == Network::Data {
            self.sites[site].last_data = Some(port);
        }
        let here = self.sites[site].attachment(network);
        let (gateway_mac, gateway_v4, gateway_v6) =
            (here.gateway_mac, here.gateway_v4, here.gateway_v6);
        if to != gateway_mac && !to.is_group() {
            self.sites[site].drops.not_for_us += 1;
            return Received::Handled;
        }
        let mut say = |frame| out.push(Outgoing { port, frame });
        match frames::see(&frame) {
            Seen::Arp {
                request,
                sender_mac,
                sender,
                target,
            } => {
                if request && target == gateway_v4 {
                    say(frames::arp_reply(gateway_mac, target, sender_mac, sender));
                }
                self.learn(now, (site, network, sender.into()), sender_mac, out);
            }
            Seen::Solicit {
                source,
                target,
                link,
            } => {
                if target == gateway_v6 {
                    say(frames::advertisement(gateway_mac, target, from, source));
                }
                if let Some(mac) = link {
                    self.learn(now, (site, network, source.into()), mac, out);
                }
            }
            Seen::Advertise { target, link } => {
                self.learn(
                    now,
                    (site, network, target.into()),
                    link.unwrap_or(from),
                    out,
                );
            }
            Seen::Ip {
                source,
                target,
                hops,
                echo,
            } if !to.is_group() => {
                self.learn(now, (site, network, source), from, out);
                if target == IpAddr::V4(gateway_v4) || target == IpAddr::V6(gateway_v6) {
                    match echo.then(|| frames::echo_reply(&frame)).flatten() {
                        Some(reply) => out.push(Outgoing { port, frame: reply }),
                        None => self.sites[site].drops.not_for_us += 1,
                    }
                    return Received::Handled;
                }
                let Some((to, network)) = self.route(target) else {
                    self.sites[site].drops.no_route += 1;
                    return Received::Handled;
                };
                if hops <= 1 || !frames::take_hop(&mut frame) {
                    self.sites[site].drops.expired += 1;
                    return Received::Handled;
                }
                return Received::Route {
                    from: site,
                    to,
                    packet: Packet {
                        network,
                        target,
                        frame,
                    },
                };
            }
            Seen::Other if network == Network::Data => {
                // Both links must name one system, and each its own port.
                match lacp::answer(&frame, gateway_mac, port as u16 + 1) {
                    Some(reply) => out.push(Outgoing { port, frame: reply }),
                    None => self.sites[site].drops.not_for_us += 1,
                }
            }
            Seen::Ip { .. } | Seen::Other => self.sites[site].drops.not_for_us += 1,
            Seen::Malformed => self.sites[site].drops.malformed += 1,
        }
        Received::Handled
    }

    fn route(&self, target: IpAddr) -> Option<(usize, Network)> {
        let holds = |a: &Attachment| match target {
            IpAddr::V4(v4) => a.holds_v4(v4),
            IpAddr::V6(v6) => a.holds_v6(v6),
        };
        self.sites.iter().enumerate().find_map(|(site, s)| {
            [Network::Data, Network::Mgmt]
                .into_iter()
                .find(|n| holds(s.attachment(*n)))
                .map(|n| (site, n))
        })
    }

    /// Learns an address of a site's own network (others cannot be on its links).
    fn learn(&mut self, now: Nanos, place: Place, mac: Mac, out: &mut Vec<Outgoing>) {
        let (site, network, address) = place;
        let here = self.sites[site].attachment(network);
        let is_local = match address {
            IpAddr::V4(v4) => here.holds_v4(v4) && v4 != here.gateway_v4,
            IpAddr::V6(v6) => here.holds_v6(v6) && v6 != here.gateway_v6,
        };
        if !is_local || mac.is_group() {
            return;
        }
        for frame in self.neighbours.learn(place, mac) {
            self.deliver(
                now,
                site,
                Packet {
                    network,
                    target: address,
                    frame,
                },
                out,
            );
        }
    }

    /// Hands a packet that came through the WAN to its host at a site.
    pub(crate) fn deliver(
        &mut self,
        now: Nanos,
        site: usize,
        packet: Packet,
        out: &mut Vec<Outgoing>,
    ) {
        let Packet {
            network,
            target,
            mut frame,
        } = packet;
        let place = (site, network, target);
        let Some(mac) = self.neighbours.mac(&place) else {
            let (ask, lost) = self.neighbours.hold(now, place, frame);
            self.sites[site].drops.no_neighbour += lost as u64;
            if ask {
                self.ask(place, out);
            }
            return;
        };
        let Some(port) = self.way_to(site, network, mac) else {
            self.sites[site].drops.no_link += 1;
            return;
        };
        frames::set_macs(
            &mut frame,
            mac,
            self.sites[site].attachment(network).gateway_mac,
        );
        out.push(Outgoing { port, frame });
    }

    fn way_to(&self, site: usize, network: Network, mac: Mac) -> Option<usize> {
        let usable = |port: &usize| {
            let p = &self.ports[*port];
            p.stats.up && p.site == site && p.network == network
        };
        self.neighbours
            .port(site, mac)
            .filter(usable)
            .or_else(|| self.sites[site].last_data.filter(usable))
            .or_else(|| (0..self.ports.len()).find(usable))
    }

    /// Asks on every link of the network: which one the site uses may not be known yet.
    fn ask(&self, (site, network, address): Place, out: &mut Vec<Outgoing>) {
        let here = self.sites[site].attachment(network);
        let frame = match address {
            IpAddr::V4(v4) => frames::arp_request(here.gateway_mac, here.gateway_v4, v4),
            IpAddr::V6(v6) => frames::solicitation(here.gateway_mac, here.gateway_v6, v6),
        };
        for (port, p) in self.ports.iter().enumerate() {
            if p.stats.up && p.site == site && p.network == network {
                out.push(Outgoing {
                    port,
                    frame: frame.clone(),
                });
            }
        }
    }

    /// Does what is due by now: asks again, or gives up.
    pub(crate) fn advance(&mut self, now: Nanos, out: &mut Vec<Outgoing>) {
        if self.next().is_none_or(|at| at > now) {
            return;
        }
        for due in self.neighbours.due(now) {
            match due {
                Due::Ask(place) => self.ask(place, out),
                Due::GiveUp((site, ..), packets) => {
                    self.sites[site].drops.no_neighbour += packets as u64;
                }
            }
        }
    }

    /// When [`Gateway::advance`] has something to do.
    pub(crate) fn next(&self) -> Option<Nanos> {
        self.neighbours.next()
    }

    /// An uplink got or lost its carrier.
    pub(crate) fn carrier(&mut self, port: usize, up: bool) {
        self.ports[port].stats.up = up;
        if up {
            return;
        }
        let Port { site, network, .. } = self.ports[port];
        let other = (0..self.ports.len()).find(|p| {
            let p = &self.ports[*p];
            p.stats.up && p.site == site && p.network == network
        });
        if let Some(other) = other {
            self.neighbours.fail_over(port, other);
            if self.sites[site].last_data == Some(port) {
                self.sites[site].last_data = Some(other);
            }
        }
    }

    /// A frame went out on an uplink, or the kernel refused it.
    pub(crate) fn sent(&mut self, port: usize, accepted: bool) {
        let port = &mut self.ports[port];
        match accepted {
            true => port.stats.sent += 1,
            false => self.sites[port.site].drops.not_sent += 1,
        }
    }

    pub(crate) fn drops(&self, site: usize) -> GatewayDrops {
        self.sites[site].drops.clone()
    }

    pub(crate) fn port_stats(&self, site: usize) -> Vec<PortStats> {
        self.ports
            .iter()
            .filter(|p| p.site == site)
            .map(|p| p.stats.clone())
            .collect()
    }
}

#[cfg(test)]
#[path = "gateway_tests.rs"]
mod tests;
