//! Real switches in namespaces of their own: what members see of links, moves, restarts and
//! failures. Needs root (or a user namespace), Open vSwitch and `ping`.
//!
//! One test at a time: they count packets, and two stages on two cores would count each other.

mod bonds;
mod bridged;
mod flows;
mod gateway;
mod guard;
mod machine;
mod reach;
mod restart;
mod security;
mod support;
mod taps;
mod update;
