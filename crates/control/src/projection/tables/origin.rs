//! Table 30: where packets of local senders go.
//!
//! Unicast follows the directory: to the endpoint's port, or into the tunnel to its host. Group
//! frames and frames for nobody are copied at the source, once to each local member's port and
//! once to each host that has members; whoever gets a copy out of a tunnel does not pass it on.

use super::{Endpoint, outside, security};
use crate::projection::ORIGIN;
use crate::projection::cookie::{Kind, Owner};
use crate::projection::rule::{Action, Field, Rule};
use crate::projection::view::{Arrivals, HostView};
use model::Net;
use std::collections::BTreeSet;
use std::net::IpAddr;

const UNICAST: u16 = 100;
const UNKNOWN: u16 = 10;

/// The rule of one endpoint. An endpoint that cannot be reached has one as well, so that its
/// frames are not taken for frames to nobody.
pub(in crate::projection) fn endpoint(at: Endpoint<'_>) -> Rule {
    let (kind, (actions, goto)) = match (at.view.arrivals.get(at.key), at.port) {
        _ if let Some(way) = outside::way(at) => (Kind::Origin, (way, None)),
        (Some(Arrivals::Gate { ofport }), _) => (Kind::Gate, security::deliver(at, *ofport)),
        (_, Some(port)) if at.view.is_here(at.entry) => (Kind::Origin, security::deliver(at, port)),
        _ if at.view.is_here(at.entry) || at.entry.locator.is_outside() => {
            (Kind::Origin, (Vec::new(), None))
        }
        _ => {
            let tunnel = through_tunnels(at.view, at.net, [at.entry.locator.address]);
            (Kind::Origin, (tunnel, None))
        }
    };
    Rule::new(
        at.label(kind),
        (ORIGIN, UNICAST),
        [Field::Vni(at.net.vni), Field::EthDestination(at.entry.mac)],
        actions,
        goto,
    )
}

/// The copies that a network's group frames and frames to nobody are made into.
pub(in crate::projection) fn net(view: &HostView, net: &Net) -> [Rule; 2] {
    let mut ports = BTreeSet::new();
    let mut hosts = BTreeSet::new();
    // LISP carries no group frames.
    let inside = view
        .members(&net.cluster)
        .filter(|(_, entry)| !entry.locator.is_outside());
    for (key, entry) in inside {
        match (
            view.is_here(entry),
            view.arrivals.get(key),
            view.ports.get(key),
        ) {
            (false, ..) => {
                hosts.insert(entry.locator.address);
            }
            (true, Some(Arrivals::Gate { ofport }), _) => {
                ports.insert(security::copy_to(view, key, *ofport));
            }
            (true, _, Some(port)) => {
                ports.insert(security::copy_to(view, key, *port));
            }
            (true, _, None) => {}
        }
    }
    let mut actions: Vec<_> = ports.into_iter().flatten().collect();
    actions.extend(through_tunnels(view, net, hosts));
    let rule = |priority, group: Option<Field>| {
        Rule::new(
            (Kind::Replicate, Owner::net(&net.cluster)),
            (ORIGIN, priority),
            [Field::Vni(net.vni)].into_iter().chain(group),
            actions.iter().copied(),
            None,
        )
    };
    [rule(UNICAST, Some(Field::EthGroup)), rule(UNKNOWN, None)]
}

/// One copy to each address; nothing where the network's tunnel port does not exist, and nothing
/// to ourselves, whatever the directory says.
fn through_tunnels(
    view: &HostView,
    net: &Net,
    to: impl IntoIterator<Item = IpAddr>,
) -> Vec<Action> {
    let Some(tunnel) = view.tunnels.get(&net.encap) else {
        return Vec::new();
    };
    let mut actions = Vec::new();
    let mut before: Option<IpAddr> = None;
    for address in to.into_iter().filter(|address| *address != view.underlay) {
        match before {
            None => actions.push(Action::SetTunnelId(net.vni)),
            Some(before) if before.is_ipv4() != address.is_ipv4() => {
                actions.push(Action::ClearTunnelDestination)
            }
            Some(_) => {}
        }
        actions.extend([
            Action::SetTunnelDestination(address),
            Action::Output(*tunnel),
        ]);
        before = Some(address);
    }
    actions
}
