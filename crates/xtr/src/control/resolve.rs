//! Map-Requests of ours, and the packets that wait for their answers.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use lisp::message::{EidFlags, Encapsulated, InnerIp, MapReplyFlags};
use lisp::record::Action;
use lisp::subscription::NonceSequence;
use lisp::{Eid, MapReply, MapRequest, MapRequestFlags};

use super::cache::{Origin, Subscription, UNANSWERED};
use super::core::Core;
use super::outcome::{Change, Event, Outcome, Rejection, Waiting};
use crate::data::table::Route;

/// A question is repeated at most once a second (RFC 9301, section 5.3), twice as rarely each time.
const RETRY: Duration = Duration::from_secs(1);
const MOST_TRIES: u32 = 4;
/// Packets that wait for one answer, and for all.
const PER_QUESTION: usize = 8;
const MOST_WAITING: usize = 1024;
/// Questions at a time.
const MOST_QUESTIONS: usize = 10_000;

/// What we ask.
#[derive(Debug)]
struct Question {
    nonces: Vec<u64>,
    tries: u32,
    again: Duration,
    asked: Duration,
    solicited: bool,
    waiting: VecDeque<Waiting>,
}

/// All that we ask.
#[derive(Debug, Default)]
pub(super) struct Questions {
    by_eid: BTreeMap<Eid, Question>,
    by_nonce: HashMap<u64, Eid>,
    /// Endpoints asked for in the last second, so that nobody can make us ask all the time.
    recent: HashMap<Eid, Duration>,
    /// Solicited within that second, or while asked: the answer may be older than the change, so they
    /// are asked for once more when the second is over.
    later: BTreeMap<Eid, Duration>,
    waiting: usize,
}

impl Questions {
    /// How many there are, and packets that wait.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.by_eid.len(), self.waiting)
    }

    /// Whether a question has this nonce.
    pub(super) fn has(&self, nonce: u64) -> bool {
        self.by_nonce.contains_key(&nonce)
    }

    fn close(&mut self, eid: Eid) -> Option<Question> {
        let question = self.by_eid.remove(&eid)?;
        for nonce in &question.nonces {
            self.by_nonce.remove(nonce);
        }
        self.waiting -= question.waiting.len();
        Some(question)
    }
}

impl Core {
    /// A packet came for a destination without a mapping: it may wait while we ask. True if it does.
    pub fn missed(
        &mut self,
        destination: IpAddr,
        packet: Waiting,
        now: Duration,
        outcome: &mut Outcome,
    ) -> bool {
        let eid = Eid::host(packet.instance, destination);
        if let Some((_, known)) = self.cache.around(eid)
            && !matches!(known.route, Some(Route::Unknown))
        {
            // The answer came while the packet was on its way to us.
            outcome.resume.push(packet);
            return true;
        }
        if !self.questions.by_eid.contains_key(&eid) {
            if self.resolvers.is_empty() || self.questions.by_eid.len() >= MOST_QUESTIONS {
                return false;
            }
            self.ask(eid, false, now, outcome);
            outcome.changes.push(Change::Route(eid, Some(Route::Asked)));
        }
        let room = self.questions.waiting < MOST_WAITING;
        match self.questions.by_eid.get_mut(&eid) {
            Some(question) if room && question.waiting.len() < PER_QUESTION => {
                question.waiting.push_back(packet);
                self.questions.waiting += 1;
                true
            }
            _ => false,
        }
    }

    /// Asks for a mapping that is known, because it may have changed.
    pub(super) fn ask_again(
        &mut self,
        eid: Eid,
        solicited: bool,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        let recent = self.questions.recent.get(&eid);
        let soonest = recent.map_or(now, |at| *at + RETRY);
        if now < soonest || self.questions.by_eid.contains_key(&eid) {
            if solicited && self.questions.later.len() < MOST_QUESTIONS {
                self.questions.later.insert(eid, soonest);
            }
            return;
        }
        if !self.resolvers.is_empty() && self.questions.by_eid.len() < MOST_QUESTIONS {
            self.ask(eid, solicited, now, outcome);
        }
    }

    fn ask(&mut self, eid: Eid, solicited: bool, now: Duration, outcome: &mut Outcome) {
        self.questions.by_eid.insert(
            eid,
            Question {
                nonces: Vec::new(),
                tries: 0,
                again: now,
                asked: now,
                solicited,
                waiting: VecDeque::new(),
            },
        );
        self.questions.recent.insert(eid, now);
        self.send_question(eid, now, outcome);
    }

    /// Repeats questions, and gives those up that nobody answers.
    pub(super) fn ask_due(&mut self, now: Duration, outcome: &mut Outcome) {
        self.questions.recent.retain(|_, at| now < *at + RETRY);
        let asked = &self.questions.by_eid;
        let later = self.questions.later.iter();
        let ready = later.filter(|(eid, at)| **at <= now && !asked.contains_key(eid));
        for eid in ready.map(|(eid, _)| *eid).collect::<Vec<_>>() {
            self.questions.later.remove(&eid);
            self.ask_again(eid, true, now, outcome);
        }
        let due = self.questions.by_eid.iter();
        let due: BTreeSet<Eid> = due
            .filter(|(_, question)| question.again <= now)
            .map(|(eid, _)| *eid)
            .collect();
        for eid in due {
            let tries = self
                .questions
                .by_eid
                .get(&eid)
                .map_or(0, |question| question.tries);
            if tries < MOST_TRIES {
                self.send_question(eid, now, outcome);
                continue;
            }
            self.questions.close(eid);
            if self
                .cache
                .subscriptions
                .get(&eid)
                .is_some_and(|known| !known.confirmed)
            {
                self.cache.subscriptions.remove(&eid);
            }
            outcome.events.push(Event::Unresolved { eid });
            if !self.cache.mappings.contains_key(&eid) {
                let life = Some(UNANSWERED);
                self.put_mapping(
                    eid,
                    Origin::Learned,
                    Action::Drop,
                    Vec::new(),
                    life,
                    now,
                    outcome,
                );
            }
        }
    }

    fn send_question(&mut self, eid: Eid, now: Duration, outcome: &mut Outcome) {
        let Some(question) = self.questions.by_eid.get_mut(&eid) else {
            return;
        };
        let number = question.tries as usize;
        let solicited = question.solicited;
        question.again = now + RETRY * 2u32.pow(question.tries);
        question.tries += 1;
        let reachable = self.resolvers.iter();
        let reachable: Vec<_> = reachable.filter(|r| self.can_reach(r.address)).collect();
        let Some(&resolver) = reachable.get(number % reachable.len().max(1)) else {
            return;
        };
        let (to, legacy) = (
            SocketAddr::new(resolver.address, resolver.port),
            resolver.rfc6830,
        );
        let Some(rloc) = self.rloc_for(to.ip()) else {
            return;
        };
        let subscribes = self.subscribes && !legacy && !self.is_pitr;
        let nonce = match subscribes {
            true => self.subscription_nonce(eid),
            false => self.nonce(),
        };
        let mut request = MapRequest::new(nonce, eid, rloc);
        // Both families: the answer may come by either.
        let others = self.rlocs.iter().filter(|other| other.address != rloc);
        let others: Vec<_> = others.map(|other| other.address.into()).take(31).collect();
        request.itr_rlocs.extend(others);
        request.flags.set(MapRequestFlags::PITR, self.is_pitr);
        request.flags.set(MapRequestFlags::SMR_INVOKED, solicited);
        if subscribes {
            request.xtr = self.xtr;
            if let Some(record) = request.records.first_mut() {
                record.flags = EidFlags::NOTIFY;
            }
        }
        if let Some(question) = self.questions.by_eid.get_mut(&eid) {
            question.nonces.push(nonce);
            self.questions.by_nonce.insert(nonce, eid);
        }
        let ip = inner_ip(rloc, eid);
        outcome.message(
            to,
            &Encapsulated::new(ip, self.control_port, request).into(),
        );
    }

    /// The nonce of a subscription: the next one of a known sequence, or a new one.
    fn subscription_nonce(&mut self, eid: Eid) -> u64 {
        if let Some(known) = self.cache.subscriptions.get_mut(&eid) {
            // The same one again until it is confirmed: the confirmation may have been lost.
            let next = match known.confirmed {
                true => known.nonces.advance(),
                false => known.nonces.last(),
            };
            if let Some(next) = next {
                return next;
            }
        }
        let nonce = self.growing_nonce();
        let subscription = Subscription {
            nonces: NonceSequence::starting(nonce),
            confirmed: false,
        };
        self.cache.subscriptions.insert(eid, subscription);
        nonce
    }

    /// Takes a Map-Reply.
    pub(super) fn replied(
        &mut self,
        from: SocketAddr,
        reply: MapReply,
        now: Duration,
        outcome: &mut Outcome,
    ) {
        if reply.flags.contains(MapReplyFlags::PROBE) {
            return self.probed(from, &reply, now, outcome);
        }
        let Some(&eid) = self.questions.by_nonce.get(&reply.nonce) else {
            return self.reject(from, Rejection::Unasked, outcome);
        };
        let eids: Vec<Eid> = reply
            .records
            .iter()
            .filter_map(|record| record.eid())
            .collect();
        // More than was asked for is taken only if it is a part of what answers the question: an answer
        // must not say where anything else is.
        let related = |candidate: Eid| candidate.covers(eid) || eid.covers(candidate);
        let Some(&answer) = eids.iter().find(|candidate| related(**candidate)) else {
            return self.reject(from, Rejection::Unasked, outcome);
        };
        // Who answers so does not notify us.
        self.cache.subscriptions.remove(&eid);
        self.supersede(eid, answer, outcome);
        for record in &reply.records {
            let part = |found: Eid| related(found) || answer.covers(found);
            if record.eid().is_some_and(part) {
                self.learn(record, now, outcome);
            }
        }
        self.answered(eid, now, outcome);
    }

    /// The answer is for a wider prefix than what we have: that part does not exist any more.
    pub(super) fn supersede(&mut self, asked: Eid, answer: Eid, outcome: &mut Outcome) {
        let known = self.cache.mappings.get(&asked);
        let fixed = known.is_some_and(|known| known.origin == Origin::Static);
        if answer != asked && answer.covers(asked) && !fixed {
            self.forget_mapping(asked, outcome);
        }
    }

    /// Ends a question whose answer is in the cache.
    pub(super) fn answered(&mut self, eid: Eid, now: Duration, outcome: &mut Outcome) {
        let Some(question) = self.questions.close(eid) else {
            return;
        };
        // The entry for the question itself gives way to the answer, unless that is it.
        if !self.cache.mappings.contains_key(&eid) {
            outcome.changes.push(Change::Route(eid, None));
        }
        tracing::debug!(%eid, took = ?now.saturating_sub(question.asked), "resolved");
        outcome.resume.extend(question.waiting);
    }

    /// A mapping was set: questions that it answers end.
    pub(super) fn settle_questions(&mut self, eid: Eid, now: Duration, outcome: &mut Outcome) {
        let settled: Vec<Eid> = self
            .questions
            .by_eid
            .range(eid..)
            .take_while(|(asked, _)| eid.covers(**asked))
            .filter(|(_, question)| !question.waiting.is_empty())
            .map(|(asked, _)| *asked)
            .collect();
        for eid in settled {
            self.answered(eid, now, outcome);
        }
    }
}

/// The IP header in an Encapsulated Control Message: from us to the endpoint that is asked for. IPv4
/// and IPv6 cannot be mixed there, so the other family's is our own.
fn inner_ip(rloc: IpAddr, eid: Eid) -> InnerIp {
    let asked = lisp::Address::from(eid.address()).ip();
    match (rloc, asked) {
        (IpAddr::V4(rloc), Some(IpAddr::V4(asked))) => InnerIp::v4(rloc, asked),
        (IpAddr::V6(rloc), Some(IpAddr::V6(asked))) => InnerIp::v6(rloc, asked),
        (IpAddr::V4(rloc), Some(IpAddr::V6(asked))) => InnerIp::v6(rloc.to_ipv6_mapped(), asked),
        (IpAddr::V6(_), Some(IpAddr::V4(asked))) => InnerIp::v4(Ipv4Addr::UNSPECIFIED, asked),
        (IpAddr::V4(rloc), None) => InnerIp::v4(rloc, rloc),
        (IpAddr::V6(rloc), None) => InnerIp::v6(rloc, rloc),
    }
}
