//! Whatever is fed in comes out, however it is cut.
//!
//! `cargo +nightly fuzz run --fuzz-dir fuzz/delta lossless`
#![no_main]

use delta::{Catalogue, Decoder, Encoder, Outcome, Shelf};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|pieces: Vec<(Vec<u8>, bool)>| {
    let (mut catalogue, mut shelf) = (Catalogue::new(4), Shelf::new(4));
    let sender = catalogue.join();
    let mut encoder = Encoder::new(sender, 4).expect("zstd has memory");
    let mut decoder = Decoder::new(4).expect("zstd has memory");
    let (mut sent, mut got) = (Vec::new(), Vec::new());
    let last = pieces.len();
    for (number, (piece, all)) in pieces.into_iter().enumerate() {
        sent.extend_from_slice(&piece);
        encoder.feed(&piece);
        let all = all || number + 1 == last;
        while let Some(block) = encoder.block(&mut catalogue, all).expect("zstd works") {
            match decoder.read(&mut shelf, &block) {
                Ok(Outcome::Done { bytes, .. }) => got.extend(bytes),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(got, sent);
});
