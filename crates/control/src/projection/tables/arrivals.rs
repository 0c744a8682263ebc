//! Table 40: what becomes of packets that come out of a tunnel.
//!
//! They go to ports, never into a tunnel again: the one exception is a redirect, which a host
//! has for an endpoint that is moving away, or has left its port behind. Every endpoint of the
//! network has a rule, so that frames for one who is elsewhere are not taken for frames to nobody and
//! copied to its port.

use super::{Endpoint, security};
use crate::projection::ARRIVALS;
use crate::projection::cookie::{Kind, Owner};
use crate::projection::rule::{Action, Field, Rule};
use crate::projection::view::{Arrivals, HostView};
use model::Net;
use std::collections::BTreeSet;

/// A redirect that would send a packet back to where it comes from.
const BACK: u16 = 200;
const UNICAST: u16 = 100;
const UNKNOWN: u16 = 10;

/// The rules of one endpoint.
pub(in crate::projection) fn endpoint(at: Endpoint<'_>) -> Vec<Rule> {
    let matching = [Field::Vni(at.net.vni), Field::EthDestination(at.entry.mac)];
    let rule = |kind, actions: Vec<Action>| {
        Rule::new(at.label(kind), (ARRIVALS, UNICAST), matching, actions, None)
    };
    let hand_over = |kind, port| {
        let (actions, goto) = security::deliver(at, port);
        Rule::new(at.label(kind), (ARRIVALS, UNICAST), matching, actions, goto)
    };
    match (at.view.arrivals_of(at.key, at.entry), at.port) {
        (Arrivals::Deliver, Some(port)) => vec![hand_over(Kind::Arrivals, port)],
        (Arrivals::Deliver, None) | (Arrivals::Drop, _) => vec![rule(Kind::Arrivals, Vec::new())],
        (Arrivals::Gate { ofport }, _) => vec![hand_over(Kind::Gate, ofport)],
        (Arrivals::Redirect { to }, _) => {
            // The packet carries the addresses of the tunnel that it came by.
            let on = vec![
                Action::SetTunnelId(at.net.vni),
                Action::ClearTunnelDestination,
                Action::SetTunnelDestination(to),
                Action::OutputBack,
            ];
            let from_there = matching.into_iter().chain([Field::TunnelSource(to)]);
            let back = Rule::new(
                at.label(Kind::Redirect),
                (ARRIVALS, BACK),
                from_there,
                [],
                None,
            );
            vec![back, rule(Kind::Redirect, on)]
        }
    }
}

/// The copies of a network's group frames and frames to nobody: members that are here only.
pub(in crate::projection) fn net(view: &HostView, net: &Net) -> [Rule; 2] {
    let mut ports = BTreeSet::new();
    for (key, entry) in view
        .members(&net.cluster)
        .filter(|(_, entry)| view.is_here(entry))
    {
        match (view.arrivals_of(key, entry), view.ports.get(key)) {
            (Arrivals::Gate { ofport }, _) => {
                ports.insert(security::copy_to(view, key, ofport));
            }
            (Arrivals::Drop, _) | (_, None) => {}
            // One that is about to leave still gets them: it runs, or its queue is taken along.
            (Arrivals::Deliver | Arrivals::Redirect { .. }, Some(port)) => {
                ports.insert(security::copy_to(view, key, *port));
            }
        }
    }
    let rule = |priority, group: Option<Field>| {
        Rule::new(
            (Kind::Replicate, Owner::net(&net.cluster)),
            (ARRIVALS, priority),
            [Field::Vni(net.vni)].into_iter().chain(group),
            ports.iter().flatten().copied(),
            None,
        )
    };
    [rule(UNICAST, Some(Field::EthGroup)), rule(UNKNOWN, None)]
}
