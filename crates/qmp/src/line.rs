//! Cuts a byte stream into lines of bounded length.

/// One cut.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// A whole line without its end.
    Line(Vec<u8>),
    /// A line was longer than the limit; all of it was thrown away.
    TooLong,
}

/// Holds the unfinished line, never more than `limit` bytes.
#[derive(Debug)]
pub(crate) struct Lines {
    partial: Vec<u8>,
    skipping: bool,
    limit: usize,
}

impl Lines {
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            partial: Vec::new(),
            skipping: false,
            limit,
        }
    }

    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// Takes bytes from the front of `bytes`, up to and with one line end; `None` when they ran out first.
    pub(crate) fn next(&mut self, bytes: &mut &[u8]) -> Option<Cut> {
        let end = bytes.iter().position(|b| *b == b'\n');
        let (head, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        *bytes = if end.is_some() { &rest[1..] } else { rest };
        if !self.skipping {
            if self.partial.len() + head.len() > self.limit {
                self.partial = Vec::new();
                self.skipping = true;
            } else {
                self.partial.extend_from_slice(head);
            }
        }
        end?;
        if std::mem::take(&mut self.skipping) {
            return Some(Cut::TooLong);
        }
        Some(Cut::Line(std::mem::take(&mut self.partial)))
    }
}
