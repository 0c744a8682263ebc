//! What `ofproto/trace` says (ovs-vswitchd(8)), taken apart.
//!
//! ```text
//! bridge("icint0")
//! ----------------
//!  0. in_port=16,vlan_tci=0x0000/0x1fff, priority 100, cookie 0x7472112340000001
//!     set_field:0x1b59->reg0
//!     goto_table:10
//! 30. reg0=0x1b59,dl_dst=02:00:00:00:00:03, priority 100, cookie 0x7472512340000002
//!     output:1
//!      -> tunneling to 10.0.0.2 via icbr0
//! ```
//!
//! What is indented more belongs to what is indented less: rules that a `resubmit` leads to, and the
//! underlay bridge that a tunnel's packet goes through. Only this file knows the spelling; lines that it
//! does not know it leaves out.

use crate::names::INTEGRATION;

/// A rule that the packet met on the integration bridge.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Met {
    /// Table.
    pub(super) table: u8,
    /// Priority; none where no rule matched.
    pub(super) priority: Option<u16>,
    /// The match, as the switch spells it.
    pub(super) matching: String,
    /// Cookie; the switch leaves out one of zero.
    pub(super) cookie: u64,
}

/// One thing that was done, in the order in which it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Done {
    /// The rule, by its place among those met.
    pub(super) rule: usize,
    /// The action.
    pub(super) action: String,
    /// What the switch says to it.
    pub(super) notes: Vec<String>,
}

/// All of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// The rules, in the order in which they were met.
    pub(super) met: Vec<Met>,
    /// What they did.
    pub(super) done: Vec<Done>,
}

/// Whose lines these are: indented deeper than this.
enum Around {
    Rule(usize),
    /// Another bridge's.
    Other,
}

/// Takes a trace apart.
pub(super) fn parse(text: &str) -> Told {
    let mut told = Told::default();
    let mut elsewhere = false;
    let mut around: Vec<(usize, Around)> = Vec::new();
    for line in text.lines() {
        let said = line.trim_start();
        let indent = line.len() - said.len();
        let depth = indent / 4 * 4;
        if said.is_empty() || said.starts_with("---") {
            // Before a bridge's name, and under it.
        } else if let Some(bridge) = said.strip_prefix("bridge(\"") {
            let other = !bridge.starts_with(&format!("{INTEGRATION}\""));
            around.retain(|(at, _)| *at < depth);
            match depth {
                0 => elsewhere = other,
                _ => around.push((depth, Around::Other)),
            }
        } else if let Some(met) = rule(said) {
            around.retain(|(at, _)| *at < depth);
            let within_other = around.iter().any(|(_, it)| matches!(it, Around::Other));
            if elsewhere || within_other {
                around.push((depth, Around::Other));
            } else {
                told.met.push(met);
                around.push((depth, Around::Rule(told.met.len() - 1)));
            }
        } else if indent == 0 {
            // Headings and sums between the parts.
            around.clear();
        } else if said.starts_with("-> ") || said.starts_with(">> ") {
            let at = around.iter().rev().find(|(at, _)| *at < indent);
            if let (Some((_, Around::Rule(_))), Some(last)) = (at, told.done.last_mut()) {
                let note = said.trim_start_matches(['-', '>', ' ']);
                last.notes.push(note.to_owned());
            }
        } else {
            around.retain(|(at, _)| *at < indent);
            if let Some((_, Around::Rule(rule))) = around.last() {
                told.done.push(Done {
                    rule: *rule,
                    action: said.to_owned(),
                    notes: Vec::new(),
                });
            }
        }
    }
    told
}

/// ` 0. in_port=16, priority 100, cookie 0x7`, `20. priority 0`, ` 5. No match.`
fn rule(said: &str) -> Option<Met> {
    let (table, rest) = said.split_once(". ")?;
    let table = table.parse().ok()?;
    if rest.starts_with("No match") {
        return Some(Met {
            table,
            ..Met::default()
        });
    }
    let (rest, cookie) = match rest.split_once(", cookie ") {
        Some((rest, cookie)) => (rest, word(cookie).strip_prefix("0x")),
        None => (rest, None),
    };
    let (matching, priority) = match rest.rsplit_once(", priority ") {
        Some((matching, priority)) => (matching, priority),
        None => ("", rest.strip_prefix("priority ")?),
    };
    Some(Met {
        table,
        priority: Some(word(priority).parse().ok()?),
        matching: matching.to_owned(),
        cookie: cookie
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .unwrap_or_default(),
    })
}

fn word(text: &str) -> &str {
    text.split([',', ' ']).next().unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const COPIES: &str = include_str!("recorded/copies.txt");
    const SECURED: &str = include_str!("recorded/secured.txt");
    const NOBODY: &str = include_str!("recorded/nobody.txt");

    fn tables(told: &Told) -> Vec<u8> {
        told.met.iter().map(|met| met.table).collect()
    }

    #[test]
    fn copies_are_done_in_order_and_the_underlays_rules_are_not_ours() {
        let told = parse(COPIES);
        assert_eq!(tables(&told), [0, 10, 20, 30, 45, 46]);
        assert_eq!(told.met[0].cookie, 0x7472_1123_4000_0001);
        let of_30: Vec<&str> = told
            .done
            .iter()
            .filter(|done| done.rule == 3)
            .map(|done| done.action.as_str())
            .collect();
        assert_eq!(
            of_30,
            [
                "output:16",
                "set_field:0x11->reg1",
                "resubmit(,45)",
                "set_field:0x1b59->tun_id",
                "set_field:10.0.0.2->tun_dst",
                "output:1",
                "set_field:10.0.0.9->tun_dst",
                "output:1",
            ]
        );
        let last = told.done.iter().rfind(|done| done.rule == 3).unwrap();
        assert!(
            last.notes
                .iter()
                .any(|note| note.starts_with("neighbor cache miss"))
        );
        assert!(told.done.iter().all(|done| done.action != "NORMAL"));
    }

    #[test]
    fn a_packet_goes_on_after_its_connection_was_looked_up() {
        let told = parse(SECURED);
        assert_eq!(tables(&told), [0, 10, 20, 30, 45, 46]);
        assert_eq!(told.met[5].priority, Some(110));
        assert!(told.met[5].matching.contains("tp_dst=80"));
        assert_eq!(told.done.last().unwrap().action, "output:17");
    }

    #[test]
    fn a_table_without_a_rule_that_matches_is_met_too() {
        let told = parse(NOBODY);
        assert_eq!(told.met.last().unwrap().table, 5);
        assert_eq!(told.met.last().unwrap().priority, None);
        assert_eq!(told.done.last().unwrap().action, "drop");
    }

    proptest! {
        #[test]
        fn no_text_is_too_strange(text in "[ a-z0-9.,:>(\"\\-\n]{0,300}") {
            let told = parse(&text);
            prop_assert!(told.done.iter().all(|done| done.rule < told.met.len()));
        }
    }
}
