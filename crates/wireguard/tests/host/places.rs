//! Places change: addresses, ports of a NAT, processes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use wireguard::{Event, SecretKey};

use crate::relay::Relay;
use crate::stage::{PORT, Stage, inner, only, outer, peer, session, until};
use crate::stream::Stream;

/// A TCP connection on which numbers are sent all the time, and are to arrive in order.
struct Connection {
    stop: Arc<AtomicBool>,
    arrived: Arc<AtomicU64>,
    sender: std::thread::JoinHandle<u64>,
    receiver: std::thread::JoinHandle<u64>,
}

impl Connection {
    fn open(stage: &Stage, from: u8, to: u8) -> Self {
        let at = SocketAddr::new(inner(to), 7100);
        let listener = stage
            .inside(to, move || TcpListener::bind(at))
            .expect("listen");
        let stop = Arc::new(AtomicBool::new(false));
        let arrived = Arc::new(AtomicU64::new(0));
        let stopped = Arc::clone(&stop);
        let sender = stage.thread(from, move || {
            let timeout = Duration::from_secs(20);
            let mut stream = TcpStream::connect_timeout(&at, timeout).expect("connect");
            let mut number = 0u64;
            while !stopped.load(Ordering::Relaxed) {
                for _ in 0..100 {
                    stream.write_all(&number.to_be_bytes()).expect("it lives");
                    number += 1;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            number
        });
        let (mut stream, _) = listener.accept().expect("accept");
        let count = Arc::clone(&arrived);
        let receiver = std::thread::spawn(move || {
            let timeout = Some(Duration::from_secs(30));
            stream.set_read_timeout(timeout).expect("timeout");
            let mut number = [0; 8];
            while stream.read_exact(&mut number).is_ok() {
                let next = count.fetch_add(1, Ordering::Relaxed);
                assert_eq!(u64::from_be_bytes(number), next);
            }
            count.load(Ordering::Relaxed)
        });
        Self {
            stop,
            arrived,
            sender,
            receiver,
        }
    }

    /// Waits until something has arrived that was sent after now.
    fn goes_on(&self) {
        for _ in 0..2 {
            let before = self.arrived.load(Ordering::Relaxed);
            until("the connection goes on", || {
                self.arrived.load(Ordering::Relaxed) > before + 5000
            });
        }
    }

    fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        let sent = self.sender.join().expect("no panic");
        assert_eq!(self.receiver.join().expect("no panic"), sent);
    }
}

#[test]
fn a_peer_that_moves_to_another_address_is_followed() {
    let stage = Stage::new(2);
    let [(first, other), (second, own)] = stage.pair();
    let connection = Connection::open(&stage, 1, 2);
    connection.goes_on();
    let mut events = first.events();
    // Who moves and only listens has to say something now and then.
    let mut alive = peer(1, &other);
    alive.keepalive = Some(1);
    second.set(only(&own, alive)).expect("set");
    stage.sh(
        2,
        "ip addr del 10.0.0.2/24 dev e0; ip addr add 10.0.0.77/24 dev e0",
    );
    connection.goes_on();
    let there = SocketAddr::from(([10, 0, 0, 77], PORT));
    until("it is known to be there", || {
        first.status().peers[0].endpoint == Some(there)
    });
    let roamed = Event::Roamed {
        peer: own.public(),
        from: Some(SocketAddr::new(outer(2), PORT)),
        to: there,
    };
    until("it was told", || events.try_recv().as_ref() == Ok(&roamed));
    connection.finish();
}

#[test]
fn a_nat_that_forgets_costs_no_connection() {
    let stage = Stage::new(3);
    let (first, second) = (stage.device(1), stage.device(2));
    let [own, other] = [(); 2].map(|()| SecretKey::generate());
    let relay = Relay::start(&stage, 3, 2);
    let mut behind = peer(2, &other);
    behind.endpoint = Some(SocketAddr::new(outer(3), PORT));
    behind.keepalive = Some(1);
    first.set(only(&own, behind)).expect("set");
    let mut begins = peer(1, &own);
    begins.endpoint = None;
    second.set(only(&other, begins)).expect("set");
    until("keeping alive begins", || session(&second).is_some());
    let connection = Connection::open(&stage, 2, 1);
    for _ in 0..5 {
        let before = second.status().peers[0].endpoint;
        relay.rebind();
        until("its new port is known", || {
            let after = second.status().peers[0].endpoint;
            after != before && after.map(|at| at.ip()) == Some(outer(3))
        });
        connection.goes_on();
    }
    connection.finish();
    assert_eq!(
        first.status().peers[0].endpoint.map(|at| at.ip()),
        Some(outer(3))
    );
}

#[test]
fn who_must_not_roam_is_answered_where_it_belongs() {
    let stage = Stage::new(2);
    let [(first, own), (_second, other)] = stage.pair();
    let mut fixed = peer(2, &other);
    fixed.roam = false;
    first.set(only(&own, fixed)).expect("set");
    stage.sh(2, &format!("ping -qc 1 -W 5 {}", inner(1)));
    stage.sh(2, "ip addr add 10.0.0.77/24 dev e0");
    stage.sh(2, "ip route replace 10.0.0.0/24 dev e0 src 10.0.0.77");
    // It still has its old address, so answers arrive.
    stage.sh(2, &format!("ping -qc 3 -i 0.2 -W 5 {}", inner(1)));
    let endpoint = first.status().peers[0].endpoint;
    assert_eq!(endpoint, Some(SocketAddr::new(outer(2), PORT)));
}

#[test]
fn a_device_that_is_started_again_costs_no_connection() {
    for who in [1u8, 2] {
        let stage = Stage::new(2);
        let [(first, own), (second, other)] = stage.pair();
        let connection = Connection::open(&stage, 1, 2);
        connection.goes_on();
        let mut devices = [Some(first), Some(second)];
        let keys = [&own, &other];
        for _ in 0..2 {
            let at = usize::from(who) - 1;
            drop(devices[at].take());
            let again = stage.device(who);
            let wanted = only(keys[at], peer(3 - who, keys[1 - at]));
            again.set(wanted).expect("set");
            devices[at] = Some(again);
            connection.goes_on();
        }
        connection.finish();
    }
}

#[test]
fn a_peer_with_keepalive_is_there_before_anything_is_sent_and_after_it_was_away() {
    let stage = Stage::new(2);
    let (first, second) = (stage.device(1), stage.device(2));
    let [own, other] = [(); 2].map(|()| SecretKey::generate());
    let mut alive = peer(2, &other);
    alive.keepalive = Some(1);
    first.set(only(&own, alive)).expect("set");
    std::thread::sleep(Duration::from_millis(500));
    let mut silent = peer(1, &own);
    silent.endpoint = None;
    second.set(only(&other, silent)).expect("set");
    until("there is a session", || session(&second).is_some());
    let before = second.status().peers[0].received.packets;
    until("it keeps alive", || {
        second.status().peers[0].received.packets >= before + 2
    });
    let stream = Stream::start(&stage, [2, 1]);
    std::thread::sleep(Duration::from_millis(300));
    for direction in stream.finish() {
        assert_eq!(direction.lost, 0, "{direction:?}");
    }
}
