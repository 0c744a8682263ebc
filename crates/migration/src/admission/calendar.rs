//! The windows that hold for one migration: its own, and those of both sites.

use super::Request;
use model::limits::Limits;
use model::window::Window;

/// Alternating windows of several calendars are followed this far to find a moment in all of them.
const STEPS: usize = 400;

/// Windows of which one of each set must be open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    sets: Vec<Vec<Window>>,
}

impl Calendar {
    /// The windows that hold for a migration.
    pub fn of(limits: &Limits, request: &Request) -> Self {
        let sites = [&request.from, &request.to].into_iter();
        let sites = sites.filter_map(|site| limits.windows.get(site).cloned());
        let own = request.window.map(|window| vec![window]);
        Self {
            sets: sites.chain(own).filter(|set| !set.is_empty()).collect(),
        }
    }

    /// When the first of them closes, ms since the Unix epoch, [`u64::MAX`] for never; none when one is
    /// not open at this moment.
    pub fn closes(&self, unix_ms: u64) -> Option<u64> {
        self.sets.iter().try_fold(u64::MAX, |first, set| {
            let last = set.iter().filter_map(|window| window.closes(unix_ms)).max();
            last.map(|last| first.min(last))
        })
    }

    /// When all of them are open next, this moment if they are; none when they never are again, as far as
    /// can be told.
    pub fn opens(&self, unix_ms: u64) -> Option<u64> {
        let mut at = unix_ms;
        for _ in 0..STEPS {
            if self.closes(at).is_some() {
                return Some(at);
            }
            let next = self.sets.iter().map(|set| {
                let openings = set.iter().filter_map(|window| window.opens(at));
                openings.min()
            });
            let latest = next.collect::<Option<Vec<_>>>()?.into_iter().max()?;
            at = match latest > at {
                true => latest,
                // Unreachable while windows keep their word; it ends in any case.
                false => at + 1,
            };
        }
        None
    }
}
