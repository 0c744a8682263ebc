//! Routers in real network namespaces. Needs root (a user namespace's is enough), `ip` and `tshark`.

mod carried;
mod moves;
mod proxies;
mod rules;
mod stage;
mod wire;
