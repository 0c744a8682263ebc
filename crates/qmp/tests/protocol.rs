//! The protocol core against any bytes.

use std::time::{Duration, Instant};

use proptest::prelude::*;
use qmp::{
    ErrorClass, QmpError,
    protocol::{Incoming, Protocol},
};
use serde_json::{Value, json};

const GREETING: &str = r#"{"QMP": {"version": {"qemu": {"micro": 2, "minor": 0, "major": 10}, "package": "Debian"}, "capabilities": ["oob"]}}"#;

#[test]
fn a_greeting_tells_the_version() {
    let mut protocol = Protocol::default();
    let out = protocol.feed(format!("{GREETING}\r\n").as_bytes(), Instant::now());
    let [Incoming::Greeting(greeting)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(
        greeting.version.map(|v| (v.major, v.minor, v.micro)),
        Some((10, 0, 2))
    );
    assert_eq!(greeting.capabilities, ["oob"]);
}

#[test]
fn replies_find_their_requests_in_any_order() {
    let mut protocol = Protocol::default();
    let (first, _) = protocol.request("query-status", Value::Null).unwrap();
    let (second, line) = protocol.request("getfd", json!({"fdname": "a"})).unwrap();
    assert!(line.ends_with(b"\n"));
    let text = format!(
        "{{\"error\":{{\"class\":\"GenericError\",\"desc\":\"no\"}},\"id\":{second}}}\n{{\"return\":{{}},\"id\":{first}}}\n{{\"return\":{{}},\"id\":{first}}}\n"
    );
    let out = protocol.feed(text.as_bytes(), Instant::now());
    let [
        Incoming::Reply {
            id: a,
            result: Err(QmpError::Command { command, error }),
        },
        Incoming::Reply { id: b, .. },
        Incoming::Junk(_),
    ] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!(
        (*a, *b, command.as_str(), &error.class),
        (second, first, "getfd", &ErrorClass::Generic)
    );
    assert_eq!(protocol.pending(), 0);
}

#[test]
fn an_event_keeps_its_microseconds() {
    let mut protocol = Protocol::default();
    let now = Instant::now();
    let line = b"{\"timestamp\":{\"seconds\":3,\"microseconds\":7},\"event\":\"STOP\"}\n";
    let out = protocol.feed(line, now);
    let [Incoming::Event(event)] = &out[..] else {
        panic!("{out:?}")
    };
    assert_eq!(event.timestamp, Duration::new(3, 7000));
    assert_eq!(
        (event.name.as_str(), &event.data, event.received_at),
        ("STOP", &json!({}), now)
    );
}

#[test]
fn an_answer_that_is_too_long_fails_its_request_and_the_next_one_works() {
    let mut protocol = Protocol::with_line_limit(100);
    let (first, _) = protocol.request("query-qmp-schema", Value::Null).unwrap();
    let (second, _) = protocol.request("query-status", Value::Null).unwrap();
    let mut out = Vec::new();
    for _ in 0..50 {
        out.extend(protocol.feed(&[b'x'; 10], Instant::now()));
    }
    out.extend(protocol.feed(
        format!("\n{{\"return\":1,\"id\":{second}}}\n").as_bytes(),
        Instant::now(),
    ));
    let [
        Incoming::Reply {
            id: a,
            result: Err(QmpError::TooLong { .. }),
        },
        Incoming::Reply {
            id: b,
            result: Ok(_),
        },
    ] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!((*a, *b), (first, second));
}

#[test]
fn arguments_must_be_an_object() {
    assert!(matches!(
        Protocol::default().request("x", json!([1])),
        Err(QmpError::Arguments { .. })
    ));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400), limit in 0usize..300) {
        let mut protocol = Protocol::with_line_limit(limit);
        let _ = protocol.request("query-status", Value::Null);
        let _ = protocol.feed(&bytes, Instant::now());
    }

    #[test]
    fn no_json_makes_it_panic(lines in proptest::collection::vec(line(), 0..20)) {
        let mut protocol = Protocol::default();
        let _ = protocol.request("query-status", Value::Null);
        for line in lines {
            let _ = protocol.feed(format!("{line}\n").as_bytes(), Instant::now());
        }
    }

    #[test]
    fn cuts_in_the_stream_change_nothing(cuts in proptest::collection::vec(1usize..40, 1..60)) {
        let now = Instant::now();
        let request = || {
            let mut protocol = Protocol::default();
            protocol.request("query-status", Value::Null).unwrap();
            protocol
        };
        let text = format!("{GREETING}\r\n\r\n{{\"event\":\"STOP\"}}\njunk\n{{\"return\":{{\"a\":[1,2]}},\"id\":1}}\r\n{{\"part");
        let whole = format!("{:?}", request().feed(text.as_bytes(), now));
        let mut protocol = request();
        let mut rest = text.as_bytes();
        let mut out = Vec::new();
        for cut in cuts.iter().cycle() {
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
            out.extend(protocol.feed(head, now));
            rest = tail;
            if rest.is_empty() { break; }
        }
        prop_assert_eq!(whole, format!("{out:?}"));
    }
}

/// Objects with the protocol's own keys and any values.
fn line() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,9}".prop_map(Value::from)
    ];
    let key = prop_oneof![
        Just("QMP"),
        Just("return"),
        Just("error"),
        Just("event"),
        Just("id"),
        Just("data"),
        Just("class"),
        Just("desc"),
        Just("timestamp"),
        Just("seconds"),
        Just("microseconds"),
        Just("version"),
        Just("qemu"),
        Just("capabilities"),
        Just("major")
    ]
    .prop_map(str::to_owned);
    leaf.prop_recursive(4, 32, 5, move |inner| {
        prop_oneof![
            proptest::collection::hash_map(key.clone(), inner.clone(), 0..5)
                .prop_map(|m| Value::Object(m.into_iter().collect())),
            proptest::collection::vec(inner, 0..4).prop_map(Value::from),
        ]
    })
}
