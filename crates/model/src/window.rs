//! Windows of time: from a moment until before another one.

use jiff::Timestamp;
use jiff::civil::Time;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

const DAY_MS: u64 = 24 * 3600 * 1000;

/// A window of time, `[from, until)`, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Window {
    /// Once, between two moments, ms since the Unix epoch.
    Once {
        /// It begins.
        from: u64,
        /// It has ended.
        until: u64,
    },
    /// Every day, ms since midnight UTC; one that ends before it begins goes past midnight.
    Daily {
        /// It begins.
        from: u64,
        /// It has ended.
        until: u64,
    },
}

/// Text that is not a window.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not a window: write two moments as in 2026-11-22T22:00:00Z/2026-11-23T04:00:00Z, or two times of every day (UTC) as in 22:00/04:00, of which the first is not the second"
)]
pub struct InvalidWindow(pub String);

impl Window {
    /// Whether a moment, ms since the Unix epoch, lies inside.
    pub fn contains(&self, unix_ms: u64) -> bool {
        self.closes(unix_ms).is_some()
    }

    /// When it closes, ms since the Unix epoch; none when it is not open at this moment.
    pub fn closes(&self, unix_ms: u64) -> Option<u64> {
        match *self {
            Self::Once { from, until } => (from..until).contains(&unix_ms).then_some(until),
            Self::Daily { from, until } => {
                let since = (unix_ms % DAY_MS + DAY_MS - from) % DAY_MS;
                let long = (until + DAY_MS - from) % DAY_MS;
                (since < long).then(|| unix_ms - since + long)
            }
        }
    }

    /// When it opens next, this moment if it is open; none when it never does again.
    pub fn opens(&self, unix_ms: u64) -> Option<u64> {
        match *self {
            Self::Once { from, until } => (unix_ms < until).then_some(from.max(unix_ms)),
            Self::Daily { .. } if self.contains(unix_ms) => Some(unix_ms),
            Self::Daily { from, .. } => Some(unix_ms + (from + DAY_MS - unix_ms % DAY_MS) % DAY_MS),
        }
    }
}

/// A moment, ms since the Unix epoch, as people write it.
pub fn moment(unix_ms: u64) -> String {
    let ms = i64::try_from(unix_ms).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(ms).map_or_else(|_| "never".to_owned(), |at| at.to_string())
}

fn time_of_day(ms: u64) -> String {
    let seconds = ms / 1000;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (hours, minutes, 0) => format!("{hours:02}:{minutes:02}"),
        (hours, minutes, rest) => format!("{hours:02}:{minutes:02}:{rest:02}"),
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Once { from, until } => write!(f, "{}/{}", moment(from), moment(until)),
            Self::Daily { from, until } => {
                write!(f, "{}/{}", time_of_day(from), time_of_day(until))
            }
        }
    }
}

impl FromStr for Window {
    type Err = InvalidWindow;

    fn from_str(text: &str) -> Result<Self, InvalidWindow> {
        let bad = || InvalidWindow(text.to_owned());
        let (from, until) = text.split_once('/').ok_or_else(bad)?;
        let at = |text: &str| {
            let at: Timestamp = text.parse().ok()?;
            u64::try_from(at.as_millisecond()).ok()
        };
        if let (Some(from), Some(until)) = (at(from), at(until)) {
            return match from < until {
                true => Ok(Self::Once { from, until }),
                false => Err(bad()),
            };
        }
        let of_day = |text: &str| {
            let time: Time = text.parse().ok()?;
            let seconds = [(time.hour(), 3600), (time.minute(), 60), (time.second(), 1)];
            seconds.iter().try_fold(0, |sum, (n, each)| {
                Some(sum + u64::try_from(*n).ok()? * each * 1000)
            })
        };
        match (of_day(from), of_day(until)) {
            (Some(from), Some(until)) if from != until => Ok(Self::Daily { from, until }),
            _ => Err(bad()),
        }
    }
}

impl TryFrom<String> for Window {
    type Error = InvalidWindow;
    fn try_from(text: String) -> Result<Self, InvalidWindow> {
        text.parse()
    }
}

impl From<Window> for String {
    fn from(window: Window) -> Self {
        window.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_700_000_000_000 / DAY_MS * DAY_MS + DAY_MS / 2;
    const HOUR: u64 = 3_600_000;

    #[test]
    fn windows_are_read_as_they_are_written() {
        for text in [
            "22:00/04:00",
            "08:30/17:00",
            "2026-11-22T22:00:00Z/2026-11-23T04:00:00Z",
        ] {
            assert_eq!(text.parse::<Window>().unwrap().to_string(), text);
        }
        for text in [
            "22:00",
            "22:00/22:00",
            "2026-11-23T04:00:00Z/2026-11-22T22:00:00Z",
            "25:00/26:00",
            "a/b",
            "22:00/2026-11-23T04:00:00Z",
        ] {
            let error = text.parse::<Window>().unwrap_err().to_string();
            assert!(error.contains("22:00/04:00"), "{error}");
        }
    }

    #[test]
    fn a_daily_window_may_go_past_midnight() {
        let night: Window = "22:00/04:00".parse().unwrap();
        assert!(!night.contains(NOON));
        assert_eq!(night.opens(NOON), Some(NOON + 10 * HOUR));
        assert_eq!(night.closes(NOON + 11 * HOUR), Some(NOON + 16 * HOUR));
        assert_eq!(night.closes(NOON + 13 * HOUR), Some(NOON + 16 * HOUR));
        assert_eq!(night.closes(NOON + 16 * HOUR), None);
    }

    #[test]
    fn a_window_that_is_over_never_opens_again() {
        let once = Window::Once {
            from: NOON,
            until: NOON + HOUR,
        };
        assert_eq!(once.opens(NOON - 5), Some(NOON));
        assert!(once.contains(NOON) && !once.contains(NOON + HOUR));
        assert_eq!(once.opens(NOON + HOUR), None);
    }
}
