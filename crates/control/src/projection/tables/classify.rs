//! Table 0: which network a packet belongs to.
//!
//! The network goes to `reg0` and every later match names it, so packets of two networks never
//! meet, whatever addresses they carry. A tunnel packet has to come by its network's own
//! encapsulation; a network without a member here has no rule, and its packets end here. Tagged
//! frames end here as well: later tables look at what is behind the tag.

use super::Endpoint;
use crate::projection::cookie::{Kind, Owner};
use crate::projection::rule::{Action, Field, Rule};
use crate::projection::view::HostView;
use crate::projection::{ARRIVALS, CLASSIFY, GUARD};
use model::Net;

const PRIORITY: u16 = 100;

/// The port of an endpoint.
pub(in crate::projection) fn endpoint(at: Endpoint<'_>) -> Option<Rule> {
    let port = at.port.filter(|_| !at.entry.locator.is_outside())?;
    Some(Rule::new(
        at.label(Kind::Classify),
        (CLASSIFY, PRIORITY),
        [Field::InPort(port), Field::Untagged],
        [Action::SetVni(at.net.vni)],
        Some(GUARD),
    ))
}

/// A network's gateway, which all endpoints outside share.
pub(in crate::projection) fn gateway(view: &HostView, net: &Net) -> Option<Rule> {
    let port = *view.gateways.get(&net.cluster)?;
    Some(Rule::new(
        (Kind::Classify, Owner::net(&net.cluster)),
        (CLASSIFY, PRIORITY),
        [Field::InPort(port), Field::Untagged],
        [Action::SetVni(net.vni)],
        Some(GUARD),
    ))
}

/// The tunnel of a network.
pub(in crate::projection) fn net(view: &HostView, net: &Net) -> Option<Rule> {
    let tunnel = *view.tunnels.get(&net.encap)?;
    Some(Rule::new(
        (Kind::Classify, Owner::net(&net.cluster)),
        (CLASSIFY, PRIORITY),
        [
            Field::InPort(tunnel),
            Field::TunnelId(net.vni),
            Field::Untagged,
        ],
        [Action::SetVni(net.vni)],
        Some(ARRIVALS),
    ))
}
