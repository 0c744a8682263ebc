//! Which half of the way lost an unanswered packet.
//!
//! The guest numbers its echoes. Between two replies that are neighbours by that number, a hole of
//! `m` numbers beside `k` unanswered packets means that `min(m, k)` of them were echoed and their
//! replies lost; the others never reached the guest. Where a hole holds both kinds, the counts
//! are exact and the earlier packets are taken to be the echoed ones: a VM answers until it
//! stops. A packet after the guest's last known echo counts as a lost request.

use super::index::Packet;
use crate::recording::Reply;

/// A counter that falls by more than this has been set back (the guest was started anew), for no
/// reordering reaches so far.
const SET_BACK: u64 = 1_000;

/// Indexes of the unanswered packets whose replies were lost. `replies` in order of arrival, each
/// with its packet's index; `complete` when `packets` begins with the flow's first packet, whose
/// echo has the number 1.
pub(super) fn lost_replies(
    packets: &[Packet],
    replies: &[(Reply, usize)],
    complete: bool,
) -> Vec<usize> {
    let mut lost = Vec::new();
    let mut run: Vec<(u64, usize)> = Vec::new();
    // More echoes than packets: the guest knew this address and port before.
    let first = replies.iter().min_by_key(|(reply, _)| reply.guest);
    if let Some(&(reply, index)) =
        first.filter(|(reply, i)| complete && reply.guest <= *i as u64 + 1)
    {
        let echoed = usize::try_from(reply.guest.saturating_sub(1)).unwrap_or(usize::MAX);
        let unanswered = (0..index).filter(|&i| packets[i].copies == 0);
        lost.extend(unanswered.take(echoed));
    }
    let mut highest = 0;
    for &(reply, index) in replies {
        if reply.guest.saturating_add(SET_BACK) < highest {
            close(packets, &mut run, &mut lost);
            highest = 0;
        }
        highest = highest.max(reply.guest);
        run.push((reply.guest, index));
    }
    close(packets, &mut run, &mut lost);
    lost.sort_unstable();
    lost.dedup();
    lost
}

/// Looks into the holes of one run of counters and empties it.
fn close(packets: &[Packet], run: &mut Vec<(u64, usize)>, lost: &mut Vec<usize>) {
    run.sort_unstable();
    run.dedup();
    for pair in run.windows(2) {
        let ((low, before), (high, after)) = (pair[0], pair[1]);
        let echoed = usize::try_from((high - low).saturating_sub(1)).unwrap_or(usize::MAX);
        if echoed > 0 && before < after {
            let unanswered = (before + 1..after).filter(|&i| packets[i].copies == 0);
            lost.extend(unanswered.take(echoed));
        }
    }
    run.clear();
}
