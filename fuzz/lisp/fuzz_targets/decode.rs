//! Any bytes are a message or a data header that encodes to the same bytes, or an error; what is
//! signed is verified, and nothing else is.
//!
//! `cargo +nightly fuzz run --fuzz-dir fuzz/lisp decode`
#![no_main]

use libfuzzer_sys::fuzz_target;
use lisp::auth::{self, Secret};
use lisp::{DataHeader, GpeHeader, Message, Record};

fuzz_target!(|bytes: &[u8]| {
    match Message::decode(bytes) {
        Ok(message) => {
            let again = message.to_bytes().expect("what was decoded fits");
            assert_eq!(again, bytes, "{message:#?}");
            serde_json::to_string(&message).expect("every message has a JSON form");
            if let Message::MapReply(reply) = &message {
                let _: Vec<_> = reply.records.iter().map(Record::eid).collect();
            }
        }
        Err(error) => assert!(error.offset <= bytes.len(), "{error}"),
    }
    let secret = Secret::new(b"of the site");
    assert!(
        auth::verify(bytes, &secret).is_err(),
        "forged without the secret"
    );
    let mut signed = bytes.to_vec();
    if auth::sign(&mut signed, &secret).is_ok() {
        auth::verify(&signed, &secret).expect("just signed");
    }
    if let Ok((header, payload)) = DataHeader::decode(bytes) {
        assert_eq!([&header.to_bytes(), payload].concat(), bytes);
    }
    if let Ok((header, payload)) = GpeHeader::decode(bytes) {
        assert_eq!([&header.to_bytes(), payload].concat(), bytes);
    }
});
