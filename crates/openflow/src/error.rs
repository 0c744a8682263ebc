//! What can be wrong with bytes that should be OpenFlow, and with values that should become bytes.

/// Why bytes are not a message. Nothing of the input is lost: the caller still has it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at byte {offset}: {kind}")]
pub struct DecodeError {
    /// Position in the input where reading stopped, from the message's first byte.
    pub offset: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

/// The kinds of malformed input.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The structure needs more bytes than its surroundings have.
    #[error("cut off: {need} more bytes are needed and {have} are there; give the whole message")]
    Truncated {
        /// Bytes that the structure needs.
        need: usize,
        /// Bytes that are left.
        have: usize,
    },
    /// A length field contradicts the structure.
    #[error("{what} has the impossible length {length}; the sender is broken or framing is lost")]
    Length {
        /// The structure.
        what: &'static str,
        /// Its length field.
        length: usize,
    },
    /// Bytes are left where the structure has ended.
    #[error("{count} bytes follow the end of {what}; the sender means another layout")]
    Trailing {
        /// The structure that ended.
        what: &'static str,
        /// Number of bytes behind it.
        count: usize,
    },
    /// The protocol version is not one of ours.
    #[error(
        "version {version:#04x} is not decoded, only 0x04 (and 0x05 for bundles); \
         let the peer negotiate OpenFlow 1.3"
    )]
    Version {
        /// The version of the header.
        version: u8,
    },
    /// A number that decides the layout is not known.
    #[error("{what} {value} is not known, so its layout is not either; use OpenFlow 1.3")]
    Value {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// Structures are nested deeper than any switch does.
    #[error("nested deeper than {limit} levels; the sender is broken")]
    Depth {
        /// The levels that are followed.
        limit: u8,
    },
}

/// Why a value cannot become bytes: a part exceeds what its length field can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} is too long for its length field; send it in several messages")]
pub struct EncodeError {
    /// The part that is too long.
    pub what: &'static str,
}
