//! Rules as the switch reports them against rules as the directory asks for them.
//!
//! Compared by what they say, not by their cookies: a rule that somebody has changed by hand keeps its
//! cookie. A switch reports a match in an order of its own, and a mask of all ones as none.

use control::carry;
use control::explain::{About, Words, explained};
use control::projection::{Cookie, HostView, Rule};
use model::flows::{FlowCounted, FlowMark, FlowRow};
use openflow::multipart::FlowStats;
use openflow::{FlowMod, Instruction, Match, Oxm, ofctl};
use std::collections::HashMap;

/// Of two rules with one identity the second replaces the first.
type Identity = (u8, u16, Match);

/// One row for each installed rule, and one for each that is missing; of one table or all.
pub fn compare(view: &HostView, installed: &[FlowStats], table: Option<u8>) -> Vec<FlowRow> {
    let words = Words::of(view);
    let mut wanted: HashMap<Identity, (Rule, FlowMod, About)> = explained(view)
        .into_iter()
        .filter(|(rule, _)| table.is_none_or(|table| rule.table == table))
        .map(|(rule, about)| {
            let message = rule.add();
            let identity = (rule.table, rule.priority, normal(&message.matching));
            (identity, (rule, message, about))
        })
        .collect();
    let mut rows: Vec<FlowRow> = Vec::with_capacity(installed.len());
    for stats in installed {
        let identity = (stats.table_id, stats.priority, normal(&stats.matching));
        let asked = wanted.remove(&identity);
        rows.push(match asked {
            Some((rule, message, about)) => {
                let same = stats.instructions == message.instructions;
                let mark = match same && stats.cookie == rule.cookie.0 {
                    true => FlowMark::AsAsked,
                    false => FlowMark::Changed,
                };
                let instead = (!same).then(|| ofctl::instructions(&message.instructions));
                row(stats, about, mark, instead)
            }
            None => {
                let mark = match carry::port_of(stats.cookie) {
                    Some(_) => FlowMark::AsAsked,
                    None if Cookie(stats.cookie).is_ours() => FlowMark::LeftOver,
                    None => FlowMark::Foreign,
                };
                row(stats, words.stray(stats.cookie), mark, None)
            }
        });
    }
    rows.extend(wanted.into_values().map(|(rule, message, about)| FlowRow {
        table: rule.table,
        priority: rule.priority,
        matching: ofctl::matching(&message.matching),
        actions: ofctl::instructions(&message.instructions),
        cookie: hex(rule.cookie.0),
        purpose: about.purpose,
        cluster: about.cluster,
        member: about.member,
        mark: FlowMark::Missing,
        wanted: None,
        counted: None,
        rate: None,
    }));
    rows.sort_by(|a, b| {
        let place = |row: &FlowRow| (row.table, u16::MAX - row.priority);
        (place(a), &a.matching).cmp(&(place(b), &b.matching))
    });
    rows
}

fn row(stats: &FlowStats, about: About, mark: FlowMark, wanted: Option<String>) -> FlowRow {
    FlowRow {
        table: stats.table_id,
        priority: stats.priority,
        matching: ofctl::matching(&normal(&stats.matching)),
        actions: actions(&stats.instructions),
        cookie: hex(stats.cookie),
        purpose: about.purpose,
        cluster: about.cluster,
        member: about.member,
        mark,
        wanted,
        counted: Some(FlowCounted {
            packets: stats.packet_count,
            bytes: stats.byte_count,
            age_ms: u64::from(stats.duration_sec) * 1000
                + u64::from(stats.duration_nsec) / 1_000_000,
        }),
        rate: None,
    }
}

fn actions(instructions: &[Instruction]) -> String {
    ofctl::instructions(instructions)
}

/// A cookie as people copy it.
pub(crate) fn hex(cookie: u64) -> String {
    format!("{cookie:#x}")
}

/// One form for what means the same: fields in order, no mask where all bits count, no field where none do.
fn normal(matching: &Match) -> Match {
    let all = matching.fields.iter().filter_map(|oxm| {
        let field = oxm.field();
        let every = u128::MAX.checked_shr(128 - u32::from(field.bits()).min(128));
        match (oxm.mask(), oxm.mask_number()) {
            (Some(_), Some(0)) => None,
            (Some(_), mask) if mask.is_some() && mask == every => {
                Some(Oxm::from_bytes(field, oxm.value()))
            }
            _ => Some(oxm.clone()),
        }
    });
    Match::from(all.collect::<Vec<_>>()).sorted()
}

#[cfg(test)]
mod tests {
    use super::*;
    use openflow::{Action, Field};
    use std::net::IpAddr;

    fn view() -> HostView {
        let mut view = HostView::new("north-1".parse().unwrap(), IpAddr::from([10, 0, 0, 1]));
        let net = model::Net {
            cluster: "shop".parse().unwrap(),
            vni: 7,
            encap: model::Encap::Vxlan,
            mtu: 1400,
        };
        view.tunnels.insert(model::Encap::Vxlan, 1);
        for (number, host) in [(1u8, "north-1"), (2, "south-1")] {
            let vm: model::VmName = format!("web{number}").parse().unwrap();
            let entry = model::Entry {
                cluster: net.cluster.clone(),
                vm: vm.clone(),
                mac: model::Mac([2, 0, 0, 0, 0, number]),
                ips: vec![IpAddr::from([10, 77, 0, number])],
                security: Vec::new(),
                locator: model::Locator {
                    host: host.parse().unwrap(),
                    address: IpAddr::from([10, 0, 0, number]),
                },
                epoch: model::Epoch(1),
                seal: None,
            };
            view.entries.insert(entry.key(), entry);
        }
        view.ports
            .insert(("shop".parse().unwrap(), "web1".parse().unwrap()), 16);
        view.nets.insert(net.cluster.clone(), net);
        view
    }

    fn installed(view: &HostView) -> Vec<FlowStats> {
        let rules = control::projection::rules(view);
        rules.iter().map(|rule| reported(&rule.add())).collect()
    }

    fn reported(message: &FlowMod) -> FlowStats {
        let mut matching = message.matching.clone();
        matching.fields.reverse();
        FlowStats {
            table_id: message.table_id,
            priority: message.priority,
            cookie: message.cookie,
            matching,
            instructions: message.instructions.clone(),
            ..FlowStats::default()
        }
    }

    fn marked(rows: &[FlowRow], mark: FlowMark) -> Vec<&str> {
        let of = rows.iter().filter(|row| row.mark == mark);
        of.map(|row| row.purpose.as_str()).collect()
    }

    #[test]
    fn what_is_as_asked_is_said_so_whatever_the_order_of_fields() {
        let view = view();
        let rows = compare(&view, &installed(&view), None);
        assert!(
            rows.iter().all(|row| row.mark == FlowMark::AsAsked),
            "{rows:#?}"
        );
        let purposes = marked(&rows, FlowMark::AsAsked);
        for phrase in [
            "tunnel to south-1 for web2 of shop",
            "guard: web1 of shop may send as 10.77.0.1",
            "answers ARP for web2 of shop (10.77.0.2)",
            "arrivals for web1 of shop: to its port",
            "tunnel into shop",
            "frames of shop to a group: copies to 1 port here, south-1",
        ] {
            assert!(
                purposes.contains(&phrase),
                "no '{phrase}' among {purposes:#?}"
            );
        }
    }

    #[test]
    fn missing_foreign_changed_and_left_over_rules_are_told_apart() {
        let view = view();
        let mut found = installed(&view);
        let guard = found.iter().position(|stats| {
            Cookie(stats.cookie).kind() == Some(control::projection::Kind::Guard)
        });
        let gone = found.remove(guard.unwrap());
        let tunnel = found
            .iter_mut()
            .find(|stats| stats.table_id == 30 && stats.priority == 100);
        tunnel.unwrap().instructions = vec![Instruction::ApplyActions(vec![Action::output(9)])];
        found.push(reported(
            &FlowMod::add().table(30).priority(7).cookie(0xbad),
        ));
        let mut old = reported(&FlowMod::add().table(40).priority(3).cookie(gone.cookie));
        old.matching = Match::new().in_port(77);
        found.push(old);
        let rows = compare(&view, &found, None);
        let missing: Vec<_> = rows
            .iter()
            .filter(|row| row.mark == FlowMark::Missing)
            .collect();
        assert_eq!(missing.len(), 1);
        assert_eq!(missing[0].cookie, hex(gone.cookie));
        assert!(
            missing[0]
                .purpose
                .starts_with("guard: web1 of shop may send")
        );
        assert_eq!(
            marked(&rows, FlowMark::Foreign),
            ["not ours: nothing here asked for it"]
        );
        assert_eq!(
            marked(&rows, FlowMark::LeftOver),
            ["left over: guard of web1 of shop"]
        );
        let changed: Vec<_> = rows
            .iter()
            .filter(|row| row.mark == FlowMark::Changed)
            .collect();
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0].actions, "output:9");
        assert!(changed[0].wanted.as_deref().unwrap().contains("output:"));
    }

    #[test]
    fn a_mask_of_all_ones_is_none() {
        let masked = Match::new()
            .masked(Field::TCP_DST, 80u16, u16::MAX)
            .reg_masked(3, 0, 0);
        assert_eq!(normal(&masked), Match::new().tcp_dst(80u16));
    }
}
