//! The Internet checksum (RFC 1071).
//!
//! Sums are of 16-bit words as they lie in memory, whatever the machine's byte order: the sum has
//! the same bytes as one of network order would have, so only what goes into a header is turned.

/// Sum of 16-bit words in memory order, an odd byte at the end counted as if a zero followed.
/// Does not overflow for anything shorter than 4 GiB.
pub fn sum(bytes: &[u8]) -> u64 {
    let (blocks, rest) = bytes.as_chunks::<32>();
    // Eight lanes, so that the compiler uses vector instructions.
    let mut lanes = [0u64; 8];
    for block in blocks {
        let (words, _) = block.as_chunks::<4>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane += u64::from(u32::from_ne_bytes(*word));
        }
    }
    let (words, last) = rest.as_chunks::<4>();
    let mut total: u64 = lanes.iter().map(|lane| u64::from(fold32(*lane))).sum();
    total += words
        .iter()
        .map(|word| u64::from(u32::from_ne_bytes(*word)))
        .sum::<u64>();
    let mut tail = [0; 4];
    for (to, from) in tail.iter_mut().zip(last) {
        *to = *from;
    }
    total + u64::from(u32::from_ne_bytes(tail))
}

fn fold32(mut sum: u64) -> u32 {
    while sum > 0xffff_ffff {
        sum = (sum & 0xffff_ffff) + (sum >> 32);
    }
    sum as u32
}

/// A sum in 16 bits, in memory order.
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The checksum of a sum, as the two bytes that go into a header.
pub fn finish(sum: u64) -> [u8; 2] {
    (!fold(sum)).to_ne_bytes()
}

/// Whether a sum that includes the checksum field is one of undamaged data.
pub fn is_right(sum: u64) -> bool {
    fold(sum) == 0xffff
}

/// A number of 16 bits as a summand.
pub fn word(value: u16) -> u64 {
    u64::from(u16::from_ne_bytes(value.to_be_bytes()))
}

/// The pseudo-header of TCP and UDP: `addresses` are those of the IP header, source and destination.
pub fn pseudo(addresses: &[u8], protocol: u8, length: usize) -> u64 {
    let [.., a, b, c, d] = (length as u64).to_be_bytes();
    sum(addresses) + word(protocol.into()) + sum(&[a, b, c, d])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As RFC 1071 writes it down.
    fn slow(bytes: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in bytes.chunks(2) {
            let low = pair.get(1).copied().unwrap_or(0);
            sum += u32::from(u16::from_be_bytes([pair[0], low]));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        !(sum as u16)
    }

    proptest! {
        #[test]
        fn the_fast_sum_is_the_plain_one(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
            prop_assert_eq!(finish(sum(&bytes)), slow(&bytes).to_be_bytes());
        }

        #[test]
        fn a_flipped_bit_is_seen(
            mut bytes in proptest::collection::vec(any::<u8>(), 4..2000),
            at in any::<proptest::sample::Index>(),
            bit in 0u8..8,
        ) {
            bytes[0] = 0;
            bytes[1] = 0;
            let right = finish(sum(&bytes));
            bytes[..2].copy_from_slice(&right);
            prop_assert!(is_right(sum(&bytes)));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(!is_right(sum(&bytes)));
        }
    }

    #[test]
    fn the_largest_packet_does_not_overflow() {
        assert_eq!(fold(sum(&vec![0xff; 1 << 20])), 0xffff);
    }
}
