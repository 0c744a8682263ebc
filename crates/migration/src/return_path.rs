//! QEMU's return path, with our hand on the switchover.
//!
//! With the capability `switchover-ack` a source QEMU goes on iterating, whatever its own estimate
//! says, until the destination has sent one acknowledgement on the return path. The agents' relay
//! carries the return path, so it can keep that one message: the VM cannot stop before the
//! migration says so, however idle it is, and it stops within one short pass after.
//!
//! ```text
//!  0                   1                   2                   3
//! +-------------------------------+-------------------------------+
//! |  type (big endian)            |  length of the payload        |
//! +-------------------------------+-------------------------------+
//! |  payload ...
//! ```
//!
//! Source: QEMU `docs/devel/migration`, "Return path" and capability `switchover-ack`.

/// `MIG_RP_MSG_SWITCHOVER_ACK`.
const SWITCHOVER_ACK: u16 = 7;
/// Longest payload that is believed; QEMU's longest is some hundred bytes.
const MAX_PAYLOAD: usize = 4096;

/// Bytes that are no return path of QEMU's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the destination's return path has a message of type {kind} with {length} bytes, which QEMU does not send; the migration cannot be held and must be ended"
)]
pub struct NotAReturnPath {
    /// The message type.
    pub kind: u16,
    /// The length it claims.
    pub length: usize,
}

/// A return path on its way from the destination to the source.
#[derive(Debug, Default)]
pub struct ReturnPath {
    partial: Vec<u8>,
    held: Option<Vec<u8>>,
    released: bool,
}

impl ReturnPath {
    /// Takes bytes from the destination and gives those that may go on to the source.
    ///
    /// # Errors
    /// [`NotAReturnPath`] when the bytes cannot be QEMU's.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Vec<u8>, NotAReturnPath> {
        self.partial.extend_from_slice(bytes);
        let mut pass = Vec::new();
        let mut rest = self.partial.as_slice();
        while let [k0, k1, l0, l1, ..] = *rest {
            let kind = u16::from_be_bytes([k0, k1]);
            let length = usize::from(u16::from_be_bytes([l0, l1]));
            if length > MAX_PAYLOAD {
                return Err(NotAReturnPath { kind, length });
            }
            let Some((message, later)) = rest.split_at_checked(4 + length) else {
                break;
            };
            if kind == SWITCHOVER_ACK && !self.released {
                self.held = Some(message.to_vec());
            } else {
                pass.extend_from_slice(message);
            }
            rest = later;
        }
        let taken = self.partial.len() - rest.len();
        self.partial.drain(..taken);
        Ok(pass)
    }

    /// True when the destination has given its acknowledgement and it is still here.
    pub fn is_held(&self) -> bool {
        self.held.is_some()
    }

    /// Lets the source stop: gives the bytes that must go to it now. From here on nothing is held.
    pub fn release(&mut self) -> Vec<u8> {
        self.released = true;
        self.held.take().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ACK: [u8; 4] = [0, 7, 0, 0];
    const PONG: [u8; 8] = [0, 2, 0, 4, 0, 0, 0, 1];

    #[test]
    fn the_acknowledgement_is_held_until_it_is_released() {
        let mut path = ReturnPath::default();
        let bytes = [PONG.as_slice(), &ACK, &PONG].concat();
        assert_eq!(path.feed(&bytes).unwrap(), [PONG, PONG].concat());
        assert!(path.is_held());
        assert_eq!(path.release(), ACK);
        assert!(!path.is_held());
    }

    #[test]
    fn an_acknowledgement_after_the_release_passes() {
        let mut path = ReturnPath::default();
        assert!(path.release().is_empty());
        assert_eq!(path.feed(&ACK).unwrap(), ACK);
    }

    #[test]
    fn a_length_that_qemu_never_sends_is_an_error() {
        assert!(ReturnPath::default().feed(&[0, 9, 0xff, 0xff]).is_err());
    }

    proptest! {
        #[test]
        fn cutting_the_stream_anywhere_changes_nothing(
            messages in prop::collection::vec((prop::sample::select(vec![1u16, 2, 3, 4, 5, 6, 7]), 0usize..40), 0..20),
            cut in 1usize..9,
        ) {
            let mut wire = Vec::new();
            let mut expected = Vec::new();
            for (kind, length) in messages {
                let mut message = kind.to_be_bytes().to_vec();
                message.extend((length as u16).to_be_bytes());
                message.extend(std::iter::repeat_n(0x5a, length));
                if kind != SWITCHOVER_ACK {
                    expected.extend_from_slice(&message);
                }
                wire.extend(message);
            }
            let mut path = ReturnPath::default();
            let mut passed = Vec::new();
            for piece in wire.chunks(cut) {
                passed.extend(path.feed(piece).unwrap());
            }
            prop_assert_eq!(passed, expected);
        }

        #[test]
        fn any_bytes_are_an_error_or_pass_but_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = ReturnPath::default().feed(&bytes);
        }
    }
}
