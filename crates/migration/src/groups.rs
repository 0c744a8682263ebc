//! Who switches over before whom: groups, from what each member of a cluster comes after.

use model::{Member, MemberKind, VmName};
use std::collections::{BTreeMap, BTreeSet};

/// An order that no switchover can keep.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidOrder {
    /// A member comes after one that is not there.
    #[error(
        "'{member}' comes after '{after}', which is no VM of the cluster; name one, or leave it out"
    )]
    Unknown {
        /// The member.
        member: VmName,
        /// What it comes after.
        after: VmName,
    },
    /// Each comes after the next, and the last after the first.
    #[error("{} come after one another in a circle; leave one 'after' of them out", circle(.0))]
    Circle(Vec<VmName>),
}

fn circle(members: &[VmName]) -> String {
    let all: Vec<_> = members
        .iter()
        .chain(members.first())
        .map(|name| format!("'{name}'"))
        .collect();
    all.join(" → ")
}

/// What each VM comes after.
pub type After = BTreeMap<VmName, BTreeSet<VmName>>;

/// What each VM of these members comes after.
pub fn after<'a>(members: impl IntoIterator<Item = &'a Member>) -> After {
    let vms = members.into_iter();
    let vms = vms.filter(|member| matches!(member.kind, MemberKind::Vm { .. }));
    vms.map(|vm| (vm.name.clone(), vm.after.iter().cloned().collect()))
        .collect()
}

/// The groups, first to last, each sorted by name: a VM is in the first group that comes after all of those
/// it comes after. Those of `after` that are no keys of it do not move and count for nothing.
///
/// # Errors
/// [`InvalidOrder::Circle`].
pub fn of(after: &After) -> Result<Vec<Vec<VmName>>, InvalidOrder> {
    let mut groups = Vec::new();
    let mut left: After = after.clone();
    while !left.is_empty() {
        let waits = |before: &BTreeSet<VmName>| before.iter().any(|name| left.contains_key(name));
        let ready = left.iter().filter(|(_, before)| !waits(before));
        let group: Vec<_> = ready.map(|(name, _)| name.clone()).collect();
        if group.is_empty() {
            return Err(InvalidOrder::Circle(a_circle(&left)));
        }
        group.iter().for_each(|name| drop(left.remove(name)));
        groups.push(group);
    }
    Ok(groups)
}

/// Checks the order of all VMs of a cluster.
///
/// # Errors
/// See [`InvalidOrder`].
pub fn check(after: &After) -> Result<(), InvalidOrder> {
    for (member, before) in after {
        if let Some(unknown) = before.iter().find(|name| !after.contains_key(*name)) {
            return Err(InvalidOrder::Unknown {
                member: member.clone(),
                after: unknown.clone(),
            });
        }
    }
    of(after).map(drop)
}

/// Of members that all wait for another one of them: some that wait in a circle.
fn a_circle(left: &After) -> Vec<VmName> {
    let mut way: Vec<VmName> = left.keys().take(1).cloned().collect();
    while let Some(last) = way.last() {
        let mut before = left.get(last).into_iter().flatten();
        let Some(next) = before.find(|name| left.contains_key(*name)) else {
            break;
        };
        if let Some(at) = way.iter().position(|name| name == next) {
            return way.split_off(at);
        }
        way.push(next.clone());
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(pairs: &[(&str, &[&str])]) -> After {
        let name = |text: &&str| VmName::new(*text).unwrap();
        let pairs = pairs.iter();
        pairs
            .map(|(who, after)| (name(who), after.iter().map(name).collect()))
            .collect()
    }

    #[test]
    fn a_database_goes_first_and_what_needs_both_goes_last() {
        let shop = order(&[
            ("web", &["app", "db"]),
            ("app", &["db"]),
            ("db", &[]),
            ("mail", &[]),
        ]);
        let names: Vec<Vec<_>> = of(&shop)
            .unwrap()
            .iter()
            .map(|group| group.iter().map(|name| name.to_string()).collect())
            .collect();
        assert_eq!(names, [vec!["db", "mail"], vec!["app"], vec!["web"]]);
    }

    #[test]
    fn a_circle_is_named_and_so_is_a_member_that_is_not_there() {
        let round = order(&[("a", &["b"]), ("b", &["c"]), ("c", &["b"]), ("d", &[])]);
        let error = check(&round).unwrap_err().to_string();
        assert!(
            error.starts_with("'b' → 'c' → 'b' come after one another"),
            "{error}"
        );
        let unknown = check(&order(&[("a", &["db"])])).unwrap_err().to_string();
        assert!(unknown.starts_with("'a' comes after 'db'"), "{unknown}");
    }

    #[test]
    fn one_that_does_not_move_is_not_waited_for() {
        assert_eq!(of(&order(&[("a", &["elsewhere"])])).unwrap().len(), 1);
    }

    proptest! {
        #[test]
        fn everybody_is_in_one_group_after_all_it_comes_after(
            edges in prop::collection::vec((0usize..8, 0usize..8), 0..20),
        ) {
            let name = |n: usize| VmName::new(format!("vm-{n}")).unwrap();
            let mut after: After = (0..8).map(|n| (name(n), BTreeSet::new())).collect();
            for (one, other) in edges {
                after.get_mut(&name(one)).unwrap().insert(name(other));
            }
            match of(&after) {
                Ok(groups) => {
                    let place = |name: &VmName| groups.iter().position(|group| group.contains(name)).unwrap();
                    prop_assert_eq!(groups.iter().map(Vec::len).sum::<usize>(), 8);
                    for (one, before) in &after {
                        prop_assert!(before.iter().all(|other| place(other) < place(one)));
                    }
                }
                Err(InvalidOrder::Circle(circle)) => {
                    let next = circle.iter().cycle().skip(1);
                    for (one, other) in circle.iter().zip(next) {
                        prop_assert!(after[one].contains(other), "{:?}", circle);
                    }
                }
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}
