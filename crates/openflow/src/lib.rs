//! OpenFlow 1.3 with the extensions of Open vSwitch.
pub mod action;
mod address;
pub mod client;
pub mod connection;
pub mod error;
mod flow_match;
mod instruction;
pub mod message;
pub mod multipart;
pub mod oxm;
mod wire;

pub use action::{Action, BitRange};
pub use address::{MacAddr, MacAddrError, PortNo};
pub use error::{DecodeError, DecodeErrorKind, EncodeError};
pub use flow_match::Match;
pub use instruction::Instruction;
pub use message::{Body, FlowMod, Message, PacketOut};
pub use oxm::{Field, Oxm};
pub use wire::{Blob, FixedText, ReservedBytes};
