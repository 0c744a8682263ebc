//! Map-Notify: confirmations of registrations, and publications of what we subscribe to (RFC 9437).

use std::net::SocketAddr;
use std::time::Duration;

use lisp::auth::{self, Authentication};
use lisp::subscription::Freshness;
use lisp::{Eid, MapNotify, Message};

use super::core::Core;
use super::outcome::{Outcome, Rejection};

impl Core {
    pub(super) fn notified(
        &mut self,
        from: SocketAddr,
        datagram: &[u8],
        notify: MapNotify,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        // A server is known by its secret: its answer may come from another of its addresses.
        let verified = |server: &super::register::Server| {
            server.key_id == notify.authentication.key_id
                && auth::verify(datagram, &server.secret).is_ok()
        };
        let by_address = |server: &super::register::Server| server.address.ip() == from.ip();
        let found = self
            .servers
            .iter()
            .position(|server| by_address(server) && verified(server))
            .or_else(|| self.servers.iter().position(verified));
        let Some(index) = found else {
            return self.reject(from, Rejection::Unauthenticated, outcome);
        };
        let eids: Vec<Eid> = notify
            .records
            .iter()
            .filter_map(|record| record.eid())
            .collect();
        let nonce = notify.nonce;
        if let Some(server) = self.servers.get_mut(index)
            && server.awaits(nonce)
            && let Some(confirmed) = server.confirm(nonce, &eids)
        {
            return self.registered(index, confirmed, outcome);
        }
        match self.published(nonce, &eids) {
            None => return self.reject(from, Rejection::Unasked, outcome),
            Some((_, Freshness::Old)) => return self.reject(from, Rejection::Replayed, outcome),
            Some((_, Freshness::Again)) => {}
            Some((subscribed, Freshness::New)) => {
                for eid in &eids {
                    self.supersede(subscribed, *eid, outcome);
                }
                for record in &notify.records {
                    let ours = record.eid().is_some_and(|eid| self.own.contains_key(&eid));
                    if !ours {
                        self.learn(record, now, outcome);
                    }
                }
                self.answered(subscribed, now, outcome);
            }
        }
        self.acknowledge(index, from, notify, outcome);
    }

    /// The subscription that a publication belongs to, and whether it is new.
    fn published(&mut self, nonce: u64, eids: &[Eid]) -> Option<(Eid, Freshness)> {
        let concerns = |subscribed: Eid| {
            let concerned = |eid: &Eid| eid.covers(subscribed) || subscribed.covers(*eid);
            eids.iter().any(concerned)
        };
        // Of several the one whose last nonce is nearest: each has a sequence of its own.
        let candidates = self.cache.subscriptions.iter();
        let candidates = candidates.filter(|(subscribed, _)| concerns(**subscribed));
        let nearest = candidates.min_by_key(|(_, subscription)| {
            let last = subscription.nonces.last().unwrap_or(0);
            (nonce < last, nonce.abs_diff(last))
        });
        let subscribed = *nearest?.0;
        let subscription = self.cache.subscriptions.get_mut(&subscribed)?;
        let mut freshness = subscription.nonces.accept(nonce);
        let asked = self.questions.has(nonce);
        if let Some(subscription) = self.cache.subscriptions.get_mut(&subscribed)
            && freshness == Freshness::Again
            && (!subscription.confirmed || asked)
        {
            // The confirmation has the nonce of the request.
            subscription.confirmed = true;
            freshness = Freshness::New;
        }
        Some((subscribed, freshness))
    }

    fn acknowledge(&self, server: usize, to: SocketAddr, notify: MapNotify, outcome: &mut Outcome) {
        let Some(server) = self.servers.get(server) else {
            return;
        };
        let ack = Message::MapNotifyAck(MapNotify {
            authentication: Authentication {
                data: vec![0; notify.authentication.data.len()].into(),
                ..notify.authentication
            },
            xtr: self.xtr,
            ..notify
        });
        if let Ok(bytes) = ack.to_signed_bytes(&server.secret) {
            outcome.send.push((to, bytes));
        }
    }
}
