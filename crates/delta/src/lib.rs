//! Fewer bytes for a VM's memory on its way between two agents.
//!
//! A gang of VMs that booted from the same image sends most pages of its kernel several times, and a
//! guest that writes makes QEMU send pages again that changed little. Both ends therefore remember
//! what was sent, and the [`Encoder`] says of each page which of these is shortest:
//!
//! - it is what stood at that address before, or differs from it here and there ([`former`]);
//! - it is a page that this VM or another one of its gang has sent ([`Catalogue`] at the source,
//!   [`Shelf`] at the target), named by its 128-bit BLAKE3 hash;
//! - it compresses, so it goes through zstd; or it does not, so it goes as it is.
//!
//! Lossless for any bytes: [`stream`] guesses where pages are, and a wrong guess costs bytes, never
//! the truth. Each block ends with a check of what it stands for, so whatever went wrong between the
//! two ends is an error of the [`Decoder`] and not another page in a guest.
//!
//! No I/O, no time, no locks. VMs travel on connections of their own, without an order between them:
//! a block may name a page that another connection has yet to bring ([`Outcome::Missing`]). The
//! encoder does so only until [`Encoder::settle`]; from then on it names what the target has said to
//! have, so a VM's last bytes never wait for another one's.
//!
//! Memory is bounded by what the target grants ([`Grant`]); nothing is ever forgotten while somebody
//! may still refer to it: what a shelf holds it keeps for the length of the migration, and both ends
//! drop former versions in the same order.

mod block;
pub mod catalogue;
pub mod decoder;
pub mod difference;
pub mod encoder;
pub mod former;
pub mod page;
pub mod shelf;
pub mod stream;

pub use catalogue::{Catalogue, Sender};
pub use decoder::{Decoder, Outcome};
pub use encoder::{Encoder, Ways};
pub use page::PageId;
pub use shelf::Shelf;

/// What the target sets aside for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Grant {
    /// Which shelf it is: another number is another, empty shelf.
    pub shelf: u64,
    /// Pages that all connections of the migration may put on the shelf together.
    pub shelf_pages: u32,
    /// Former versions that are kept for this connection, pages.
    pub former_pages: u32,
}

/// Bytes that no encoder made, or that do not belong to what this decoder has seen.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    /// Not a block.
    #[error("a block of the memory stream is broken: {0}")]
    Broken(&'static str),
    /// zstd could not make or read its stream.
    #[error("a block of the memory stream does not unpack: {0}")]
    Packing(#[from] std::io::Error),
    /// The two ends do not remember the same.
    #[error("a block of the memory stream stands for other bytes than were sent")]
    Differs,
    /// More than was granted.
    #[error("the source put more than {0} pages on the shelf, which were granted to it")]
    Full(usize),
}
