//! What a gateway does with a packet: the directory's rows in, frames and packets out. No I/O.

use lisp::EidAddress;
use lisp::data::DataHeader;
use model::{ClusterName, HostName, Mac, Slice};
use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

const ETHERNET: usize = 14;
const ETH_IPV4: [u8; 2] = [0x08, 0x00];
const ETH_IPV6: [u8; 2] = [0x86, 0xdd];

/// Why a packet went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dropped {
    /// Shorter than its headers say, or neither IPv4 nor IPv6.
    Malformed,
    /// Of an instance id that is no network here.
    UnknownInstance,
    /// From an address that is no endpoint outside.
    UnknownSource,
    /// For an address that nobody has, or that is outside itself.
    UnknownDestination,
}

/// Where an endpoint is, as far as a gateway has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On a host of ours; whether it is this one, and that host's underlay address.
    Inside { here: bool, locator: IpAddr },
    /// Behind another LISP router; the switch itself leads there where that speaks VXLAN-GPE.
    Outside { locator: IpAddr, gpe: bool },
}

#[derive(Debug, Clone, Copy)]
struct Endpoint {
    mac: Mac,
    place: Place,
}

#[derive(Debug, Clone, Default)]
struct Network {
    cluster: Option<ClusterName>,
    endpoints: HashMap<IpAddr, Endpoint>,
}

/// The rows of all networks that this host takes part in, by virtual network identifier.
#[derive(Debug, Clone, Default)]
pub struct Table {
    networks: BTreeMap<u32, Network>,
}

/// A packet for another LISP router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outbound {
    /// Its routing locator.
    pub to: IpAddr,
    /// LISP header and inner packet.
    pub payload: Vec<u8>,
}

/// A frame for a network's gateway port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inbound {
    /// The network's identifier.
    pub vni: u32,
    /// The frame.
    pub frame: Vec<u8>,
    /// The endpoint that it is for and the one that it is from, where the former is not here any more: the
    /// sender should ask anew (RFC 9301 section 6.1).
    pub stale: Option<(IpAddr, IpAddr)>,
}

impl Table {
    /// What follows from the directory's rows for this host.
    pub fn of(slice: &Slice, own: &HostName) -> Self {
        let nets = slice.nets.iter();
        let vnis: HashMap<_, _> = nets.map(|net| (&net.cluster, net.vni)).collect();
        let mut networks = BTreeMap::<u32, Network>::new();
        for entry in &slice.entries {
            let Some(vni) = vnis.get(&entry.cluster) else {
                continue;
            };
            let locator = entry.locator.address;
            let place = match entry.locator.is_outside() {
                true => Place::Outside {
                    locator,
                    gpe: entry.locator.is_gpe(),
                },
                false => Place::Inside {
                    here: entry.locator.host == *own,
                    locator,
                },
            };
            let network = networks.entry(*vni).or_default();
            network.cluster = Some(entry.cluster.clone());
            for ip in &entry.ips {
                let mac = entry.mac;
                network.endpoints.insert(*ip, Endpoint { mac, place });
            }
        }
        Self { networks }
    }

    /// The networks with an endpoint outside: those that need a gateway.
    pub fn wanted(&self) -> impl Iterator<Item = (u32, &ClusterName)> {
        let outside = |network: &Network| {
            let mut all = network.endpoints.values();
            all.any(|endpoint| matches!(endpoint.place, Place::Outside { gpe: false, .. }))
        };
        self.networks
            .iter()
            .filter(move |(_, network)| outside(network))
            .filter_map(|(vni, network)| Some((*vni, network.cluster.as_ref()?)))
    }

    /// A frame that a member sent to an endpoint outside.
    ///
    /// # Errors
    /// Why it goes no further.
    pub fn outbound(&self, vni: u32, frame: &[u8]) -> Result<Outbound, Dropped> {
        let packet = frame.get(ETHERNET..).ok_or(Dropped::Malformed)?;
        let (_, destination) = addresses(packet)?;
        let network = self.networks.get(&vni).ok_or(Dropped::UnknownInstance)?;
        match network.endpoints.get(&destination).map(|it| it.place) {
            Some(Place::Outside { locator, .. }) => {
                let header = DataHeader::new().with_instance(vni).to_bytes();
                Ok(Outbound {
                    to: locator,
                    payload: [header.as_slice(), packet].concat(),
                })
            }
            _ => Err(Dropped::UnknownDestination),
        }
    }

    /// What another LISP router sent: the payload of its UDP packet.
    ///
    /// # Errors
    /// Why it goes no further.
    pub fn inbound(&self, payload: &[u8]) -> Result<Inbound, Dropped> {
        let (header, packet) = DataHeader::decode(payload).map_err(|_| Dropped::Malformed)?;
        let (source, destination) = addresses(packet)?;
        let vni = header.instance().unwrap_or(0);
        let network = self.networks.get(&vni).ok_or(Dropped::UnknownInstance)?;
        let from = match network.endpoints.get(&source) {
            Some(from) if matches!(from.place, Place::Outside { .. }) => from.mac,
            _ => return Err(Dropped::UnknownSource),
        };
        let (to, here) = match network.endpoints.get(&destination) {
            Some(Endpoint {
                mac,
                place: Place::Inside { here, .. },
            }) => (*mac, *here),
            _ => return Err(Dropped::UnknownDestination),
        };
        let kind = if source.is_ipv4() { ETH_IPV4 } else { ETH_IPV6 };
        Ok(Inbound {
            vni,
            frame: [&to.0, &from.0, kind.as_slice(), packet].concat(),
            stale: (!here).then_some((destination, source)),
        })
    }

    /// Where an endpoint of ours is, for one who asks: the host's underlay address, and whether that is this
    /// host.
    pub fn locator(&self, vni: u32, eid: EidAddress) -> Option<(IpAddr, bool)> {
        let address = match eid {
            EidAddress::Ipv4(address) => IpAddr::V4(address),
            EidAddress::Ipv6(address) => IpAddr::V6(address),
            EidAddress::Mac(_) => return None,
        };
        match self.networks.get(&vni)?.endpoints.get(&address)?.place {
            Place::Inside { here, locator } => Some((locator, here)),
            Place::Outside { .. } => None,
        }
    }
}

/// Source and destination of an IP packet.
fn addresses(packet: &[u8]) -> Result<(IpAddr, IpAddr), Dropped> {
    fn at<const N: usize>(packet: &[u8], from: usize) -> Result<[u8; N], Dropped> {
        let bytes = packet.get(from..from + N);
        bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Dropped::Malformed)
    }
    match packet.first().map(|first| first >> 4) {
        Some(4) if packet.len() >= 20 => {
            Ok((at::<4>(packet, 12)?.into(), at::<4>(packet, 16)?.into()))
        }
        Some(6) if packet.len() >= 40 => {
            Ok((at::<16>(packet, 8)?.into(), at::<16>(packet, 24)?.into()))
        }
        _ => Err(Dropped::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Encap, Entry, Epoch, Locator, Net, VmName};
    use proptest::prelude::*;

    fn slice() -> Slice {
        let cluster = ClusterName::new("shop").unwrap();
        let row = |name: &str, last: u8, locator: Locator| Entry {
            cluster: cluster.clone(),
            vm: VmName::new(name).unwrap(),
            mac: Mac([2, 0, 0, 0, 0, last]),
            ips: vec![[10, 77, 0, last].into()],
            security: Vec::new(),
            locator,
            epoch: Epoch(1),
            seal: None,
        };
        let at = |host: &str, last: u8| Locator {
            host: HostName::new(host).unwrap(),
            address: [192, 0, 2, last].into(),
        };
        Slice {
            nets: vec![Net {
                cluster: cluster.clone(),
                vni: 7,
                encap: Encap::Vxlan,
                mtu: 1400,
            }],
            entries: vec![
                row("here", 1, at("north", 1)),
                row("there", 2, at("south", 2)),
                row("far", 3, Locator::outside([203, 0, 113, 9].into())),
            ],
        }
    }

    fn table() -> Table {
        Table::of(&slice(), &HostName::new("north").unwrap())
    }

    fn packet(from: u8, to: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 24, 0, 0, 0, 0, 64, 17, 0, 0];
        packet.extend([10, 77, 0, from, 10, 77, 0, to, 1, 2, 3, 4]);
        packet
    }

    fn encapsulated(vni: u32, from: u8, to: u8) -> Vec<u8> {
        let header = DataHeader::new().with_instance(vni).to_bytes();
        [header.as_slice(), &packet(from, to)].concat()
    }

    #[test]
    fn what_a_member_sends_outside_goes_to_the_locator_with_the_networks_instance_id() {
        let frame = [&[0; ETHERNET], packet(1, 3).as_slice()].concat();
        let out = table().outbound(7, &frame).unwrap();
        assert_eq!(out.to, IpAddr::from([203, 0, 113, 9]));
        assert_eq!(out.payload, encapsulated(7, 1, 3));
        assert_eq!(table().outbound(8, &frame), Err(Dropped::UnknownInstance));
    }

    #[test]
    fn what_comes_from_outside_becomes_a_frame_between_the_two_endpoints() {
        let inbound = table().inbound(&encapsulated(7, 3, 1)).unwrap();
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3, 8, 0];
        frame.extend(packet(3, 1));
        assert_eq!(
            (inbound.vni, inbound.frame, inbound.stale),
            (7, frame, None)
        );
    }

    #[test]
    fn a_packet_for_one_who_has_moved_on_is_passed_on_and_its_sender_should_ask_anew() {
        let inbound = table().inbound(&encapsulated(7, 3, 2)).unwrap();
        let pair = ([10, 77, 0, 2].into(), [10, 77, 0, 3].into());
        assert_eq!(inbound.stale, Some(pair));
    }

    #[test]
    fn nobody_outside_speaks_as_a_member_or_to_nobody() {
        let into = |vni, from, to| table().inbound(&encapsulated(vni, from, to)).unwrap_err();
        assert_eq!(into(7, 2, 1), Dropped::UnknownSource);
        assert_eq!(into(7, 9, 1), Dropped::UnknownSource);
        assert_eq!(into(7, 3, 9), Dropped::UnknownDestination);
        assert_eq!(into(7, 3, 3), Dropped::UnknownDestination);
        assert_eq!(into(9, 3, 1), Dropped::UnknownInstance);
    }

    #[test]
    fn only_networks_with_somebody_outside_want_a_gateway() {
        assert_eq!(table().wanted().count(), 1);
        let mut inside = slice();
        inside.entries.pop();
        let table = Table::of(&inside, &HostName::new("north").unwrap());
        assert_eq!(table.wanted().count(), 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _ = table().inbound(&bytes);
            let _ = table().outbound(7, &bytes);
        }
    }
}
