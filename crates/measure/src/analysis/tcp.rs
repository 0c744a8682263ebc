//! TCP sessions kept and lost.
//!
//! A session belongs to a window when it was established before the window's end and had not
//! broken before its begin. It is **lost** when it broke in the window (reset, closed, time-out,
//! or an echo out of sequence), or when it is *silent*: at the end of the recording a record sent
//! before the window's end has waited longer than [`super::SETTLE_NS`], and no echo came for as long. A
//! session that only waits for a retransmission may look silent in a snapshot and recover; look
//! again later.

use super::gap::{longest, ms};
use super::{SETTLE_NS, Window};
use crate::recording::TcpRecord;
use serde::{Deserialize, Serialize};

/// The TCP sessions of one VM in a window.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TcpFigures {
    /// Sessions that the window met.
    pub sessions: u64,
    /// Of them, lost: broken or silent.
    pub lost: u64,
    /// Of the lost ones, those not broken but silent.
    pub silent: u64,
    /// Records sent in the window, all sessions.
    pub records: u64,
    /// Longest interval between two echoes of one session that touches the window, ms.
    pub stall_ms: f64,
    /// Why sessions broke, one reason for each.
    pub reasons: Vec<String>,
}

pub(super) fn figures(sessions: &[TcpRecord], window: &Window, end_ns: i64) -> TcpFigures {
    let mut figures = TcpFigures::default();
    for session in sessions {
        let ended = session.ended.as_ref();
        let met = session.connected_ns < window.to_ns
            && ended.is_none_or(|ended| ended.at_ns >= window.from_ns);
        if !met {
            continue;
        }
        figures.sessions += 1;
        let sent = &session.sent_ns;
        figures.records += sent.iter().filter(|&&at| window.holds(at)).count() as u64;
        let broken = ended.filter(|ended| ended.at_ns < window.to_ns);
        if let Some(broken) = broken {
            figures.reasons.push(broken.reason.clone());
        }
        let silent = broken.is_none() && is_silent(session, window, end_ns);
        figures.silent += u64::from(silent);
        figures.lost += u64::from(silent || broken.is_some());
        let open_end = sent.last().map_or(i64::MIN, |&last| last.min(end_ns));
        let begin = sent.first().copied().unwrap_or(session.connected_ns);
        let stall = longest(&session.echoed_ns, begin, open_end, window);
        let stall_ms = stall.map_or(0.0, |stall| ms(stall.to_ns - stall.from_ns));
        figures.stall_ms = figures.stall_ms.max(stall_ms);
    }
    figures
}

fn is_silent(session: &TcpRecord, window: &Window, end_ns: i64) -> bool {
    let settled = end_ns.saturating_sub(SETTLE_NS);
    let waiting = session.sent_ns.get(session.echoed_ns.len());
    let last_echo = session.echoed_ns.last();
    waiting.is_some_and(|&sent| sent < window.to_ns && sent < settled)
        && last_echo.is_none_or(|&at| at < settled)
}
