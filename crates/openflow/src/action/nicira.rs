//! The actions that OVS adds, as values. Their bytes are in `nicira_codec.rs`.

use serde::Serialize;

use super::{Action, BitRange, Conntrack, Learn, Nat, RegMove};
use crate::oxm::{Field, Oxm};
use crate::wire::{Blob, blob_property, open_enum};

/// An action of OVS (ovs-actions(7)). Ports are the 16-bit numbers of OpenFlow 1.0 here.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NiciraAction {
    /// Look the packet up again in this table, as if it came from `in_port`.
    Resubmit {
        /// Port, or 0xfff8 for the packet's own.
        in_port: u16,
    },
    /// Look the packet up again in another table.
    ResubmitTable {
        /// Port, or 0xfff8 for the packet's own.
        in_port: u16,
        /// Table, or 255 for the current one.
        table: u8,
    },
    /// The same with the addresses of the tracked connection's first packet.
    ResubmitTableCt {
        /// Port, or 0xfff8 for the packet's own.
        in_port: u16,
        /// Table, or 255 for the current one.
        table: u8,
    },
    /// Set the tunnel key, 32 bits.
    SetTunnel(u32),
    /// Set the tunnel key, 64 bits.
    SetTunnel64(u64),
    /// Choose the queue for the output.
    SetQueue(u32),
    /// Go back to the queue that was chosen before.
    PopQueue,
    /// Copy bits between fields.
    RegMove(RegMove),
    /// Put a number in bits of a field.
    RegLoad {
        /// The bits.
        destination: BitRange,
        /// The number.
        value: u64,
    },
    /// Set a field with a mask.
    RegLoad2(Oxm),
    /// Bytes that mean nothing to the switch; filled with zeros to 6, 14, 22... bytes.
    Note(Blob),
    /// Choose a link by a hash of the packet.
    Multipath(Multipath),
    /// Choose a member port by a hash of the packet and send or load it.
    Bundle(Bundle),
    /// Send to the port in a field, 32-bit header.
    OutputReg {
        /// Bits with the port number.
        source: BitRange,
        /// Bytes for the controller.
        max_len: u16,
    },
    /// Send to the port in a field that may be an experimenter's.
    OutputReg2 {
        /// Bits with the port number.
        source: BitRange,
        /// Bytes for the controller.
        max_len: u16,
    },
    /// Send at most so many bytes to a port.
    OutputTrunc {
        /// Port.
        port: u16,
        /// Bytes.
        max_len: u32,
    },
    /// Add a rule made from the packet.
    Learn(Learn),
    /// Stop here.
    Exit,
    /// Decrement the IP TTL.
    DecTtl,
    /// Decrement the IP TTL; tell these controllers about packets that have none left.
    DecTtlCntIds(Vec<u16>),
    /// Shorten the rule's timeouts when a TCP FIN or RST passes.
    FinTimeout {
        /// New idle timeout in seconds, 0 for none.
        idle: u16,
        /// New hard timeout in seconds, 0 for none.
        hard: u16,
    },
    /// Send to a controller.
    Controller {
        /// Bytes of the packet.
        max_len: u16,
        /// Which controller.
        controller_id: u16,
        /// Reason in the packet-in.
        reason: u8,
    },
    /// Send to a controller, with user data and pausing.
    Controller2(Controller2),
    /// Write metadata.
    WriteMetadata {
        /// Value.
        #[serde(serialize_with = "crate::wire::hex64")]
        metadata: u64,
        /// Bits that count.
        #[serde(serialize_with = "crate::wire::hex64")]
        mask: u64,
    },
    /// Push an MPLS label with this Ethernet type.
    PushMpls(u16),
    /// Take the outer MPLS label off.
    PopMpls(u16),
    /// Set the TTL of the outer MPLS label.
    SetMplsTtl(u8),
    /// Decrement the TTL of the outer MPLS label.
    DecMplsTtl,
    /// Set the outer MPLS label, 20 bits.
    SetMplsLabel(u32),
    /// Set the traffic class of the outer MPLS label.
    SetMplsTc(u8),
    /// Push bits on the stack.
    StackPush(BitRange),
    /// Pop bits from the stack.
    StackPop(BitRange),
    /// Sample packets for IPFIX.
    Sample(Sample),
    /// Match one dimension of a conjunction.
    Conjunction {
        /// Which dimension, from 0.
        clause: u8,
        /// Number of dimensions.
        n_clauses: u8,
        /// Conjunction id.
        id: u32,
    },
    /// Connection tracking.
    Ct(Conntrack),
    /// Forget what connection tracking found.
    CtClear,
    /// Address translation; inside `ct` only.
    Nat(Nat),
    /// Actions on a copy of the packet.
    Clone(Vec<Action>),
    /// Add a header.
    Encap {
        /// Header size, 0 for the usual.
        header_size: u16,
        /// Packet type of the new header: namespace and type.
        packet_type: u32,
        /// Properties as bytes.
        properties: Blob,
    },
    /// Take the outer header off.
    Decap {
        /// Packet type to be expected behind it.
        packet_type: u32,
    },
    /// Decrement the TTL of the service header.
    DecNshTtl,
    /// Set a bit if the packet is larger.
    CheckPktLarger {
        /// Bytes.
        packet_len: u16,
        /// Field of the bit.
        field: Field,
        /// The bit in the field.
        offset: u16,
    },
    /// Remove a tunnel option.
    DeleteField(Field),
    /// An action of OVS that is not known here, or has another layout.
    Unknown {
        /// Number of the action.
        subtype: u16,
        /// What follows the number.
        data: Blob,
    },
}

/// Parameters of `multipath`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Multipath {
    /// Which fields are hashed.
    pub fields: u16,
    /// Seed of the hash.
    pub basis: u16,
    /// How a link is chosen.
    pub algorithm: u16,
    /// Number of links less one.
    pub max_link: u16,
    /// Argument of the algorithm.
    pub arg: u32,
    /// Where the link goes.
    pub destination: BitRange,
}

/// Parameters of `bundle` and `bundle_load`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Bundle {
    /// How a member is chosen.
    pub algorithm: u16,
    /// Which fields are hashed.
    pub fields: u16,
    /// Seed of the hash.
    pub basis: u16,
    /// Header that says what members are: OVS has ports only.
    pub member_type: u32,
    /// Where the member goes; none means that the packet is sent to it.
    pub destination: Option<BitRange>,
    /// The members.
    pub members: Vec<u16>,
}

/// Parameters of `sample`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Sample {
    /// 1 to 3: which form of the action.
    pub form: u8,
    /// Of 65535 packets, how many.
    pub probability: u16,
    /// Collector set.
    pub collector_set: u32,
    /// IPFIX observation domain.
    pub observation_domain: u32,
    /// IPFIX observation point.
    pub observation_point: u32,
    /// Port whose tunnel is reported (forms 2 and 3).
    pub sampling_port: u16,
    /// 1 ingress, 2 egress (form 3).
    pub direction: u8,
}

/// Parameters of `controller2`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Controller2 {
    /// The properties in wire order.
    pub properties: Vec<ControllerProperty>,
}

open_enum! {
    /// Property numbers of `controller2`.
    pub enum ControllerPropertyKind: u16 {
        /// Bytes of the packet.
        MaxLen = 0,
        /// Which controller.
        ControllerId = 1,
        /// Reason in the packet-in.
        Reason = 2,
        /// Bytes for the controller.
        Userdata = 3,
        /// Stop until the controller resumes.
        Pause = 4,
        /// Meter of the packet-ins.
        MeterId = 5,
    }
}

blob_property! {
    /// One property of `controller2`.
    pub struct ControllerProperty(ControllerPropertyKind) "controller property"
}
