//! Encoding, decoding and authenticating the two messages that a Map-Server has most of.
//!
//! `cargo bench -p lisp --bench codec`

use std::hint::black_box;
use std::net::Ipv4Addr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use lisp::auth::{self, Algorithm, Authentication, Secret};
use lisp::{Eid, Locator, MapRegister, MapRegisterFlags, MapRequest, Message, Record, XtrId};

fn map_request() -> Message {
    let eid = Eid::host(7, Ipv4Addr::new(10, 0, 0, 5));
    MapRequest::new(0x1122_3344, eid, Ipv4Addr::new(192, 0, 2, 1)).into()
}

fn map_register(algorithm: Algorithm) -> Message {
    let eid = Eid::host(7, Ipv4Addr::new(10, 0, 0, 5));
    let locator = Locator::new(Ipv4Addr::new(192, 0, 2, 1), 1, 100);
    Message::from(MapRegister {
        flags: MapRegisterFlags::WANT_NOTIFY,
        nonce: 41,
        authentication: Authentication::with(0, algorithm),
        records: vec![Record::new(eid, 3).locator(locator)],
        xtr: Some(XtrId::default()),
        ..MapRegister::default()
    })
}

fn codec(criterion: &mut Criterion) {
    let secret = Secret::new(b"of the site");
    let mut group = criterion.benchmark_group("lisp");
    group.throughput(Throughput::Elements(1));
    for (name, message) in [
        ("map-request", map_request()),
        ("map-register", map_register(Algorithm::HmacSha256)),
    ] {
        let bytes = message.to_bytes().unwrap();
        let mut buffer = Vec::with_capacity(256);
        group.bench_function(format!("encode {name}"), |b| {
            b.iter(|| {
                buffer.clear();
                black_box(&message).encode(&mut buffer).unwrap();
            });
        });
        group.bench_function(format!("decode {name}"), |b| {
            b.iter(|| Message::decode(black_box(&bytes)).unwrap());
        });
    }
    for (name, algorithm) in [
        ("HMAC-SHA-1-96", Algorithm::HmacSha1),
        ("HMAC-SHA-256-128", Algorithm::HmacSha256),
        ("HMAC-SHA-256-128 with HKDF", Algorithm::HmacSha256Hkdf),
    ] {
        let bytes = map_register(algorithm).to_signed_bytes(&secret).unwrap();
        group.bench_function(format!("verify map-register, {name}"), |b| {
            b.iter(|| auth::verify(black_box(&bytes), &secret).unwrap());
        });
    }
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
