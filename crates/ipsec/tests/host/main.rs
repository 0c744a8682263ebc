//! Real charons in namespaces of their own. Needs root, strongSwan and its extra plugins, Open vSwitch,
//! nftables and iproute2.
//!
//! One test at a time: they count packets, and two stages on two cores would count each other.

mod carried;
mod faults;
mod stage;
mod strangers;
mod switches;
mod traffic;
