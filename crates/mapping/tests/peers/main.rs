//! Another implementation, of RFC 6830 and 6833 (`tests/peers/lisp6830`), against ours: its routers at
//! our Map-Server, our messages at its Map-Server.

#[path = "../../../../tests/peers/driver/mod.rs"]
mod driver;
mod our_server;
mod routers;
mod their_server;
