//! A connection survives whatever its peer sends, and answers each request at most once.
//!
//! `cargo +nightly fuzz run --fuzz-dir fuzz/openflow connection`
#![no_main]

use std::collections::HashSet;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use openflow::connection::{Config, Connection, Event};
use openflow::{Body, FlowMod};

fuzz_target!(|bytes: &[u8]| {
    let start = Instant::now();
    let mut connection = Connection::new(Config::default(), start);
    connection.receive(&[4, 0, 0, 8, 0, 0, 0, 1], start);
    let mut pending = HashSet::new();
    pending.extend(connection.request(Body::FeaturesRequest));
    pending.extend(connection.batch([FlowMod::add(), FlowMod::delete()]));
    pending.extend(connection.bundle([FlowMod::add()]));
    for (n, chunk) in bytes.chunks(7).enumerate() {
        let now = start + Duration::from_secs(n as u64);
        connection.receive(chunk, now);
        connection.handle_timeout(now);
    }
    connection.peer_closed();
    while let Some(event) = connection.poll_event() {
        if let Event::Reply { id, .. } | Event::Failed { id, .. } | Event::Done { id, .. } = event {
            assert!(pending.remove(&id), "{id} ended twice");
        }
    }
    assert!(pending.is_empty(), "{pending:?} never ended");
});
