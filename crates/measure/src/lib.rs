//! Measurement from outside: what a peer of the VMs sees while they move.
//!
//! The way of a figure through this crate:
//!
//! 1. [`probe`] runs in the peer's network namespace. It holds a UDP stream and TCP sessions with
//!    every VM ([`wire`] is their 64-byte record) and writes down every packet with the kernel's
//!    time of arrival: a [`recording::Recording`].
//! 2. [`control`] lets another process start a probe in a namespace, set marks and fetch results,
//!    with JSON lines; [`guest`] asks the guests for their own counts through the same process.
//! 3. [`analysis`] turns a recording and a window of time into figures. It is pure.
//! 4. [`report`] is the versioned JSON document that holds them, beside what the migration engine
//!    measured on the inside.
//! 5. [`html`] and [`table`] show a report to people.
//!
//! Moving anything, and knowing when it moves, is not the business of this crate: it is told the
//! windows. All times are `CLOCK_MONOTONIC` nanoseconds of the machine the probe runs on; the
//! recording's [`clock::Clock`] relates them to Unix time.

pub mod analysis;
pub mod clock;
pub mod control;
pub mod guest;
pub mod html;
pub mod probe;
pub mod recording;
pub mod report;
pub mod table;
pub mod wire;
