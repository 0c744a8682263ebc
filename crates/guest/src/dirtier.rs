//! The memory dirtier: an area of random data of which whole pages are rewritten at a steady rate.
//!
//! Time comes in from outside. The rate is kept by counting what is due since the last change of
//! settings; after a hold-up at most 100 ms are made up for, so a slow host does not turn into a burst.

use crate::params::Dirty;
use std::ptr::NonNull;

const PAGE: usize = 4096;
const SECOND: u64 = 1_000_000_000;
/// Pages filled in one step while the area is made, short enough to keep echoing in between.
const FILL_STEP: usize = 64;

/// xorshift64*: cheap under emulation, and no compressor finds anything in it.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// An anonymous mapping, given back when dropped.
struct Area {
    start: NonNull<u64>,
    pages: usize,
}

impl Area {
    fn new(pages: usize) -> Option<Area> {
        // SAFETY: a fresh anonymous mapping touches nothing that exists.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                pages * PAGE,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        (start != libc::MAP_FAILED).then_some(())?;
        Some(Area {
            start: NonNull::new(start.cast())?,
            pages,
        })
    }

    fn page(&mut self, index: usize) -> &mut [u64] {
        debug_assert!(index < self.pages);
        let words = PAGE / size_of::<u64>();
        // SAFETY: callers stay below `pages`; the mapping is ours alone and zeroed at first.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().add(index * words), words) }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: exactly the mapping made in `new`; no slice of it outlives a method call.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.pages * PAGE) };
    }
}

/// See the module.
pub(crate) struct Dirtier {
    settings: Dirty,
    area: Option<Area>,
    filled: usize,
    random: Random,
    /// Start of the count of pages due, and how many of those are done.
    since: u64,
    done: u64,
    /// Pages rewritten in this epoch of statistics.
    pub(crate) written: u64,
}

impl Dirtier {
    pub(crate) fn new(seed: u64) -> Dirtier {
        Dirtier {
            settings: Dirty::default(),
            area: None,
            filled: 0,
            random: Random::new(seed),
            since: 0,
            done: 0,
            written: 0,
        }
    }

    pub(crate) fn settings(&self) -> Dirty {
        self.settings
    }

    /// Whether the whole area holds its random data.
    pub(crate) fn is_filled(&self) -> bool {
        self.area.as_ref().is_none_or(|a| self.filled == a.pages)
    }

    /// Takes new settings; `free_mb` is the guest's free memory. A refusal changes nothing.
    pub(crate) fn set(&mut self, new: Dirty, now: u64, free_mb: u64) -> Result<(), String> {
        if new.mb == 0 && new.pages_per_s > 0 {
            return Err("pages to dirty, but no area: give mb as well".into());
        }
        if new.mb != self.settings.mb {
            // What is left serves sockets and page tables; without it the kernel kills process 1.
            let usable = (free_mb + u64::from(self.settings.mb)).saturating_sub(12);
            if u64::from(new.mb) > usable {
                return Err(format!(
                    "{} MB do not fit, {usable} MB are usable: start the VM with more memory",
                    new.mb
                ));
            }
            self.area = None;
            self.filled = 0;
            if new.mb > 0 {
                let pages = (new.mb as usize) << 8;
                self.area = Some(Area::new(pages).ok_or("the kernel gives no such area")?);
            }
        }
        self.settings = new;
        self.since = now;
        self.done = 0;
        Ok(())
    }

    /// When to call [`Dirtier::step`] next: at once while the area is being filled, never when idle.
    pub(crate) fn next_due(&self) -> Option<u64> {
        if !self.is_filled() {
            return Some(0);
        }
        if self.settings.pages_per_s == 0 || self.area.is_none() {
            return None;
        }
        // On a grid of 10 ms: a wake-up costs as much as some ten pages.
        let at = self.since + (self.done + 1) * SECOND / u64::from(self.settings.pages_per_s);
        Some(at.next_multiple_of(10_000_000))
    }

    /// Fills a part of the area, or rewrites the pages that are due.
    pub(crate) fn step(&mut self, now: u64) {
        let Some(area) = self.area.as_mut() else {
            return;
        };
        if self.filled < area.pages {
            let end = (self.filled + FILL_STEP).min(area.pages);
            for index in self.filled..end {
                area.page(index).fill_with(|| self.random.next());
            }
            self.filled = end;
            self.since = now;
            self.done = 0;
            return;
        }
        let rate = u64::from(self.settings.pages_per_s);
        let due = now.saturating_sub(self.since).saturating_mul(rate) / SECOND;
        if due > self.done + rate.div_ceil(10) {
            self.since = now;
            self.done = 0;
            self.rewrite(rate.div_ceil(10));
        } else {
            self.rewrite(due - self.done);
            self.done = due;
        }
    }

    fn rewrite(&mut self, pages: u64) {
        let Some(area) = self.area.as_mut() else {
            return;
        };
        for _ in 0..pages {
            let index = (self.random.next() % area.pages as u64) as usize;
            self.written += 1;
            if self.settings.random {
                area.page(index).fill_with(|| self.random.next());
            } else {
                area.page(index).fill(self.written);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn filled(settings: Dirty) -> Dirtier {
        let mut d = Dirtier::new(7);
        d.set(settings, 0, 1000).unwrap();
        while !d.is_filled() {
            d.step(0);
        }
        d
    }

    #[test]
    fn a_second_in_steps_rewrites_exactly_the_pages_asked_for() {
        let mut d = filled(Dirty {
            mb: 1,
            pages_per_s: 500,
            random: true,
        });
        let (mut now, mut steps) = (0, 0);
        while let Some(at) = d.next_due() {
            if at > SECOND {
                break;
            }
            now = at;
            d.step(now);
            steps += 1;
        }
        assert_eq!((now, d.written, steps), (SECOND, 500, 100));
    }

    #[test]
    fn after_a_hold_up_a_tenth_of_a_second_is_made_up_for_and_no_more() {
        let mut d = filled(Dirty {
            mb: 1,
            pages_per_s: 1000,
            random: false,
        });
        d.step(60 * SECOND);
        assert_eq!(d.written, 100);
        d.step(60 * SECOND + 10 * MS);
        assert_eq!(d.written, 110);
    }

    #[test]
    fn an_idle_dirtier_never_wakes_the_guest() {
        assert_eq!(Dirtier::new(1).next_due(), None);
        assert_eq!(
            filled(Dirty {
                mb: 1,
                pages_per_s: 0,
                random: true
            })
            .next_due(),
            None
        );
    }

    #[test]
    fn an_area_that_does_not_fit_is_refused_and_the_old_one_stays() {
        let mut d = filled(Dirty {
            mb: 1,
            pages_per_s: 5,
            random: true,
        });
        let refusal = d
            .set(
                Dirty {
                    mb: 500,
                    pages_per_s: 5,
                    random: true,
                },
                0,
                100,
            )
            .unwrap_err();
        assert!(refusal.contains("89 MB are usable"), "{refusal}");
        assert_eq!(d.settings().mb, 1);
        assert!(
            d.set(
                Dirty {
                    mb: 0,
                    pages_per_s: 5,
                    random: true
                },
                0,
                100
            )
            .is_err()
        );
    }

    #[test]
    fn random_pages_differ_and_counter_pages_hold_one_word() {
        let mut d = filled(Dirty {
            mb: 1,
            pages_per_s: 1000,
            random: false,
        });
        d.step(10 * MS);
        let area = d.area.as_mut().unwrap();
        let uniform = (0..256)
            .filter(|i| area.page(*i).windows(2).all(|w| w[0] == w[1]))
            .count();
        assert!((1..=10).contains(&uniform), "{uniform}");
    }
}
