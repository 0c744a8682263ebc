//! What a worker is given, and whom it tells.

use std::net::IpAddr;

use offload::packet::Inner;
use offload::tun::Queue;
use offload::vnet::Vnet;

/// What a worker tells control.
pub trait Hooks: Send + Sync {
    /// A packet to a destination of which nothing is known. True if it is kept.
    fn missed(&self, instance: u32, vnet: Vnet, packet: &[u8], inner: &Inner) -> bool;
    /// A packet for one of our endpoints that has left came from this locator.
    fn late(&self, instance: u32, inner: &Inner, from: IpAddr);
    /// Something came from a locator whose status bits are these.
    fn status(&self, _from: IpAddr, _bits: u32) {}
}

/// One instance's TUN, as one worker sees it.
#[derive(Debug)]
pub struct Port {
    /// Instance id.
    pub instance: u32,
    /// The worker's queue.
    pub queue: Queue,
}

/// What does not change while a worker runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Bytes of the largest packet that the underlay carries.
    pub underlay_mtu: usize,
    /// Whether packets for others than our endpoints are taken too (PETR, RTR).
    pub takes_all: bool,
    /// Whether the first of these sockets are for IPv4; the rest is for IPv6.
    pub v4_sockets: usize,
    /// Makes flows another router's flows do not predict.
    pub seed: u64,
    /// Status bits of our locators, if they are told.
    pub status: Option<u32>,
}
