//! The OpenFlow projection: one host's view of the directory as rules of its integration bridge.
//!
//! [`rules`] makes all of them. [`rules_of`] and [`rules_of_net`] make the part that one endpoint
//! and one network own, so that an update touches a handful of rules however large the directory
//! is: compute both before and after, and install the [`changes`]. Everything is installed ahead;
//! the switch asks nobody and learns nothing.
//!
//! | table | job |
//! |---|---|
//! | [`CLASSIFY`] | port or tunnel → network, in `reg0` |
//! | [`FROM_OUTSIDE`], [`TO_MEMBER`] | packets without Ethernet addresses, out of VXLAN-GPE, get them |
//! | [`GUARD`] | local senders use their own addresses only; fenced ports nothing |
//! | [`ANSWER`], [`ADVERTISE`] | ARP and neighbour discovery answered here; they never travel |
//! | [`LEAVING`] | what a member with security rules may send |
//! | [`ORIGIN`] | packets of local senders: to a port, a tunnel, or as copies to members |
//! | [`ARRIVALS`] | packets out of tunnels: to a port, nowhere, or sent on during a switchover |
//! | [`ENTERING`], [`ENTERED`] | what may come to a member with security rules |
//!
//! What the rules mean to an operator is in `docs/dataplane.md`.

mod change;
mod cookie;
mod packet;
mod rule;
mod tables;
mod view;
mod wire;

pub use change::{Change, changes, converge, diff};
pub use cookie::{Cookie, Kind, Owner};
pub use rule::{Action, Field, Identity, Rule, RuleSet, track};
pub use view::{Arrivals, HostView, Key};

pub(crate) use tables::security::{CARRIED, zone};
pub(crate) use wire::commit;

use model::ClusterName;

/// Finds the network of a packet.
pub const CLASSIFY: u8 = 0;
/// Gives a packet out of VXLAN-GPE its sender's Ethernet address.
pub const FROM_OUTSIDE: u8 = 5;
/// And that of the member that it is for.
pub const TO_MEMBER: u8 = 6;
/// Holds back what a local sender must not send.
pub const GUARD: u8 = 10;
/// Answers ARP and neighbour solicitations.
pub const ANSWER: u8 = 20;
/// Completes a neighbour advertisement: a switch lets `nd_tll` be written only in a table whose
/// match says that the packet is one.
pub const ADVERTISE: u8 = 21;
/// Decides what a member with security rules may send.
pub const LEAVING: u8 = 25;
/// Forwards what local senders send.
pub const ORIGIN: u8 = 30;
/// Forwards what tunnels bring.
pub const ARRIVALS: u8 = 40;
/// Looks up the connection of what is for a member with security rules.
pub const ENTERING: u8 = 45;
/// Decides what may come to such a member.
pub const ENTERED: u8 = 46;

/// All rules of a host.
pub fn rules(view: &HostView) -> RuleSet {
    let mut all = base();
    for cluster in view.nets.keys() {
        all.extend(rules_of_net(view, cluster));
    }
    for key in view.entries.keys() {
        all.extend(rules_of(view, key));
    }
    all
}

/// The rules that do not depend on the directory: the end of each table.
pub fn base() -> RuleSet {
    let ends = [
        CLASSIFY,
        FROM_OUTSIDE,
        TO_MEMBER,
        GUARD,
        LEAVING,
        ORIGIN,
        ARRIVALS,
        ENTERING,
        ENTERED,
    ]
    .map(tables::end_of);
    ends.into_iter().chain(tables::answer_base()).collect()
}

/// The rules that one endpoint owns; none where its row or its network is not known.
pub fn rules_of(view: &HostView, key: &Key) -> RuleSet {
    let Some(at) = tables::Endpoint::of(view, key) else {
        return RuleSet::new();
    };
    let mut rules = RuleSet::new();
    rules.extend(tables::classify(at));
    rules.extend(tables::guard(at));
    rules.extend(tables::answer(at));
    rules.insert(tables::origin(at));
    rules.extend(tables::arrivals::endpoint(at));
    rules.extend(tables::outside::endpoint(at));
    rules.extend(tables::security::endpoint(at));
    rules
}

/// The rules that a network owns: its tunnel, and the copies of group and unknown frames.
pub fn rules_of_net(view: &HostView, cluster: &ClusterName) -> RuleSet {
    let Some(net) = view.nets.get(cluster) else {
        return RuleSet::new();
    };
    let mut rules = RuleSet::new();
    rules.extend(tables::classify_net(view, net));
    rules.extend(tables::classify_gateway(view, net));
    rules.extend(tables::outside::net(view, net));
    rules.extend(tables::replicate(view, net));
    rules.extend(tables::arrivals::net(view, net));
    rules.extend(tables::security::net(view, net));
    rules
}

/// What a change of one endpoint can touch: its own rules and its network's. Cheap; compute it
/// before and after, and install the [`changes`].
pub fn rules_around(view: &HostView, key: &Key) -> RuleSet {
    let mut rules = rules_of_net(view, &key.0);
    rules.extend(rules_of(view, key));
    rules
}
