//! Hold: a VM that has been copied once iterates cheaply until it may stop.
//!
//! The relay keeps QEMU's permission to stop ([`crate::return_path`]), so holding needs no trick
//! with limits. What is left to decide is how fast QEMU may iterate (too fast spins a CPU and fills
//! the link, too slow lets the remainder grow) and when it has shrunk as far as it will.

/// Bytes of a guest page.
pub const PAGE: u64 = 4096;
/// QEMU's rate limit is enforced in windows of 100 ms; less than a page a window sends nothing.
const LEAST_RATE: u64 = 10 * PAGE;
/// Passes that must agree before a VM counts as level.
const LEVEL_PASSES: usize = 3;

/// What QEMU said of a migration under way.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Look {
    /// Milliseconds since the migration began.
    pub at_ms: f64,
    /// Passes over the guest's memory, ram.dirty-sync-count.
    pub passes: u64,
    /// ram.remaining, bytes.
    pub remaining: u64,
    /// Bytes handed over so far.
    pub sent: u64,
    /// ram.dirty-pages-rate, pages a second.
    pub dirty_pages_rate: u64,
}

/// Where a VM stands between its first byte and its stop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// The bulk still flows; nothing to change.
    Bulk,
    /// On hold: let QEMU send at this rate, bytes a second, and look again.
    Hold {
        /// Rate for `max-bandwidth`.
        rate: u64,
    },
    /// On hold and level: ready to switch.
    Ready {
        /// Rate for `max-bandwidth`.
        rate: u64,
        /// Pages that a pass leaves.
        pages: u64,
    },
    /// It dirties memory faster than it can be sent.
    WontConverge {
        /// Bytes a second that it dirties.
        dirty_rate: f64,
        /// Bytes a second that it could send.
        send_rate: f64,
    },
}

/// Follows one VM.
#[derive(Debug)]
pub struct Hold {
    most_rate: u64,
    acceptable: u64,
    rate: Option<u64>,
    last: Look,
    pass_began: Look,
    after_sync: Vec<u64>,
    stuck: usize,
}

impl Hold {
    /// `most_rate`: the VM's share of the link, bytes a second. `acceptable`: bytes left after a
    /// pass that the switchover can carry within the user's limit for the gap.
    pub fn new(most_rate: u64, acceptable: u64) -> Self {
        Self {
            most_rate: most_rate.max(LEAST_RATE),
            acceptable: acceptable.max(64 * PAGE),
            rate: None,
            last: Look::default(),
            pass_began: Look::default(),
            after_sync: Vec::new(),
            stuck: 0,
        }
    }

    /// Takes a look at QEMU's numbers, in the order of time, and says what to do.
    pub fn look(&mut self, look: Look) -> Verdict {
        let new_pass = look.passes > self.last.passes && look.passes >= 2;
        let spun = look.passes.saturating_sub(self.last.passes);
        let between_ms = (look.at_ms - self.last.at_ms).max(1.0);
        self.last = look;
        if new_pass {
            if let Some(verdict) = self.judge_bulk(look) {
                return verdict;
            }
            self.after_sync.push(look.remaining / PAGE);
            self.pass_began = look;
        }
        let Some(rate) = self.rate else {
            // A pass ends with little left, whatever the guest does: what counts is how it began.
            let began_small = self.pass_began.remaining <= 4 * self.acceptable;
            if look.passes >= 2 && began_small && look.remaining <= self.acceptable {
                let rate = self.first_rate(look);
                self.rate = Some(rate);
                self.after_sync.clear();
                return Verdict::Hold { rate };
            }
            return Verdict::Bulk;
        };
        let rate = self.steer(rate, spun as f64 * 1000.0 / between_ms, look);
        self.rate = Some(rate);
        match self.level() {
            Some(pages) => Verdict::Ready { rate, pages },
            None => Verdict::Hold { rate },
        }
    }

    /// After a pass that did not shrink although the link was used: will it ever end?
    fn judge_bulk(&mut self, look: Look) -> Option<Verdict> {
        if self.rate.is_some() || look.remaining <= self.acceptable {
            self.stuck = 0;
            return None;
        }
        let before = self.after_sync.last().map(|pages| pages * PAGE);
        // QEMU begins a migration with the last one's estimate of the link, and may pass over the memory
        // again and again before it sends anything: such a pass proves nothing.
        let sent = look.sent.saturating_sub(self.pass_began.sent);
        if before.is_some_and(|before| sent < before / 8) {
            return None;
        }
        // A pass may end early for the same reason: what it sent is what its dirt is held against.
        let dirtied = before.map(|before| (look.remaining + sent).saturating_sub(before));
        match dirtied {
            Some(dirtied) if dirtied as f64 > 0.85 * sent as f64 => self.stuck += 1,
            _ => self.stuck = 0,
        }
        if self.stuck < 2 {
            return None;
        }
        let seconds = ((look.at_ms - self.pass_began.at_ms) / 1000.0).max(0.001);
        Some(Verdict::WontConverge {
            dirty_rate: dirtied.unwrap_or_default() as f64 / seconds,
            send_rate: sent as f64 / seconds,
        })
    }

    fn first_rate(&self, look: Look) -> u64 {
        let dirty = look.dirty_pages_rate * PAGE;
        (dirty + dirty / 2).clamp(LEAST_RATE, self.most_rate)
    }

    /// Many passes a second mean that QEMU spins for want of pages: slower. A remainder that
    /// grows means that it starves: faster.
    fn steer(&self, rate: u64, passes_per_second: f64, look: Look) -> u64 {
        let next = if passes_per_second > 40.0 {
            rate * 7 / 10
        } else if look.remaining > 2 * self.acceptable {
            rate * 3 / 2
        } else if passes_per_second < 2.0 && look.remaining > self.acceptable / 2 {
            rate * 5 / 4
        } else {
            rate
        };
        next.clamp(LEAST_RATE, self.most_rate)
    }

    fn level(&self) -> Option<u64> {
        let tail = self.after_sync.len().checked_sub(LEVEL_PASSES)?;
        let last = &self.after_sync[tail..];
        let (least, most) = (last.iter().min()?, last.iter().max()?);
        let newest = last.last()?;
        let small = *most <= 64;
        let falling = *newest < least + (most - least) / 4 && *most > least + least / 3;
        (small || !falling).then_some(*most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(at_ms: f64, passes: u64, pages: u64) -> Look {
        Look {
            at_ms,
            passes,
            remaining: pages * PAGE,
            sent: (at_ms * 20e3) as u64,
            dirty_pages_rate: 500,
        }
    }

    #[test]
    fn the_bulk_is_left_alone_until_a_second_pass() {
        let mut hold = Hold::new(4_000_000, 1_000_000);
        assert_eq!(hold.look(look(0.0, 1, 30000)), Verdict::Bulk);
        assert_eq!(hold.look(look(1000.0, 1, 10)), Verdict::Bulk);
    }

    #[test]
    fn a_vm_that_shrank_is_held_and_ready_when_its_passes_are_level() {
        let mut hold = Hold::new(4_000_000, 4_000_000);
        hold.look(look(0.0, 1, 30000));
        assert!(matches!(
            hold.look(look(1000.0, 2, 800)),
            Verdict::Hold { .. }
        ));
        let mut verdicts = Vec::new();
        for (step, pages) in [600, 250, 240, 250, 245].into_iter().enumerate() {
            verdicts.push(hold.look(look(1100.0 + 100.0 * step as f64, 3 + step as u64, pages)));
        }
        assert!(matches!(verdicts[1], Verdict::Hold { .. }));
        assert!(
            matches!(verdicts[4], Verdict::Ready { pages: 250, .. }),
            "{verdicts:?}"
        );
    }

    #[test]
    fn an_idle_guest_that_spins_is_slowed_to_the_least_rate() {
        let mut hold = Hold::new(4_000_000, 4_000_000);
        hold.look(look(0.0, 1, 30000));
        let mut rate = 0;
        for step in 0..40u64 {
            if let Verdict::Hold { rate: r } | Verdict::Ready { rate: r, .. } =
                hold.look(look(1000.0 + 20.0 * step as f64, 2 + step * 50, 0))
            {
                rate = r;
            }
        }
        assert_eq!(rate, LEAST_RATE);
    }

    #[test]
    fn the_end_of_a_long_pass_is_no_convergence() {
        let mut hold = Hold::new(4_000_000, 4_000_000);
        hold.look(look(0.0, 1, 30000));
        hold.look(look(9000.0, 2, 12000));
        assert_eq!(hold.look(look(18000.0, 2, 5)), Verdict::Bulk);
    }

    #[test]
    fn passes_before_anything_is_sent_prove_nothing() {
        let mut hold = Hold::new(4_000_000, 4_000_000);
        for pass in 1..8u64 {
            let spun = Look {
                sent: 0,
                ..look(50.0 * pass as f64, pass, 30000)
            };
            assert_eq!(hold.look(spun), Verdict::Bulk);
        }
    }

    #[test]
    fn passes_that_end_early_are_judged_by_what_they_sent() {
        let mut hold = Hold::new(4_000_000, 4_000_000);
        let (mut remaining, mut sent) = (30_000u64, 0);
        for pass in 1..12u64 {
            let early = Look {
                at_ms: 200.0 * pass as f64,
                passes: pass,
                remaining: remaining * PAGE,
                sent,
                dirty_pages_rate: 13_000,
            };
            assert_eq!(hold.look(early), Verdict::Bulk, "pass {pass}");
            // A fifth of what is left is sent, half as much is dirtied meanwhile.
            sent += remaining / 5 * PAGE;
            remaining -= remaining / 10;
        }
    }

    #[test]
    fn a_guest_that_dirties_faster_than_the_link_is_told_apart() {
        let mut hold = Hold::new(4_000_000, 4_000_000);
        let mut last = Verdict::Bulk;
        for pass in 1..8u64 {
            last = hold.look(look(2000.0 * pass as f64, pass, 12000));
        }
        assert!(matches!(last, Verdict::WontConverge { .. }), "{last:?}");
    }
}
