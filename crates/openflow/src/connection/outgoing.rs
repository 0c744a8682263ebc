//! Requests, batches, barriers and bundles on their way out.

use super::Connection;
use super::tracker::{Span, Stage};
use crate::error::EncodeError;
use crate::message::{
    Body, BundleAdd, BundleControl, BundleControlKind, BundleFlags, Experimenter, Message, version,
};
use crate::multipart::MultipartRequest;

impl Connection {
    /// Sends a message that is answered. The answer comes as [`super::Event::Reply`] or
    /// [`super::Event::Failed`] with the returned id.
    ///
    /// # Errors
    /// The message does not fit its length field; nothing is sent.
    pub fn request(&mut self, body: impl Into<Body>) -> Result<u32, EncodeError> {
        let xid = self.tracker.next_xid();
        self.encode(xid, body.into())?;
        self.tracker.expect_reply(xid);
        Ok(xid)
    }

    /// Sends a request in several parts, all of them with one id.
    ///
    /// # Errors
    /// As [`Connection::request`].
    pub fn request_in_parts(
        &mut self,
        parts: impl IntoIterator<Item = MultipartRequest>,
    ) -> Result<u32, EncodeError> {
        let xid = self.tracker.next_xid();
        let start = self.output.len();
        for part in parts {
            if let Err(e) = self.encode(xid, part.into()) {
                self.output.truncate(start);
                return Err(e);
            }
        }
        self.tracker.expect_reply(xid);
        Ok(xid)
    }

    /// Sends a message that has no answer unless it is refused. The refusal is reported by the
    /// next [`Connection::barrier`], and at once as [`super::Event::Error`].
    ///
    /// # Errors
    /// As [`Connection::request`].
    pub fn send(&mut self, body: impl Into<Body>) -> Result<u32, EncodeError> {
        let xid = self.tracker.next_xid();
        self.encode(xid, body.into())?;
        Ok(xid)
    }

    /// Asks to be told when everything sent so far is done: [`super::Event::Done`] with the
    /// refusals of all messages since the previous barrier, batch or bundle.
    pub fn barrier(&mut self) -> u32 {
        let xid = self.tracker.next_xid();
        self.put(xid, Body::BarrierRequest);
        self.tracker.close_open_span(xid);
        xid
    }

    /// Sends messages and a barrier. [`super::Event::Done`] has the refusals of just these.
    ///
    /// # Errors
    /// A message does not fit its length field; nothing is sent.
    pub fn batch<B: Into<Body>>(
        &mut self,
        bodies: impl IntoIterator<Item = B>,
    ) -> Result<u32, EncodeError> {
        self.tracker.begin_span();
        let start = self.output.len();
        let first = self.tracker.next_xid();
        let (mut xid, mut count) = (first, 0u32);
        for body in bodies {
            if let Err(e) = self.encode(xid, body.into()) {
                self.output.truncate(start);
                return Err(e);
            }
            count = count.wrapping_add(1);
            xid = self.tracker.next_xid();
        }
        self.put(xid, Body::BarrierRequest);
        let refusals = Vec::new();
        self.tracker.add_span(Span {
            first,
            count,
            id: xid,
            stage: Stage::Barrier,
            refusals,
        });
        Ok(xid)
    }

    /// Sends messages that take effect together or not at all. [`super::Event::Done`] without
    /// refusals says that they did.
    ///
    /// The bundle is committed only after its last message was accepted, which costs one more
    /// round trip than a batch.
    ///
    /// # Errors
    /// A message does not fit its length field; nothing is sent.
    pub fn bundle<B: Into<Body>>(
        &mut self,
        bodies: impl IntoIterator<Item = B>,
    ) -> Result<u32, EncodeError> {
        self.tracker.begin_span();
        let bundle = self.tracker.next_bundle();
        let start = self.output.len();
        let open = self.tracker.next_xid();
        self.bundle_control(open, bundle, BundleControlKind::OpenRequest);
        let first = self.tracker.next_xid();
        let (mut xid, mut count) = (first, 0u32);
        for body in bodies {
            if let Err(e) = self.bundle_add(xid, bundle, body.into()) {
                self.output.truncate(start);
                return Err(e);
            }
            count = count.wrapping_add(1);
            xid = self.tracker.next_xid();
        }
        self.bundle_control(xid, bundle, BundleControlKind::CloseRequest);
        let stage = Stage::Filling { bundle, close: xid };
        self.tracker.add_span(Span {
            first,
            count,
            id: open,
            stage,
            refusals: Vec::new(),
        });
        Ok(open)
    }

    /// Forgets a request, batch or bundle: nobody waits for it any more.
    pub fn cancel(&mut self, id: u32) {
        self.tracker.forget(id);
    }

    fn native_bundles(&self) -> bool {
        self.version().is_some_and(|v| v >= version::OF14)
    }

    pub(super) fn bundle_control(&mut self, xid: u32, bundle_id: u32, kind: BundleControlKind) {
        let control = BundleControl {
            bundle_id,
            kind,
            flags: FLAGS,
        };
        let body = if self.native_bundles() {
            Body::BundleControl(control)
        } else {
            Body::Experimenter(Experimenter::BundleControl(control))
        };
        self.put(xid, body);
    }

    fn bundle_add(&mut self, xid: u32, bundle_id: u32, body: Body) -> Result<(), EncodeError> {
        let version = self.version().unwrap_or(version::OF13);
        let message = Message {
            version,
            xid,
            body,
            reserved: Vec::new(),
        };
        let add = BundleAdd {
            bundle_id,
            flags: FLAGS,
            message,
            properties: Vec::new().into(),
        };
        let body = if self.native_bundles() {
            Body::BundleAdd(Box::new(add))
        } else {
            Body::Experimenter(Experimenter::BundleAdd(Box::new(add)))
        };
        self.encode(xid, body)
    }
}

const FLAGS: BundleFlags = BundleFlags(BundleFlags::ATOMIC.0 | BundleFlags::ORDERED.0);
