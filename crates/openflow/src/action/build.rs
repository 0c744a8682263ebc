//! Short ways to write the usual actions.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Action, BitRange, Conntrack, Learn, NiciraAction, RegMove};
use crate::address::{MacAddr, PortNo};
use crate::oxm::{Field, FieldValue, Oxm};

/// Give the controller the whole packet.
const NO_BUFFER: u16 = 0xffff;

impl Action {
    /// Send the packet out of a port.
    pub fn output(port: impl Into<PortNo>) -> Self {
        Self::Output {
            port: port.into(),
            max_len: 0,
        }
    }

    /// Send the packet to where it came from, which plain output refuses to do.
    pub fn output_in_port() -> Self {
        Self::output(PortNo::IN_PORT)
    }

    /// Send the whole packet to the controller.
    pub fn controller() -> Self {
        Self::Output {
            port: PortNo::CONTROLLER,
            max_len: NO_BUFFER,
        }
    }

    /// Hand the packet to the switch's own learning pipeline.
    pub fn normal() -> Self {
        Self::output(PortNo::NORMAL)
    }

    /// Continue in a group.
    pub fn group(id: u32) -> Self {
        Self::Group(id)
    }

    /// Set a field.
    pub fn set_field(field: Field, value: impl FieldValue) -> Self {
        Self::SetField(Oxm::new(field, value))
    }

    /// Set the Ethernet source.
    pub fn set_eth_src(mac: impl Into<MacAddr>) -> Self {
        Self::set_field(Field::ETH_SRC, mac.into())
    }

    /// Set the Ethernet destination.
    pub fn set_eth_dst(mac: impl Into<MacAddr>) -> Self {
        Self::set_field(Field::ETH_DST, mac.into())
    }

    /// Set the tunnel key: VNI, GRE key.
    pub fn set_tunnel_id(id: u64) -> Self {
        Self::set_field(Field::TUNNEL_ID, id)
    }

    /// Set the peer of a tunnel port with `remote_ip=flow`.
    pub fn set_tun_dst(peer: Ipv4Addr) -> Self {
        Self::set_field(Field::TUN_DST, peer)
    }

    /// Set the own outer address of a tunnel port with `local_ip=flow`.
    pub fn set_tun_src(own: Ipv4Addr) -> Self {
        Self::set_field(Field::TUN_SRC, own)
    }

    /// Set the IPv6 peer of a tunnel port with `remote_ip=flow`.
    pub fn set_tun_ipv6_dst(peer: Ipv6Addr) -> Self {
        Self::set_field(Field::TUN_IPV6_DST, peer)
    }

    /// Set register `n`, 0 to 15.
    pub fn set_reg(n: u8, value: u32) -> Self {
        Self::set_field(Field::reg(n), value)
    }

    /// Set some bits of a field (OVS). A mask of up to 64 ones in a row becomes a `load`, which is
    /// how OVS reports it.
    pub fn load_masked(field: Field, value: impl FieldValue, mask: impl FieldValue) -> Self {
        let bits = mask.to_bits();
        let (offset, count) = (bits.trailing_zeros(), bits.count_ones());
        let in_a_row = bits
            .checked_shr(offset)
            .is_some_and(|m| m.count_ones() == m.trailing_ones());
        if in_a_row && (1..=64).contains(&count) {
            let value = value.to_bits() >> offset & (u128::MAX >> (128 - count));
            return Self::load(
                value as u64,
                BitRange::new(field, offset as u16, count as u16),
            );
        }
        Self::Nicira(NiciraAction::RegLoad2(Oxm::masked(field, value, mask)))
    }

    /// Set a range of bits of a field (OVS `load`).
    pub fn load(value: u64, destination: BitRange) -> Self {
        Self::Nicira(NiciraAction::RegLoad { destination, value })
    }

    /// Copy bits of one field to another (OVS `move`). The narrower range decides how many.
    pub fn move_field(source: BitRange, destination: BitRange) -> Self {
        Self::Nicira(NiciraAction::RegMove(RegMove::new(source, destination)))
    }

    /// Copy a whole field to another.
    pub fn copy(source: Field, destination: Field) -> Self {
        Self::move_field(source.into(), destination.into())
    }

    /// Look the packet up again in a table, with the packet's own input port (OVS).
    pub fn resubmit(table: u8) -> Self {
        Self::resubmit_from(0xfff8, table)
    }

    /// Look the packet up again as if it came from `in_port` (OVS, 16-bit port number).
    pub fn resubmit_from(in_port: u16, table: u8) -> Self {
        Self::Nicira(NiciraAction::ResubmitTable { in_port, table })
    }

    /// Send to the port whose number is in a field (OVS `output:reg0[]`).
    pub fn output_field(source: BitRange) -> Self {
        Self::Nicira(NiciraAction::OutputReg {
            source,
            max_len: NO_BUFFER,
        })
    }

    /// Send through connection tracking (OVS).
    pub fn ct(ct: Conntrack) -> Self {
        Self::Nicira(NiciraAction::Ct(ct))
    }

    /// Learn a rule from the packet (OVS).
    pub fn learn(learn: Learn) -> Self {
        Self::Nicira(NiciraAction::Learn(learn))
    }

    /// Match one dimension of a conjunction (OVS): `clause` counts from 0, there are `n_clauses`
    /// (2 to 64).
    pub fn conjunction(id: u32, clause: u8, n_clauses: u8) -> Self {
        Self::Nicira(NiciraAction::Conjunction {
            clause,
            n_clauses,
            id,
        })
    }

    /// Do these actions on a copy, so that what they change is undone afterwards (OVS).
    pub fn clone_with(actions: impl IntoIterator<Item = Self>) -> Self {
        Self::Nicira(NiciraAction::Clone(actions.into_iter().collect()))
    }

    /// Push bits on the stack (OVS).
    pub fn push(source: BitRange) -> Self {
        Self::Nicira(NiciraAction::StackPush(source))
    }

    /// Pop bits from the stack (OVS).
    pub fn pop(destination: BitRange) -> Self {
        Self::Nicira(NiciraAction::StackPop(destination))
    }

    /// Keep bytes in the rule that mean nothing to the switch (OVS).
    pub fn note(bytes: impl Into<Vec<u8>>) -> Self {
        Self::Nicira(NiciraAction::Note(crate::wire::Blob(bytes.into())))
    }
}
