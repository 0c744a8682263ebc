//! Drives the peer in `tests/peers/lisp6830` from Rust tests: its processes, the events they tell, and
//! a small network of namespaces for them.
//!
//! Taken in by path, so that the crates it tests against need nothing of each other. Needs root, `ip`,
//! `ping` and `python3`.

#![allow(dead_code, reason = "each test uses a part of it")]

pub(crate) mod peer;
pub(crate) mod world;
