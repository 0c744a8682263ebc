//! What a guest that was behind has not read.
//!
//! A guest that gets too little CPU leaves its receive ring full. QEMU then holds one packet that the
//! ring does not take, and one on its way to it; they are in no queue that can be read, and QEMU drops
//! them when the VM stops (`qemu_purge_queued_packets`). A queue behind them tells that it was so.
//! Sending the two before the queue's first again costs at most two duplicates and loses nothing.

/// Packets that QEMU may hold itself.
const HELD_BY_QEMU: usize = 2;
/// A queue of fewer packets may have come after the stop.
const BEHIND: usize = 4;

/// Of the frames that lately went to the guest, in order, those that QEMU may have held when the
/// guest stopped with `waiting` in its queue.
pub fn held_by_qemu<'a>(recent: &'a [Vec<u8>], waiting: &[Vec<u8>]) -> &'a [Vec<u8>] {
    let first = match waiting.first() {
        Some(first) if waiting.len() >= BEHIND => first,
        _ => return &[],
    };
    match recent.iter().rposition(|frame| frame == first) {
        Some(at) => &recent[at.saturating_sub(HELD_BY_QEMU)..at],
        None => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(numbers: std::ops::Range<u8>) -> Vec<Vec<u8>> {
        numbers.map(|number| vec![number; 60]).collect()
    }

    #[test]
    fn the_two_before_the_queue_are_sent_again() {
        assert_eq!(
            held_by_qemu(&frames(0..20), &frames(10..20)),
            &frames(8..10)[..]
        );
        assert_eq!(
            held_by_qemu(&frames(9..20), &frames(10..20)),
            &frames(9..10)[..]
        );
    }

    #[test]
    fn a_guest_that_was_not_behind_gets_nothing_twice() {
        let none: &[Vec<u8>] = &[];
        assert_eq!(held_by_qemu(&frames(0..20), &frames(18..20)), none);
        assert_eq!(held_by_qemu(&frames(0..20), &[]), none);
        assert_eq!(held_by_qemu(&frames(0..5), &frames(10..20)), none);
    }
}
