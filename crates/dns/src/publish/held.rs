//! One name: what is wanted, what was published, and what the server is known to have.

use crate::{Content, DnsName, Marker};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// What a name was last told to say, and was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// What it says.
    pub content: Content,
    /// The epoch of the row that it follows from.
    pub epoch: u64,
    /// The serial of its marker.
    #[serde(default)]
    pub serial: u64,
    /// When the server acknowledged it, ms since the Unix epoch.
    pub unix_ms: u64,
    /// From the wish to the acknowledgement, ms.
    pub delay_ms: u64,
}

/// How a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// The server has acknowledged what is wanted.
    Published,
    /// An update is to be sent, or under way.
    Pending,
    /// The last try failed; it is tried again.
    Retrying,
    /// It is not sent until a person acts.
    Stopped,
}

/// A name as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View<'a> {
    /// The name.
    pub name: &'a DnsName,
    /// How it stands.
    pub state: State,
    /// What is wanted; nothing where the name is to go.
    pub wanted: Option<&'a Content>,
    /// The epoch of what is wanted.
    pub epoch: u64,
    /// What was last acknowledged.
    pub published: Option<&'a Published>,
    /// Why it is not published, in one sentence.
    pub why: Option<String>,
}

/// What the server is known to have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Known {
    /// No marker, so far as is known.
    #[default]
    Absent,
    /// This marker.
    Marked(Marker),
    /// It has to be asked.
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// Somebody else has the name.
    Taken(String),
    /// The server has a newer epoch of ours.
    Newer(u64),
    /// The server will never do it as it is.
    Refused(String),
}

impl Trouble {
    pub(super) fn sentence(&self) -> String {
        match self {
            Self::Taken(why) | Self::Refused(why) => why.clone(),
            Self::Newer(epoch) => format!(
                "the server has epoch {epoch} of this name, which is newer than the directory's: see whether an older \
                 copy of the controller's store was put back"
            ),
        }
    }
}

#[derive(Debug, Clone, Default)]
pub(super) struct Held {
    pub(super) wanted: Option<Content>,
    /// The newest that was ever wanted or published.
    pub(super) epoch: u64,
    /// Counts wishes.
    pub(super) wishes: u64,
    /// When what is wanted was wished for.
    pub(super) since: Duration,
    pub(super) published: Option<Published>,
    pub(super) known: Known,
    /// The serial of the newest marker that was sent or seen.
    pub(super) serial: u64,
    /// To be sent although it seems to be there.
    pub(super) force: bool,
    /// Not in one message with others: a message that held it was refused as a whole.
    pub(super) alone: bool,
    /// Updates in a row whose marker did not fit.
    pub(super) unmet: u32,
    pub(super) trouble: Option<Trouble>,
    pub(super) again_at: Duration,
}

impl Held {
    pub(super) fn wish(&mut self, content: Option<Content>, epoch: u64, now: Duration) {
        self.epoch = epoch;
        if self.wanted == content {
            return;
        }
        self.wanted = content;
        self.wishes += 1;
        self.since = now;
        if !matches!(self.trouble, Some(Trouble::Refused(_))) {
            self.trouble = None;
            self.again_at = now;
        }
    }

    pub(super) fn again(&mut self, now: Duration) {
        self.force = true;
        self.known = Known::Unknown;
        self.trouble = None;
        self.unmet = 0;
        self.again_at = now;
        self.since = now;
    }

    /// True where neither we nor the server have anything left of it.
    pub(super) fn says_nothing(&self) -> bool {
        self.wanted.is_none() && self.published.is_none() && self.known == Known::Absent
    }

    fn differs(&self) -> bool {
        match (&self.wanted, &self.published) {
            (Some(wanted), Some(published)) => *wanted != published.content,
            (None, None) => self.known != Known::Absent,
            _ => true,
        }
    }

    /// When it is to be sent; nothing when it is as wanted, or stopped.
    pub(super) fn due_at(&self) -> Option<Duration> {
        let stopped = matches!(self.trouble, Some(Trouble::Refused(_)));
        (!stopped && (self.force || self.differs())).then_some(self.again_at)
    }

    pub(super) fn is_due(&self, now: Duration) -> bool {
        self.due_at().is_some_and(|at| at <= now)
    }

    pub(super) fn view<'a>(
        &'a self,
        name: &'a DnsName,
        zone: Option<&str>,
        stopped: bool,
    ) -> View<'a> {
        let state = match (&self.trouble, self.due_at()) {
            (Some(Trouble::Refused(_)), _) => State::Stopped,
            (_, None) => State::Published,
            (_, Some(_)) if stopped => State::Stopped,
            (None, Some(_)) if zone.is_none() => State::Pending,
            _ => State::Retrying,
        };
        let why = match state {
            State::Published | State::Pending => None,
            _ => {
                let own = self.trouble.as_ref().map(Trouble::sentence);
                own.or_else(|| zone.map(str::to_owned))
            }
        };
        View {
            name,
            state,
            wanted: self.wanted.as_ref(),
            epoch: self.epoch,
            published: self.published.as_ref(),
            why,
        }
    }
}
