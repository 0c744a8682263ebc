//! Real openvpn between namespaces. Needs root, openvpn, Open vSwitch and iproute2.
//!
//! One test at a time: they count packets, and two stages on two cores would count each other.

mod bridged;
mod stage;
