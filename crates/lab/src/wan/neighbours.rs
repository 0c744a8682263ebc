//! Who is where at the sites: address to MAC, MAC to uplink, and the packets that wait for an
//! answer. Pure; the gateway feeds it and sends what it asks.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::net::{Mac, Network};

use super::shaping::Nanos;

/// An address within a network of a site.
pub(crate) type Place = (usize, Network, IpAddr);

/// Addresses and MACs remembered; a site that invents more starts over with an empty table.
const MOST: usize = 4096;

/// Packets that may wait for one address.
const MOST_WAITING: usize = 64;

const ASK_EVERY: Nanos = 200_000_000;
const ASK_TIMES: u32 = 5;

#[derive(Debug)]
struct Waiting {
    packets: Vec<Vec<u8>>,
    asked: u32,
    ask_again: Nanos,
}

#[derive(Debug, Default)]
pub(crate) struct Neighbours {
    macs: HashMap<Place, Mac>,
    ports: HashMap<(usize, Mac), usize>,
    waiting: HashMap<Place, Waiting>,
}

/// What [`Neighbours::due`] wants done.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Ask again who has this address.
    Ask(Place),
    /// Nobody answered; so many packets are dropped.
    GiveUp(Place, usize),
}

impl Neighbours {
    pub(crate) fn mac(&self, place: &Place) -> Option<Mac> {
        self.macs.get(place).copied()
    }

    /// Learns an address; returns the packets that waited for it.
    pub(crate) fn learn(&mut self, place: Place, mac: Mac) -> Vec<Vec<u8>> {
        if self.macs.get(&place) != Some(&mac) {
            if self.macs.len() >= MOST {
                self.macs.clear();
            }
            self.macs.insert(place, mac);
        }
        match self.waiting.is_empty() {
            true => Vec::new(),
            false => self
                .waiting
                .remove(&place)
                .map_or(Vec::new(), |w| w.packets),
        }
    }

    /// The uplink that last brought a frame of this MAC.
    pub(crate) fn port(&self, site: usize, mac: Mac) -> Option<usize> {
        self.ports.get(&(site, mac)).copied()
    }

    pub(crate) fn seen(&mut self, site: usize, mac: Mac, port: usize) {
        if self.ports.get(&(site, mac)) != Some(&port) {
            if self.ports.len() >= MOST {
                self.ports.clear();
            }
            self.ports.insert((site, mac), port);
        }
    }

    /// An uplink died: whatever was seen there is expected on the other one from now on, also
    /// when the dead one comes back (the site's bond stays where it went, too).
    pub(crate) fn fail_over(&mut self, dead: usize, to: usize) {
        for port in self.ports.values_mut().filter(|port| **port == dead) {
            *port = to;
        }
    }

    /// Keeps a packet until its address is known. Returns whether to ask, and how many packets had
    /// to go for it.
    pub(crate) fn hold(&mut self, now: Nanos, place: Place, packet: Vec<u8>) -> (bool, usize) {
        let fresh = !self.waiting.contains_key(&place);
        if fresh && self.waiting.len() >= MOST {
            return (false, 1);
        }
        let waiting = self.waiting.entry(place).or_insert_with(|| Waiting {
            packets: Vec::new(),
            asked: 1,
            ask_again: now + ASK_EVERY,
        });
        if waiting.packets.len() >= MOST_WAITING {
            return (fresh, 1);
        }
        waiting.packets.push(packet);
        (fresh, 0)
    }

    /// What is to be done by now.
    pub(crate) fn due(&mut self, now: Nanos) -> Vec<Due> {
        let mut all = Vec::new();
        self.waiting.retain(|place, waiting| {
            if waiting.ask_again > now {
                return true;
            }
            if waiting.asked >= ASK_TIMES {
                all.push(Due::GiveUp(*place, waiting.packets.len()));
                return false;
            }
            waiting.asked += 1;
            waiting.ask_again = now + ASK_EVERY;
            all.push(Due::Ask(*place));
            true
        });
        all
    }

    pub(crate) fn next(&self) -> Option<Nanos> {
        self.waiting.values().map(|w| w.ask_again).min()
    }
}
