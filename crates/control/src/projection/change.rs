//! From one set of rules to another, make before break.
//!
//! Rules are added from the last table to the first, so that whatever an early table lets through
//! finds the later ones ready, and taken away in the other direction. Adding a rule replaces the
//! one of the same identity in one step, so nothing is between the old and the new.

use super::cookie::Cookie;
use super::rule::{Rule, RuleSet};
use openflow::FlowMod;
use std::collections::BTreeSet;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Add the rule, or put it in the place of the one of the same identity.
    Add(Rule),
    /// Take away the rule of this identity.
    Remove(Rule),
    /// Take away every rule of this table with this cookie: left over from an earlier life.
    RemoveLeftover {
        /// The table.
        table: u8,
        /// The cookie.
        cookie: Cookie,
    },
}

/// The steps from `old` to `new`; none when they are equal.
pub fn changes(old: &RuleSet, new: &RuleSet) -> Vec<Change> {
    let fresh = |rule: &&Rule| {
        old.get(&rule.identity())
            .is_none_or(|there| there.cookie != rule.cookie)
    };
    let gone = |rule: &&Rule| new.get(&rule.identity()).is_none();
    let adds = new.iter().rev().filter(fresh).cloned().map(Change::Add);
    let removes = old.iter().filter(gone).cloned().map(Change::Remove);
    adds.chain(removes).collect()
}

/// [`changes`] as OpenFlow messages.
pub fn diff(old: &RuleSet, new: &RuleSet) -> Vec<FlowMod> {
    changes(old, new).iter().map(Change::flow_mod).collect()
}

/// The steps from what a switch holds, as read back by table and cookie, to `new`. Rules that are
/// not ours are left alone.
pub fn converge(installed: impl IntoIterator<Item = (u8, Cookie)>, new: &RuleSet) -> Vec<Change> {
    let installed: BTreeSet<(u8, Cookie)> = installed
        .into_iter()
        .filter(|(_, cookie)| cookie.is_ours())
        .collect();
    let wanted: BTreeSet<(u8, Cookie)> = new.iter().map(|rule| (rule.table, rule.cookie)).collect();
    let adds = new
        .iter()
        .rev()
        .filter(|rule| !installed.contains(&(rule.table, rule.cookie)));
    let leftovers = installed
        .difference(&wanted)
        .map(|&(table, cookie)| Change::RemoveLeftover { table, cookie });
    adds.cloned().map(Change::Add).chain(leftovers).collect()
}
