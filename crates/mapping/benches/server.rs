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

/// Questions that are measured.
const QUESTIONS: usize = 400_000;

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
    let mut outcome = Outcome::default();
    let mut registering = Duration::ZERO;
    for number in 0..count {
        let datagram = register(number, &secret);
        let begin = Instant::now();
        server.receive(from, &datagram, now, &mut outcome);
        registering += begin.elapsed();
        outcome.clear();
    }
    let mappings = server.mappings();
    let weight = (ALLOCATED.load(Ordering::Relaxed) - before) / mappings.max(1);

    // In another order than they were registered, and than they are in any table.
    let spread = |n: usize| (n as u64 * 7_919_777 % count as u64) as usize;
    let asked: Vec<Vec<u8>> = (0..QUESTIONS).map(|n| request(spread(n))).collect();
    let mut answered = 0;
    // Whoever asks for the first time is remembered: that is part of the price.
    let all = Instant::now();
    for datagram in &asked {
        server.receive(from, black_box(datagram), now, &mut outcome);
        answered += black_box(&outcome).datagrams().len();
        outcome.clear();
    }
    let all = all.elapsed();
    assert_eq!(answered, asked.len(), "every request has one answer");
    let mut took = Vec::with_capacity(asked.len());
    for datagram in &asked {
        let begin = Instant::now();
        server.receive(from, black_box(datagram), now, &mut outcome);
        took.push(begin.elapsed());
        outcome.clear();
    }
    took.sort_unstable();
    let at = |percent: usize| {
        let place = took.len() * percent / 100;
        took.get(place).copied().unwrap_or_default().as_secs_f64() * 1e6
    };
    let requests = asked.len() as f64 / all.as_secs_f64();
    let registers = count as f64 / registering.as_secs_f64();
    println!(
        "Map-Server, one core, {mappings} mappings: {requests:.0} requests/s (target >= 300000), \
         {registers:.0} registers/s (target >= 50000), {weight} bytes a mapping (target <= 300), \
         p50 {:.1} us, p99 {:.1} us (target <= 50)",
        at(50),
        at(99)
    );
    println!(
        "{{\"mappings\":{mappings},\"bytes_per_mapping\":{weight},\"registers_per_second\":{registers:.0},\
         \"requests_per_second\":{requests:.0},\"request_p50_us\":{:.1},\"request_p99_us\":{:.1}}}",
        at(50),
        at(99)
    );
    if count >= 1_000_000 {
        let missed = requests < 300e3 || registers < 50e3 || weight > 300 || at(99) > 50.0;
        std::process::exit(missed.into());
    }
}
