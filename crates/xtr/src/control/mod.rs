//! The conversations of a router with Map-Servers, Map-Resolvers and other routers, without I/O:
//! datagrams, packets without a mapping and time in; datagrams, changed tables and freed packets out.
//!
//! | module | what |
//! |---|---|
//! | [`core`] | the state, and what comes in |
//! | [`outcome`] | what a call wants to be done |
//! | [`own`] | endpoints that are here or have left |
//! | [`register`] | Map-Register until it is confirmed |
//! | [`resolve`] | Map-Requests, answers, what waits for them |
//! | [`cache`] | mappings, and routes from them |
//! | [`notify`] | Map-Notify: confirmations and publications (RFC 9437) |
//! | [`answer`] | Map-Requests of others: as ETR, probes, solicitations |
//! | [`probe`] | locators up and down |
//! | [`status`] | all of it for people |
//!
//! Time is a `Duration` since any fixed moment.

pub mod answer;
pub mod cache;
pub mod core;
pub mod notify;
pub mod outcome;
pub mod own;
pub mod probe;
pub mod register;
pub mod resolve;
pub mod status;

pub use core::{Core, Saved};
pub use outcome::{Change, Event, Outcome, Waiting};
