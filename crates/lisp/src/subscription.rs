//! Publish/subscribe, RFC 9437: what a Map-Request asks for, and which nonces are believed.
//!
//! A subscription begins with a random nonce. The Map-Server confirms it with a Map-Notify of the
//! same nonce, and each later Map-Notify and each renewal has the one before plus one. So has each
//! Map-Register (RFC 9301, section 5.6). Who keeps the last nonce recognizes what is replayed.

use crate::address::Address;
use crate::message::{EidFlags, MapRequest, MapRequestFlags};
use crate::record::XtrId;

/// What a Map-Request asks for besides an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Answer,
    /// To be told of changes of the prefixes with the N flag.
    Subscribe(XtrId),
    /// Not to be told any more.
    Unsubscribe(XtrId),
}

/// Why a subscription cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WishError {
    /// The request does not say who subscribes.
    #[error("a subscription without an xTR-ID; let the xTR send xTR-ID and Site-ID with it")]
    NoXtrId,
    /// The request is a probe or solicits another one.
    #[error("a probe or solicitation cannot subscribe; let the xTR send a Map-Request of its own")]
    NotARequest,
}

impl MapRequest {
    /// What the request asks for.
    ///
    /// # Errors
    /// It asks for a subscription that RFC 9437 does not allow. It may still be answered.
    pub fn wish(&self) -> Result<Wish, WishError> {
        let notify = |flags: EidFlags| flags.contains(EidFlags::NOTIFY);
        if !self.records.iter().any(|record| notify(record.flags)) {
            return Ok(Wish::Answer);
        }
        if self
            .flags
            .intersects(MapRequestFlags::PROBE | MapRequestFlags::SMR)
        {
            return Err(WishError::NotARequest);
        }
        let xtr = self.xtr.ok_or(WishError::NoXtrId)?;
        Ok(match self.itr_rlocs.as_slice() {
            [Address::None] => Wish::Unsubscribe(xtr),
            _ => Wish::Subscribe(xtr),
        })
    }
}

/// Whether a message is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// Its nonce is larger than all before.
    New,
    /// The last one again: its answer was lost. Answer it once more, and change nothing.
    Again,
    /// Older than the last one: late or replayed. Drop it.
    Old,
}

/// The last nonce of a sequence that only grows. 64 bits do not run out; who starts again must change
/// the key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NonceSequence(Option<u64>);

impl NonceSequence {
    /// A sequence in which nothing was seen.
    pub const fn new() -> Self {
        Self(None)
    }

    /// A sequence that begins with `nonce`, which should be random.
    pub const fn starting(nonce: u64) -> Self {
        Self(Some(nonce))
    }

    /// The last nonce.
    pub fn last(self) -> Option<u64> {
        self.0
    }

    /// Judges a received nonce without taking it.
    pub fn judge(self, nonce: u64) -> Freshness {
        match self.0 {
            None => Freshness::New,
            Some(last) if nonce > last => Freshness::New,
            Some(last) if nonce == last => Freshness::Again,
            Some(_) => Freshness::Old,
        }
    }

    /// Takes a received nonce if it is new. Call it only for what is authenticated.
    pub fn accept(&mut self, nonce: u64) -> Freshness {
        let freshness = self.judge(nonce);
        if freshness == Freshness::New {
            self.0 = Some(nonce);
        }
        freshness
    }

    /// The next nonce to send; nothing where they have run out.
    pub fn advance(&mut self) -> Option<u64> {
        let next = match self.0 {
            None => 0,
            Some(last) => last.checked_add(1)?,
        };
        self.0 = Some(next);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Eid;
    use std::net::Ipv4Addr;

    fn request() -> MapRequest {
        let eid = Eid::host(7, Ipv4Addr::new(10, 0, 0, 5));
        let mut request = MapRequest::new(1, eid, Ipv4Addr::new(192, 0, 2, 1));
        request.records[0].flags = EidFlags::NOTIFY;
        request
    }

    #[test]
    fn a_subscription_needs_to_say_who_subscribes() {
        let xtr = XtrId {
            xtr_id: 5,
            site_id: 9,
        };
        assert_eq!(request().wish(), Err(WishError::NoXtrId));
        let mut asked = request();
        asked.xtr = Some(xtr);
        assert_eq!(asked.wish(), Ok(Wish::Subscribe(xtr)));
        asked.itr_rlocs = vec![Address::None];
        assert_eq!(asked.wish(), Ok(Wish::Unsubscribe(xtr)));
        asked.flags = MapRequestFlags::PROBE;
        assert_eq!(asked.wish(), Err(WishError::NotARequest));
        asked.records[0].flags = EidFlags::empty();
        assert_eq!(asked.wish(), Ok(Wish::Answer));
    }

    #[test]
    fn an_old_nonce_is_never_believed_again() {
        let mut sequence = NonceSequence::new();
        assert_eq!(sequence.accept(41), Freshness::New);
        assert_eq!(sequence.accept(41), Freshness::Again);
        assert_eq!(sequence.accept(44), Freshness::New);
        assert_eq!(sequence.accept(42), Freshness::Old);
        assert_eq!(sequence.advance(), Some(45));
        let mut end = NonceSequence::starting(u64::MAX);
        assert_eq!(end.advance(), None);
    }
}
