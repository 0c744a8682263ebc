//! Sites, their keys and prefixes, and limits.

use std::time::Duration;

use lisp::Eid;
use lisp::auth::Secret;

/// What a Map-Server knows beforehand.
#[derive(Debug)]
pub struct Config {
    /// Who may register what.
    pub sites: Vec<Site>,
    /// How long a registration holds without the T bit. RFC 9301 has three minutes.
    pub registration_lifetime: Duration,
    /// How many mappings there may be.
    pub most_mappings: usize,
    /// How many xTRs may register.
    pub most_xtrs: usize,
    /// How many subscriptions there may be.
    pub most_subscriptions: usize,
    /// How many askers are remembered, to be solicited when what they asked for changes.
    pub most_askers: usize,
    /// How long an asker is remembered, and the TTL of answers: what it has cached runs out by then.
    pub asker_lifetime: Duration,
    /// When a notification that is not acknowledged is sent again. Each further wait is twice as
    /// long.
    pub retry_after: Duration,
    /// How often at most it is sent.
    pub most_tries: u8,
    /// The largest datagram that is read, bytes.
    pub most_bytes: usize,
    /// What one sender's address may send; no limit without it.
    pub pace: Option<Pace>,
    /// Whether changed registrations and nonces are remembered until [`MapServer::take_unsaved`]
    /// takes them.
    ///
    /// [`MapServer::take_unsaved`]: crate::MapServer::take_unsaved
    pub remember_unsaved: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sites: Vec::new(),
            registration_lifetime: Duration::from_secs(180),
            most_mappings: 2_000_000,
            most_xtrs: 1_000_000,
            most_subscriptions: 1_000_000,
            most_askers: 100_000,
            asker_lifetime: Duration::from_secs(24 * 60 * 60),
            retry_after: Duration::from_secs(1),
            most_tries: 4,
            most_bytes: 16 * 1024,
            pace: None,
            remember_unsaved: false,
        }
    }
}

/// How fast something may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Datagrams a second in the long run.
    pub per_second: u32,
    /// Datagrams at once after a pause.
    pub burst: u32,
}

/// Who shares secrets with us and may register prefixes.
#[derive(Debug)]
pub struct Site {
    /// Site-ID of its xTRs; subscriptions are signed with the first key of the site they name.
    pub id: u64,
    /// Its secrets; with several, one after the other can be changed.
    pub keys: Vec<Key>,
    /// What it may register.
    pub prefixes: Vec<Eid>,
    /// Whether it may register parts of its prefixes.
    pub accept_more_specifics: bool,
    /// Whether Map-Registers with a nonce that never grows are taken, as ETRs of RFC 6830's time
    /// send them. Such a registration can be replayed.
    pub accept_constant_nonce: bool,
}

/// A secret and how messages name it.
#[derive(Debug)]
pub struct Key {
    /// Key id in messages.
    pub id: u8,
    /// The secret.
    pub secret: Secret,
}

impl Site {
    pub(crate) fn key(&self, id: u8) -> Option<&Key> {
        self.keys.iter().find(|key| key.id == id)
    }
}
