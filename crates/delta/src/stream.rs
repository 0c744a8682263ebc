//! Where pages are in QEMU's migration stream.
//!
//! QEMU (10.0, `migration/ram.c`, `save_page_header`) sends of each page
//!
//! ```text
//! 0        8 (9 + name)              4096 more
//! +--------+-----------------+-------+
//! | be64   | name, if it is  | page  |      be64: guest address | flags in the low 12 bits
//! |        | not as before   |       |      name: length (8 bit), bytes of the RAM block's name
//! +--------+-----------------+-------+
//! ```
//!
//! with the flags PAGE (0x08), and CONTINUE (0x20) when the block is the one of the page before. Whatever
//! else there is (sections, zero pages, device state) is "other". All of it is a guess from eight
//! bytes: bytes that only look like a header are taken for a page, which is as good a way to send
//! them as any.

use crate::page::PAGE;
use std::ops::Range;

/// Flags of a page in the block of the page before it.
pub(crate) const CONTINUED: u64 = 0x28;
const NAMED: u64 = 0x08;
/// A page of one repeated byte, with and without its block's name.
const ZERO_CONTINUED: u64 = 0x22;
/// Names of RAM blocks are shorter, for example `/rom@etc/acpi/tables`.
const LONGEST_NAME: u8 = 128;
/// Guest addresses are taken to be below 1 TiB: more would make more bytes look like a header.
const ADDRESS_LIMIT: u64 = 1 << 40;

/// Which page of the guest: its block's name, hashed, and its address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Place {
    block: u64,
    address: u64,
}

impl Place {
    /// The header of the page that follows in the same block.
    pub(crate) fn next_header(self) -> [u8; 8] {
        (self.address.wrapping_add(PAGE as u64) | CONTINUED).to_be_bytes()
    }

    /// The place that a header names, after a page at `self`.
    pub(crate) fn after(self, header: &[u8]) -> Self {
        let Some((word, name)) = header.split_first_chunk::<8>() else {
            return self;
        };
        let block = match name {
            [] => self.block,
            // FNV-1a: names are few, and two that meet cost bytes only.
            [_, name @ ..] => name.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            }),
        };
        Self {
            block,
            address: u64::from_be_bytes(*word) & !0xfff,
        }
    }
}

/// A part of the stream, as ranges of the bytes that were looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// Not a page.
    Other(Range<usize>),
    /// A page behind its header.
    Page {
        /// Its header, 8 bytes or more.
        header: Range<usize>,
        /// The page.
        page: Range<usize>,
    },
}

/// What begins at the front of some bytes.
enum Front {
    Header(usize),
    Skip(usize),
    /// A header may begin here, whose end is not there yet.
    Unclear,
    Nothing,
}

/// Cuts bytes into parts, from the beginning of one; gives them with the number of bytes that they cover.
/// What may be the beginning of a page is left for the next time, unless `all` is wanted now.
pub fn cut(bytes: &[u8], all: bool) -> (Vec<Part>, usize) {
    let mut parts = Vec::new();
    let (mut at, mut other, mut in_step) = (0, 0, true);
    while at < bytes.len() {
        match front(&bytes[at..]) {
            Front::Header(length) => {
                let page = at + length..at + length + PAGE;
                if page.end > bytes.len() {
                    if !all {
                        break;
                    }
                    at = bytes.len();
                    continue;
                }
                if other < at {
                    parts.push(Part::Other(other..at));
                }
                at = page.end;
                other = at;
                in_step = true;
                parts.push(Part::Page {
                    header: page.start - length..page.start,
                    page,
                });
            }
            Front::Skip(length) => at = (at + length).min(bytes.len()),
            Front::Unclear if in_step && !all => break,
            Front::Unclear | Front::Nothing => {
                at += 1;
                in_step = false;
            }
        }
    }
    if other < at {
        parts.push(Part::Other(other..at));
    }
    (parts, at)
}

fn front(bytes: &[u8]) -> Front {
    let Some((word, rest)) = bytes.split_first_chunk::<8>() else {
        return match bytes.iter().take(3).all(|byte| *byte == 0) {
            true => Front::Unclear,
            false => Front::Nothing,
        };
    };
    let word = u64::from_be_bytes(*word);
    if word >= ADDRESS_LIMIT {
        return Front::Nothing;
    }
    match word & 0xfff {
        CONTINUED => Front::Header(8),
        ZERO_CONTINUED => Front::Skip(9),
        NAMED => match rest.split_first() {
            None => Front::Unclear,
            Some((0 | LONGEST_NAME.., _)) => Front::Nothing,
            Some((length, rest)) => {
                let name = &rest[..rest.len().min(*length as usize)];
                match name.iter().all(u8::is_ascii_graphic) {
                    true => Front::Header(9 + *length as usize),
                    false => Front::Nothing,
                }
            }
        },
        _ => Front::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(address: u64, named: Option<&str>, fill: u8) -> Vec<u8> {
        let mut bytes = Vec::new();
        match named {
            Some(name) => {
                bytes.extend((address | NAMED).to_be_bytes());
                bytes.push(name.len() as u8);
                bytes.extend(name.as_bytes());
            }
            None => bytes.extend((address | CONTINUED).to_be_bytes()),
        }
        bytes.extend([fill; PAGE]);
        bytes
    }

    #[test]
    fn pages_zero_pages_and_the_rest_are_told_apart() {
        let mut bytes = b"QEVM and a section".to_vec();
        bytes.extend(page(0x1000, Some("pc.ram"), 1));
        bytes.extend((0x2000u64 | ZERO_CONTINUED).to_be_bytes());
        bytes.push(0);
        bytes.extend(page(0x3000, None, 2));
        let (parts, used) = cut(&bytes, false);
        assert_eq!(used, bytes.len());
        let kinds: Vec<_> = parts
            .iter()
            .map(|part| match part {
                Part::Other(range) => ('o', range.len()),
                Part::Page { header, .. } => ('p', header.len()),
            })
            .collect();
        assert_eq!(kinds, [('o', 18), ('p', 15), ('o', 9), ('p', 8)]);
    }

    #[test]
    fn a_page_that_is_not_all_there_waits_and_comes_when_all_is_wanted() {
        let bytes = page(0x1000, None, 3);
        for length in [1, 7, 8, 4103] {
            assert_eq!(cut(&bytes[..length], false).1, 0, "{length}");
            assert_eq!(cut(&bytes[..length], true).1, length);
        }
    }

    #[test]
    fn the_end_of_device_state_does_not_wait() {
        let (_, used) = cut(b"\x7e\x00\x00\x00\x02 and what follows", false);
        assert_eq!(used, 22);
    }

    #[test]
    fn a_place_follows_from_headers() {
        let first = Place::default().after(&page(0x5000, Some("pc.ram"), 0)[..15]);
        let next = first.after(&first.next_header());
        assert_eq!(next.address, 0x6000);
        assert_eq!(next.block, first.block);
        assert_ne!(
            first,
            Place::default().after(&page(0x5000, Some("vga.vram"), 0)[..17])
        );
    }
}
