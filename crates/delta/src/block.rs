//! A block's bytes.
//!
//! ```text
//! 0        1                9                13            13 + n
//! +--------+----------------+----------------+-------------+-------------------------+
//! | asks   | check          | n (be32)       | script,     | pages that go as they   |
//! |        |                |                | packed      | are, in their order     |
//! +--------+----------------+----------------+-------------+-------------------------+
//! ```
//!
//! `asks` is 1 when the target shall say that it has read the block. `check` is the first 64 bits of the
//! BLAKE3 hash of what the block stands for. Scripts are one zstd stream, flushed at each block's
//! end; a script is a row of steps, see [`Step`].

use crate::DeltaError;
use std::io::{self, Write};
use zstd::stream::write::{Decoder, Encoder};
use zstd::zstd_safe::{CParameter, DParameter};

/// Most that a block stands for, bytes. An encoder makes blocks of half of it at most.
pub(crate) const MOST: usize = 512 << 10;
/// Most that a script may unpack to, bytes: what a block stands for, and its steps.
const MOST_SCRIPT: usize = MOST + (64 << 10);
/// Pages of a guest's kernel resemble their neighbours, not those of a second ago: 1 MiB.
const WINDOW_LOG: u32 = 20;
const LEVEL: i32 = 1;
const FRAME: usize = 13;

/// The header is that of the next page in the same RAM block.
pub(crate) const NEXT: u8 = 0x80;
/// The page goes on the shelf.
pub(crate) const KEEP: u8 = 0x40;

/// What a step of a script does. A page's step goes on with its header (8 bit length, bytes) unless
/// [`NEXT`] is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Step {
    /// Length (be32), bytes: no page.
    Other = 0,
    /// The page that was there before.
    Same = 1,
    /// It, with a [`crate::difference`].
    Differs = 2,
    /// Name (16 bytes) of a page on the shelf.
    Named = 3,
    /// The page.
    Packed = 4,
    /// The next page behind the script.
    Plain = 5,
}

impl Step {
    pub(crate) fn read(byte: u8) -> Option<Self> {
        Some(match byte & !(NEXT | KEEP) {
            0 => Self::Other,
            1 => Self::Same,
            2 => Self::Differs,
            3 => Self::Named,
            4 => Self::Packed,
            5 => Self::Plain,
            _ => return None,
        })
    }
}

/// The first bytes of a hash of what a block stands for.
pub(crate) fn check(bytes: &[u8]) -> [u8; 8] {
    let mut check = [0; 8];
    check.copy_from_slice(&blake3::hash(bytes).as_bytes()[..8]);
    check
}

/// A block, taken apart.
pub(crate) struct Parts<'a> {
    pub(crate) asks: bool,
    pub(crate) check: [u8; 8],
    pub(crate) packed: &'a [u8],
    pub(crate) plain: &'a [u8],
}

impl<'a> Parts<'a> {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut block = Vec::with_capacity(FRAME + self.packed.len() + self.plain.len());
        block.push(u8::from(self.asks));
        block.extend(self.check);
        block.extend((self.packed.len() as u32).to_be_bytes());
        block.extend_from_slice(self.packed);
        block.extend_from_slice(self.plain);
        block
    }

    pub(crate) fn read(block: &'a [u8]) -> Result<Self, DeltaError> {
        let short = DeltaError::Broken("it is too short");
        let Some((asks, rest)) = block.split_first() else {
            return Err(short);
        };
        let Some((check, rest)) = rest.split_first_chunk::<8>() else {
            return Err(short);
        };
        let Some((length, rest)) = rest.split_first_chunk::<4>() else {
            return Err(short);
        };
        let (packed, plain) = rest
            .split_at_checked(u32::from_be_bytes(*length) as usize)
            .ok_or(short)?;
        Ok(Self {
            asks: *asks != 0,
            check: *check,
            packed,
            plain,
        })
    }
}

/// Packs scripts.
pub(crate) struct Packer(Encoder<'static, Vec<u8>>);

impl Packer {
    pub(crate) fn new() -> io::Result<Self> {
        let mut inner = Encoder::new(Vec::new(), LEVEL)?;
        inner.set_parameter(CParameter::WindowLog(WINDOW_LOG))?;
        Ok(Self(inner))
    }

    pub(crate) fn pack(&mut self, script: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(script)?;
        self.0.flush()?;
        Ok(std::mem::take(self.0.get_mut()))
    }
}

/// Unpacks them.
pub(crate) struct Unpacker(Decoder<'static, Bounded>);

impl Unpacker {
    pub(crate) fn new() -> io::Result<Self> {
        let mut inner = Decoder::new(Bounded(Vec::new()))?;
        inner.set_parameter(DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Self(inner))
    }

    pub(crate) fn unpack(&mut self, packed: &[u8]) -> io::Result<Vec<u8>> {
        self.0.write_all(packed)?;
        self.0.flush()?;
        Ok(std::mem::take(&mut self.0.get_mut().0))
    }
}

/// Few packed bytes can stand for many.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MOST_SCRIPT {
            return Err(io::Error::other("a script is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_bytes_that_stand_for_too_many_are_an_error() {
        let mut packer = Packer::new().unwrap();
        let bomb = packer.pack(&vec![0; 64 << 20]).unwrap();
        assert!(bomb.len() < 64 << 10, "{}", bomb.len());
        assert!(Unpacker::new().unwrap().unpack(&bomb).is_err());
    }
}
