//! Traffic between hosts, and what of it is seen on the WAN.

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Does something in a namespace, on a thread of its own; sockets made there stay there.
pub(crate) fn inside<T: Send + 'static>(
    netns: &Path,
    job: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    let file = File::open(netns).unwrap();
    std::thread::spawn(move || {
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        job()
    })
}

/// A capture of all frames in a namespace.
pub(crate) struct Wire {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

/// What was captured.
#[derive(Default)]
pub(crate) struct Seen {
    bytes: Vec<u8>,
    /// Packets of ESP in UDP.
    pub(crate) esp: usize,
}

impl Seen {
    pub(crate) fn holds(&self, mark: &[u8]) -> bool {
        self.bytes.windows(mark.len()).any(|part| part == mark)
    }
}

impl Wire {
    pub(crate) fn watch(netns: &Path) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let over = stop.clone();
        let (ready, wait) = std::sync::mpsc::channel();
        let thread = inside(netns, move || {
            let all = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_NONBLOCK,
                SockProtocol::EthAll,
            )
            .unwrap();
            nix::sys::socket::setsockopt(&all, nix::sys::socket::sockopt::RcvBufForce, &(64 << 20))
                .unwrap();
            ready.send(()).unwrap();
            let mut seen = Seen::default();
            let mut frame = [0; 65536];
            loop {
                match nix::unistd::read(&all, &mut frame) {
                    Ok(length) => {
                        let frame = &frame[..length];
                        // IPv4 without options, UDP to port 4500, no zero marker: ESP (RFC 3948).
                        if length > 46
                            && frame[12..14] == [8, 0]
                            && frame[23] == 17
                            && frame[36..38] == 4500u16.to_be_bytes()
                            && frame[42..46] != [0; 4]
                        {
                            seen.esp += 1;
                        }
                        seen.bytes.extend(frame);
                    }
                    Err(_) if over.load(Ordering::Relaxed) => return seen,
                    Err(_) => std::thread::sleep(Duration::from_millis(1)),
                }
            }
        });
        wait.recv().unwrap();
        Self { stop, thread }
    }

    pub(crate) fn end(self) -> Seen {
        std::thread::sleep(Duration::from_millis(50));
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// Numbered datagrams, one a millisecond, each echoed.
pub(crate) struct Datagrams {
    stop: Arc<AtomicBool>,
    heard: Arc<AtomicU64>,
    thread: JoinHandle<Echoes>,
}

/// What came of them.
#[derive(Debug)]
pub(crate) struct Echoes {
    pub(crate) sent: u64,
    pub(crate) came: u64,
    /// The longest time without an echo.
    pub(crate) gap: Duration,
}

impl Echoes {
    pub(crate) fn lost(&self) -> u64 {
        self.sent - self.came
    }
}

const PORT: u16 = 9000;

impl Datagrams {
    /// Sends from one namespace to an address of another one.
    pub(crate) fn start(
        from: &Path,
        own: Ipv4Addr,
        to: &Path,
        there: Ipv4Addr,
        payload: Vec<u8>,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let heard = Arc::new(AtomicU64::new(0));
        let (over, count) = (stop.clone(), heard.clone());
        let echo = inside(to, move || UdpSocket::bind((there, PORT)).unwrap())
            .join()
            .unwrap();
        // The echo outlives the sender, or the last datagram would be lost to the test itself.
        let last_one = Arc::new(AtomicBool::new(false));
        let over_there = last_one.clone();
        let echo = std::thread::spawn(move || {
            echo.set_read_timeout(Some(Duration::from_millis(100)))
                .unwrap();
            let mut data = [0; 2048];
            while !over_there.load(Ordering::Relaxed) {
                if let Ok((length, who)) = echo.recv_from(&mut data) {
                    let _ = echo.send_to(&data[..length], who);
                }
            }
        });
        let thread = inside(from, move || {
            let socket = UdpSocket::bind((own, 0)).unwrap();
            socket.connect((there, PORT)).unwrap();
            socket.set_nonblocking(true).unwrap();
            let mut seen = std::collections::HashSet::new();
            let (mut sent, mut gap, mut last) = (0u64, Duration::ZERO, Instant::now());
            let mut ending: Option<Instant> = None;
            let mut data = [0; 2048];
            loop {
                if ending.is_none() {
                    let mut message = sent.to_be_bytes().to_vec();
                    message.extend(&payload);
                    if socket.send(&message).is_ok() {
                        sent += 1;
                    }
                    if over.load(Ordering::Relaxed) {
                        ending = Some(Instant::now());
                    }
                }
                while let Ok(length) = socket.recv(&mut data) {
                    if length >= 8 && seen.insert(data[..8].to_vec()) {
                        gap = gap.max(last.elapsed());
                        last = Instant::now();
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                if ending.is_some_and(|at| at.elapsed() > Duration::from_millis(300)) {
                    let came = seen.len() as u64;
                    last_one.store(true, Ordering::Relaxed);
                    echo.join().unwrap();
                    gap = gap.max(ending.map_or(gap, |at| at.saturating_duration_since(last)));
                    return Echoes { sent, came, gap };
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        Self {
            stop,
            heard,
            thread,
        }
    }

    /// How many came back until now.
    pub(crate) fn heard(&self) -> u64 {
        self.heard.load(Ordering::Relaxed)
    }

    pub(crate) async fn end(self) -> Echoes {
        self.stop.store(true, Ordering::Relaxed);
        tokio::task::spawn_blocking(|| self.thread.join().unwrap())
            .await
            .unwrap()
    }
}

/// A TCP connection that is written to without pause and must deliver every byte in order.
pub(crate) struct Stream {
    stop: Arc<AtomicBool>,
    delivered: Arc<AtomicU64>,
    sender: JoinHandle<u64>,
    receiver: JoinHandle<u64>,
}

impl Stream {
    pub(crate) fn start(from: &Path, to: &Path, there: Ipv4Addr) -> Self {
        let listener = inside(to, move || TcpListener::bind((there, PORT)).unwrap())
            .join()
            .unwrap();
        let connection = inside(from, move || TcpStream::connect((there, PORT)).unwrap())
            .join()
            .unwrap();
        let (mut incoming, _) = listener.accept().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let delivered = Arc::new(AtomicU64::new(0));
        let (over, count) = (stop.clone(), delivered.clone());
        let sender = std::thread::spawn(move || {
            let mut connection = connection;
            let mut sent = 0u64;
            while !over.load(Ordering::Relaxed) {
                let block: Vec<u8> = (0..4096).map(|n| byte(sent + n)).collect();
                connection.write_all(&block).unwrap();
                sent += 4096;
                std::thread::sleep(Duration::from_millis(1));
            }
            sent
        });
        let receiver = std::thread::spawn(move || {
            let mut block = [0; 65536];
            let mut came = 0u64;
            loop {
                let length = incoming.read(&mut block).unwrap();
                if length == 0 {
                    return came;
                }
                for (n, found) in block[..length].iter().enumerate() {
                    assert_eq!(*found, byte(came + n as u64), "a byte is not in its place");
                }
                came += length as u64;
                count.store(came, Ordering::Relaxed);
            }
        });
        Self {
            stop,
            delivered,
            sender,
            receiver,
        }
    }

    /// Bytes that have arrived.
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Ends it, and checks that all that was sent has come.
    pub(crate) async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let (sent, came) = tokio::task::spawn_blocking(|| {
            (self.sender.join().unwrap(), self.receiver.join().unwrap())
        })
        .await
        .unwrap();
        assert_eq!(sent, came);
        came
    }
}

fn byte(place: u64) -> u8 {
    (place % 251) as u8
}
