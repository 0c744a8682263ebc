//! The table against a list that is searched from end to end.

use std::net::{Ipv4Addr, Ipv6Addr};

use lisp::Eid;
use mapping::PrefixTable;
use proptest::prelude::*;

/// Prefixes that are near each other: few bits differ.
fn eid() -> impl Strategy<Value = Eid> {
    let v4 = (0u32..3, any::<u8>(), 24u8..=32).prop_map(|(instance, last, length)| {
        Eid::new(instance, Ipv4Addr::new(10, 0, 0, last), length)
    });
    let wide = (any::<u32>(), 0u8..=32)
        .prop_map(|(bits, length)| Eid::new(0, Ipv4Addr::from_bits(bits), length));
    let v6 = (any::<u128>(), 0u8..=128)
        .prop_map(|(bits, length)| Eid::new(0, Ipv6Addr::from_bits(bits & !0xffff << 100), length));
    prop_oneof![4 => v4, 2 => wide, 1 => v6]
}

fn overlap(a: Eid, b: Eid) -> bool {
    a.covers(b) || b.covers(a)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases.max(2000),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_table_finds_what_a_search_of_everything_finds(
        prefixes in prop::collection::btree_set(eid(), 0..40),
        asked in prop::collection::vec(eid(), 1..20),
    ) {
        let mut table = PrefixTable::default();
        for prefix in &prefixes {
            table.insert(*prefix, ());
        }
        for asked in asked {
            let mut covering: Vec<Eid> =
                prefixes.iter().copied().filter(|prefix| prefix.covers(asked)).collect();
            covering.sort_by_key(|prefix| std::cmp::Reverse(prefix.length()));
            let found: Vec<Eid> = table.covering(asked).map(|(prefix, _)| prefix).collect();
            prop_assert_eq!(found, covering);

            let covered: Vec<Eid> =
                prefixes.iter().copied().filter(|prefix| asked.covers(*prefix)).collect();
            let found: Vec<Eid> = table.covered(asked).map(|(prefix, _)| prefix).collect();
            prop_assert_eq!(found, covered);

            let host = Eid::host(asked.instance(), asked.address());
            match table.hole(asked) {
                None => prop_assert!(prefixes.iter().any(|prefix| prefix.covers(host))),
                Some(hole) => {
                    prop_assert!(hole.covers(host));
                    prop_assert!(!prefixes.iter().any(|prefix| overlap(*prefix, hole)));
                    // One bit wider would touch something, or be everything.
                    if let Some(length) = hole.length().checked_sub(1) {
                        let wider = Eid::new(hole.instance(), hole.address(), length);
                        prop_assert!(prefixes.iter().any(|prefix| overlap(*prefix, wider)));
                    }
                }
            }
        }
    }
}
