//! Waits that grow.

use std::time::Duration;

/// How long to wait after failures in a row: `first`, then twice as long each time, up to `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waits {
    /// After the first failure.
    pub first: Duration,
    /// However many there were.
    pub most: Duration,
}

impl Waits {
    /// The wait after this many failures in a row; none after none.
    pub fn after(self, failures: u32) -> Duration {
        match failures.checked_sub(1) {
            None => Duration::ZERO,
            Some(doublings) => {
                let factor = 1_u32.checked_shl(doublings.min(31)).unwrap_or(u32::MAX);
                self.first.saturating_mul(factor).min(self.most)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        let waits = Waits {
            first: Duration::from_millis(250),
            most: Duration::from_secs(60),
        };
        let ms = |failures| waits.after(failures).as_millis();
        assert_eq!((ms(0), ms(1), ms(2), ms(3)), (0, 250, 500, 1000));
        assert_eq!((ms(20), ms(u32::MAX)), (60_000, 60_000));
    }
}
