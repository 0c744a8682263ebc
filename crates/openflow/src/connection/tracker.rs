//! Transaction ids, and which request an answer or an error belongs to.
//!
//! Requests with an answer of their own are found by their id. Messages without an answer are
//! found by the span of ids that their barrier or bundle closes. There are few spans at a time, so
//! they are searched.

use std::collections::{HashMap, HashSet, VecDeque};

use super::Refusal;
use crate::message::{BundleControlKind, ErrorMessage};
use crate::multipart::MultipartReplyBody;

#[derive(Debug)]
pub(super) struct Tracker {
    next: u32,
    max_reply_bytes: usize,
    requests: HashMap<u32, Parts>,
    probes: HashSet<u32>,
    spans: VecDeque<Span>,
    /// First id that no barrier has closed yet.
    open_from: u32,
    /// Errors of ids from `open_from` on: the next barrier reports them.
    open_errors: Vec<(u32, ErrorMessage)>,
    next_bundle: u32,
}

/// The parts of an answer so far.
#[derive(Debug, Default)]
struct Parts {
    body: Option<MultipartReplyBody>,
    bytes: usize,
}

/// Messages that are answered together.
#[derive(Debug)]
pub(super) struct Span {
    /// Id of the first message.
    pub(super) first: u32,
    /// Number of messages.
    pub(super) count: u32,
    /// Id that completes it: of the barrier, or the id the caller knows a bundle by.
    pub(super) id: u32,
    pub(super) stage: Stage,
    pub(super) refusals: Vec<Refusal>,
}

/// What completes a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// The reply to the barrier.
    Barrier,
    /// A bundle is being filled; the reply to this close request decides.
    Filling { bundle: u32, close: u32 },
    /// The reply to this commit or discard request ends it.
    Deciding { bundle: u32, request: u32 },
}

impl Span {
    fn covers(&self, xid: u32) -> Option<usize> {
        let index = xid.wrapping_sub(self.first);
        if index < self.count {
            Some(index as usize)
        } else {
            // A bundle is known by the id of its open request.
            (xid == self.id).then_some(self.count as usize)
        }
    }

    /// The id of the control message that is answered next.
    pub(super) fn awaits(&self) -> u32 {
        match self.stage {
            Stage::Barrier => self.id,
            Stage::Filling { close, .. } => close,
            Stage::Deciding { request, .. } => request,
        }
    }
}

/// What a part of an answer means.
pub(super) enum Assembled {
    /// Nobody asked.
    Unknown,
    /// More parts follow.
    Waiting,
    /// That is all.
    Whole(MultipartReplyBody),
    /// The limit is exceeded; the request is forgotten.
    TooLong,
}

impl Tracker {
    pub(super) fn new(max_reply_bytes: usize) -> Self {
        Self {
            next: 1,
            max_reply_bytes,
            requests: HashMap::new(),
            probes: HashSet::new(),
            spans: VecDeque::new(),
            // The first id is our hello's.
            open_from: 2,
            open_errors: Vec::new(),
            next_bundle: 1,
        }
    }

    /// A fresh id. Zero is left to the peer, which uses it for what it says on its own.
    pub(super) fn next_xid(&mut self) -> u32 {
        let xid = self.next;
        self.next = xid.checked_add(1).unwrap_or(1);
        xid
    }

    /// Starts the count anew early enough that no batch meets the wrap-around: positions in a batch
    /// are differences of ids.
    pub(super) fn begin_span(&mut self) {
        if self.next > u32::MAX / 2 {
            self.next = 1;
        }
    }

    pub(super) fn next_bundle(&mut self) -> u32 {
        let id = self.next_bundle;
        self.next_bundle = id.wrapping_add(1);
        id
    }

    pub(super) fn expect_reply(&mut self, xid: u32) {
        self.requests.insert(xid, Parts::default());
    }

    pub(super) fn probe(&mut self, xid: u32) {
        self.probes.clear();
        self.probes.insert(xid);
    }

    pub(super) fn is_probe(&mut self, xid: u32) -> bool {
        self.probes.remove(&xid)
    }

    /// The span from the last barrier up to `barrier`, with the errors that are in already.
    pub(super) fn close_open_span(&mut self, barrier: u32) {
        let first = self.open_from;
        let refusals = std::mem::take(&mut self.open_errors)
            .into_iter()
            .map(|(xid, error)| Refusal {
                index: xid.wrapping_sub(first) as usize,
                xid,
                error,
            })
            .collect();
        let count = barrier.wrapping_sub(first);
        self.add_span(Span {
            first,
            count,
            id: barrier,
            stage: Stage::Barrier,
            refusals,
        });
    }

    /// Adds a span. Ids up to now are closed.
    pub(super) fn add_span(&mut self, span: Span) {
        self.open_from = self.next;
        self.open_errors.clear();
        self.spans.push_back(span);
    }

    /// Puts a span back that goes on. Other messages may have been sent meanwhile.
    pub(super) fn resume_span(&mut self, span: Span) {
        self.spans.push_back(span);
    }

    /// Whether a request with an answer of its own is pending.
    pub(super) fn take_request(&mut self, xid: u32) -> bool {
        self.requests.remove(&xid).is_some()
    }

    pub(super) fn assemble(
        &mut self,
        xid: u32,
        body: MultipartReplyBody,
        bytes: usize,
        more: bool,
    ) -> Assembled {
        let Some(parts) = self.requests.get_mut(&xid) else {
            return Assembled::Unknown;
        };
        parts.bytes = parts.bytes.saturating_add(bytes);
        if parts.bytes > self.max_reply_bytes {
            self.requests.remove(&xid);
            return Assembled::TooLong;
        }
        match &mut parts.body {
            Some(all) => all.extend(body),
            none => *none = Some(body),
        }
        if more {
            return Assembled::Waiting;
        }
        match self.requests.remove(&xid).and_then(|parts| parts.body) {
            Some(body) => Assembled::Whole(body),
            None => Assembled::Unknown,
        }
    }

    /// The span that waits for an answer to this control message.
    pub(super) fn span_awaiting(&mut self, xid: u32) -> Option<&mut Span> {
        self.spans.iter_mut().find(|span| span.awaits() == xid)
    }

    /// Takes the span away that waits for this control message.
    pub(super) fn take_span(&mut self, xid: u32) -> Option<Span> {
        let at = self.spans.iter().position(|span| span.awaits() == xid)?;
        self.spans.remove(at)
    }

    /// Gives an error to the span or to the open messages it belongs to.
    pub(super) fn refuse(&mut self, xid: u32, error: ErrorMessage) -> Result<(), ErrorMessage> {
        for span in &mut self.spans {
            if let Some(index) = span.covers(xid) {
                span.refusals.push(Refusal { index, xid, error });
                return Ok(());
            }
        }
        // Only as many as can be of use: somebody may never send a barrier.
        let open = self.next.wrapping_sub(self.open_from);
        if xid.wrapping_sub(self.open_from) < open && self.open_errors.len() < 1024 {
            self.open_errors.push((xid, error.clone()));
        }
        Err(error)
    }

    /// The ids of everything that is pending.
    pub(super) fn take_all(&mut self) -> Vec<u32> {
        let requests = self.requests.drain().map(|(id, _)| id);
        requests
            .chain(self.spans.drain(..).map(|span| span.id))
            .collect()
    }

    pub(super) fn forget(&mut self, id: u32) {
        self.requests.remove(&id);
        self.spans.retain(|span| span.id != id);
    }
}

/// Whether a bundle-control message is an answer.
pub(super) fn is_reply(kind: BundleControlKind) -> bool {
    use BundleControlKind as Kind;
    matches!(
        kind,
        Kind::OpenReply | Kind::CloseReply | Kind::CommitReply | Kind::DiscardReply
    )
}
