//! A pretended VM with a kernel of its own: a network namespace behind a tap, whose frames a thread
//! carries to and from its port, as QEMU would. It can be put behind another port while its
//! connections are under way.

use model::Member;
use ovs::Netns;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) struct Machine {
    pub(crate) netns: Netns,
    shared: Arc<Shared>,
    carrier: Option<std::thread::JoinHandle<()>>,
}

struct Shared {
    own: OwnedFd,
    port: Mutex<Arc<OwnedFd>>,
    over: AtomicBool,
    /// Every frame that the guest was given.
    given: Mutex<Vec<Vec<u8>>>,
}

impl Machine {
    pub(crate) async fn start(member: &Member, port: OwnedFd) -> Self {
        let netns = Netns::fresh().unwrap();
        let own = ovs::tap::open_tap(&netns, "eth0").await.unwrap();
        let mut commands = vec![
            "ip link set lo up".to_owned(),
            format!("ip link set eth0 address {} mtu 1400", member.mac),
            "ip link set eth0 up".to_owned(),
        ];
        for cidr in &member.addresses {
            let nodad = if cidr.address.is_ipv6() { " nodad" } else { "" };
            commands.push(format!("ip addr add {cidr} dev eth0{nodad}"));
        }
        for command in commands {
            netns
                .run(move || {
                    let mut words = command.split(' ');
                    let done = Command::new(words.next().unwrap()).args(words).status();
                    assert!(done.unwrap().success(), "{command}");
                })
                .await
                .unwrap();
        }
        let shared = Arc::new(Shared {
            own,
            port: Mutex::new(Arc::new(port)),
            over: AtomicBool::new(false),
            given: Mutex::default(),
        });
        let carrier = std::thread::spawn({
            let shared = shared.clone();
            move || carry(&shared)
        });
        Self {
            netns,
            shared,
            carrier: Some(carrier),
        }
    }

    /// Puts the machine behind another port; gives the one that it was behind.
    pub(crate) fn put(&self, port: OwnedFd) -> Arc<OwnedFd> {
        std::mem::replace(&mut *self.shared.port.lock().unwrap(), Arc::new(port))
    }

    /// Whether the guest was given a TCP segment from this port.
    pub(crate) fn was_given_from(&self, port: u16) -> bool {
        let given = self.shared.given.lock().unwrap();
        given.iter().any(|frame| {
            let sliced = etherparse::SlicedPacket::from_ethernet(frame).ok();
            matches!(sliced.and_then(|sliced| sliced.transport),
                Some(etherparse::TransportSlice::Tcp(tcp)) if tcp.source_port() == port)
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        if let Some(carrier) = self.carrier.take() {
            let _ = carrier.join();
        }
    }
}

fn carry(shared: &Shared) {
    while !shared.over.load(Ordering::Relaxed) {
        let port = shared.port.lock().unwrap().clone();
        let mut ready = [
            nix::poll::PollFd::new(shared.own.as_fd(), nix::poll::PollFlags::POLLIN),
            nix::poll::PollFd::new(port.as_fd(), nix::poll::PollFlags::POLLIN),
        ];
        let _ = nix::poll::poll(&mut ready, 10u8);
        for frame in ovs::tap::read_waiting(&shared.own).unwrap() {
            let _ = nix::unistd::write(&port, &frame);
        }
        for frame in ovs::tap::read_waiting(&port).unwrap_or_default() {
            let _ = nix::unistd::write(&shared.own, &frame);
            shared.given.lock().unwrap().push(frame);
        }
    }
}

/// A server that sends back what it gets, until its namespace is gone.
pub(crate) async fn serve(netns: &Netns, port: u16) {
    let listener = netns
        .run(move || TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], port))))
        .await
        .unwrap()
        .unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut buffer = [0; 4096];
                while let Ok(read @ 1..) = stream.read(&mut buffer) {
                    if stream.write_all(&buffer[..read]).is_err() {
                        return;
                    }
                }
            });
        }
    });
}

/// A connection from a namespace, if it comes about within a second.
pub(crate) async fn dial(netns: &Netns, to: IpAddr, port: u16) -> Option<TcpStream> {
    let opened = netns
        .run(move || TcpStream::connect_timeout(&(to, port).into(), Duration::from_secs(1)))
        .await;
    let stream = opened.unwrap().ok()?;
    stream
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    Some(stream)
}

/// Whether what is said comes back within two seconds.
pub(crate) async fn echoes(stream: &mut TcpStream) -> bool {
    tokio::task::block_in_place(|| {
        let said = vec![7; 20_000];
        let mut heard = vec![0; said.len()];
        stream.write_all(&said).is_ok() && stream.read_exact(&mut heard).is_ok() && heard == said
    })
}
