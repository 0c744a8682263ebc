//! Any bytes are a message that encodes to the same bytes, or an error.
//!
//! `cargo +nightly fuzz run --fuzz-dir fuzz/openflow decode`
#![no_main]

use libfuzzer_sys::fuzz_target;
use openflow::Message;

fuzz_target!(|bytes: &[u8]| {
    // The length is made to fit: a wrong one is found at once, and the fuzzer shall get further.
    let mut bytes = bytes.to_vec();
    let length = bytes.len().min(0xffff);
    bytes.truncate(length);
    if let Some(place) = bytes.get_mut(2..4) {
        place.copy_from_slice(&(length as u16).to_be_bytes());
    }
    if let Ok((message, length)) = Message::decode(&bytes) {
        let again = message.to_bytes().expect("what was decoded fits");
        assert_eq!(again, bytes[..length], "{message:#?}");
        serde_json::to_string(&message).expect("every message has a JSON form");
    }
});
