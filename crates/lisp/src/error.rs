//! What can be wrong with bytes that should be LISP, with values that should become bytes, and the
//! counts of both for whoever drops datagrams.

/// Why bytes are not a message. Nothing of the input is lost: the caller still has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} at byte {offset}: {kind}")]
pub struct DecodeError {
    /// Where the field begins, from the first byte of the input.
    pub offset: usize,
    /// The field, as the RFC calls it.
    pub field: &'static str,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

/// The kinds of malformed input.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    /// The field needs more bytes than its surroundings have.
    #[error("cut off: {need} bytes are needed and {have} are there; give the whole UDP payload")]
    Truncated {
        /// Bytes that the field needs.
        need: usize,
        /// Bytes that are left.
        have: usize,
    },
    /// A length contradicts what it is the length of.
    #[error("{length} is an impossible length here; the sender is broken")]
    Length {
        /// The length.
        length: usize,
    },
    /// Bytes are left where the structure has ended.
    #[error("{count} bytes follow its end; the sender means another layout")]
    Trailing {
        /// Number of bytes behind it.
        count: usize,
    },
    /// A number decides the layout and is not known.
    #[error("{value} is not known, so the layout is not either; RFC 9301 has no such value")]
    Value {
        /// The number.
        value: u32,
    },
    /// The address family has no known length, and nothing around says where it ends.
    #[error("address family {afi} is not known; only IPv4, IPv6, MAC, names and LCAF are")]
    AddressFamily {
        /// The number of IANA's registry.
        afi: u16,
    },
    /// A prefix is longer than its address.
    #[error("a prefix of {length} bits, and its address has {limit}; the sender is broken")]
    MaskLength {
        /// Length of the prefix in bits.
        length: u8,
        /// Bits of the address.
        limit: u8,
    },
    /// A checksum of the encapsulated packet is wrong.
    #[error("checksum {found:#06x} where {computed:#06x} is right; the packet was damaged")]
    Checksum {
        /// What is there.
        found: u16,
        /// What should be.
        computed: u16,
    },
    /// Addresses or messages are nested deeper than anyone needs.
    #[error("nested deeper than {limit} levels; the sender is broken or hostile")]
    Depth {
        /// The levels that are followed.
        limit: u8,
    },
}

impl DecodeErrorKind {
    /// Names of all kinds, in the order of [`DecodeErrorKind::index`].
    pub const NAMES: [&'static str; 8] = [
        "truncated",
        "length",
        "trailing",
        "value",
        "address_family",
        "mask_length",
        "checksum",
        "depth",
    ];

    /// Place of this kind in [`DecodeErrorKind::NAMES`].
    pub fn index(&self) -> usize {
        match self {
            Self::Truncated { .. } => 0,
            Self::Length { .. } => 1,
            Self::Trailing { .. } => 2,
            Self::Value { .. } => 3,
            Self::AddressFamily { .. } => 4,
            Self::MaskLength { .. } => 5,
            Self::Checksum { .. } => 6,
            Self::Depth { .. } => 7,
        }
    }
}

/// How many datagrams were dropped, by what was wrong with them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecodeErrorCounts([u64; DecodeErrorKind::NAMES.len()]);

impl DecodeErrorCounts {
    /// Counts one error.
    pub fn count(&mut self, error: &DecodeError) {
        if let Some(count) = self.0.get_mut(error.kind.index()) {
            *count += 1;
        }
    }

    /// Every kind with its count, also those that never happened.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        DecodeErrorKind::NAMES
            .into_iter()
            .zip(self.0.iter().copied())
    }

    /// All of them together.
    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// Why a value cannot become bytes: a part exceeds what its field can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A list is longer or shorter than its count can say.
    #[error("{count} {field}, and a message has {least} to {most}; send several messages")]
    Count {
        /// What is counted.
        field: &'static str,
        /// How many there are.
        count: usize,
        /// The fewest that can be said.
        least: usize,
        /// The most that can be said.
        most: usize,
    },
    /// A structure is longer than its length field can say.
    #[error("{field} has {length} bytes, more than its length field can say; make it shorter")]
    Length {
        /// The structure.
        field: &'static str,
        /// Its bytes.
        length: usize,
    },
    /// A number has more bits than its field.
    #[error("{field} {value:#x} has more than {bits} bits; choose a smaller number")]
    Value {
        /// The field.
        field: &'static str,
        /// The number.
        value: u64,
        /// Bits of the field.
        bits: u8,
    },
    /// A name has a zero byte, which would end it on the wire.
    #[error("a name with a zero byte at {at} would end there; take it out")]
    Name {
        /// Place of the byte.
        at: usize,
    },
    /// Addresses or messages are nested deeper than any receiver follows.
    #[error("nested deeper than {limit} levels; no receiver follows that")]
    Depth {
        /// The levels that are followed.
        limit: u8,
    },
}
