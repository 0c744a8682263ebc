//! How long an answer is waited for.

use model::order::Order;
use model::{Member, MemberKind};
use std::time::Duration;

/// A slow disk's rate, bytes a second.
const SLOW: u64 = 20_000_000;

fn copied(member: &Member) -> u64 {
    match &member.kind {
        MemberKind::Vm { spec } => {
            let made = spec.disks.iter().filter(|disk| disk.from.is_some());
            made.map(|disk| disk.size).sum()
        }
        MemberKind::Host => 0,
    }
}

/// How long an answer is waited for. Generous: it is the connection's end that tells a dead agent,
/// this is for one that lives and does not answer.
pub(super) fn patience(order: &Order) -> Duration {
    let seconds = Duration::from_secs;
    let ms = |ms: f64| Duration::try_from_secs_f64(ms.max(0.0) / 1000.0).unwrap_or(seconds(60));
    match order {
        Order::Replace { .. }
        | Order::Apply { .. }
        | Order::Arm { .. }
        | Order::Release { .. }
        | Order::Pace { .. }
        | Order::Continue { .. }
        | Order::Gate { .. }
        | Order::Underlay { .. }
        | Order::ListSessions
        | Order::ListVms => seconds(10),
        Order::Link { .. }
        | Order::FindDomains
        | Order::DescribeDomain { .. }
        | Order::Unlink { .. }
        | Order::MeasureDelays { .. }
        | Order::Trace { .. }
        // An old key is kept until no session uses it.
        | Order::TurnKey { .. }
        | Order::Survey { .. } => seconds(20),
        // Read twice, so far apart.
        Order::ReadFlows { asked } => seconds(20) + ms(f64::from(asked.over_ms)),
        Order::ReadLinks { over_ms } => seconds(20) + ms(f64::from(*over_ms)),
        // Its disks may have to be made from images first.
        Order::StartVm { member, .. } => seconds(60 + copied(member) / SLOW),
        Order::StopVm { .. }
        | Order::PrepareTarget { .. }
        | Order::Migrate { .. }
        | Order::AbortSource { .. }
        | Order::DiscardTarget { .. }
        | Order::FinishSource { .. }
        | Order::FinishTarget { .. } => seconds(60),
        Order::ReturnQueue { wait_ms, .. } => seconds(10) + ms(*wait_ms),
        // Its images are made durable with it.
        Order::Verify { wait_ms, .. } => seconds(60) + ms(*wait_ms),
    }
}
