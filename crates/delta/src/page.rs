//! Pages, their names, and whether they are worth a compressor's time.

/// Bytes of a guest page.
pub const PAGE: usize = 4096;

/// A page.
pub type Page = [u8; PAGE];

/// A page's name: the first 128 bits of its BLAKE3 hash. Two pages of one name would be an exchanged
/// page in a guest; BLAKE3 is built so that nobody finds such two, on purpose or by chance.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PageId(pub [u8; 16]);

impl PageId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(bytes).as_bytes()[..16]);
        Self(id)
    }
}

/// Samples taken of a page.
const SAMPLES: usize = 512;
/// Sum of the squared counts of each byte value above which a page looks as if it could be packed.
/// Random bytes have about n + n²/256 = 1536 with a standard deviation near 60.
const EVEN: u32 = 1800;

/// True when the bytes look as if a compressor would find something in them. Costs a tenth of asking zstd.
pub fn looks_packable(page: &Page) -> bool {
    let mut counts = [0u16; 256];
    for sample in 0..SAMPLES {
        // One of each eight bytes, in turn each place within a word.
        counts[page[sample * 8 + sample % 8] as usize] += 1;
    }
    counts.iter().map(|c| u32::from(*c).pow(2)).sum::<u32>() > EVEN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_pages_do_not_look_packable_and_text_does() {
        let mut state = 88172645463325252u64;
        for _ in 0..2000 {
            let mut page = [0; PAGE];
            for word in page.chunks_exact_mut(8) {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                word.copy_from_slice(&state.to_le_bytes());
            }
            assert!(!looks_packable(&page));
        }
        let mut text = [0; PAGE];
        text.iter_mut()
            .zip(b"memory that moves is memory that waits. ".iter().cycle())
            .for_each(|(to, from)| *to = *from);
        assert!(looks_packable(&text));
        assert!(looks_packable(&[0; PAGE]));
    }
}
