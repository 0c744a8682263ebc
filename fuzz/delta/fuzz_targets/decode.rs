//! Any bytes are blocks or an error, and neither they nor what they stand for grow beyond what was granted.
//!
//! `cargo +nightly fuzz run --fuzz-dir fuzz/delta decode`
#![no_main]

use delta::{Decoder, Outcome, Shelf};
use libfuzzer_sys::fuzz_target;

const GRANTED: usize = 3;

fuzz_target!(|blocks: Vec<Vec<u8>>| {
    let mut shelf = Shelf::new(GRANTED);
    let mut decoder = Decoder::new(GRANTED).expect("zstd has memory");
    for block in blocks {
        match decoder.read(&mut shelf, &block) {
            Ok(Outcome::Done { bytes, .. }) => assert!(bytes.len() < 2 << 20),
            Ok(Outcome::Missing(_)) | Err(_) => break,
        }
        assert!(shelf.len() <= GRANTED);
    }
});
