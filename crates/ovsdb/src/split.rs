//! Cuts a byte stream into JSON texts.
//!
//! RFC 7047 4 puts JSON objects one after the other with no separator, so their ends are found by counting
//! brackets outside of strings. Each byte is looked at once, however the stream is cut, and what is kept is bounded.

/// Bounds and the unfinished text.
#[derive(Debug)]
pub struct Splitter {
    text: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    limit: usize,
}

/// Deepest accepted nesting; the protocol itself needs about 10.
pub const DEPTH_LIMIT: usize = 100;

/// The stream cannot be followed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A byte between texts that starts none.
    #[error("byte {0:#04x} where a JSON object should begin")]
    NoObject(u8),
    /// Nested deeper than [`DEPTH_LIMIT`].
    #[error("JSON nested deeper than {DEPTH_LIMIT}")]
    TooDeep,
    /// Longer than the limit.
    #[error(
        "a JSON text longer than {0} bytes; raise Options::message_limit if the database is that large"
    )]
    TooLong(usize),
}

impl Splitter {
    /// Accepts texts of up to `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self {
            text: Vec::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            limit,
        }
    }

    /// Takes bytes from the front of `bytes`; `None` when they ran out before a text ended.
    ///
    /// # Errors
    /// After an error the stream is lost; make a new splitter for a new connection.
    pub fn next(&mut self, bytes: &mut &[u8]) -> Result<Option<Vec<u8>>, SplitError> {
        if self.depth == 0 {
            *bytes = bytes.trim_ascii_start();
        }
        for (at, byte) in bytes.iter().enumerate() {
            if self.step(*byte)? {
                let (head, rest) = bytes.split_at(at + 1);
                self.keep(head)?;
                *bytes = rest;
                return Ok(Some(std::mem::take(&mut self.text)));
            }
        }
        self.keep(bytes)?;
        *bytes = &[];
        Ok(None)
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), SplitError> {
        if self.text.len().saturating_add(bytes.len()) > self.limit {
            self.text = Vec::new();
            return Err(SplitError::TooLong(self.limit));
        }
        self.text.extend_from_slice(bytes);
        Ok(())
    }

    /// Whether this byte ends a text.
    fn step(&mut self, byte: u8) -> Result<bool, SplitError> {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return Ok(false);
        }
        match byte {
            b'{' | b'[' if self.depth == DEPTH_LIMIT => return Err(SplitError::TooDeep),
            b'{' | b'[' => self.depth += 1,
            _ if self.depth == 0 => return Err(SplitError::NoObject(byte)),
            b'}' | b']' => {
                self.depth -= 1;
                return Ok(self.depth == 0);
            }
            b'"' => self.in_string = true,
            _ => {}
        }
        Ok(false)
    }
}
