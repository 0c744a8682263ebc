//! One pair of keys, ours and a peer's: its handshakes and sessions, which are the library's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use defguard_boringtun::noise::rate_limiter::RateLimiter;
use defguard_boringtun::noise::{Tunn, TunnResult};

use crate::key::{PublicKey, SecretKey};

/// How long the first, the second and each further initiation is left alone before another one is begun. WireGuard's own
/// REKEY_TIMEOUT is the last; sooner at first, since a lost one may be all that keeps a new key from taking over.
const AGAIN: [Duration; 3] = [
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(5),
];
/// After so long without any, the next one is the first again.
const AFRESH: Duration = Duration::from_secs(10);
/// Bytes of a handshake's message at most.
const MESSAGE: usize = 148;

/// A number that no link has had: it is the upper part of its sessions' indices.
pub(super) type LinkId = u32;

/// The link that a session belongs to.
pub(super) fn link_of(session: u32) -> LinkId {
    session >> 8
}

/// One of ours: the secret and what checks messages to it.
pub(super) struct Identity {
    pub(super) secret: SecretKey,
    pub(super) public: PublicKey,
    /// Asks for cookies when there are many handshakes.
    pub(super) strict: RateLimiter,
    /// Lets everything through: what reaches a link has been looked at before.
    pub(super) lenient: Arc<RateLimiter>,
}

impl Identity {
    pub(super) fn new(secret: SecretKey, handshakes: u64) -> Self {
        let public = secret.public();
        Self {
            strict: RateLimiter::new(&public.point(), handshakes),
            lenient: Arc::new(RateLimiter::new(&public.point(), u64::MAX)),
            secret,
            public,
        }
    }
}

pub(super) struct Link {
    pub(super) id: LinkId,
    pub(super) identity: PublicKey,
    pub(super) key: PublicKey,
    tunn: Tunn,
    /// Whether there is a session that can be sent with.
    ready: bool,
    /// When we have begun last.
    begun: Option<Instant>,
    /// How often, in a row.
    tries: usize,
    /// The session that we have offered in an answer, and that nothing has come by yet.
    offered: Option<u32>,
}

impl Link {
    pub(super) fn new(id: LinkId, identity: &Identity, key: PublicKey) -> Self {
        let (secret, limiter) = (identity.secret.secret(), Arc::clone(&identity.lenient));
        Self {
            id,
            identity: identity.public,
            key,
            // Keeping alive is not the library's: it gives up for good when a peer is away for long.
            tunn: Tunn::new(secret, key.point(), None, None, id, Some(limiter)),
            ready: false,
            begun: None,
            tries: 0,
            offered: None,
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    fn look(&mut self) {
        self.ready = self.tunn.time_since_last_handshake().is_some();
    }

    /// Begins a handshake, unless that was done a moment ago.
    pub(super) fn begin(&mut self, now: Instant) -> Option<Vec<u8>> {
        let since = self.begun.map(|begun| now.saturating_duration_since(begun));
        if since.is_none_or(|since| since >= AFRESH) {
            self.tries = 0;
        }
        let last = AGAIN.len() - 1;
        let pause = self
            .tries
            .checked_sub(1)
            .and_then(|tries| AGAIN.get(tries.min(last)));
        if let (Some(pause), Some(since)) = (pause, since)
            && since < *pause
        {
            return None;
        }
        self.tries += 1;
        self.begun = Some(now);
        let mut room = vec![0; MESSAGE];
        match self.tunn.format_handshake_initiation(&mut room, true) {
            TunnResult::WriteToNetwork(message) => Some(message.to_vec()),
            _ => None,
        }
    }

    /// What time brings: a new handshake, or something that keeps the session alive.
    pub(super) fn tick(&mut self, now: Instant) -> Option<Vec<u8>> {
        let mut room = vec![0; MESSAGE];
        let made = match self.tunn.update_timers(&mut room) {
            TunnResult::WriteToNetwork(message) => Some(message.to_vec()),
            _ => None,
        };
        if made
            .as_ref()
            .is_some_and(|message| message.len() == MESSAGE)
        {
            self.begun = Some(now);
        }
        self.look();
        made
    }

    /// Encrypts into `room`, which is at least 32 bytes longer. Nothing if there was no session after all.
    pub(super) fn seal<'a>(&mut self, plain: &[u8], room: &'a mut [u8]) -> Option<&'a mut [u8]> {
        match self.tunn.encapsulate(plain, room) {
            TunnResult::WriteToNetwork(message) => Some(message),
            _ => None,
        }
    }

    /// Takes a message that is for this link; `room` is at least as long as it is, and has room for an answer.
    pub(super) fn take<'a>(&mut self, message: &[u8], room: &'a mut [u8]) -> TunnResult<'a> {
        self.tunn.decapsulate(None, message, room)
    }

    /// Something good has come by a session. True if that completes the handshake that we have answered.
    pub(super) fn heard(&mut self, session: u32) -> bool {
        if !self.ready {
            self.look();
        }
        if self.offered == Some(session) {
            self.offered = None;
            return true;
        }
        false
    }

    /// We have answered with a session of this index.
    pub(super) fn has_offered(&mut self, session: Option<u32>) {
        self.offered = session;
    }

    /// Our handshake was answered.
    pub(super) fn completed(&mut self) {
        self.look();
    }
}
