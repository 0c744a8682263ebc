//! One record of the journal: everything in it follows from the journal's id and its sequence
//! number, so that a reader knows each byte that has to be there.
//!
//! All numbers are big-endian `u64`: magic, sequence (from 1), id of the journal, size of the record in bytes,
//! checksum over everything else; then pseudo-random content to the record's end.

use crate::dirtier::Random;

const MAGIC: [u8; 8] = *b"THRECORD";
const CHECKSUM: std::ops::Range<usize> = 32..40;
const HEADER: usize = 40;

/// What lies in a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// Nothing was ever written here: all zeroes.
    Empty,
    /// A record, whole by its checksum.
    Record { id: u64, sequence: u64 },
    /// A record of another size than the reader's.
    OtherSize { bytes: u64 },
    /// None of these: torn or foreign.
    Broken,
}

fn number(slot: &[u8], at: usize) -> u64 {
    slot.get(at..at + 8)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_be_bytes)
}

/// Rotate, add, multiply, word by word: finds torn and mixed records, and is cheap under emulation.
fn checksum(slot: &[u8]) -> u64 {
    let words = slot.chunks_exact(8).enumerate();
    words.fold(0x9e37_79b9_7f4a_7c15, |sum: u64, (index, word)| {
        if index == CHECKSUM.start / 8 {
            return sum;
        }
        (sum.rotate_left(5) ^ number(word, 0)).wrapping_mul(0x517c_c1b7_2722_0a95)
    })
}

/// Spreads numbers that lie side by side over all 64 bits (the finaliser of splitmix64).
pub(crate) fn spread(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Makes the record `sequence` of the journal `id`. `slot` is as long as the record, a multiple of 8
/// and longer than the header.
pub(crate) fn fill(slot: &mut [u8], id: u64, sequence: u64) {
    let bytes = slot.len() as u64;
    slot[..8].copy_from_slice(&MAGIC);
    slot[8..16].copy_from_slice(&sequence.to_be_bytes());
    slot[16..24].copy_from_slice(&id.to_be_bytes());
    slot[24..32].copy_from_slice(&bytes.to_be_bytes());
    let mut random = Random::new(spread(id ^ spread(sequence)));
    for word in slot[HEADER..].chunks_exact_mut(8) {
        word.copy_from_slice(&random.next().to_be_bytes());
    }
    let sum = checksum(slot);
    slot[CHECKSUM].copy_from_slice(&sum.to_be_bytes());
}

/// Says what lies in a slot.
pub(crate) fn look(slot: &[u8]) -> Found {
    if slot.len() < HEADER || slot[..8] != MAGIC {
        let empty = slot.iter().all(|byte| *byte == 0);
        return if empty { Found::Empty } else { Found::Broken };
    }
    let bytes = number(slot, 24);
    if bytes != slot.len() as u64 {
        return Found::OtherSize { bytes };
    }
    if number(slot, CHECKSUM.start) != checksum(slot) {
        return Found::Broken;
    }
    Found::Record {
        id: number(slot, 16),
        sequence: number(slot, 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(id: u64, sequence: u64) -> Vec<u8> {
        let mut slot = vec![0; 4096];
        fill(&mut slot, id, sequence);
        slot
    }

    #[test]
    fn a_record_tells_its_number_and_no_two_hold_the_same_content() {
        let mut contents = std::collections::HashSet::new();
        for sequence in 1..200 {
            let slot = record(7, sequence);
            assert_eq!(look(&slot), Found::Record { id: 7, sequence });
            assert!(contents.insert(slot[HEADER..].to_vec()));
        }
        assert!(contents.insert(record(8, 1)[HEADER..].to_vec()));
    }

    #[test]
    fn a_change_of_any_byte_and_a_record_torn_at_any_sector_are_found() {
        let (old, new) = (record(7, 1), record(7, 8193));
        for at in (0..4096).step_by(7) {
            let mut slot = old.clone();
            slot[at] ^= 0x10;
            assert_ne!(look(&slot), look(&old), "byte {at}");
        }
        for sector in 1..8 {
            let mut torn = old.clone();
            torn[..sector * 512].copy_from_slice(&new[..sector * 512]);
            assert_eq!(look(&torn), Found::Broken, "sector {sector}");
        }
    }

    #[test]
    fn an_empty_slot_and_one_of_another_size_are_told_apart() {
        assert_eq!(look(&[0; 4096]), Found::Empty);
        assert_eq!(look(&[1; 4096]), Found::Broken);
        assert_eq!(
            look(&[record(7, 1), vec![0; 4096]].concat()),
            Found::OtherSize { bytes: 4096 }
        );
    }
}
