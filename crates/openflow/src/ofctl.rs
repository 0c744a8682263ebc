//! Rules as `ovs-ofctl` writes them: `tcp,reg0=0x7,dl_dst=02:00:00:00:00:01,tp_dst=80` and
//! `set_field:0x7->tun_id,output:2`. For people; nothing reads it back.
//!
//! What people rarely meet (learning, sampling, other experimenters) is written as its JSON.

use crate::action::{Action, Conntrack, CtFlags, CtZone, NiciraAction, RegMove};
use crate::address::PortNo;
use crate::flow_match::Match;
use crate::instruction::Instruction;
use crate::oxm::{Field, Oxm};

/// Which packets a rule is for; empty for all.
pub fn matching(matching: &Match) -> String {
    let number = |field: Field| matching.exact(field);
    let ether = number(Field::ETH_TYPE);
    let proto = number(Field::IP_PROTO);
    let family = match ether {
        Some(0x0800) => Some("ip"),
        Some(0x0806) => Some("arp"),
        Some(0x86dd) => Some("ipv6"),
        _ => None,
    };
    let named = match (ether, proto) {
        (Some(0x0800), Some(1)) => Some("icmp"),
        (Some(0x0800), Some(6)) => Some("tcp"),
        (Some(0x0800), Some(17)) => Some("udp"),
        (Some(0x86dd), Some(6)) => Some("tcp6"),
        (Some(0x86dd), Some(17)) => Some("udp6"),
        (Some(0x86dd), Some(58)) => Some("icmp6"),
        _ => None,
    };
    let said = |field: Field| {
        (field == Field::ETH_TYPE && family.is_some())
            || (field == Field::IP_PROTO && named.is_some())
    };
    let first = named.or(family).map(str::to_owned);
    let rest = matching.fields.iter().filter(|oxm| !said(oxm.field()));
    let all: Vec<String> = first.into_iter().chain(rest.map(field)).collect();
    all.join(",")
}

fn field(oxm: &Oxm) -> String {
    match oxm.field() {
        Field::VLAN_VID if oxm.number() == Some(0) && oxm.mask().is_none() => {
            "vlan_tci=0x0000/0x1fff".to_owned()
        }
        Field::CT_STATE => format!("ct_state={}", track(oxm)),
        field => format!("{}={oxm}", name(field)),
    }
}

/// `+est-inv+trk`: what must be set, and what must not.
fn track(oxm: &Oxm) -> String {
    const BITS: [(&str, u128); 8] = [
        ("new", 1),
        ("est", 2),
        ("rel", 4),
        ("rpl", 8),
        ("inv", 16),
        ("trk", 32),
        ("snat", 64),
        ("dnat", 128),
    ];
    let (value, mask) = (oxm.number().unwrap_or(0), oxm.mask_number().unwrap_or(0));
    let counted = BITS.iter().filter(|(_, bit)| mask & bit != 0);
    let signed = counted.map(|(name, bit)| {
        let sign = if value & bit != 0 { '+' } else { '-' };
        format!("{sign}{name}")
    });
    signed.collect()
}

/// The field's name in ovs-fields(7) where `ovs-ofctl` prints another than OpenFlow's.
fn name(field: Field) -> String {
    let name = match field {
        Field::ETH_SRC => "dl_src",
        Field::ETH_DST => "dl_dst",
        Field::ETH_TYPE => "dl_type",
        Field::IP_PROTO => "nw_proto",
        Field::IPV4_SRC => "nw_src",
        Field::IPV4_DST => "nw_dst",
        Field::TCP_SRC | Field::UDP_SRC => "tp_src",
        Field::TCP_DST | Field::UDP_DST => "tp_dst",
        Field::ICMPV4_TYPE | Field::ICMPV6_TYPE => "icmp_type",
        Field::ICMPV4_CODE | Field::ICMPV6_CODE => "icmp_code",
        Field::IPV6_ND_TARGET => "nd_target",
        Field::IPV6_ND_SLL => "nd_sll",
        Field::IPV6_ND_TLL => "nd_tll",
        Field::TUNNEL_ID => "tun_id",
        other => return other.name(),
    };
    name.to_owned()
}

/// What happens to the packets of a rule; `drop` where nothing does.
pub fn instructions(all: &[Instruction]) -> String {
    let mut done: Vec<String> = Vec::new();
    for one in all {
        match one {
            Instruction::GotoTable(table) => done.push(format!("goto_table:{table}")),
            Instruction::ApplyActions(actions) => done.extend(actions.iter().map(action)),
            Instruction::WriteActions(actions) => {
                let actions: Vec<String> = actions.iter().map(action).collect();
                done.push(format!("write_actions({})", actions.join(",")));
            }
            Instruction::ClearActions => done.push("clear_actions".to_owned()),
            Instruction::Meter(meter) => done.push(format!("meter:{meter}")),
            Instruction::WriteMetadata { metadata, mask } => {
                done.push(format!("write_metadata:{metadata:#x}/{mask:#x}"));
            }
            other => done.push(json(other)),
        }
    }
    match done.is_empty() {
        true => "drop".to_owned(),
        false => done.join(","),
    }
}

fn action(one: &Action) -> String {
    match one {
        Action::Output { port, .. } => match *port {
            PortNo::IN_PORT => "IN_PORT".to_owned(),
            port => format!("output:{port}"),
        },
        Action::SetField(oxm) => format!("set_field:{oxm}->{}", name(oxm.field())),
        Action::SetNwTtl(ttl) => format!("mod_nw_ttl:{ttl}"),
        Action::Group(group) => format!("group:{group}"),
        Action::Nicira(NiciraAction::RegMove(moved)) => between(moved),
        Action::Nicira(NiciraAction::ResubmitTable { table, .. }) => format!("resubmit(,{table})"),
        Action::Nicira(NiciraAction::RegLoad { destination, value }) => {
            format!("load:{value:#x}->{destination}")
        }
        Action::Nicira(NiciraAction::RegLoad2(oxm)) => {
            format!("set_field:{oxm}->{}", name(oxm.field()))
        }
        Action::Nicira(NiciraAction::Ct(ct)) => connection(ct),
        other => json(other),
    }
}

fn between(moved: &RegMove) -> String {
    let whole = moved.source_offset == 0 && moved.destination_offset == 0;
    let plain = |field: Field| {
        let name = field.name();
        name.strip_prefix("nxm_").unwrap_or(&name).to_owned()
    };
    match whole {
        true => format!("move:{}->{}", plain(moved.source), plain(moved.destination)),
        false => format!(
            "move:{}[{}..]->{}[{}..]",
            plain(moved.source),
            moved.source_offset,
            plain(moved.destination),
            moved.destination_offset
        ),
    }
}

fn connection(ct: &Conntrack) -> String {
    let mut parts = Vec::new();
    if ct.flags.contains(CtFlags::COMMIT) {
        parts.push("commit".to_owned());
    }
    if ct.recirc_table != 0xff {
        parts.push(format!("table={}", ct.recirc_table));
    }
    match ct.zone {
        CtZone::Number(zone) => parts.push(format!("zone={zone}")),
        CtZone::Field(range) => parts.push(format!("zone={range}")),
    }
    if !ct.actions.is_empty() {
        let inner: Vec<String> = ct.actions.iter().map(action).collect();
        parts.push(format!("exec({})", inner.join(",")));
    }
    format!("ct({})", parts.join(","))
}

fn json(value: &impl serde::Serialize) -> String {
    // Every value here has a JSON form by its type.
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FlowMod;

    #[test]
    fn a_rule_reads_as_ovs_ofctl_writes_it() {
        let rule = FlowMod::add()
            .matching(
                Match::new()
                    .in_port(16)
                    .eth_type(0x0800u16)
                    .ip_proto(6)
                    .reg(0, 7)
                    .eth_dst([2, 0, 0, 0, 0, 1])
                    .ipv4_src_net([10, 0, 0, 0].into(), 8)
                    .tcp_dst(80u16)
                    .ct_state(0x21, 0x31)
                    .untagged(),
            )
            .apply([
                Action::set_tunnel_id(7),
                Action::set_tun_dst([10, 0, 0, 2].into()),
                Action::copy(Field::NXM_ARP_SHA, Field::NXM_ARP_THA),
                Action::resubmit(45),
                Action::ct(Conntrack {
                    flags: CtFlags::COMMIT,
                    zone: CtZone::Number(16),
                    recirc_table: 25,
                    actions: vec![Action::set_field(Field::CT_MARK, 1u32)],
                    ..Conntrack::default()
                }),
                Action::output(3),
                Action::output_in_port(),
            ])
            .goto(30);
        assert_eq!(
            matching(&rule.matching),
            "tcp,in_port=16,reg0=0x7,dl_dst=02:00:00:00:00:01,nw_src=10.0.0.0/255.0.0.0,tp_dst=80,\
             ct_state=+new-inv+trk,vlan_tci=0x0000/0x1fff"
        );
        assert_eq!(
            instructions(&rule.instructions),
            "set_field:0x7->tun_id,set_field:10.0.0.2->tun_dst,move:arp_sha->arp_tha,resubmit(,45),\
             ct(commit,table=25,zone=16,exec(set_field:0x1->ct_mark)),output:3,IN_PORT,goto_table:30"
        );
        assert_eq!(instructions(&[]), "drop");
        assert_eq!(matching(&Match::new()), "");
    }
}
