//! Reading and writing of big-endian structures.
//!
//! This is the only place that touches offsets. [`Reader`] checks every length, never panics and
//! names the field that was wrong; [`Writer`] patches lengths in afterwards and remembers what did
//! not fit. What the structures mean is the business of the other modules.

mod blob;
mod reader;
mod writer;

pub use blob::Blob;
pub(crate) use blob::{hex64, serialize_flags};
pub(crate) use reader::Reader;
pub(crate) use writer::Writer;

/// Nesting (an address in an address, a message in a message) that is followed. Real ones have two
/// or three levels; the bound keeps hostile input from exhausting the stack.
pub const MAX_DEPTH: u8 = 8;
