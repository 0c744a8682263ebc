//! Cutting a stream of bytes into messages.

use crate::error::DecodeError;
use crate::message::frame_len;

/// Bytes that have not made a whole message yet.
#[derive(Debug, Default)]
pub(super) struct Frames {
    partial: Vec<u8>,
}

impl Frames {
    /// Calls `each` with every whole message. What is left waits for more.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        mut each: impl FnMut(&[u8]),
    ) -> Result<(), DecodeError> {
        let mut rest = bytes;
        while !self.partial.is_empty() {
            let have = self.partial.len();
            let want = frame_len(&self.partial)?;
            let more = want.unwrap_or(4).saturating_sub(have);
            let (head, tail) = rest.split_at(more.min(rest.len()));
            self.partial.extend_from_slice(head);
            rest = tail;
            match want {
                Some(want) if self.partial.len() == want => {
                    each(&self.partial);
                    self.partial.clear();
                }
                _ if head.is_empty() => return Ok(()),
                _ => {}
            }
        }
        while let Some(length) = frame_len(rest)? {
            let Some((frame, tail)) = rest.split_at_checked(length) else {
                break;
            };
            each(frame);
            rest = tail;
        }
        self.partial.extend_from_slice(rest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, length: u8) -> Vec<u8> {
        let mut bytes = vec![4, kind, 0, length];
        bytes.resize(usize::from(length), 7);
        bytes
    }

    #[test]
    fn however_the_stream_is_cut_the_same_messages_come_out() {
        let whole = [frame(2, 8), frame(3, 13), frame(4, 8), frame(5, 40)].concat();
        for chunk in 1..=whole.len() {
            let mut frames = Frames::default();
            let mut kinds = Vec::new();
            for bytes in whole.chunks(chunk) {
                frames.feed(bytes, |f| kinds.push((f[1], f.len()))).unwrap();
            }
            assert_eq!(
                kinds,
                [(2, 8), (3, 13), (4, 8), (5, 40)],
                "in chunks of {chunk}"
            );
            assert!(frames.partial.is_empty());
        }
    }

    #[test]
    fn a_length_below_eight_ends_the_stream() {
        let mut frames = Frames::default();
        assert!(frames.feed(&[4, 2, 0, 7], |_| {}).is_err());
        let mut frames = Frames::default();
        frames.feed(&[4, 2, 0], |_| {}).unwrap();
        assert!(frames.feed(&[0], |_| {}).is_err());
    }
}
