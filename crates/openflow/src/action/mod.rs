//! Actions: the standard ones, the ones OVS adds ([`NiciraAction`]), and unknown ones as bytes.

mod build;
mod codec;
mod ct;
mod learn;
mod nicira;
mod nicira_codec;
mod parts;

pub use ct::{Conntrack, CtFlags, CtZone, Nat, NatFlags};
pub use learn::{Learn, LearnDestination, LearnFlags, LearnLimit, LearnSource, LearnSpec};
pub use nicira::{
    Bundle, Controller2, ControllerProperty, ControllerPropertyKind, Multipath, NiciraAction,
    Sample,
};
pub use parts::{BitRange, RegMove};

use serde::Serialize;

use crate::address::PortNo;
use crate::oxm::Oxm;
use crate::wire::Blob;

/// One action (OpenFlow 1.3.5, 7.2.5; OVS: ovs-actions(7)).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Send the packet out.
    Output {
        /// Where to.
        port: PortNo,
        /// Bytes of the packet for the controller; no meaning for other ports.
        max_len: u16,
    },
    /// Copy the TTL outwards.
    CopyTtlOut,
    /// Copy the TTL inwards.
    CopyTtlIn,
    /// Set the TTL of the outer MPLS label.
    SetMplsTtl(u8),
    /// Decrement the TTL of the outer MPLS label.
    DecMplsTtl,
    /// Push a VLAN tag with this Ethernet type.
    PushVlan(u16),
    /// Take the outer VLAN tag off.
    PopVlan,
    /// Push an MPLS label with this Ethernet type.
    PushMpls(u16),
    /// Take the outer MPLS label off; the payload has this Ethernet type.
    PopMpls(u16),
    /// Choose the queue for the output.
    SetQueue(u32),
    /// Continue in a group.
    Group(u32),
    /// Set the IP TTL.
    SetNwTtl(u8),
    /// Decrement the IP TTL.
    DecNwTtl,
    /// Set a field. OpenFlow 1.3 has no masks here; use [`Action::load_masked`] for OVS.
    SetField(Oxm),
    /// Push a backbone service tag with this Ethernet type.
    PushPbb(u16),
    /// Take the backbone service tag off.
    PopPbb,
    /// ONF extension 320: copy bits between fields, the OpenFlow 1.5 `copy_field`.
    OnfCopyField(RegMove),
    /// An action of OVS.
    Nicira(NiciraAction),
    /// An action of another experimenter, or one of a known one with a layout that is not known.
    Experimenter {
        /// Whose action.
        experimenter: u32,
        /// What follows the experimenter number.
        data: Blob,
    },
    /// An action of a type that is not known.
    Unknown {
        /// The type number.
        kind: u16,
        /// What follows type and length.
        data: Blob,
    },
}
