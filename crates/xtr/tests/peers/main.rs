//! Another implementation, of RFC 6830 and 6833 (`tests/peers/lisp6830`), against our router: at its
//! Map-Server, and both at ours.

#[path = "../../../../tests/peers/driver/mod.rs"]
mod driver;
#[path = "../../../mapping/tests/peers/our_server.rs"]
mod our_server;
mod ours;
mod together;
mod with_theirs;
