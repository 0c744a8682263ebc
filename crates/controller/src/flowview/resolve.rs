//! Whom a question means: endpoints, by name or by address, and a packet between them.

use api::Problem;
use api::view::Endpoint;
use model::trace::{Packet, Proto, Question, What};
use model::{Entry, Mac};
use std::net::IpAddr;

/// The port that packets come from, where the question names only the receiver's.
const FROM_PORT: u16 = 40_000;

/// One end of a way: the endpoint, and the address that is used.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) entry: Entry,
    pub(super) address: IpAddr,
}

impl End {
    pub(super) fn name(&self) -> String {
        format!(
            "{}/{} ({})",
            self.entry.cluster, self.entry.vm, self.address
        )
    }
}

/// Both ends of a way.
pub(super) fn ends(all: &[Endpoint], question: &Question) -> Result<(End, End), Problem> {
    let from = candidates(all, &question.from)?;
    let to = candidates(all, &question.to)?;
    let mut pairs = Vec::new();
    for (from, of_from) in &from {
        let same = to.iter().filter(|(to, _)| to.cluster == from.cluster);
        for (to, of_to) in same {
            pairs.push(((*from, of_from), (*to, of_to)));
        }
    }
    match &pairs[..] {
        [] => Err(Problem::refused(
            format!(
                "{} and {} are in different clusters, whose networks do not meet.",
                question.from, question.to
            ),
            "Name two members of one cluster.",
        )),
        [((from, of_from), (to, of_to))] => {
            let pair = pair(of_from, of_to).ok_or_else(|| {
                Problem::invalid(
                    format!(
                        "{} and {} have no addresses of one family.",
                        question.from, question.to
                    ),
                    "Name addresses that are both IPv4 or both IPv6.",
                )
            })?;
            let end = |entry: &Entry, address| End {
                entry: entry.clone(),
                address,
            };
            Ok((end(from, pair.0), end(to, pair.1)))
        }
        several => {
            let clusters: Vec<&str> = several
                .iter()
                .map(|((from, _), _)| from.cluster.as_str())
                .collect();
            Err(Problem::invalid(
                format!(
                    "{} and {} are addresses in several clusters: {}.",
                    question.from,
                    question.to,
                    clusters.join(", ")
                ),
                "Say which with CLUSTER/MEMBER.",
            ))
        }
    }
}

/// Every endpoint that a text may mean, with the addresses that it may.
fn candidates<'a>(
    all: &'a [Endpoint],
    text: &str,
) -> Result<Vec<(&'a Entry, Vec<IpAddr>)>, Problem> {
    let entries = all.iter().map(|endpoint| &endpoint.entry);
    let found: Vec<_> = match (text.parse::<IpAddr>(), text.split_once('/')) {
        (Ok(address), _) => entries
            .filter(|entry| entry.addresses().contains(&address))
            .map(|entry| (entry, vec![address]))
            .collect(),
        (_, Some((cluster, member))) => entries
            .filter(|entry| entry.cluster.as_str() == cluster && entry.vm.as_str() == member)
            .map(|entry| (entry, entry.ips.clone()))
            .collect(),
        _ => {
            return Err(Problem::invalid(
                format!("'{text}' is no endpoint."),
                "Write CLUSTER/MEMBER, for example shop/web1, or an address.",
            ));
        }
    };
    match found.is_empty() {
        false => Ok(found),
        true => Err(Problem::not_found(
            format!("There is no endpoint '{text}'."),
            "See the endpoints with `transhume endpoint list`.",
        )),
    }
}

/// Addresses of one family, IPv4 first.
fn pair(from: &[IpAddr], to: &[IpAddr]) -> Option<(IpAddr, IpAddr)> {
    [true, false].into_iter().find_map(|v4| {
        let first = |all: &[IpAddr]| all.iter().copied().find(|ip| ip.is_ipv4() == v4);
        Some((first(from)?, first(to)?))
    })
}

/// The packet that goes from the one to the other.
pub(super) fn packet(from: &End, to: &End, question: &Question) -> Result<Packet, Problem> {
    let port = || {
        question.port.ok_or_else(|| {
            Problem::invalid(
                "A packet of TCP or UDP goes to a port, and none is named.",
                "Add --port N.",
            )
        })
    };
    let what = match question.proto {
        Proto::Icmp => What::Icmp,
        Proto::Arp => What::Arp,
        Proto::Tcp => What::Tcp {
            from_port: FROM_PORT,
            to_port: port()?,
        },
        Proto::Udp => What::Udp {
            from_port: FROM_PORT,
            to_port: port()?,
        },
    };
    Ok(Packet {
        from_mac: from.entry.mac,
        to_mac: match what {
            What::Arp => asked(to.address),
            _ => to.entry.mac,
        },
        from: from.address,
        to: to.address,
        what,
        established: question.established,
    })
}

/// What goes back: the answer to a packet, or the same question the other way.
pub(super) fn back(packet: &Packet, of: &End, to: &End) -> Packet {
    let (what, established) = match packet.what {
        What::Icmp => (What::Icmp, true),
        What::Arp => (What::Arp, false),
        What::Tcp { from_port, to_port } => (
            What::Tcp {
                from_port: to_port,
                to_port: from_port,
            },
            true,
        ),
        What::Udp { from_port, to_port } => (
            What::Udp {
                from_port: to_port,
                to_port: from_port,
            },
            true,
        ),
    };
    Packet {
        from_mac: of.entry.mac,
        to_mac: match what {
            What::Arp => asked(to.address),
            _ => to.entry.mac,
        },
        from: of.address,
        to: to.address,
        what,
        established,
    }
}

/// Where a question for an address is sent: to everybody, or to those whose addresses end alike (RFC 2464
/// section 7).
fn asked(address: IpAddr) -> Mac {
    match address {
        IpAddr::V4(_) => Mac([0xff; 6]),
        IpAddr::V6(ip) => {
            let [.., a, b, c] = ip.octets();
            Mac([0x33, 0x33, 0xff, a, b, c])
        }
    }
}

/// A packet in words.
pub(super) fn words(packet: &Packet, from: &End, to: &End) -> String {
    let known = if packet.established {
        ", of a known connection"
    } else {
        ""
    };
    let what = match packet.what {
        What::Arp if to.address.is_ipv4() => "ARP question".to_owned(),
        What::Arp => "neighbour solicitation".to_owned(),
        What::Icmp if packet.established => "echo reply".to_owned(),
        What::Icmp => "echo request".to_owned(),
        What::Tcp { from_port, to_port } => format!("TCP {from_port} to {to_port}"),
        What::Udp { from_port, to_port } => format!("UDP {from_port} to {to_port}"),
    };
    let from = from.name();
    match packet.what {
        What::Arp => format!("{what} of {from} for {}", to.name()),
        _ => format!("{what} from {from} to {}{known}", to.name()),
    }
}
