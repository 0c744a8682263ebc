//! What a Map-Server does in a second on one core, and what a mapping weighs.
//!
//! `cargo bench -p mapping --bench server [-- MAPPINGS]`. The last line is JSON.

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lisp::auth::{Algorithm, Authentication, Secret};
use lisp::message::{Encapsulated, InnerIp};
use lisp::{Eid, Locator, MapRegister, MapRegisterFlags, MapRequest, Message, Record, XtrId};
use mapping::{Config, Key, MapServer, Outcome, Site};

/// Counts what is allocated.
struct Counting;

static ALLOCATED: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        ALLOCATED.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const ETR: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const ITR: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
const SECRET: &[u8] = b"of the site";

fn eid(number: usize) -> Eid {
    // Spread over the instance, so that neighbours in time are none in the table.
    let spread = (number as u32).wrapping_mul(2_654_435_761) >> 8;
    Eid::host(7, Ipv4Addr::from_bits(0x0a00_0000 | spread))
}

fn register(number: usize, secret: &Secret) -> Vec<u8> {
    let message = Message::from(MapRegister {
        flags: MapRegisterFlags::PROXY_REPLY | MapRegisterFlags::USE_TTL,
        nonce: number as u64 + 1,
        authentication: Authentication::with(0, Algorithm::HmacSha256),
        records: vec![Record::new(eid(number), 60).locator(Locator::new(ETR, 1, 100))],
        xtr: Some(XtrId {
            xtr_id: 1,
            site_id: 1,
        }),
        ..MapRegister::default()
    });
    message.to_signed_bytes(secret).unwrap()
}

fn request(number: usize) -> Vec<u8> {
    let asked = MapRequest::new(number as u64, eid(number), ITR);
    let ip = InnerIp::v4(ITR, Ipv4Addr::new(10, 0, 0, 1));
    Message::from(Encapsulated::new(ip, 61000, asked))
        .to_bytes()
        .unwrap()
}

fn main() {
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse::<usize>().ok());
    let count = numbers.next().unwrap_or(1_000_000);
    let secret = Secret::new(SECRET);
    let site = Site {
        id: 1,
        keys: vec![Key {
            id: 0,
            secret: Secret::new(SECRET),
        }],
        prefixes: vec![Eid::new(7, Ipv4Addr::new(10, 0, 0, 0), 8)],
        accept_more_specifics: true,
        accept_constant_nonce: false,
    };
    let config = Config {
        sites: vec![site],
        ..Config::default()
    };
    let mut server = MapServer::new(config, IpAddr::V4(ETR));
    let from = SocketAddr::new(ETR.into(), 4342);
    let now = Duration::from_secs(1);

    let before = ALLOCATED.load(Ordering::Relaxed);
    let mut registering = Duration::ZERO;
    for number in 0..count {
        let datagram = register(number, &secret);
        let mut outcome = Outcome::default();
        let begin = Instant::now();
        server.receive(from, &datagram, now, &mut outcome);
        registering += begin.elapsed();
    }
    let mappings = server.mappings();
    let weight = (ALLOCATED.load(Ordering::Relaxed) - before) / mappings.max(1);

    let asked: Vec<Vec<u8>> = (0..100_000).map(|n| request(n * 7919 % count)).collect();
    let mut took = Vec::with_capacity(asked.len());
    let mut answered = 0;
    let all = Instant::now();
    for datagram in &asked {
        let mut outcome = Outcome::default();
        let begin = Instant::now();
        server.receive(from, black_box(datagram), now, &mut outcome);
        took.push(begin.elapsed());
        answered += outcome.send.len();
    }
    let all = all.elapsed();
    assert_eq!(answered, asked.len(), "every request has one answer");
    took.sort_unstable();
    let p99 = took.get(took.len() * 99 / 100).copied().unwrap_or_default();
    println!(
        "{{\"mappings\":{mappings},\"bytes_per_mapping\":{weight},\"registers_per_second\":{:.0},\
         \"requests_per_second\":{:.0},\"request_p99_us\":{:.1}}}",
        count as f64 / registering.as_secs_f64(),
        asked.len() as f64 / all.as_secs_f64(),
        p99.as_secs_f64() * 1e6,
    );
}
