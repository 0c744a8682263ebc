//! What was carried, and what was dropped for which reason. One set a worker, so that none waits for
//! another's cache line; they are added up for people.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counted {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(usize)]
        pub enum Count {
            $($(#[$doc])* $name,)*
        }

        impl Count {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// Name for people and programs; drops begin with `drop_`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

counted! {
    /// Packets to a locator, after segmentation.
    Encapsulated = "encapsulated_packets",
    /// Their bytes, without outer headers.
    EncapsulatedBytes = "encapsulated_bytes",
    /// Packets from a locator, before coalescing.
    Decapsulated = "decapsulated_packets",
    /// Their bytes, without outer headers.
    DecapsulatedBytes = "decapsulated_bytes",
    /// Packets handed to the kernel as a part of a larger one.
    Coalesced = "coalesced_packets",
    /// Packets not coalesced because a checksum was wrong; the kernel judges each by itself.
    ChecksumWrong = "inner_checksum_wrong",
    /// Packets for an endpoint that has left, sent on to its new place.
    Forwarded = "reencapsulated_packets",
    /// Packets that were cut into fragments first.
    Fragmented = "fragmented_packets",
    /// ICMP messages that a packet was too large.
    TooBig = "icmp_too_big_sent",
    /// Packets that wait for a mapping.
    Waiting = "queued_packets",
    /// Nothing is known of the destination, and too many wait for it.
    DropQueue = "drop_queue_full",
    /// The destination is a group or of one link only: no mapping is asked for.
    DropNotUnicast = "drop_not_unicast",
    /// The mapping says so, or there is none.
    DropNegative = "drop_negative_mapping",
    /// The mapping has no locator that is up and of our address families.
    DropNoLocator = "drop_no_locator",
    /// The destination has left us, and the time in which we forward is over.
    DropFenced = "drop_fenced",
    /// The destination is not one of ours, and we are no proxy.
    DropNotOurs = "drop_not_our_eid",
    /// The instance of the packet is not one of ours.
    DropInstance = "drop_unknown_instance",
    /// No IP packet, or one that contradicts itself.
    DropMalformed = "drop_malformed",
    /// The outer header says that congestion was experienced, and the inner one cannot (RFC 6040).
    DropEcn = "drop_ecn",
    /// No hops were left.
    DropTtl = "drop_ttl",
    /// Too large, and not to be fragmented.
    DropTooBig = "drop_too_big",
    /// Extensions of the data header that we do not know: encryption, other contents than IP.
    DropHeader = "drop_data_header",
    /// The kernel did not take a packet to a locator.
    DropUnderlay = "drop_underlay_refused",
    /// The kernel did not take a packet from a locator.
    DropTun = "drop_tun_refused",
}

/// One worker's counters.
#[derive(Debug)]
pub struct Counters([AtomicU64; Count::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Counters {
    /// Adds to one.
    pub fn add(&self, what: Count, by: u64) {
        if let Some(counter) = self.0.get(what as usize) {
            counter.fetch_add(by, Ordering::Relaxed);
        }
    }

    /// Adds one to one.
    pub fn count(&self, what: Count) {
        self.add(what, 1);
    }

    /// What was counted.
    pub fn get(&self, what: Count) -> u64 {
        let counter = self.0.get(what as usize);
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

/// The counters of several workers together, by name.
pub fn total<'a>(all: impl Iterator<Item = &'a Counters> + Clone) -> BTreeMap<&'static str, u64> {
    let add = |what: &Count| (what.name(), all.clone().map(|one| one.get(*what)).sum());
    Count::ALL.iter().map(add).collect()
}
