//! An appender that fills lengths in afterwards.

/// Appends to a buffer that may already hold other messages.
pub(crate) struct Writer<'a> {
    buf: &'a mut Vec<u8>,
    version: u8,
    overflow: Option<&'static str>,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buf: &'a mut Vec<u8>, version: u8) -> Self {
        Self {
            buf,
            version,
            overflow: None,
        }
    }

    /// The protocol version of the message being written.
    pub(crate) fn version(&self) -> u8 {
        self.version
    }

    /// Sets the version for a message inside a message, and gives back the one before.
    pub(crate) fn set_version(&mut self, version: u8) -> u8 {
        std::mem::replace(&mut self.version, version)
    }

    /// Position in the whole buffer.
    pub(crate) fn position(&self) -> usize {
        self.buf.len()
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        self.buf.extend_from_slice(bytes);
    }

    pub(crate) fn u8(&mut self, v: u8) {
        self.buf.push(v);
    }

    pub(crate) fn u16(&mut self, v: u16) {
        self.bytes(&v.to_be_bytes());
    }

    pub(crate) fn u32(&mut self, v: u32) {
        self.bytes(&v.to_be_bytes());
    }

    pub(crate) fn u64(&mut self, v: u64) {
        self.bytes(&v.to_be_bytes());
    }

    pub(crate) fn zeros(&mut self, n: usize) {
        self.buf.resize(self.buf.len() + n, 0);
    }

    /// Zeros up to a multiple of eight, counted from `start`.
    pub(crate) fn align8(&mut self, start: usize) {
        let length = self.buf.len().saturating_sub(start);
        self.zeros(length.next_multiple_of(8) - length);
    }

    /// Writes the number of bytes since `start` at `at`.
    pub(crate) fn patch_len(&mut self, at: usize, start: usize, what: &'static str) {
        let length = self.buf.len().saturating_sub(start);
        self.patch_u16(at, length, what);
    }

    /// Writes a 16-bit number at `at`, or remembers that it does not fit.
    pub(crate) fn patch_u16(&mut self, at: usize, value: usize, what: &'static str) {
        let Ok(value) = u16::try_from(value) else {
            self.overflow.get_or_insert(what);
            return;
        };
        if let Some(slot) = self.buf.get_mut(at..at + 2) {
            slot.copy_from_slice(&value.to_be_bytes());
        }
    }

    /// Remembers that a part is longer than its length field can say.
    pub(crate) fn too_long(&mut self, what: &'static str) {
        self.overflow.get_or_insert(what);
    }

    /// Puts bytes over what is there already; beyond the end nothing happens.
    pub(crate) fn overwrite(&mut self, at: usize, bytes: &[u8]) {
        if let Some(slot) = self.buf.get_mut(at..at.saturating_add(bytes.len())) {
            slot.copy_from_slice(bytes);
        }
    }

    /// The part that did not fit, if there was one.
    pub(crate) fn overflow(&self) -> Option<&'static str> {
        self.overflow
    }

    /// Takes everything behind `start` away again.
    pub(crate) fn truncate(&mut self, start: usize) {
        self.buf.truncate(start);
    }
}
