//! Forwarding without I/O: packets and tables in, packets and decisions out.
//!
//! | module | what |
//! |---|---|
//! | [`table`] | prefixes to what is done with packets to them |
//! | [`packet`] | what an inner packet says: addresses, flow, hops, congestion |
//! | [`outer`] | what goes from the inner to the outer header and back (RFC 9300, section 5.3) |
//! | [`checksum`] | the Internet checksum |
//! | [`vnet`] | the header before packets of a TUN with offloads |
//! | [`segment`] | one large packet of a sender into ones that fit |
//! | [`coalesce`] | packets of one flow into a large one, checked first |
//! | [`oversize`] | packets too large for the tunnel: in pieces, or an ICMP message |
//! | [`counters`] | what was carried, and dropped for which reason |

pub mod checksum;
pub mod coalesce;
pub mod counters;
pub mod outer;
pub mod oversize;
pub mod packet;
pub mod segment;
pub mod table;
pub mod vnet;
