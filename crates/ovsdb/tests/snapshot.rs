//! Updates of both notations applied to a snapshot.

use ovsdb::{
    Atom, Schema, Snapshot, Uuid, Value,
    protocol::UpdateFormat::{self, Differences, Rows},
    snapshot::{Columns, UpdateError},
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn schema() -> Schema {
    Schema::from_json(
        &json!({"name": "D", "version": "1.0.0", "tables": {"T": {"columns": {
            "name": {"type": "string"},
            "load": {"type": "real"},
            "mode": {"type": {"key": "string", "min": 0, "max": 1}},
            "tags": {"type": {"key": "integer", "min": 0, "max": 4096}},
            "ids": {"type": {"key": "string", "value": "string", "min": 0, "max": "unlimited"}},
        }}}}),
    )
    .unwrap()
}

fn all() -> Columns {
    Columns::from([("T".to_owned(), None)])
}

const UUID: Uuid = Uuid::from_u128(1);

fn update(tables: &mut Snapshot, format: UpdateFormat, row: Json) -> Result<usize, UpdateError> {
    let updates = json!({"T": {UUID.to_string(): row}});
    tables
        .update(&schema(), &all(), format, &updates)
        .map(|changes| changes.len())
}

#[test]
fn differences_build_up_a_row() {
    let mut tables = Snapshot::default();
    update(
        &mut tables,
        Differences,
        json!({"insert": {"name": "a", "load": 1, "tags": ["set", [1, 2]]}}),
    )
    .unwrap();
    let row = tables.row("T", UUID).unwrap();
    assert_eq!(
        row.atom("load"),
        Some(&Atom::Real(1.0)),
        "a whole real gets its type back"
    );
    assert_eq!(
        (row.get("mode"), row.get("ids")),
        (Some(&Value::none()), Some(&Value::map([("", ""); 0])))
    );

    let modify = json!({"modify": {"mode": "secure", "tags": ["set", [2, 3]], "ids": ["map", [["k", "v"], ["l", "w"]]]}});
    assert_eq!(update(&mut tables, Differences, modify), Ok(1));
    let modify = json!({"modify": {"mode": ["set", []], "tags": 3, "ids": ["map", [["k", "v"], ["l", "x"]]]}});
    assert_eq!(update(&mut tables, Differences, modify), Ok(1));
    let row = tables.row("T", UUID).unwrap();
    assert_eq!(row.get("tags"), Some(&Value::from(1)));
    assert_eq!(
        (row.entry("ids", "k"), row.entry("ids", "l")),
        (None, Some("x"))
    );
    assert_eq!(row.string("mode"), None);

    assert_eq!(
        update(&mut tables, Differences, json!({"delete": null})),
        Ok(1)
    );
    assert_eq!(tables, Snapshot::default());
}

#[test]
fn whole_rows_replace_each_other() {
    let mut tables = Snapshot::default();
    assert_eq!(
        update(&mut tables, Rows, json!({"new": {"name": "a"}})),
        Ok(1)
    );
    assert_eq!(
        update(
            &mut tables,
            Rows,
            json!({"old": {"name": "a"}, "new": {"name": "b"}})
        ),
        Ok(1)
    );
    assert_eq!(
        tables.find("T", "name", "b").map(|(uuid, _)| uuid),
        Some(UUID)
    );
    assert_eq!(
        update(&mut tables, Rows, json!({"new": {"name": "b"}})),
        Ok(0),
        "nothing new"
    );
    assert_eq!(
        update(&mut tables, Rows, json!({"old": {"name": "b"}})),
        Ok(1)
    );
    assert_eq!(tables.rows("T").count(), 0);
}

#[test]
fn an_update_that_does_not_fit_changes_nothing() {
    let mut tables = Snapshot::default();
    update(&mut tables, Differences, json!({"insert": {"name": "a"}})).unwrap();
    let before = tables.clone();
    let other = Uuid::from_u128(2).to_string();
    let updates =
        json!({"T": {UUID.to_string(): {"delete": null}, other: {"modify": {"name": "b"}}}});
    let error = tables
        .update(&schema(), &all(), Differences, &updates)
        .unwrap_err();
    assert!(matches!(error, UpdateError::NoRow { .. }), "{error}");
    assert_eq!(tables, before);
}

#[test]
fn only_monitored_columns_get_defaults() {
    let mut tables = Snapshot::default();
    let columns = Columns::from([("T".to_owned(), Some(vec!["name".to_owned()]))]);
    let updates = json!({"T": {UUID.to_string(): {"initial": {}}}});
    tables
        .update(&schema(), &columns, Differences, &updates)
        .unwrap();
    let row = tables.row("T", UUID).unwrap();
    assert_eq!((row.0.len(), row.string("name")), (1, Some("")));
}

fn tables() -> impl Strategy<Value = Snapshot> {
    proptest::collection::btree_map(
        0u128..6,
        (0u8..3, proptest::collection::vec(0i64..4, 0..3)),
        0..5,
    )
    .prop_map(|rows| {
        let mut tables = Snapshot::default();
        for (n, (name, tags)) in rows {
            let row =
                json!({"new": {"name": name.to_string(), "tags": Value::from(tags).to_json()}});
            let updates = json!({"T": {Uuid::from_u128(n).to_string(): row}});
            tables.update(&schema(), &all(), Rows, &updates).unwrap();
        }
        tables
    })
}

proptest! {
    #[test]
    fn a_difference_leads_from_one_to_the_other(old in tables(), new in tables()) {
        let mut moved = old.clone();
        moved.apply(&old.difference(&new));
        prop_assert_eq!(&moved, &new);
        prop_assert!(new.difference(&new).is_empty());
    }

    #[test]
    fn no_update_makes_it_panic(text in "[\\[\\]{}\",:a1]{0,40}", kind in "initial|insert|modify|delete|new|old") {
        let inner: Json = serde_json::from_str(&text).unwrap_or(json!({"tags": text}));
        let mut tables = Snapshot::default();
        for format in [Rows, Differences] {
            let _ = tables.update(&schema(), &all(), format, &inner);
            let _ = update(&mut tables, format, inner.clone());
            let _ = update(&mut tables, format, json!({&kind: inner.clone()}));
        }
    }
}
