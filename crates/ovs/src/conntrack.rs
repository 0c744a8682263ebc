//! The switch's table of connections, as `dpctl/dump-conntrack` tells it (ovs-vswitchd(8)).
//!
//! ```text
//! tcp,orig=(src=10.77.0.9,dst=10.77.0.11,sport=40366,dport=80),reply=(src=10.77.0.11,dst=10.77.0.9,
//!     sport=80,dport=40366),zone=31,timeout=86399,mark=2,protoinfo=(state=ESTABLISHED)
//! icmp,orig=(src=10.77.0.9,dst=10.77.0.11,id=27925,type=8,code=0),reply=(...),zone=31,timeout=29,mark=2
//! ```
//!
//! The mark says who opened it, as `control::projection` writes it. A connection without one is
//! nobody's of ours. Only this file knows the spelling; what it does not understand it leaves out.

use crate::error::{Error, Result};
use crate::unixctl::Unixctl;
use model::{Connection, Flow};
use std::net::IpAddr;

/// All connections of a zone.
///
/// # Errors
/// The switch does not tell.
pub async fn connections(control: &Unixctl, zone: u32) -> Result<Vec<Connection>> {
    let zone = format!("zone={zone}");
    let text = control.run("dpctl/dump-conntrack", &["-s", &zone]).await?;
    Ok(text.lines().filter_map(read).collect())
}

/// Forgets all connections of a zone.
///
/// # Errors
/// The switch does not do it.
pub async fn forget_all(control: &Unixctl, zone: u32) -> Result<()> {
    let zone = format!("zone={zone}");
    control
        .run("dpctl/flush-conntrack", &[&zone])
        .await
        .map(drop)
}

/// Forgets one connection of a zone; content when it is not there.
///
/// # Errors
/// The switch does not do it.
pub async fn forget(control: &Unixctl, zone: u32, flow: &Flow) -> Result<()> {
    let zone = format!("zone={zone}");
    let (member, remote) = (
        (flow.member, flow.member_port),
        (flow.remote, flow.remote_port),
    );
    // The table has it as its first packet went, which after a move may be either way.
    for (src, dst) in [(member, remote), (remote, member)] {
        let Some(tuple) = tuple(flow.protocol, src, dst) else {
            return Ok(());
        };
        match control.run("dpctl/flush-conntrack", &[&zone, &tuple]).await {
            // That is how it says that it has none.
            Ok(_) | Err(Error::ControlRefused { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A connection as `dpctl/flush-conntrack` wants it; none of a kind that it cannot be told.
fn tuple(protocol: u8, src: (IpAddr, u16), dst: (IpAddr, u16)) -> Option<String> {
    let (of_src, of_dst) = match src.0 {
        IpAddr::V4(_) => ("ct_nw_src", "ct_nw_dst"),
        IpAddr::V6(_) => ("ct_ipv6_src", "ct_ipv6_dst"),
    };
    let about = match protocol {
        6 | 17 => format!("ct_tp_src={},ct_tp_dst={}", src.1, dst.1),
        1 => format!("icmp_id={},icmp_type=8,icmp_code=0", src.1),
        58 => format!("icmp_id={},icmp_type=128,icmp_code=0", src.1),
        _ => return None,
    };
    let (src, dst) = (src.0, dst.0);
    Some(format!(
        "{of_src}={src},{of_dst}={dst},ct_nw_proto={protocol},{about}"
    ))
}

/// One line of the table.
fn read(line: &str) -> Option<Connection> {
    let (name, rest) = line.trim().split_once(',')?;
    let protocol = match name {
        "icmp" => 1,
        "tcp" => 6,
        "udp" => 17,
        "icmpv6" => 58,
        other => other.parse().ok()?,
    };
    let original = group(rest, "orig")?;
    let (src, dst) = (value(original, "src")?, value(original, "dst")?);
    let src: IpAddr = src.parse().ok()?;
    let dst: IpAddr = dst.parse().ok()?;
    let port = |name| value(original, name).and_then(|text| text.parse().ok());
    let id: u16 = port("id").unwrap_or_default();
    let (sport, dport) = (port("sport").unwrap_or(id), port("dport").unwrap_or(id));
    // Outside of the groups, or a port of theirs would be taken for it.
    let outside = without_groups(rest);
    let number = |name| value(&outside, name)?.parse::<u32>().ok();
    let by_member = match number("mark")? {
        1 => true,
        2 => false,
        _ => return None,
    };
    // One that was carried has its first packet from either side; whose port it was opened to the
    // mark tells, whose address is the member's the caller.
    let established = group(rest, "protoinfo").and_then(|info| value(info, "state"));
    Some(Connection {
        flow: Flow {
            protocol,
            by_member,
            member: src,
            member_port: sport,
            remote: dst,
            remote_port: dport,
        },
        expires_s: number("timeout").unwrap_or_default(),
        established: established == Some("ESTABLISHED"),
    })
}

/// Turns connections so that the member's side is the member's, by its addresses; others are left out.
pub fn of_member(connections: Vec<Connection>, own: &[IpAddr]) -> Vec<Connection> {
    let turned = connections.into_iter().filter_map(|mut connection| {
        let flow = &mut connection.flow;
        if !own.contains(&flow.member) {
            std::mem::swap(&mut flow.member, &mut flow.remote);
            std::mem::swap(&mut flow.member_port, &mut flow.remote_port);
        }
        own.contains(&flow.member).then_some(connection)
    });
    turned.collect()
}

fn group<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let begin = text.find(&format!("{name}=("))? + name.len() + 2;
    let rest = text.get(begin..)?;
    rest.get(..rest.find(')')?)
}

fn without_groups(text: &str) -> String {
    let mut depth = 0u32;
    let mut outside = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if depth == 0 => outside.push(letter),
            _ => {}
        }
    }
    outside
}

fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.split(',')
        .filter_map(|part| part.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DUMP: &str = "\
tcp,orig=(src=10.9.0.1,dst=10.9.0.2,sport=47952,dport=80),reply=(src=10.9.0.2,dst=10.9.0.1,sport=80,dport=47952),zone=102,timeout=86399,mark=2,protoinfo=(state=ESTABLISHED)
udp,orig=(src=fd77::1,dst=fd77::2,sport=39569,dport=9999),reply=(src=fd77::2,dst=fd77::1,sport=9999,dport=39569),zone=102,timeout=59,mark=1
icmp,orig=(src=10.9.0.1,dst=10.9.0.2,id=27925,type=8,code=0),reply=(src=10.9.0.2,dst=10.9.0.1,id=27925,type=0,code=0),zone=102,timeout=29,mark=2
tcp,orig=(src=10.9.0.1,dst=10.9.0.2,sport=1,dport=2),reply=(src=10.9.0.2,dst=10.9.0.1,sport=2,dport=1),zone=102,timeout=9,protoinfo=(state=SYN_SENT)
not a connection";

    #[test]
    fn the_lines_of_open_vswitch_are_understood() {
        let all: Vec<_> = DUMP.lines().filter_map(read).collect();
        let own = ["10.9.0.2".parse().unwrap(), "fd77::1".parse().unwrap()];
        let [tcp, udp, icmp] = of_member(all, &own).try_into().unwrap();
        let flow = Flow {
            protocol: 6,
            by_member: false,
            member: "10.9.0.2".parse().unwrap(),
            member_port: 80,
            remote: "10.9.0.1".parse().unwrap(),
            remote_port: 47952,
        };
        assert_eq!(
            (tcp.flow, tcp.expires_s, tcp.established),
            (flow, 86399, true)
        );
        assert_eq!((udp.flow.by_member, udp.flow.remote_port), (true, 9999));
        assert_eq!((udp.expires_s, udp.established), (59, false));
        assert_eq!((icmp.flow.protocol, icmp.flow.member_port), (1, 27925));
    }

    #[test]
    fn a_connection_of_somebody_else_is_left_out() {
        let all: Vec<_> = DUMP.lines().filter_map(read).collect();
        assert_eq!(all.len(), 3, "without a mark it is not one of ours");
        assert!(of_member(all, &["192.0.2.1".parse().unwrap()]).is_empty());
    }

    proptest! {
        #[test]
        fn any_line_is_a_connection_or_nothing(line in ".*") {
            let _ = read(&line);
        }

        #[test]
        fn a_broken_line_is_a_connection_or_nothing(cut in 0..400usize, put in ".{0,3}") {
            for line in DUMP.lines() {
                let cut = cut.min(line.len());
                let _ = read(&format!("{}{put}{}", &line[..cut], &line[cut..]));
                let _ = read(&line[..cut]);
            }
        }
    }
}
