//! Bundles: messages that take effect together or not at all.
//!
//! OpenFlow 1.4 (7.3.9) has them as messages of their own; with 1.3 they are messages of the ONF
//! experimenter (extension 230) with the same contents, see [`super::Experimenter`].

use serde::Serialize;

use super::Message;
use crate::error::DecodeError;
use crate::wire::{Blob, Reader, Wire, Writer, flags, layout, open_enum};

open_enum! {
    /// What happens to a bundle.
    pub enum BundleControlKind: u16 {
        /// Open it.
        OpenRequest = 0,
        /// It is open.
        OpenReply = 1,
        /// Close it: nothing can be added any more.
        CloseRequest = 2,
        /// It is closed.
        CloseReply = 3,
        /// Do all of it.
        CommitRequest = 4,
        /// All of it is done.
        CommitReply = 5,
        /// Forget it.
        DiscardRequest = 6,
        /// It is forgotten.
        DiscardReply = 7,
    }
}

flags! {
    /// Promises of a bundle.
    pub struct BundleFlags: u16 {
        /// All or nothing.
        ATOMIC = 1,
        /// In the order of adding.
        ORDERED = 2,
    }
}

/// Opens, closes, commits or discards a bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BundleControl {
    /// Which bundle.
    pub bundle_id: u32,
    /// What happens.
    pub kind: BundleControlKind,
    /// Promises.
    pub flags: BundleFlags,
}

layout!(BundleControl { bundle_id kind flags });

/// Puts a message in a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BundleAdd {
    /// Which bundle.
    pub bundle_id: u32,
    /// Promises, the same as at opening.
    pub flags: BundleFlags,
    /// The message; the specification wants it to have the same xid as the one around.
    pub message: Message,
    /// Properties behind it, as bytes.
    #[serde(skip_serializing_if = "is_empty")]
    pub properties: Blob,
}

fn is_empty(blob: &Blob) -> bool {
    blob.is_empty()
}

impl Wire for BundleAdd {
    fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let bundle_id = r.u32()?;
        r.pad(2)?;
        let flags = BundleFlags::decode(r)?;
        let message = Message::read(r)?;
        Ok(Self {
            bundle_id,
            flags,
            message,
            properties: r.rest().into(),
        })
    }

    fn encode(&self, w: &mut Writer<'_>) {
        w.u32(self.bundle_id);
        w.zeros(2);
        self.flags.encode(w);
        self.message.write(w);
        w.bytes(&self.properties);
    }
}
