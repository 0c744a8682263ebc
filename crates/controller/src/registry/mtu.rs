//! The MTU of a cluster's network: what is left on the narrowest uplink.

use api::Problem;
use control::directory::MIN_MTU;
use model::news::Hello;
use model::{Encap, HostName};

/// Largest IP packet of a member on any underlay, bytes: what guests expect of an Ethernet.
const MOST: u16 = 1500;

/// What a host leaves to members, bytes.
pub(super) fn room(host: &Hello, encap: Encap) -> u16 {
    let uplink = host.abilities.uplink_mtu;
    uplink
        .saturating_sub(encap.overhead(host.underlay.is_ipv6()))
        .min(MOST)
}

/// The MTU of a new network. Hosts without a member of it count as well, because it may move there;
/// those that are too narrow for any network do not.
pub(super) fn choose<'a>(
    encap: Encap,
    needed: impl IntoIterator<Item = &'a Hello>,
    others: impl IntoIterator<Item = &'a Hello>,
) -> Result<u16, Problem> {
    let mut least = others
        .into_iter()
        .map(|host| room(host, encap))
        .filter(|room| *room >= MIN_MTU)
        .min()
        .unwrap_or(MOST - encap.overhead(false));
    for host in needed {
        let room = room(host, encap);
        if room < MIN_MTU {
            return Err(too_narrow(host, encap, MIN_MTU));
        }
        least = least.min(room);
    }
    Ok(least)
}

/// Refuses a host whose uplinks are too narrow for a network of `wanted` bytes.
pub(super) fn check(host: &Hello, encap: Encap, wanted: u16) -> Result<(), Problem> {
    if room(host, encap) < wanted {
        return Err(too_narrow(host, encap, wanted));
    }
    Ok(())
}

fn too_narrow(host: &Hello, encap: Encap, wanted: u16) -> Problem {
    let overhead = encap.overhead(host.underlay.is_ipv6());
    let (name, uplink): (&HostName, u16) = (&host.host, host.abilities.uplink_mtu);
    let left = uplink.saturating_sub(overhead);
    Problem::refused(
        format!(
            "The uplinks of host '{name}' carry {uplink} bytes; less {overhead} for {} that leaves {left}, and {wanted} are needed.",
            encap.as_str()
        ),
        format!(
            "Raise the MTU of its uplinks to {} or more.",
            wanted.saturating_add(overhead)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::news::Abilities;

    fn host(name: &str, uplink_mtu: u16, underlay: &str) -> Hello {
        Hello {
            protocol: 1,
            host: HostName::new(name).unwrap(),
            site: model::SiteName::new("s").unwrap(),
            underlay: underlay.parse().unwrap(),
            relay_ip: underlay.parse().unwrap(),
            relay_port: 6640,
            delay_responder: "127.0.0.1:1".parse().unwrap(),
            secured: None,
            abilities: Abilities {
                qemu: String::new(),
                accel: "tcg".into(),
                prediction: true,
                prediction_note: String::new(),
                free_mib: 0,
                cpus: 1,
                uplink_mtu,
                uplink_mbit: 0.0,
            },
            entries: vec![],
            vms: vec![],
        }
    }

    #[test]
    fn the_narrowest_host_decides_and_1500_is_the_most() {
        let (wide, usual) = (host("a", 9000, "192.0.2.1"), host("b", 1500, "192.0.2.2"));
        assert_eq!(choose(Encap::Vxlan, [&wide], [&wide]).unwrap(), 1500);
        assert_eq!(choose(Encap::Vxlan, [&wide], [&usual]).unwrap(), 1450);
        assert_eq!(choose(Encap::Gre, [&usual], []).unwrap(), 1458);
        assert_eq!(
            choose(Encap::Vxlan, [&host("c", 1500, "2001:db8::1")], []).unwrap(),
            1430
        );
    }

    #[test]
    fn a_host_that_leaves_less_than_ipv6_needs_is_refused_with_the_figures() {
        let narrow = host("a", 1300, "192.0.2.1");
        let problem = choose(Encap::Vxlan, [&narrow], []).unwrap_err();
        assert!(
            problem.detail.contains("1300") && problem.detail.contains("1250"),
            "{problem}"
        );
        assert!(problem.way_out.contains("1330"), "{problem}");
        assert_eq!(
            choose(Encap::Vxlan, [&host("b", 1500, "192.0.2.2")], [&narrow]).unwrap(),
            1450
        );
    }
}
