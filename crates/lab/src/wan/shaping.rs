//! What one direction of one site's access does to packets, and how it is changed.

use serde::{Deserialize, Serialize};

/// Nanoseconds on the relay's clock. Every core here takes time as a value.
pub type Nanos = u64;

pub(crate) const NANOS_PER_MS: f64 = 1e6;

/// The properties of one direction of a site's access.
///
/// A packet first waits for the line (`rate_mbit`, at most `queue_ms` of it), then may be lost on
/// it (`loss`), then takes `delay_ms` ± `jitter_ms`, uniformly. Packets never overtake each other:
/// one whose drawn delay would let it arrive before its predecessor arrives together with it. So
/// with a jitter larger than the distance between packets the mean delay lies above `delay_ms`, and
/// the spread below `jitter_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Shaping {
    /// Delay in milliseconds, 0 to 10,000.
    pub delay_ms: f64,
    /// Jitter in milliseconds, 0 to `delay_ms` (a larger one is cut at a delay of 0).
    pub jitter_ms: f64,
    /// Rate in megabits (10^6) per second of Ethernet frames without their check sequence;
    /// 0 is without limit.
    pub rate_mbit: f64,
    /// Probability that a packet is lost, 0 to 1.
    pub loss: f64,
    /// How much may wait for the line, in milliseconds of its rate; more is dropped at the tail.
    /// A packet that finds nothing waiting is always taken.
    pub queue_ms: f64,
}

impl Default for Shaping {
    /// A quarter of 31 ms (two accesses each way make the round trip), 200 Mbit/s, 100 ms of queue.
    fn default() -> Self {
        Self {
            delay_ms: 7.75,
            jitter_ms: 0.0,
            rate_mbit: 200.0,
            loss: 0.0,
            queue_ms: 100.0,
        }
    }
}

impl Shaping {
    /// Two sites with this shaping on all four accesses between them see this round trip.
    pub fn with_rtt_ms(rtt_ms: f64) -> Self {
        Self {
            delay_ms: rtt_ms / 4.0,
            ..Self::default()
        }
    }

    /// Refuses values out of range.
    pub fn check(&self) -> Result<(), ShapingError> {
        let range = |what, value: f64, max: f64| {
            // Not a number is in no range.
            if (0.0..=max).contains(&value) {
                Ok(())
            } else {
                Err(ShapingError { what, value, max })
            }
        };
        range("delay_ms", self.delay_ms, 10_000.0)?;
        range("jitter_ms", self.jitter_ms, 10_000.0)?;
        range("rate_mbit", self.rate_mbit, 1e6)?;
        range("loss", self.loss, 1.0)?;
        range("queue_ms", self.queue_ms, 60_000.0)
    }

    pub(crate) fn delay(&self) -> Nanos {
        nanos(self.delay_ms)
    }

    pub(crate) fn jitter(&self) -> Nanos {
        nanos(self.jitter_ms)
    }

    pub(crate) fn queue(&self) -> Nanos {
        nanos(self.queue_ms)
    }

    /// Time on the line of so many bytes.
    pub(crate) fn line_time(&self, bytes: usize) -> Nanos {
        if self.rate_mbit <= 0.0 {
            return 0;
        }
        (bytes as f64 * 8000.0 / self.rate_mbit) as Nanos
    }
}

fn nanos(ms: f64) -> Nanos {
    (ms * NANOS_PER_MS) as Nanos
}

/// A value out of range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("the WAN cannot have a {what} of {value}: use 0 to {max}")]
pub struct ShapingError {
    what: &'static str,
    value: f64,
    max: f64,
}

/// A direction as the site sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the site into the WAN.
    Up,
    /// From the WAN to the site.
    Down,
}

/// A change while the relay runs; what is `None` stays as it is.
///
/// A new rate holds at once, also for what waits. A new delay holds for packets that come from now
/// on; after a decrease they still do not overtake what is under way.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Change {
    /// The site; all when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The direction; both when `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// See [`Shaping::delay_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<f64>,
    /// See [`Shaping::jitter_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jitter_ms: Option<f64>,
    /// See [`Shaping::rate_mbit`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_mbit: Option<f64>,
    /// See [`Shaping::loss`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loss: Option<f64>,
    /// See [`Shaping::queue_ms`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_ms: Option<f64>,
}

impl Change {
    /// A change of everything to a shaping, for all sites and both directions.
    pub fn all_to(shaping: &Shaping) -> Self {
        Self {
            site: None,
            direction: None,
            delay_ms: Some(shaping.delay_ms),
            jitter_ms: Some(shaping.jitter_ms),
            rate_mbit: Some(shaping.rate_mbit),
            loss: Some(shaping.loss),
            queue_ms: Some(shaping.queue_ms),
        }
    }

    /// The same change for one site only.
    pub fn at(mut self, site: &str) -> Self {
        self.site = Some(site.to_owned());
        self
    }

    /// The same change for one direction only.
    pub fn towards(mut self, direction: Direction) -> Self {
        self.direction = Some(direction);
        self
    }

    /// The outcome of this change for one direction, checked.
    pub fn applied_to(&self, old: &Shaping) -> Result<Shaping, ShapingError> {
        let new = Shaping {
            delay_ms: self.delay_ms.unwrap_or(old.delay_ms),
            jitter_ms: self.jitter_ms.unwrap_or(old.jitter_ms),
            rate_mbit: self.rate_mbit.unwrap_or(old.rate_mbit),
            loss: self.loss.unwrap_or(old.loss),
            queue_ms: self.queue_ms.unwrap_or(old.queue_ms),
        };
        new.check().map(|()| new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_out_of_range_are_refused_with_the_range() {
        let change = |text: &str| serde_json::from_str::<Change>(text).unwrap();
        let base = Shaping::default();
        for bad in [
            r#"{"delay_ms":-1}"#,
            r#"{"loss":1.01}"#,
            r#"{"rate_mbit":1e9}"#,
            r#"{"queue_ms":1e9}"#,
        ] {
            let error = change(bad).applied_to(&base).unwrap_err();
            assert!(error.to_string().contains("use 0 to"), "{error}");
        }
        let nan = Change {
            jitter_ms: Some(f64::NAN),
            ..Change::default()
        };
        assert!(nan.applied_to(&base).is_err());
        assert!(serde_json::from_str::<Change>(r#"{"delay":1}"#).is_err());
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let change = Change {
            loss: Some(0.5),
            ..Change::default()
        };
        let new = change.applied_to(&Shaping::default()).unwrap();
        assert_eq!(
            new,
            Shaping {
                loss: 0.5,
                ..Shaping::default()
            }
        );
    }
}
