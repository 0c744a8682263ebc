//! Framing, JSON-RPC and the inactivity probe, without I/O.

use std::time::{Duration, Instant};

use ovsdb::{
    RpcError,
    probe::{Probe, ProbeStep},
    protocol::{Incoming, Protocol, ProtocolError, UpdateFormat},
    split::{DEPTH_LIMIT, SplitError, Splitter},
};
use proptest::prelude::*;
use serde_json::json;

#[test]
fn messages_need_nothing_between_them() {
    let mut protocol = Protocol::new(1000);
    let (first, _) = protocol.request("list_dbs", json!([]));
    let (second, _) = protocol.request("echo", json!([]));
    let bytes = br#"{"id":2,"result":["}{"],"error":null}{"id":1,"result":null,"error":"no"} {"id":2,"result":1,"error":null}"#;
    let out = protocol.feed(bytes).unwrap();
    let [
        Incoming::Reply {
            id: a,
            result: Ok(echo),
        },
        Incoming::Reply {
            id: b,
            result: Err(RpcError { error, .. }),
        },
        Incoming::Stray(_),
    ] = &out[..]
    else {
        panic!("{out:?}")
    };
    assert_eq!(
        (*a, *b, echo, error.as_str()),
        (second, first, &json!(["}{"]), "no")
    );
    assert_eq!(protocol.pending(), 0);
}

#[test]
fn an_echo_is_answered_with_its_own_words() {
    let mut protocol = Protocol::new(1000);
    let out = protocol
        .feed(br#"{"method":"echo","params":["x",1],"id":"echo"}"#)
        .unwrap();
    let [Incoming::Answer(bytes)] = &out[..] else {
        panic!("{out:?}")
    };
    let answer: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    assert_eq!(
        answer,
        json!({"id": "echo", "result": ["x", 1], "error": null})
    );
}

#[test]
fn an_update_names_its_monitor() {
    let mut protocol = Protocol::new(1000);
    let out = protocol.feed(br#"{"method":"update2","params":[7,{"T":{}}],"id":null}{"method":"locked","params":[],"id":null}"#);
    let out = out.unwrap();
    assert_eq!(
        out[0],
        Incoming::Update {
            monitor: 7,
            format: UpdateFormat::Differences,
            tables: json!({"T": {}})
        }
    );
    assert!(matches!(out[1], Incoming::Stray(_)));
}

#[test]
fn a_message_has_bounds() {
    let mut splitter = Splitter::new(10);
    assert_eq!(
        splitter.next(&mut &b"[1234567890"[..]),
        Err(SplitError::TooLong(10))
    );
    let deep = [b'['; DEPTH_LIMIT + 1];
    assert_eq!(
        Splitter::new(1000).next(&mut &deep[..]),
        Err(SplitError::TooDeep)
    );
    assert_eq!(
        Splitter::new(10).next(&mut &b"  x"[..]),
        Err(SplitError::NoObject(b'x'))
    );
    assert!(matches!(
        Protocol::new(100).feed(b"[1]"),
        Err(ProtocolError::NoMessage(_))
    ));
    assert!(matches!(
        Protocol::new(100).feed(b"{]"),
        Err(ProtocolError::Json(_))
    ));
}

#[test]
fn silence_is_asked_once_and_then_given_up() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut probe = Probe::new(Duration::from_millis(100), start);
    assert_eq!(probe.step(at(10)), ProbeStep::Sleep(at(100)));
    assert_eq!(probe.step(at(100)), ProbeStep::Echo);
    assert_eq!(probe.step(at(150)), ProbeStep::Sleep(at(200)));
    probe.heard(at(160));
    assert_eq!(probe.step(at(250)), ProbeStep::Sleep(at(260)));
    assert_eq!(probe.step(at(265)), ProbeStep::Echo);
    assert_eq!(probe.step(at(365)), ProbeStep::Dead);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), limit in 0usize..300) {
        let mut protocol = Protocol::new(limit);
        let _ = protocol.request("echo", json!([]));
        let _ = protocol.feed(&bytes).map_err(|e| e.to_string());
    }

    #[test]
    fn no_brackets_and_strings_make_it_panic(text in "[\\[\\]{}\",:\\\\ a1]{0,80}", cut in 1usize..20) {
        let mut protocol = Protocol::new(60);
        for part in text.as_bytes().chunks(cut) {
            if protocol.feed(part).is_err() { break; }
        }
    }

    #[test]
    fn cuts_in_the_stream_change_nothing(
        strings in proptest::collection::vec(any::<String>(), 1..6),
        cut in 1usize..30,
        gap in "[ \r\n\t]{0,3}",
    ) {
        let messages: Vec<_> = strings.iter().enumerate()
            .map(|(n, text)| json!({"method": "update", "params": [n, {"T": {text: [text, {"a": text}]}}], "id": null}))
            .collect();
        let stream: String = messages.iter().map(|m| format!("{m}{gap}")).collect();
        let mut protocol = Protocol::new(100_000);
        let mut got = Vec::new();
        for part in stream.as_bytes().chunks(cut) {
            got.extend(protocol.feed(part).unwrap());
        }
        let want: Vec<_> = messages.iter().enumerate()
            .map(|(n, m)| Incoming::Update { monitor: n as u64, format: UpdateFormat::Rows, tables: m["params"][1].clone() })
            .collect();
        prop_assert_eq!(got, want);
    }
}
