//! QEMU's bytes, compressed against what was sent before.
//!
//! A VM on hold sends the same few hundred pages over and over, each time a little changed. A
//! compressor with a window that holds several rounds of them (zstd with long-distance matching)
//! therefore sends a page as its difference from the last time, without knowing what a page is. The
//! last burst is the round after those, so it shrinks the most, and with it the gap.

use std::io::{self, Write};
use zstd::stream::write::{Decoder, Encoder};
use zstd::zstd_safe::{CParameter, DParameter};

/// 8 MiB: several rounds of a working set of some hundred pages.
const WINDOW_LOG: u32 = 23;
const LEVEL: i32 = 1;

/// Compresses one VM's stream.
pub struct Compressor {
    inner: Encoder<'static, Vec<u8>>,
}

impl Compressor {
    /// A fresh stream.
    ///
    /// # Errors
    /// When zstd cannot allocate its window.
    pub fn new() -> io::Result<Self> {
        let mut inner = Encoder::new(Vec::new(), LEVEL)?;
        inner.set_parameter(CParameter::EnableLongDistanceMatching(true))?;
        inner.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        inner.set_parameter(CParameter::LdmHashLog(18))?;
        inner.set_parameter(CParameter::LdmHashRateLog(4))?;
        Ok(Self { inner })
    }

    /// Compresses bytes so that the other end can read all of them at once.
    ///
    /// # Errors
    /// When zstd fails.
    pub fn compress(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.inner.write_all(bytes)?;
        self.inner.flush()?;
        Ok(std::mem::take(self.inner.get_mut()))
    }
}

/// The other end.
pub struct Expander {
    inner: Decoder<'static, Vec<u8>>,
}

impl Expander {
    /// A fresh stream.
    ///
    /// # Errors
    /// When zstd cannot allocate its window.
    pub fn new() -> io::Result<Self> {
        let mut inner = Decoder::new(Vec::new())?;
        inner.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self { inner })
    }

    /// Gives back the bytes of one [`Compressor::compress`].
    ///
    /// # Errors
    /// When the bytes are not such a stream.
    pub fn expand(&mut self, bytes: &[u8]) -> io::Result<Vec<u8>> {
        self.inner.write_all(bytes)?;
        self.inner.flush()?;
        Ok(std::mem::take(self.inner.get_mut()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(seed: u64) -> Vec<u8> {
        let mut state = seed | 1;
        std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()
        })
        .take(512)
        .flatten()
        .collect()
    }

    #[test]
    fn what_goes_in_comes_out_piece_by_piece() {
        let (mut compressor, mut expander) = (Compressor::new().unwrap(), Expander::new().unwrap());
        for piece in [&b"abc"[..], &[0; 70_000], &page(7)] {
            assert_eq!(
                expander
                    .expand(&compressor.compress(piece).unwrap())
                    .unwrap(),
                piece
            );
        }
    }

    #[test]
    fn a_page_sent_again_with_a_small_change_costs_almost_nothing() {
        let mut compressor = Compressor::new().unwrap();
        let mut pages: Vec<_> = (1..300).map(page).collect();
        for page in &pages {
            compressor.compress(page).unwrap();
        }
        let mut again = 0;
        for page in &mut pages {
            page[100] ^= 1;
            again += compressor.compress(page).unwrap().len();
        }
        assert!(again < 299 * 4096 / 10, "{again} bytes");
    }

    #[test]
    fn bytes_that_are_no_stream_are_an_error() {
        assert!(Expander::new().unwrap().expand(&[0x55; 64]).is_err());
    }
}
