//! The header that a TUN with `IFF_VNET_HDR` puts before each packet (linux/virtio_net.h), in the
//! machine's byte order.

/// Bytes of the header.
pub const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const TCP4: u8 = 1;
const TCP6: u8 = 4;
const UDP: u8 = 5;
const ECN: u8 = 0x80;

/// How a packet that is larger than the MTU is to be cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gso {
    /// It is not.
    #[default]
    None,
    /// TCP over IPv4.
    Tcp4,
    /// TCP over IPv6.
    Tcp6,
    /// UDP over either.
    Udp,
    /// Something that was not offered, so it should not come.
    Other(u8),
}

/// The header.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vnet {
    /// Where the checksum begins, and its field from there on, where it is still to be computed. The
    /// field holds the sum of the pseudo-header.
    pub checksum: Option<(u16, u16)>,
    /// How the packet is to be cut.
    pub gso: Gso,
    /// Payload bytes of each piece.
    pub size: u16,
    /// Bytes of all headers; a hint, not to be relied on.
    pub header: u16,
}

impl Vnet {
    /// Reads the header.
    pub fn decode(bytes: [u8; LEN]) -> Self {
        let [flags, kind, h0, h1, s0, s1, c0, c1, o0, o1] = bytes;
        let word = |a, b| u16::from_ne_bytes([a, b]);
        Self {
            checksum: (flags & NEEDS_CSUM != 0).then(|| (word(c0, c1), word(o0, o1))),
            gso: match kind & !ECN {
                0 => Gso::None,
                TCP4 => Gso::Tcp4,
                TCP6 => Gso::Tcp6,
                UDP => Gso::Udp,
                other => Gso::Other(other),
            },
            size: word(s0, s1),
            header: word(h0, h1),
        }
    }

    /// The header as bytes.
    pub fn encode(self) -> [u8; LEN] {
        let kind = match self.gso {
            Gso::None => 0,
            Gso::Tcp4 => TCP4,
            Gso::Tcp6 => TCP6,
            Gso::Udp => UDP,
            Gso::Other(other) => other,
        };
        let flags = if self.checksum.is_some() {
            NEEDS_CSUM
        } else {
            0
        };
        let (start, field) = self.checksum.unwrap_or_default();
        let [h0, h1] = self.header.to_ne_bytes();
        let [s0, s1] = self.size.to_ne_bytes();
        let [c0, c1] = start.to_ne_bytes();
        let [o0, o1] = field.to_ne_bytes();
        [flags, kind, h0, h1, s0, s1, c0, c1, o0, o1]
    }
}
