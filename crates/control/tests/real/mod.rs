//! Real switches: namespaces, Open vSwitch and packets, made for one test and gone with it.
//!
//! Needs root, iproute2, busybox and Open vSwitch; says so when one of them is missing.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

pub mod endpoint;
pub mod frame;
pub mod host;
pub mod lab;
pub mod netns;
