//! Values, operations and schemas in the notation of RFC 7047.

use std::{collections::BTreeMap, time::Duration};

use ovsdb::{
    Atom, Comment, Condition, Delete, Error, Insert, Mutate, Op, OpErrorKind, Remote, Row, Schema,
    Select, Update, Uuid, Value, Wait, op::read_results,
};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

fn json(op: impl Into<Op>) -> Json {
    op.into().into_json()
}

const UUID: Uuid = Uuid::from_u128(0x550e8400_e29b_41d4_a716_446655440000);

#[test]
fn values_are_written_as_in_section_5_1() {
    for (value, want) in [
        (Value::from(7), json!(7)),
        (Value::from(1.5), json!(1.5)),
        (Value::from(true), json!(true)),
        (Value::from("a\"b"), json!("a\"b")),
        (
            Value::from(UUID),
            json!(["uuid", "550e8400-e29b-41d4-a716-446655440000"]),
        ),
        (
            Value::from(Atom::named("new")),
            json!(["named-uuid", "new"]),
        ),
        (Value::none(), json!(["set", []])),
        (Value::set(["only"]), json!("only")),
        (Value::set([2, 1, 2]), json!(["set", [1, 2]])),
        (Value::from(None::<i64>), json!(["set", []])),
        (Value::from([("k", "v")]), json!(["map", [["k", "v"]]])),
        (Value::map(BTreeMap::<i64, Uuid>::new()), json!(["map", []])),
    ] {
        assert_eq!(value.to_json(), want);
        assert_eq!(Value::from_json(&want), Ok(value));
    }
    assert_eq!(Value::from_json(&json!(["set", [5]])), Ok(Value::from(5)));
}

#[test]
fn what_is_no_value_is_refused() {
    for bad in [
        json!(null),
        json!({}),
        json!([]),
        json!(["set"]),
        json!(["set", 1]),
        json!(["set", [["set", []]]]),
        json!(["map", [["k"]]]),
        json!(["map", [1]]),
        json!(["uuid", "550e8400"]),
        json!(["uuid", 5]),
        json!(["other", "x"]),
        json!(u64::MAX),
    ] {
        assert!(Value::from_json(&bad).is_err(), "{bad}");
    }
}

#[test]
fn operations_are_written_as_in_section_5_2() {
    assert_eq!(
        json(Insert::into("Bridge").named("b").set("name", "br0")),
        json!({"op": "insert", "table": "Bridge", "uuid-name": "b", "row": {"name": "br0"}})
    );
    assert_eq!(
        json(
            Select::from("Port")
                .when(Condition::uuid(UUID))
                .columns(["name"])
        ),
        json!({"op": "select", "table": "Port", "columns": ["name"],
            "where": [["_uuid", "==", ["uuid", UUID.to_string()]]]})
    );
    assert_eq!(
        json(Select::from("Port")),
        json!({"op": "select", "table": "Port", "where": []})
    );
    assert_eq!(
        json(
            Update::table("Port")
                .when(Condition::ne("tag", Value::none()))
                .set("trunks", vec![1, 2])
        ),
        json!({"op": "update", "table": "Port", "where": [["tag", "!=", ["set", []]]],
            "row": {"trunks": ["set", [1, 2]]}})
    );
    assert_eq!(
        json(
            Mutate::table("T")
                .when(Condition::excludes("s", 1))
                .add("n", -2)
                .insert("m", [("a", "b")])
                .delete("m", "k")
        ),
        json!({"op": "mutate", "table": "T", "where": [["s", "excludes", 1]],
            "mutations": [["n", "+=", -2], ["m", "insert", ["map", [["a", "b"]]]], ["m", "delete", "k"]]})
    );
    assert_eq!(
        json(Delete::from("T").when(Condition::includes("s", 1))),
        json!({"op": "delete", "table": "T", "where": [["s", "includes", 1]]})
    );
    assert_eq!(
        json(
            Wait::on("T", ["c"])
                .until_equal([Row::new().with("c", 1)])
                .timeout(Duration::ZERO)
        ),
        json!({"op": "wait", "table": "T", "where": [], "columns": ["c"], "until": "==", "rows": [{"c": 1}], "timeout": 0})
    );
    assert_eq!(
        json(Comment("why".into())),
        json!({"op": "comment", "comment": "why"})
    );
}

#[test]
fn a_failed_operation_is_told_with_its_place() {
    let failed = json!([{"count": 1}, {"error": "constraint violation", "details": "two"}, null]);
    let Err(Error::Transaction(error)) = read_results(&failed, 3) else {
        panic!()
    };
    assert_eq!(
        (error.operation, error.kind, error.details.as_str()),
        (Some(1), OpErrorKind::ConstraintViolation, "two")
    );
    let commit = json!([{"count": 1}, {"error": "referential integrity violation"}]);
    let Err(Error::Transaction(error)) = read_results(&commit, 1) else {
        panic!()
    };
    assert_eq!(
        (error.operation, error.kind),
        (None, OpErrorKind::ReferentialIntegrityViolation)
    );
}

#[test]
fn results_that_are_none_are_refused() {
    for bad in [
        json!(null),
        json!([]),
        json!([{"rows": 1}]),
        json!([{"rows": [1]}]),
        json!([{"uuid": 1}]),
    ] {
        assert!(read_results(&bad, 1).is_err(), "{bad}");
    }
}

#[test]
fn addresses_are_read_and_written() {
    for text in [
        "unix:/run/db.sock",
        "tcp:10.0.0.1:6640",
        "tcp:host:1",
        "tcp:[::1]:6640",
    ] {
        assert_eq!(text.parse::<Remote>().unwrap().to_string(), text);
    }
    for bad in [
        "",
        "unix:",
        "tcp:host",
        "tcp::1",
        "tcp:h:99999",
        "ssl:1.2.3.4:5",
        "/run/db.sock",
    ] {
        assert!(
            matches!(bad.parse::<Remote>(), Err(Error::Address(_))),
            "{bad}"
        );
    }
}

#[test]
fn a_schema_that_is_none_is_refused() {
    for bad in [
        json!(1),
        json!({}),
        json!({"tables": {"T": {}}}),
        json!({"tables": {"T": {"columns": {"c": {"type": "word"}}}}}),
    ] {
        assert!(
            matches!(Schema::from_json(&bad), Err(Error::Shape { .. })),
            "{bad}"
        );
    }
}

fn atom() -> impl Strategy<Value = Atom> {
    prop_oneof![
        any::<i64>().prop_map(Atom::Integer),
        any::<f64>()
            .prop_filter("JSON has no others", |n| n.is_finite())
            .prop_map(Atom::Real),
        any::<bool>().prop_map(Atom::Boolean),
        any::<String>().prop_map(Atom::String),
        any::<u128>().prop_map(|n| Atom::Uuid(Uuid::from_u128(n))),
        "[A-Za-z_][A-Za-z0-9_]{0,8}".prop_map(Atom::NamedUuid),
    ]
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<u64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        ".{0,6}".prop_map(Json::from),
        prop_oneof![
            Just("set"),
            Just("map"),
            Just("uuid"),
            Just("named-uuid"),
            Just("unlimited")
        ]
        .prop_map(Json::from),
    ];
    let key = prop_oneof![
        Just("tables"),
        Just("columns"),
        Just("type"),
        Just("key"),
        Just("value"),
        Just("min"),
        Just("max"),
        Just("error"),
        Just("rows"),
        Just("uuid")
    ];
    leaf.prop_recursive(5, 40, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::hash_map(key.clone().prop_map(str::to_owned), inner, 0..4)
                .prop_map(|m| Json::Object(m.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn every_set_survives_the_wire(atoms in proptest::collection::vec(atom(), 0..6)) {
        let value = Value::set(atoms);
        let wire = value.to_json().to_string();
        prop_assert_eq!(Value::from_json(&serde_json::from_str(&wire).unwrap()), Ok(value));
    }

    #[test]
    fn every_map_survives_the_wire(pairs in proptest::collection::vec((atom(), atom()), 0..6)) {
        let value = Value::map(pairs);
        let wire = value.to_json().to_string();
        prop_assert_eq!(Value::from_json(&serde_json::from_str(&wire).unwrap()), Ok(value));
    }

    #[test]
    fn no_json_makes_a_reader_panic(json in any_json()) {
        let _ = Value::from_json(&json).map_err(|e| e.to_string());
        let _ = Schema::from_json(&json).map_err(|e| e.to_string());
        let _ = read_results(&json, 2).map_err(|e| e.to_string());
    }
}
