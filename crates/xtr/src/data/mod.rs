//! Forwarding without I/O: packets and tables in, packets and decisions out. What a packet says, and how
//! it is cut and put together, is in the crate `offload`.
//!
//! | module | what |
//! |---|---|
//! | [`table`] | prefixes to what is done with packets to them |
//! | [`counters`] | what was carried, and dropped for which reason |

pub mod counters;
pub mod table;
