//! Devices in real network namespaces. Needs root (a user namespace's is enough), `ip`, `ethtool`, `wg` and
//! `wireguard-go`.

mod carried;
mod keys;
mod others;
mod places;
mod refused;
mod relay;
mod stage;
mod stream;
mod switch;
