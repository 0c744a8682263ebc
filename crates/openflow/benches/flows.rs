//! Fresh rules into one ovs-vswitchd: our client against `ovs-ofctl --bundle add-flows`.
//!
//! Run with `cargo bench -p openflow --bench flows [-- RULES ROUNDS]`. Needs root and Open vSwitch.
//! The last line is JSON. The ways take turns in every round, so that a busy machine hits them all.

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use openflow::client::Client;
use openflow::{Action, Field, FlowMod, MacAddr, Match, Message};
use support::{Ovs, run};

fn main() {
    // `cargo test --benches` and `cargo bench` add flags of their own.
    let mut numbers = std::env::args()
        .skip(1)
        .filter_map(|arg| arg.parse::<usize>().ok());
    let rules = numbers.next().unwrap_or(20_000);
    let rounds = numbers.next().unwrap_or(7);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(bench(rules, rounds.max(1)));
}

async fn bench(rules: usize, rounds: usize) {
    let ovs = Ovs::start();
    let switch = Client::connect_unix(ovs.management_socket()).await.unwrap();
    let file = ovs.dir().join("flows.txt");
    std::fs::write(&file, (0..rules).map(text).collect::<String>()).unwrap();
    let file = file.to_str().unwrap();

    let (mut bundle, mut batch, mut ofctl, mut raw) = (vec![], vec![], vec![], vec![]);
    for round in 0..rounds {
        empty(&switch).await;
        let begin = Instant::now();
        switch.commit_bundle((0..rules).map(rule)).await.unwrap();
        bundle.push(begin.elapsed());
        count(&switch, rules).await;

        empty(&switch).await;
        let begin = Instant::now();
        run(Command::new("ovs-ofctl")
            .env("OVS_RUNDIR", ovs.dir())
            .args(["-OOpenFlow14", "--bundle", "add-flows", "br0", file]));
        ofctl.push(begin.elapsed());
        count(&switch, rules).await;

        empty(&switch).await;
        let begin = Instant::now();
        switch.send_batch((0..rules).map(rule)).await.unwrap();
        batch.push(begin.elapsed());
        count(&switch, rules).await;

        empty(&switch).await;
        raw.push(raw_socket(&ovs, rules));
        count(&switch, rules).await;
        eprintln!(
            "round {round}: bundle {:?}, ovs-ofctl {:?}, batch {:?}, raw {:?}",
            bundle[round], ofctl[round], batch[round], raw[round]
        );
    }
    empty(&switch).await;
    let (encode, decode) = codec(rules);
    let start = timed(rounds, || {
        run(Command::new("ovs-ofctl").arg("--version"));
    });
    let parse = timed(rounds, || {
        run(Command::new("ovs-ofctl").args(["-OOpenFlow14", "parse-flows", file]));
    });
    let trip = round_trip(&switch, Duration::ZERO).await;
    let idle_trip = round_trip(&switch, Duration::from_millis(2)).await;
    let raw_trip = raw_round_trip(&ovs);

    let rate = |t: Duration| rules as f64 / t.as_secs_f64();
    let (bundle, batch) = (median(bundle), median(batch));
    let (ofctl, raw) = (median(ofctl), median(raw));
    println!("{rules} fresh rules, median of {rounds} rounds, rules a second:");
    println!(
        "  our client, bundle                      {:>12.0}",
        rate(bundle)
    );
    println!(
        "  our client, one batch and a barrier     {:>12.0}",
        rate(batch)
    );
    println!(
        "  ovs-ofctl -OOpenFlow14 --bundle         {:>12.0}",
        rate(ofctl)
    );
    println!(
        "  encoded before, one write, a barrier    {:>12.0}   (the switch's own limit)",
        rate(raw)
    );
    println!(
        "  our codec alone: encode                 {:>12.0}",
        rate(encode)
    );
    println!(
        "  our codec alone: decode                 {:>12.0}",
        rate(decode)
    );
    println!(
        "ovs-ofctl's time holds {start:?} of process start; parsing and printing the same text"
    );
    println!("  takes it {parse:?}");
    println!(
        "bundle / ovs-ofctl: {:.2}   batch / ovs-ofctl: {:.2}",
        rate(bundle) / rate(ofctl),
        rate(batch) / rate(ofctl)
    );
    println!(
        "one flow-mod and barrier, median: back to back {trip:?} (blocking socket {raw_trip:?}), \
         every 2 ms {idle_trip:?}"
    );
    println!(
        "{{\"rules\":{rules},\"bundle_per_s\":{:.0},\"batch_per_s\":{:.0},\"ofctl_per_s\":{:.0},\
         \"raw_per_s\":{:.0},\"encode_per_s\":{:.0},\"decode_per_s\":{:.0},\"bundle_ratio\":{:.3},\
         \"batch_ratio\":{:.3},\"round_trip_us\":{:.0}}}",
        rate(bundle),
        rate(batch),
        rate(ofctl),
        rate(raw),
        rate(encode),
        rate(decode),
        rate(bundle) / rate(ofctl),
        rate(batch) / rate(ofctl),
        idle_trip.as_secs_f64() * 1e6,
    );
}

fn mac(n: usize) -> MacAddr {
    let [.., b, c, d] = (n as u32).to_be_bytes();
    MacAddr([2, 0, 0, b, c, d])
}

fn rule(n: usize) -> FlowMod {
    FlowMod::add()
        .priority(100 + (n % 100) as u16)
        .matching(Match::new().in_port(1).eth_dst(mac(n)).reg(0, n as u32))
        .apply([
            Action::set_field(
                Field::TUN_DST,
                Ipv4Addr::from(0x0a00_0000 + (n % 250) as u32),
            ),
            Action::output(2),
        ])
}

fn text(n: usize) -> String {
    format!(
        "table=0,priority={},in_port=1,dl_dst={},reg0={n},actions=set_field:{}->tun_dst,output:2\n",
        100 + n % 100,
        mac(n),
        Ipv4Addr::from(0x0a00_0000 + (n % 250) as u32)
    )
}

async fn empty(switch: &Client) {
    switch.send_batch([FlowMod::delete()]).await.unwrap();
    // The switch frees deleted rules after its answer.
    tokio::time::sleep(Duration::from_millis(100)).await;
}

async fn count(switch: &Client, rules: usize) {
    let sums = switch.aggregate(Default::default()).await.unwrap();
    assert_eq!(sums.flow_count as usize, rules);
}

fn encoded(rules: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    for n in 0..rules {
        Message::new(n as u32, rule(n)).encode(&mut bytes).unwrap();
    }
    bytes
}

/// What the switch can do when nobody has to encode anything.
fn raw_socket(ovs: &Ovs, rules: usize) -> Duration {
    let mut bytes = encoded(rules);
    bytes.extend([4, 20, 0, 8, 0xaa, 0xbb, 0xcc, 0xdd]);
    let mut socket = UnixStream::connect(ovs.management_socket()).unwrap();
    socket.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]).unwrap();
    let mut hello = [0; 8];
    socket.read_exact(&mut hello).unwrap();
    let begin = Instant::now();
    socket.write_all(&bytes).unwrap();
    let mut answer = [0; 8];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(answer, [4, 21, 0, 8, 0xaa, 0xbb, 0xcc, 0xdd]);
    begin.elapsed()
}

fn codec(rules: usize) -> (Duration, Duration) {
    let mods: Vec<_> = (0..rules)
        .map(|n| Message::new(n as u32, rule(n)))
        .collect();
    let mut bytes = encoded(rules);
    let encode = timed(9, || {
        bytes.clear();
        mods.iter().for_each(|m| m.encode(&mut bytes).unwrap());
    });
    let decode = timed(9, || {
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let (_, length) = Message::decode(rest).unwrap();
            rest = &rest[length..];
        }
    });
    (encode, decode)
}

async fn round_trip(switch: &Client, pause: Duration) -> Duration {
    let mut times = Vec::new();
    for n in 0..500 {
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
        let begin = Instant::now();
        switch.send_batch([rule(n % 2)]).await.unwrap();
        times.push(begin.elapsed());
    }
    median(times)
}

/// The same over a blocking socket: what the switch and the kernel take.
fn raw_round_trip(ovs: &Ovs) -> Duration {
    let mut socket = UnixStream::connect(ovs.management_socket()).unwrap();
    socket.write_all(&[4, 0, 0, 8, 0, 0, 0, 1]).unwrap();
    let mut answer = [0; 8];
    socket.read_exact(&mut answer).unwrap();
    let mut times = Vec::new();
    for n in 0..1000 {
        let mut bytes = Message::new(7, rule(n % 2)).to_bytes().unwrap();
        bytes.extend([4, 20, 0, 8, 0, 0, 0, 9]);
        let begin = Instant::now();
        socket.write_all(&bytes).unwrap();
        socket.read_exact(&mut answer).unwrap();
        times.push(begin.elapsed());
        assert_eq!(answer, [4, 21, 0, 8, 0, 0, 0, 9]);
    }
    median(times)
}

fn timed(times: usize, mut work: impl FnMut()) -> Duration {
    median(
        (0..times)
            .map(|_| {
                let begin = Instant::now();
                work();
                begin.elapsed()
            })
            .collect(),
    )
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
