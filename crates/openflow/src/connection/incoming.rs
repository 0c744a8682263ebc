//! What comes in, and whose it is.

use std::time::Instant;

use super::tracker::{Assembled, Span, Stage, is_reply};
use super::{CloseReason, Connection, Event, Failure, Refusal, State};
use crate::error::{DecodeError, DecodeErrorKind};
use crate::message::{
    Body, BundleControl, BundleControlKind, ErrorMessage, Experimenter, Hello, Message,
};
use crate::multipart::MultipartFlags;

impl Connection {
    /// Takes bytes from the peer, however they are cut.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) {
        if self.is_closed() || bytes.is_empty() {
            return;
        }
        self.keepalive.heard(now);
        let mut frames = std::mem::take(&mut self.frames);
        let sound = frames.feed(bytes, |frame| self.frame(frame));
        self.frames = frames;
        if let Err(e) = sound {
            self.close(CloseReason::Framing(e));
        }
    }

    fn frame(&mut self, frame: &[u8]) {
        if self.is_closed() {
            return;
        }
        match Message::decode(frame) {
            Ok((message, _)) => match self.state {
                State::Greeting => self.greeting(message, frame),
                State::Ready(_) => self.message(message, frame.len()),
                State::Closed => {}
            },
            Err(error) => self.malformed(error, frame),
        }
    }

    fn malformed(&mut self, error: DecodeError, frame: &[u8]) {
        // Before the versions agree nothing else than a hello can be expected.
        if self.state == State::Greeting
            && let DecodeErrorKind::Version { version } = error.kind
        {
            self.close(CloseReason::Incompatible { peer: version });
            return;
        }
        let xid = frame.get(4..8).and_then(|b| b.first_chunk::<4>());
        let id = xid.map_or(0, |xid| u32::from_be_bytes(*xid));
        if self.tracker.take_request(id) {
            self.events.push_back(Event::Failed {
                id,
                failure: Failure::Malformed(error),
            });
        } else {
            self.events.push_back(Event::Malformed {
                error,
                bytes: frame.to_vec(),
            });
        }
    }

    fn greeting(&mut self, message: Message, frame: &[u8]) {
        match message.body {
            Body::Hello(hello) => self.hello(message.version, &hello),
            Body::Error(error) if error.kind == 0 => self.close(CloseReason::HelloRefused(error)),
            body => {
                let message = Message { body, ..message };
                self.message(message, frame.len());
            }
        }
    }

    fn hello(&mut self, peer: u8, hello: &Hello) {
        match hello.negotiate(peer, &self.config.versions) {
            Some(version) => {
                self.state = State::Ready(version);
                self.events.push_back(Event::Ready { version });
            }
            None => {
                let xid = self.tracker.next_xid();
                let error = ErrorMessage::incompatible("OpenFlow 1.3 is needed");
                self.put(xid, Body::Error(error));
                self.close(CloseReason::Incompatible { peer });
            }
        }
    }

    fn message(&mut self, message: Message, bytes: usize) {
        let xid = message.xid;
        match message.body {
            Body::EchoRequest(data) => self.put(xid, Body::EchoReply(data)),
            Body::EchoReply(_) if self.tracker.is_probe(xid) => {}
            Body::Hello(_) => {}
            Body::Error(error) => self.error(xid, error),
            Body::BarrierReply if self.tracker.span_awaiting(xid).is_some() => {
                if let Some(span) = self.tracker.take_span(xid) {
                    self.done(span);
                }
            }
            Body::BundleControl(control)
            | Body::Experimenter(Experimenter::BundleControl(control))
                if is_reply(control.kind) =>
            {
                self.bundle_reply(xid, control);
            }
            Body::MultipartReply(part) => {
                let more = part.flags.contains(MultipartFlags::MORE);
                match self.tracker.assemble(xid, part.body, bytes, more) {
                    Assembled::Waiting | Assembled::Unknown => {}
                    Assembled::Whole(body) => {
                        let body = Body::MultipartReply(body.into());
                        self.events.push_back(Event::Reply { id: xid, body });
                    }
                    Assembled::TooLong => {
                        let limit = self.config.max_reply_bytes;
                        let failure = Failure::TooLong { limit };
                        self.events.push_back(Event::Failed { id: xid, failure });
                    }
                }
            }
            body if is_async(&body) || !self.tracker.take_request(xid) => {
                self.events
                    .push_back(Event::Async(Message { body, ..message }));
            }
            body => self.events.push_back(Event::Reply { id: xid, body }),
        }
    }

    fn done(&mut self, span: Span) {
        self.events.push_back(Event::Done {
            id: span.id,
            refusals: span.refusals,
        });
    }

    fn error(&mut self, xid: u32, error: ErrorMessage) {
        if self.tracker.take_request(xid) {
            self.events.push_back(Event::Failed {
                id: xid,
                failure: Failure::Refused(error),
            });
        } else if self.tracker.span_awaiting(xid).is_some() {
            self.control_refused(xid, error);
        } else if let Err(error) = self.tracker.refuse(xid, error) {
            self.events.push_back(Event::Error { xid, error });
        }
    }

    /// The close or commit of a bundle, or a barrier, was refused.
    fn control_refused(&mut self, xid: u32, error: ErrorMessage) {
        let Some(mut span) = self.tracker.take_span(xid) else {
            return;
        };
        let index = span.count as usize;
        span.refusals.push(Refusal { index, xid, error });
        match span.stage {
            Stage::Filling { bundle, .. } => self.decide(span, bundle),
            Stage::Barrier | Stage::Deciding { .. } => self.done(span),
        }
    }

    fn bundle_reply(&mut self, xid: u32, control: BundleControl) {
        let Some(span) = self.tracker.take_span(xid) else {
            return;
        };
        match span.stage {
            Stage::Filling { bundle, .. } if control.kind == BundleControlKind::CloseReply => {
                self.decide(span, bundle);
            }
            _ => self.done(span),
        }
    }

    /// The bundle is full: commit it if everything in it was accepted.
    fn decide(&mut self, mut span: Span, bundle: u32) {
        let request = self.tracker.next_xid();
        let kind = if span.refusals.is_empty() {
            BundleControlKind::CommitRequest
        } else {
            BundleControlKind::DiscardRequest
        };
        self.bundle_control(request, bundle, kind);
        span.stage = Stage::Deciding { bundle, request };
        self.tracker.resume_span(span);
    }
}

fn is_async(body: &Body) -> bool {
    matches!(
        body,
        Body::PacketIn(_) | Body::PortStatus(_) | Body::FlowRemoved(_)
    )
}
