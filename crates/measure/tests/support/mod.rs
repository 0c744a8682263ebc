//! An echo server that misbehaves on purpose, by the sequence number of each packet.

use measure::wire::{LEN, Record};
use nix::sys::socket::{setsockopt, sockopt};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// What happens to one UDP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Echoed.
    Echo,
    /// Never reached the guest.
    LoseRequest,
    /// Echoed by the guest, lost afterwards.
    LoseReply,
    /// The reply arrives this many times.
    Copies(u32),
    /// The request arrives twice; the guest echoes both.
    RequestTwice,
    /// The reply is sent after the replies to this many later packets.
    After(u64),
}

/// What happens to the TCP sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcpFate {
    /// Echoed.
    Echo,
    /// The session is closed after this many records.
    CloseAfter(u64),
    /// Records beyond this many are swallowed.
    SilentAfter(u64),
    /// The record of this number comes back with another sequence number.
    Scramble(u64),
}

pub(crate) struct EchoServer {
    pub(crate) address: SocketAddr,
    stop: Arc<AtomicBool>,
    /// Sequence numbers of the UDP requests, in order of arrival.
    pub(crate) seen: Arc<Mutex<Vec<u64>>>,
    threads: Vec<JoinHandle<()>>,
}

impl EchoServer {
    /// On a free port of the loopback interface, the same for UDP and TCP.
    pub(crate) fn start(udp: fn(u64) -> Fate, tcp: fn(usize) -> TcpFate) -> Self {
        let local = (Ipv4Addr::LOCALHOST, 0);
        let (listener, socket) = (0..100)
            .find_map(|_| {
                let listener = TcpListener::bind(local).ok()?;
                let socket = UdpSocket::bind(listener.local_addr().ok()?).ok()?;
                Some((listener, socket))
            })
            .expect("a port that is free for UDP and TCP");
        let address = listener.local_addr().expect("a bound listener");
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let mut threads = Vec::new();
        let (stopped, requests) = (stop.clone(), seen.clone());
        threads.push(std::thread::spawn(move || {
            echo_udp(&socket, udp, &stopped, &requests);
        }));
        let stopped = stop.clone();
        threads.push(std::thread::spawn(move || {
            accept(&listener, tcp, &stopped);
        }));
        Self {
            address,
            stop,
            seen,
            threads,
        }
    }

    pub(crate) fn target(&self, name: &str) -> measure::probe::Target {
        let mut target = measure::probe::Target::new(name, IpAddr::V4(Ipv4Addr::LOCALHOST));
        target.echo_port = self.address.port();
        target.http_port = self.address.port();
        target
    }
}

impl Drop for EchoServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn echo_udp(socket: &UdpSocket, fate: fn(u64) -> Fate, stop: &AtomicBool, seen: &Mutex<Vec<u64>>) {
    socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .expect("a read timeout");
    // Room for seconds of requests: this server loses what it is told to lose and nothing else.
    let room = 8 << 20;
    if setsockopt(socket, sockopt::RcvBufForce, &room).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &room).expect("a larger receive buffer");
    }
    let mut counter = 0;
    let mut later: Vec<(u64, [u8; LEN], SocketAddr)> = Vec::new();
    let mut buffer = [0; 2048];
    while !stop.load(Ordering::Acquire) {
        let Ok((len, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let Some(request) = Record::decode(&buffer[..len]) else {
            continue;
        };
        seen.lock().expect("no panic elsewhere").push(request.seq);
        let mut reply = || {
            counter += 1;
            Record {
                guest: counter,
                ..request
            }
            .encode()
        };
        let send = |bytes: &[u8; LEN]| drop(socket.send_to(bytes, from));
        match fate(request.seq) {
            Fate::Echo => send(&reply()),
            Fate::LoseRequest => {}
            Fate::LoseReply => drop(reply()),
            Fate::Copies(copies) => {
                let reply = reply();
                (0..copies).for_each(|_| send(&reply));
            }
            Fate::RequestTwice => {
                send(&reply());
                send(&reply());
            }
            Fate::After(packets) => later.push((request.seq + packets, reply(), from)),
        }
        later.retain(|(due, bytes, to)| {
            let keep = request.seq < *due;
            if !keep {
                let _ = socket.send_to(bytes, to);
            }
            keep
        });
    }
}

fn accept(listener: &TcpListener, fate: fn(usize) -> TcpFate, stop: &Arc<AtomicBool>) {
    let mut sessions = Vec::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept() else {
            break;
        };
        if stop.load(Ordering::Acquire) {
            break;
        }
        let (fate, stop) = (fate(number), stop.clone());
        sessions.push(std::thread::spawn(move || echo_tcp(stream, fate, &stop)));
    }
    for session in sessions {
        let _ = session.join();
    }
}

fn echo_tcp(mut stream: TcpStream, fate: TcpFate, stop: &AtomicBool) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
    let mut pending = Vec::new();
    let mut records = 0;
    let mut buffer = [0; 4096];
    while !stop.load(Ordering::Acquire) {
        match stream.read(&mut buffer) {
            Ok(0) => return,
            Ok(len) => pending.extend_from_slice(&buffer[..len]),
            Err(_) => continue,
        }
        while pending.len() >= LEN {
            let mut bytes: Vec<u8> = pending.drain(..LEN).collect();
            match fate {
                TcpFate::CloseAfter(limit) if records >= limit => return,
                TcpFate::SilentAfter(limit) if records >= limit => continue,
                TcpFate::Scramble(number) if records == number => bytes[7] ^= 0x55,
                _ => {}
            }
            records += 1;
            // In two parts, so that the probe meets echoes that come in pieces.
            let _ = stream.write_all(&bytes[..20]);
            let _ = stream.write_all(&bytes[20..]);
        }
    }
}
