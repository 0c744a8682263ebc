//! Devices in real network namespaces. Needs root (a user namespace's is enough), `ip`, `wg` and `wireguard-go`.

mod carried;
mod stage;
