//! What a move costs: round trips seen by `ping` at the client's site, and the machine's CPUs.

use crate::boxed::{BoxHandle, Program};
use crate::parts::{PartError, apart};
use crate::shop::CLIENT_SITE;
use nix::sys::signal::Signal;
use std::net::IpAddr;
use std::time::Duration;

/// Its name among the box's processes.
const PING: &str = "ping";

/// `ping` writes what it has when it is ended; this is enough for it.
const ENDS: Duration = Duration::from_millis(300);

/// A ping under way, and the CPUs' time since.
pub(super) struct Watch {
    handle: BoxHandle,
    since: Option<(u64, u64)>,
}

/// What was seen.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Seen {
    /// Median round trip, ms.
    pub(super) latency_ms: Option<f64>,
    /// That of the slowest of a hundred, ms.
    pub(super) slow_ms: Option<f64>,
    /// Busy share of all CPUs of the machine, %.
    pub(super) cpu_percent: Option<f64>,
}

impl Watch {
    /// Asks an address ten times a second from now on.
    pub(super) async fn begin(handle: &BoxHandle, address: IpAddr) -> Result<Self, PartError> {
        let _ = std::fs::remove_file(handle.folder().log(PING));
        let to = address.to_string();
        let program = Program::new(CLIENT_SITE, ["ping", "-n", "-i", "0.1", to.as_str()]);
        apart(handle, move |handle| handle.spawn(PING, &program)).await?;
        Ok(Self {
            handle: handle.clone(),
            since: cpu_time(),
        })
    }

    /// Ends it.
    pub(super) async fn end(self) -> Result<Seen, PartError> {
        let cpu = self.since.zip(cpu_time());
        apart(&self.handle, |handle| handle.kill(PING, Signal::SIGINT)).await?;
        tokio::time::sleep(ENDS).await;
        let text = std::fs::read_to_string(self.handle.folder().log(PING)).unwrap_or_default();
        let mut trips = round_trips(&text);
        trips.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| {
            let last = trips.len().checked_sub(1)?;
            trips.get((last as f64 * share) as usize).copied()
        };
        Ok(Seen {
            latency_ms: at(0.5),
            slow_ms: at(0.99),
            cpu_percent: cpu.map(|(before, after)| busy(before, after)),
        })
    }
}

fn round_trips(text: &str) -> Vec<f64> {
    let of_line = |line: &str| {
        let rest = line.split_once("time=")?.1;
        rest.split_whitespace().next()?.parse().ok()
    };
    text.lines().filter_map(of_line).collect()
}

/// Busy and whole time of all CPUs, in ticks (proc(5), `/proc/stat`).
fn cpu_time() -> Option<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    times(text.lines().next()?)
}

fn times(line: &str) -> Option<(u64, u64)> {
    let fields = line.strip_prefix("cpu ")?.split_whitespace();
    // Guests' time is in that of users already.
    let ticks: Vec<u64> = fields.take(8).filter_map(|it| it.parse().ok()).collect();
    let all: u64 = ticks.iter().sum();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((all - idle, all))
}

fn busy(before: (u64, u64), after: (u64, u64)) -> f64 {
    let all = after.1.saturating_sub(before.1).max(1);
    after.0.saturating_sub(before.0) as f64 / all as f64 * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_are_read_from_what_ping_says() {
        let text = "PING 10.0.0.1 (10.0.0.1) 56(84) bytes of data.\n\
                    64 bytes from 10.0.0.1: icmp_seq=1 ttl=64 time=33.3 ms\n\
                    64 bytes from 10.0.0.1: icmp_seq=2 ttl=64 time=31 ms\n";
        assert_eq!(round_trips(text), [33.3, 31.0]);
    }

    #[test]
    fn busy_is_what_is_neither_idle_nor_waiting() {
        let before = times("cpu  100 0 50 800 50 0 0 0 0 0").unwrap();
        let after = times("cpu  160 0 90 880 70 0 0 0 10 0").unwrap();
        assert_eq!(busy(before, after), 50.0);
    }
}
