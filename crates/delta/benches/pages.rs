//! Bytes and CPU of a gang's pages, beside zstd -1 and beside sending them as they are.
//!
//! `cargo bench -p delta`. Four VMs that share a kernel, with data of their own that does not pack, of
//! which some pages are written again.

use delta::page::PAGE;
use delta::{Catalogue, Decoder, Encoder, Outcome, Shelf};
use std::io::Write;
use std::time::{Duration, Instant};

const VMS: usize = 4;
const PAGES: u64 = 6000;
/// What is read from QEMU at once.
const CHUNK: usize = 64 << 10;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// A third each: shared and packable, own and packable, own and not packable.
fn page(vm: usize, number: u64) -> Vec<u8> {
    let seed = number * 977
        + if number.is_multiple_of(3) {
            0
        } else {
            31 * vm as u64 + 7
        };
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    (0..PAGE / 8)
        .flat_map(|word| match (number % 3, word % 4) {
            (2, _) | (_, 0) => random.next().to_le_bytes(),
            (_, 1) => (0xffff_8880_0000_0000 | number << 12 | word as u64).to_le_bytes(),
            _ => [0; 8],
        })
        .collect()
}

/// The bulk in the order of addresses, then rounds over the same pages, a little changed.
fn stream(vm: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in 0..PAGES {
        bytes.extend((number << 12 | 0x28).to_be_bytes());
        bytes.extend(page(vm, number));
    }
    for round in 0..10u8 {
        for number in (PAGES - 300)..PAGES {
            bytes.extend((number << 12 | 0x28).to_be_bytes());
            let mut page = page(vm, number);
            page[usize::from(round) * 16] ^= round;
            bytes.extend(page);
        }
    }
    bytes
}

fn main() {
    let streams: Vec<_> = (0..VMS).map(stream).collect();
    let total: usize = streams.iter().map(Vec::len).sum();
    let rate = |took: Duration| total as f64 / 1e6 / took.as_secs_f64();

    let (mut catalogue, mut shelf) = (Catalogue::new(49152), Shelf::new(49152));
    let mut gang: Vec<_> = (0..VMS)
        .map(|_| {
            let sender = catalogue.join();
            (
                sender,
                Encoder::new(sender, 4096).unwrap(),
                Decoder::new(4096).unwrap(),
                0,
            )
        })
        .collect();
    let (mut encode, mut decode, mut bytes) = (Duration::ZERO, Duration::ZERO, 0);
    for at in (0..streams[0].len()).step_by(CHUNK) {
        for ((sender, encoder, decoder, read), stream) in gang.iter_mut().zip(&streams) {
            let began = Instant::now();
            encoder.feed(&stream[at..stream.len().min(at + CHUNK)]);
            let mut blocks = Vec::new();
            while let Some(block) = encoder.block(&mut catalogue, false).unwrap() {
                blocks.push(block);
            }
            encode += began.elapsed();
            for block in blocks {
                bytes += block.len();
                let began = Instant::now();
                let outcome = decoder.read(&mut shelf, &block).unwrap();
                decode += began.elapsed();
                assert!(matches!(outcome, Outcome::Done { .. }));
                *read += 1;
                catalogue.has_read(*sender, *read);
            }
        }
    }

    let (mut packing, mut unpacking, mut packed) = (Duration::ZERO, Duration::ZERO, 0);
    for stream in &streams {
        let began = Instant::now();
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        for chunk in stream.chunks(CHUNK) {
            encoder.write_all(chunk).unwrap();
            encoder.flush().unwrap();
        }
        let all = encoder.finish().unwrap();
        packing += began.elapsed();
        packed += all.len();
        let began = Instant::now();
        zstd::stream::copy_decode(&all[..], std::io::sink()).unwrap();
        unpacking += began.elapsed();
    }

    println!("{} VMs, {:.1} MB", VMS, total as f64 / 1e6);
    println!("           of bytes   in MB/s   out MB/s   in us/page");
    for (name, bytes, way_in, way_out) in [
        ("delta", bytes, encode, decode),
        ("zstd -1", packed, packing, unpacking),
    ] {
        println!(
            "{name:<10} {:>7.1} % {:>9.0} {:>10.0} {:>12.2}",
            bytes as f64 * 100.0 / total as f64,
            rate(way_in),
            rate(way_out),
            way_in.as_secs_f64() * 1e6 * PAGE as f64 / total as f64,
        );
    }
}
