//! Many packets at once between a tunnel in user space and the kernel: what a tunnel needs to be fast,
//! whatever it puts around the packets.
//!
//! Without I/O:
//!
//! | module | what |
//! |---|---|
//! | [`packet`] | what an inner packet says: addresses, flow, hops, congestion |
//! | [`outer`] | what goes from the inner to the outer header and back (RFC 6040; RFC 9300, section 5.3) |
//! | [`checksum`] | the Internet checksum |
//! | [`vnet`] | the header before packets of a TUN with offloads |
//! | [`segment`] | one large packet of a sender into ones that fit |
//! | [`coalesce`] | packets of one flow into a large one, checked first |
//! | [`oversize`] | packets too large for the tunnel: in pieces, or an ICMP message |
//!
//! With the kernel: [`tun`] (devices), [`udp`] (receiving), [`outbox`] (sending).

pub mod checksum;
pub mod coalesce;
mod error;
pub mod outbox;
pub mod outer;
pub mod oversize;
pub mod packet;
pub mod segment;
pub mod tun;
pub mod udp;
pub mod vnet;

pub use error::Error;
