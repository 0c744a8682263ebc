//! Endpoints that move, with a Map-Server on real UDP.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use lisp::Eid;
use lisp::auth::Secret;
use mapping::{Key, MapServer, Outcome, Site};
use xtr::config::{Hmac, Kernel, MapResolver};
use xtr::{Config, Handle};

use crate::stage::{INSTANCE, Stage, config, count, eid4, host, rloc, rloc4, until};

/// A Map-Server at a place, until it is dropped.
struct Server {
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Server {
    fn start(stage: &Stage, place: u8) -> Self {
        let socket = stage
            .inside(place, || UdpSocket::bind("0.0.0.0:4342"))
            .expect("socket");
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .expect("timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let site = Site {
                id: 9,
                keys: vec![Key {
                    id: 0,
                    secret: Secret::new(b"of the site"),
                }],
                prefixes: vec![Eid::new(INSTANCE, std::net::Ipv4Addr::new(10, 2, 0, 0), 16)],
                accept_more_specifics: true,
                accept_constant_nonce: false,
            };
            let sites = vec![site];
            let config = mapping::Config {
                sites,
                ..mapping::Config::default()
            };
            let mut server = MapServer::new(config, rloc4(place));
            let began = Instant::now();
            let mut buffer = [0; 2000];
            while !stopped.load(Ordering::Relaxed) {
                let mut outcome = Outcome::default();
                if let Ok((length, from)) = socket.recv_from(&mut buffer) {
                    server.receive(from, &buffer[..length], began.elapsed(), &mut outcome);
                }
                server.tick(began.elapsed(), &mut outcome);
                for (to, bytes) in outcome.datagrams() {
                    drop(socket.send_to(bytes, to));
                }
            }
        });
        Self {
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

/// A router that registers with the Map-Server at place 4.
fn registering(place: u8, subscribe: bool) -> Config {
    let mut config = config(place, rloc4(place));
    config.eids.retain(|eid| eid.prefix.starts_with("10."));
    config.xtr_id = Some(format!("{place:x}"));
    config.site_id = 9;
    config.subscribe = subscribe;
    config.map_servers = vec![xtr::config::MapServer {
        address: rloc4(4),
        port: 4342,
        key: Some("of the site".to_owned()),
        key_file: None,
        key_id: 0,
        algorithm: Hmac::Sha256,
        proxy_reply: true,
        rfc6830: false,
    }];
    config.map_resolvers = vec![MapResolver {
        address: rloc4(4),
        port: 4342,
        rfc6830: false,
    }];
    config
}

fn vm() -> IpAddr {
    eid4(50)
}

/// Datagrams that arrive at a place for the endpoint, by number.
struct Receiver {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<Vec<u32>>,
}

impl Receiver {
    fn start(stage: &Stage, place: u8) -> Self {
        let socket = stage
            .inside(place, || UdpSocket::bind("0.0.0.0:9000"))
            .expect("socket");
        socket
            .set_read_timeout(Some(Duration::from_millis(100)))
            .expect("timeout");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut got = Vec::new();
            let mut buffer = [0; 100];
            while !stopped.load(Ordering::Relaxed) {
                if let Ok(length) = socket.recv(&mut buffer) {
                    let number = buffer[..length].first_chunk().expect("a number");
                    got.push(u32::from_be_bytes(*number));
                }
            }
            got
        });
        Self { stop, thread }
    }

    fn finish(self) -> Vec<u32> {
        std::thread::sleep(Duration::from_millis(300));
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

/// A stream of datagrams a millisecond, while the endpoint moves from place 2 to 3 and back; returns
/// how many were sent, what arrived at both, and the routers.
fn stream(subscribe: bool, kernel: bool) -> (u32, Vec<u32>, Vec<u32>, Vec<Handle>, Stage) {
    let stage = Stage::new(4);
    let _server = Server::start(&stage, 4);
    let routers: Vec<Handle> = (1..=3)
        .map(|place| {
            let mut config = registering(place, subscribe);
            if kernel {
                config.kernel = Some(Kernel {
                    device: "lispgpe".to_owned(),
                    peers: vec!["10.0.0.0/24".to_owned()],
                });
                stage.sh(place, "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
            }
            stage.start(place, config)
        })
        .collect();
    stage.sh(2, &format!("ip addr add {}/32 dev lo", vm()));
    routers[1].own_eid_arrived(host(vm()));
    until("registered", || {
        let status = routers[1].status();
        status.eids.iter().all(|eid| !eid.registered.is_empty())
    });
    let receivers = [2, 3].map(|place| Receiver::start(&stage, place));
    let sender = stage
        .inside(1, || UdpSocket::bind("10.2.0.1:0"))
        .expect("socket");
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let send = std::thread::spawn(move || {
        let to = SocketAddr::new(vm(), 9000);
        let mut number = 0u32;
        while !stopped.load(Ordering::Relaxed) {
            sender.send_to(&number.to_be_bytes(), to).expect("send");
            number += 1;
            // So that no more wait for the first answer than may.
            let rest = if number < 3 { 300 } else { 1 };
            std::thread::sleep(Duration::from_millis(rest));
        }
        number
    });
    std::thread::sleep(Duration::from_millis(1500));
    for (old, new) in [(2u8, 3u8), (3, 2)] {
        stage.sh(new, &format!("ip addr add {}/32 dev lo", vm()));
        routers[usize::from(new) - 1].own_eid_arrived(host(vm()));
        let to = vec![rloc(rloc4(new))];
        routers[usize::from(old) - 1].own_eid_left(host(vm()), to, Duration::from_secs(30));
        stage.sh(old, &format!("ip addr del {}/32 dev lo", vm()));
        std::thread::sleep(Duration::from_millis(1000));
    }
    stop.store(true, Ordering::Relaxed);
    let sent = send.join().expect("no panic");
    let [second, third] = receivers.map(Receiver::finish);
    (sent, second, third, routers, stage)
}

fn assert_all_arrived(sent: u32, second: &[u32], third: &[u32]) {
    let mut all: Vec<u32> = second.iter().chain(third).copied().collect();
    all.sort_unstable();
    let expected: Vec<u32> = (0..sent).collect();
    assert!(all == expected, "{} of {sent} arrived", all.len());
    assert!(third.len() > 50, "{} at the other place", third.len());
    assert!(second.last() > third.last(), "it came back");
}

#[test]
fn nothing_is_lost_when_an_endpoint_moves_there_and_back_and_a_subscriber_is_told() {
    let (sent, second, third, routers, _stage) = stream(true, false);
    assert_all_arrived(sent, &second, &third);
    let status = routers[0].status();
    let mapping = status.mappings.iter().find(|m| m.eid.contains("10.2.0.50"));
    let mapping = mapping.expect("a mapping");
    assert!(mapping.subscribed);
    assert_eq!(mapping.used, [rloc4(2)]);
    let forwarded =
        count(&routers[1], "reencapsulated_packets") + count(&routers[2], "reencapsulated_packets");
    assert!(
        forwarded < 200,
        "the cache has turned: {forwarded} were sent on"
    );
}

#[test]
fn nothing_is_lost_either_when_the_sender_knows_only_solicitations() {
    let (sent, second, third, routers, _stage) = stream(false, false);
    assert_all_arrived(sent, &second, &third);
    assert!(
        !routers[0]
            .status()
            .mappings
            .iter()
            .any(|mapping| mapping.subscribed)
    );
}

#[test]
fn the_kernel_carries_it_and_a_move_changes_its_routes() {
    let (sent, second, third, routers, stage) = stream(true, true);
    assert_all_arrived(sent, &second, &third);
    let route = stage.sh(1, "ip route show 10.2.0.50");
    assert!(
        route.contains("encap ip id 7") && route.contains("dst 10.0.0.2"),
        "{route}"
    );
    let by_us = count(&routers[0], "encapsulated_packets");
    assert!(by_us < 50, "{by_us} went through the router");
    drop(routers);
    let left = stage.sh(1, "ip link show; ip route show");
    assert!(
        !left.contains("lispgpe") && !left.contains("lisp7"),
        "{left}"
    );
}

#[test]
fn the_kernel_fences_what_comes_by_tunnel_and_still_lets_hosts_here_reach_it() {
    let stage = Stage::new(3);
    let routers = [1u8, 2, 3].map(|place| {
        let mut config = config(place, rloc4(place));
        config.kernel = Some(Kernel {
            device: "lispgpe".to_owned(),
            peers: vec!["10.0.0.0/24".to_owned()],
        });
        stage.sh(place, "sysctl -qw net.ipv4.ip_forward=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0");
        stage.start(place, config)
    });
    stage.sh(3, &format!("ip addr add {}/32 dev lo", vm()));
    routers[2].own_eid_arrived(host(vm()));
    routers[0].set_mapping(host(vm()), Some(vec![rloc(rloc4(2))]));
    routers[1].own_eid_arrived(host(vm()));
    routers[1].own_eid_left(
        host(vm()),
        vec![rloc(rloc4(3))],
        Duration::from_millis(1500),
    );
    let receiver = stage
        .inside(3, || UdpSocket::bind("10.2.0.50:9000"))
        .expect("socket");
    receiver
        .set_read_timeout(Some(Duration::from_millis(300)))
        .expect("timeout");
    let senders = [1u8, 2].map(|place| {
        let from = SocketAddr::new(eid4(place), 0);
        stage
            .inside(place, move || UdpSocket::bind(from))
            .expect("socket")
    });
    let arrives = |sender: &UdpSocket| {
        sender.send_to(b"hello", "10.2.0.50:9000").expect("send");
        receiver.recv(&mut [0; 10]).is_ok()
    };
    until("the routes are there", || arrives(&senders[0]));
    until("fenced", || {
        routers[1]
            .status()
            .eids
            .iter()
            .any(|eid| eid.state == "fenced")
    });
    until("the fence is there", || !arrives(&senders[0]));
    assert!(!arrives(&senders[0]));
    assert!(arrives(&senders[1]), "from beside the place that it left");
    routers[1].own_eid_gone(host(vm()));
    until("the fence is gone", || arrives(&senders[0]));
    drop(routers);
    let left = stage.sh(2, "ip rule show; ip route show table 142 2>&1 || true");
    assert!(
        !left.contains("lispgpe") && !left.contains("10.2.0.50"),
        "{left}"
    );
}

#[test]
fn what_arrives_after_the_time_is_dropped_and_counted() {
    let stage = Stage::new(2);
    let routers = stage.pair(rloc4, |_| {});
    let sender = stage
        .inside(1, || UdpSocket::bind("10.2.0.1:0"))
        .expect("socket");
    routers[1].own_eid_left(host(eid4(2)), vec![rloc(rloc4(9))], Duration::ZERO);
    for _ in 0..10 {
        sender.send_to(b"late", "10.2.0.2:9000").expect("send");
    }
    until("fenced", || count(&routers[1], "drop_fenced") == 10);
    assert_eq!(routers[1].status().eids[0].state, "fenced");
}

#[test]
fn two_routers_that_hold_each_other_for_the_right_one_do_not_pass_on_for_ever() {
    let stage = Stage::new(2);
    let routers = stage.pair(rloc4, |_| {});
    let vm = host(vm());
    routers[0].own_eid_left(vm, vec![rloc(rloc4(2))], Duration::from_secs(60));
    routers[1].own_eid_left(vm, vec![rloc(rloc4(1))], Duration::from_secs(60));
    let sender = stage
        .inside(1, || UdpSocket::bind("10.2.0.1:0"))
        .expect("socket");
    sender.send_to(b"round", "10.2.0.50:9000").expect("send");
    until("out of hops", || {
        count(&routers[0], "drop_ttl") + count(&routers[1], "drop_ttl") == 1
    });
    let passed =
        count(&routers[0], "reencapsulated_packets") + count(&routers[1], "reencapsulated_packets");
    assert!(passed < 64, "{passed}");
}
