//! Pre-copy of one VM, foreseen: pass after pass, each sends what was dirtied during the one before.
//!
//! A guest that dirties `d` bytes a second of the `u` that it uses has dirtied `u (1 - exp(-d t / u))`
//! after `t`: pages that were dirty already count once. Follows what [`crate::hold`] does with a real VM:
//! it holds as soon as little is left, and gives up when passes no longer shrink.

use model::plan::Convergence;

/// Passes that are looked at before copying counts as endless.
const MOST_PASSES: usize = 60;
/// A pass that leaves more than this share of the one before does not shrink.
const SHRINKS: f64 = 0.85;
/// Passes in a row that do not shrink before a guest is slowed, or given up.
const STUCK: usize = 2;
/// QEMU's first slowdown of a guest, and each further one (`cpu-throttle-initial`,
/// `cpu-throttle-increment`), as a share of its time.
const FIRST_SLOWDOWN: f64 = 0.2;
const FURTHER_SLOWDOWN: f64 = 0.1;
const MOST_SLOWDOWN: f64 = 0.99;
/// What QEMU sends besides a page.
const PAGE_HEADER: f64 = 8.0 / 4096.0;
/// A page of zeroes travels as its address and a mark, bytes.
const ZERO_PAGE: f64 = 9.0;
const PAGE: f64 = 4096.0;
/// A page that the target has already travels as this share of itself.
const REFERENCE: f64 = 12.0 / 4096.0;
/// QEMU hands over twice what the link carries at most: pages that pack to less wait for it.
const LEAST_PACKED: f64 = 0.5;
/// Less than this on hold needs no waiting for, bytes.
const LEAST_HOLD: f64 = 40960.0;
/// From a VM's first pass on hold until its passes count as level, ms, where next to nothing is left.
const LEVEL_MS: f64 = 350.0;

/// What is known of a VM before it is copied.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Copying {
    /// Its memory, bytes.
    pub memory: f64,
    /// Of these not zero, bytes.
    pub used: f64,
    /// What these shrink to on their way, as a share: 1 where they go as they are.
    pub packs: f64,
    /// Which share of them has gone with another VM, and travels as references.
    pub known: f64,
    /// What rewritten pages shrink to, as a share: 1 where they go as they are.
    pub packs_again: f64,
    /// Dirtied in the first second, bytes.
    pub dirty_rate: f64,
    /// Its share of the link, bytes a second.
    pub rate: f64,
    /// Whether it may be slowed down.
    pub slow_down: bool,
}

/// What copying it takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Copied {
    /// Bytes on the wire.
    pub bytes: f64,
    /// Until it is ready to switch, ms.
    pub ready_ms: f64,
    /// Whether and how it ends.
    pub convergence: Convergence,
}

impl Copying {
    /// Copies.
    pub fn run(&self) -> Copied {
        let rate = self.rate.max(1.0);
        // Where the hold begins; see `Hold::new` and the driver that makes it.
        let acceptable = (rate / 4.0).max(1_048_576.0);
        let zero = (self.memory - self.used).max(0.0) / PAGE * ZERO_PAGE;
        let mut left = self.used * (1.0 + PAGE_HEADER) + zero;
        let (mut bytes, mut seconds) = (0.0, 0.0);
        let (mut stuck, mut slowdown) = (0, 0.0);
        for pass in 0..MOST_PASSES {
            // Shares of what is left: on the wire, and of the time that it would take as it is.
            let (packs, takes) = if pass == 0 {
                let own = 1.0 - self.known;
                let packs = self.packs * own + REFERENCE * self.known;
                let takes = self.packs.max(LEAST_PACKED) * own + LEAST_PACKED * self.known;
                (packs, takes)
            } else {
                (self.packs_again, self.packs_again.max(LEAST_PACKED))
            };
            let took = left * takes / rate;
            bytes += left * packs;
            seconds += took;
            let dirtied = self.dirtied(took, slowdown) * (1.0 + PAGE_HEADER);
            if dirtied <= acceptable {
                return self.held(bytes, seconds, dirtied, slowdown);
            }
            // The first pass tells nothing: it sends what was there before.
            stuck = match pass > 0 && dirtied > SHRINKS * left {
                true => stuck + 1,
                false => 0,
            };
            if stuck >= STUCK {
                if !self.slow_down || slowdown >= MOST_SLOWDOWN {
                    break;
                }
                slowdown = match slowdown {
                    none if none <= 0.0 => FIRST_SLOWDOWN,
                    some => (some + FURTHER_SLOWDOWN).min(MOST_SLOWDOWN),
                };
            }
            left = dirtied;
        }
        Copied {
            bytes,
            ready_ms: seconds * 1000.0,
            convergence: Convergence::No,
        }
    }

    fn dirtied(&self, seconds: f64, slowdown: f64) -> f64 {
        let used = self.used.max(1.0);
        let speed = self.dirty_rate * (1.0 - slowdown) * seconds / used;
        used * (1.0 - (-speed).exp())
    }

    /// On hold it iterates half as fast again as the guest dirties, until a pass leaves no less than the
    /// ones before.
    fn held(&self, bytes: f64, seconds: f64, left: f64, slowdown: f64) -> Copied {
        let hold_rate = (1.5 * self.dirty_rate * (1.0 - slowdown)).clamp(LEAST_HOLD, self.rate);
        let first = (left / hold_rate).min(1.0);
        Copied {
            bytes: bytes + left * self.packs_again,
            ready_ms: (seconds + first) * 1000.0 + LEVEL_MS,
            convergence: match slowdown > 0.0 {
                true => Convergence::Slowed,
                false => Convergence::Yes,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VM: Copying = Copying {
        memory: 128e6,
        used: 100e6,
        packs: 1.0,
        known: 0.0,
        packs_again: 1.0,
        dirty_rate: 0.0,
        rate: 10e6,
        slow_down: false,
    };

    #[test]
    fn an_idle_vm_is_sent_once() {
        let copied = VM.run();
        assert_eq!(copied.convergence, Convergence::Yes);
        assert!((copied.bytes - 100e6).abs() < 1e6, "{copied:?}");
        assert!((9_900.0..11_500.0).contains(&copied.ready_ms), "{copied:?}");
    }

    #[test]
    fn what_packs_well_is_sent_sooner() {
        let packed = Copying { packs: 0.25, ..VM }.run();
        assert!((packed.bytes - 25e6).abs() < 1e6, "{packed:?}");
        assert!((4_900.0..6_000.0).contains(&packed.ready_ms), "{packed:?}");
    }

    #[test]
    fn pages_that_another_vm_has_brought_cost_next_to_nothing() {
        let gang = Copying { known: 0.3, ..VM }.run();
        assert!((gang.bytes - 70e6).abs() < 1e6, "{gang:?}");
        assert!(gang.ready_ms < VM.run().ready_ms - 1300.0, "{gang:?}");
    }

    #[test]
    fn pages_that_change_a_little_cost_little_again() {
        let busy = |packs_again| Copying {
            dirty_rate: 2e6,
            packs_again,
            ..VM
        };
        let (whole, part) = (busy(1.0).run(), busy(0.1).run());
        let again = |copied: Copied| copied.bytes - VM.run().bytes;
        assert!(again(part) < 0.3 * again(whole), "{part:?} {whole:?}");
        assert!(part.ready_ms < whole.ready_ms);
    }

    #[test]
    fn what_is_dirtied_meanwhile_is_sent_again() {
        let idle = VM.run();
        let busy = Copying {
            dirty_rate: 2e6,
            ..VM
        }
        .run();
        assert_eq!(busy.convergence, Convergence::Yes);
        // Twenty seconds' worth of it at most, less what was dirtied twice.
        let more = busy.bytes - idle.bytes;
        assert!((15e6..25e6).contains(&more), "{more}");
        assert!(busy.ready_ms > idle.ready_ms + 1500.0);
    }

    #[test]
    fn a_vm_that_dirties_faster_than_the_link_ends_only_slowed_down() {
        let fast = Copying {
            dirty_rate: 30e6,
            ..VM
        };
        assert_eq!(fast.run().convergence, Convergence::No);
        let slowed = Copying {
            slow_down: true,
            ..fast
        }
        .run();
        assert_eq!(slowed.convergence, Convergence::Slowed);
        assert!(slowed.ready_ms > 20_000.0);
    }

    #[test]
    fn a_wider_link_is_never_slower() {
        let mut last = f64::INFINITY;
        for mega in [5, 10, 20, 40, 80] {
            let copied = Copying {
                dirty_rate: 2e6,
                rate: f64::from(mega) * 1e6,
                ..VM
            }
            .run();
            assert!(copied.ready_ms < last);
            last = copied.ready_ms;
        }
    }
}
