//! A switch and a world of switches on paper, to run rules without Open vSwitch.

#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

pub mod packet;
pub mod switch;
pub mod world;
