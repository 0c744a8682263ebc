//! LISP, the Locator/ID Separation Protocol: a codec without I/O.
//!
//! # A tour
//!
//! A Map-Server that confirms what an ETR registers:
//!
//! ```
//! use lisp::auth::{self, Algorithm, Authentication, Secret};
//! use lisp::{Eid, Locator, MapNotify, MapRegister, MapRegisterFlags, Message, Record};
//! use std::net::Ipv4Addr;
//!
//! let secret = Secret::new(b"of the site");
//! let eid = Eid::host(7, Ipv4Addr::new(10, 0, 0, 5));
//! let here = Locator::new(Ipv4Addr::new(192, 0, 2, 1), 1, 100);
//! let register = Message::from(MapRegister {
//!     flags: MapRegisterFlags::WANT_NOTIFY | MapRegisterFlags::PROXY_REPLY,
//!     nonce: 41,
//!     authentication: Authentication::with(0, Algorithm::HmacSha256),
//!     records: vec![Record::new(eid, 3).locator(here)],
//!     ..MapRegister::default()
//! });
//! let datagram = register.to_signed_bytes(&secret).unwrap();
//!
//! let claim = auth::verify(&datagram, &secret).unwrap();
//! let Message::MapRegister(received) = Message::decode(&datagram).unwrap() else { panic!() };
//! assert_eq!(received.records[0].eid(), Some(eid));
//! let notify = Message::MapNotify(MapNotify {
//!     nonce: received.nonce,
//!     authentication: Authentication::with(claim.key_id, claim.algorithm),
//!     records: received.records,
//!     ..MapNotify::default()
//! });
//! assert!(notify.to_signed_bytes(&secret).is_ok());
//! ```
//!
//! # What decoding promises
//!
//! * Any bytes give a message or a [`DecodeError`], which says the field, its place and what is
//!   wrong; nothing panics, and a length or count alone never makes room for anything.
//! * What was decoded encodes to the same bytes: reserved bits, addresses and messages that are not
//!   understood are kept.
//! * Addresses and messages nested deeper than [`MAX_DEPTH`] are refused.
//!
//! # Where things are
//!
//! | module | what |
//! |---|---|
//! | [`message`] | control messages of RFC 9301 |
//! | [`record`] | mappings and locators |
//! | [`address`], [`lcaf`], [`eid`] | addresses as they are written, and as they are looked up |
//! | [`auth`] | HMAC over registrations and notifications |
//! | [`subscription`] | publish/subscribe of RFC 9437, and nonces against replay |
//! | [`data`] | headers of data packets: LISP and VXLAN-GPE |
//! | [`describe`] | hexadecimal lines to JSON and back, for people |
//!
//! `docs/lisp.md` says what differs between the RFCs of 2013 and of 2022. What is not here: LISP-SEC
//! and the delegated database (carried as bytes), the reliable transport over TCP.

pub mod address;
pub mod auth;
pub mod data;
pub mod describe;
pub mod eid;
pub mod error;
pub mod lcaf;
pub mod message;
pub mod record;
pub mod subscription;
mod wire;

pub use address::{Address, Mac};
pub use data::{DataHeader, GpeHeader};
pub use eid::{Eid, EidAddress};
pub use error::{DecodeError, DecodeErrorCounts, DecodeErrorKind, EncodeError};
pub use lcaf::{Lcaf, LcafBody};
pub use message::{
    EidRecord, Encapsulated, Info, MapNotify, MapRegister, MapRegisterFlags, MapReply, MapRequest,
    MapRequestFlags, Message,
};
pub use record::{Locator, Record, XtrId};
pub use wire::{Blob, MAX_DEPTH};
