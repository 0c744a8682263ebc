//! Throughput of the tunnel router between two network namespaces of its own, beside a bare veth and
//! the kernel's VXLAN in the same run. Needs root, `ip`, `ethtool` and `iperf3`.
//!
//! A word on the command line runs only the rows that contain it. Exit code 1: a figure missed.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use xtr::config::{Instance, Kernel, Own, Rloc, Static};
use xtr::{Config, Handle, Router};

const SECONDS: &str = "4";

fn main() -> ExitCode {
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wanted = |row: &str| only.is_empty() || only.iter().any(|word| row.contains(word.as_str()));
    let stage = Stage::new();
    let mut rows: Vec<(String, f64, &str, Option<f64>)> = Vec::new();
    let mut add = |name: &str, value: f64, unit: &'static str, least: Option<f64>| {
        let verdict = match least {
            Some(least) if value < least => format!("MISSED, wanted {least:.1}"),
            Some(least) => format!("ok, wanted {least:.1}"),
            None => String::new(),
        };
        println!("{name:<52} {value:>10.2} {unit:<8} {verdict}");
        rows.push((name.to_owned(), value, unit, least));
    };
    let mut veth = None;
    if wanted("veth") || wanted("gpe") {
        let value = stage.iperf("10.0.0.2", &[]);
        veth = Some(value);
        add("veth direct, TCP", value, "Gbit/s", None);
    }
    let mut plain = None;
    if wanted("vxlan") || wanted("xtr tcp") {
        stage.vxlan(true);
        add(
            "kernel VXLAN, all offloads, TCP",
            stage.iperf("10.9.0.2", &[]),
            "Gbit/s",
            None,
        );
        stage.vxlan_offloads(false);
        let value = stage.iperf("10.9.0.2", &[]);
        plain = Some(value);
        add("kernel VXLAN, no tso/gso/gro, TCP", value, "Gbit/s", None);
        stage.vxlan_offloads(true);
        stage.vxlan(false);
    }
    if wanted("xtr tcp") {
        let routers = stage.routers(false);
        let least = plain.map_or(10.0, |plain: f64| plain.max(10.0));
        let before = worker_seconds();
        let forward = stage.iperf("10.2.0.2", &[]);
        add(
            "xtr, inner checksums verified, TCP",
            forward,
            "Gbit/s",
            Some(least),
        );
        let sent = routers[0].status().packets["encapsulated_bytes"] as f64 * 8e-9;
        for (side, seconds) in ["sends", "receives"].iter().zip(spent(&before)) {
            let name = format!("    the worker that {side}, by a second of its CPU");
            add(&name, sent / seconds, "Gbit", None);
        }
        let back = stage.iperf("10.2.0.2", &["-R"]);
        add(
            "xtr, the same, other direction",
            back,
            "Gbit/s",
            Some(least),
        );
        add(
            "xtr, the same, IPv6 in IPv4",
            stage.iperf("fd02::2", &[]),
            "Gbit/s",
            None,
        );
        stage.show(&routers);
    }
    if wanted("xtr small") {
        let routers = stage.routers(false);
        let before = worker_seconds();
        let rate = stage.small();
        add(
            "xtr, UDP of 64 bytes, packets received",
            rate / 1000.0,
            "k/s",
            Some(300.0),
        );
        let sent = routers[0].status().packets["encapsulated_packets"] as f64 / 1000.0;
        for (side, seconds) in ["sends", "receives"].iter().zip(spent(&before)) {
            let name = format!("    the worker that {side}, by a second of its CPU");
            add(&name, sent / seconds, "k", None);
        }
        stage.show(&routers);
    }
    if wanted("gpe") {
        let routers = stage.routers(true);
        let value = stage.iperf("10.2.0.2", &[]);
        let least = veth.map(|veth| veth * 0.6);
        add("xtr, kernel VXLAN-GPE, TCP", value, "Gbit/s", least);
        drop(routers);
    }
    let missed = rows
        .iter()
        .any(|(_, value, _, least)| least.is_some_and(|least| *value < least));
    if missed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

/// Two namespaces with a veth between them; gone when this is dropped.
struct Stage {
    a: String,
    b: String,
    server: Child,
}

fn sh(command: &str) {
    let status = Command::new("sh").args(["-ec", command]).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "failed: {command}"
    );
}

impl Stage {
    fn new() -> Self {
        let id = std::process::id();
        let (a, b) = (format!("xtrb{id}a"), format!("xtrb{id}b"));
        sh(&format!(
            "ip netns add {a}; ip netns add {b}
             ip link add e0 netns {a} type veth peer name e0 netns {b}
             ip -n {a} addr add 10.0.0.1/24 dev e0; ip -n {b} addr add 10.0.0.2/24 dev e0
             for n in {a} {b}; do ip -n $n link set e0 up; ip -n $n link set lo up; done"
        ));
        let server = Command::new("ip")
            .args(["netns", "exec", &b, "iperf3", "-s"])
            .stdout(Stdio::null())
            .spawn()
            .expect("iperf3");
        std::thread::sleep(Duration::from_millis(300));
        Self { a, b, server }
    }

    fn vxlan(&self, on: bool) {
        for (space, me, other) in [(&self.a, 1, 2), (&self.b, 2, 1)] {
            sh(&match on {
                true => format!(
                    "ip -n {space} link add vx type vxlan id 9 local 10.0.0.{me} remote 10.0.0.{other} dstport 4789
                     ip -n {space} addr add 10.9.0.{me}/24 dev vx; ip -n {space} link set vx mtu 1450 up"
                ),
                false => format!("ip -n {space} link del vx"),
            });
        }
    }

    fn vxlan_offloads(&self, on: bool) {
        let on = if on { "on" } else { "off" };
        for space in [&self.a, &self.b] {
            for device in ["vx", "e0"] {
                sh(&format!(
                    "ip netns exec {space} ethtool -K {device} tso {on} gso {on} gro {on}"
                ));
            }
        }
    }

    /// Gbit/s of TCP from the first namespace to the second.
    fn iperf(&self, to: &str, more: &[&str]) -> f64 {
        let output = Command::new("ip")
            .args([
                "netns", "exec", &self.a, "iperf3", "-J", "-c", to, "-t", SECONDS,
            ])
            .args(more)
            .output()
            .expect("iperf3");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        if let Some(error) = report.get("error") {
            eprintln!("iperf3: {error}");
        }
        let rate = &report["end"]["sum_received"]["bits_per_second"];
        rate.as_f64().unwrap_or(0.0) / 1e9
    }

    fn inside<T: Send + 'static>(
        &self,
        space: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> T {
        let path = PathBuf::from("/run/netns").join(space);
        std::thread::spawn(move || {
            let file = std::fs::File::open(path).expect("namespace");
            nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).expect("setns");
            work()
        })
        .join()
        .expect("thread")
    }

    fn routers(&self, kernel: bool) -> [Handle; 2] {
        [(&self.a, 1u8, 2u8), (&self.b, 2, 1)].map(|(space, me, other)| {
            let rloc = |last| IpAddr::from(Ipv4Addr::new(10, 0, 0, last));
            let instance = Instance {
                id: 7,
                tun: "lisp7".to_owned(),
                mtu: None,
                addresses: vec![format!("10.2.0.{me}/32"), format!("fd02::{me}/128")],
                routes: vec!["10.2.0.0/16".to_owned(), "fd02::/64".to_owned()],
            };
            let mut config = Config::small([rloc(me)], instance);
            for prefix in [format!("10.2.0.{me}/32"), format!("fd02::{me}/128")] {
                config.eids.push(Own {
                    prefix,
                    instance: 7,
                });
            }
            for prefix in [format!("10.2.0.{other}/32"), format!("fd02::{other}/128")] {
                let rlocs = vec![Rloc {
                    address: rloc(other),
                    priority: 1,
                    weight: 100,
                }];
                config.mappings.push(Static {
                    prefix,
                    instance: 7,
                    rlocs,
                });
            }
            if kernel {
                config.kernel = Some(Kernel {
                    device: "lispgpe".to_owned(),
                    peers: vec!["10.0.0.0/24".to_owned()],
                });
            }
            let handle = self.inside(space, move || {
                pin(me - 1);
                Router::start(config)
            });
            handle.expect("a router")
        })
    }

    /// Packets a second that arrive of small ones sent as fast as one thread can.
    fn small(&self) -> f64 {
        let to: SocketAddr = "10.2.0.2:9000".parse().expect("address");
        let receiver = self
            .inside(&self.b, move || UdpSocket::bind(to))
            .expect("socket");
        let sender = self
            .inside(&self.a, move || {
                let socket = UdpSocket::bind("10.2.0.1:0")?;
                socket.connect(to).map(|()| socket)
            })
            .expect("socket");
        let stop = Arc::new(AtomicBool::new(false));
        let got = Arc::new(AtomicU64::new(0));
        receiver
            .set_read_timeout(Some(Duration::from_millis(200)))
            .expect("timeout");
        let receive = {
            let (stop, got) = (Arc::clone(&stop), Arc::clone(&got));
            std::thread::spawn(move || {
                pin(1);
                let mut buffers = vec![[0u8; 256]; 64];
                while !stop.load(Ordering::Relaxed) {
                    let count = receive_many(&receiver, &mut buffers);
                    got.fetch_add(count, Ordering::Relaxed);
                }
            })
        };
        let send = {
            let stop = Arc::clone(&stop);
            std::thread::spawn(move || {
                pin(0);
                while !stop.load(Ordering::Relaxed) {
                    send_many(&sender, &[7; 64], 64);
                }
            })
        };
        std::thread::sleep(Duration::from_millis(500));
        let (before, began) = (got.load(Ordering::Relaxed), Instant::now());
        std::thread::sleep(Duration::from_secs(4));
        let rate = (got.load(Ordering::Relaxed) - before) as f64 / began.elapsed().as_secs_f64();
        stop.store(true, Ordering::Relaxed);
        send.join().expect("sender");
        receive.join().expect("receiver");
        rate
    }

    fn show(&self, routers: &[Handle; 2]) {
        for (name, router) in ["a", "b"].iter().zip(routers) {
            let packets = router.status().packets;
            let packets: Vec<_> = packets.iter().filter(|(_, count)| **count > 0).collect();
            println!("    {name}: {packets:?}");
        }
    }
}

/// Seconds of CPU that each worker of this process has had, in the order in which they were started.
fn worker_seconds() -> BTreeMap<u32, f64> {
    let tasks = std::fs::read_dir("/proc/self/task")
        .expect("proc")
        .flatten();
    let seconds = |task: std::fs::DirEntry| {
        let name = std::fs::read_to_string(task.path().join("comm")).ok()?;
        let time = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        let time: f64 = time.split_whitespace().next()?.parse().ok()?;
        let id = task.file_name().to_str()?.parse().ok()?;
        (name.trim() == "xtr-0").then_some((id, time / 1e9))
    };
    tasks.filter_map(seconds).collect()
}

fn spent(before: &BTreeMap<u32, f64>) -> Vec<f64> {
    let now = worker_seconds();
    let seconds = |(id, now): (u32, f64)| now - before.get(&id).copied().unwrap_or(0.0);
    now.into_iter().map(seconds).collect()
}

/// Keeps this thread, and those that it starts, on one CPU: one a side.
fn pin(cpu: u8) {
    let mut set = nix::sched::CpuSet::new();
    set.set(usize::from(cpu)).expect("a CPU");
    nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &set).expect("affinity");
}

impl Drop for Stage {
    fn drop(&mut self) {
        drop(self.server.kill());
        drop(self.server.wait());
        for space in [&self.a, &self.b] {
            sh(&format!("ip netns del {space}"));
        }
    }
}

/// One call for several datagrams, so that the generator is not what is measured.
fn send_many(socket: &UdpSocket, payload: &[u8], count: usize) {
    let mut part = libc::iovec {
        iov_base: payload.as_ptr().cast_mut().cast(),
        iov_len: payload.len(),
    };
    // SAFETY: a header of zeroes is valid.
    let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
    header.msg_hdr.msg_iov = &raw mut part;
    header.msg_hdr.msg_iovlen = 1;
    let mut headers = vec![header; count];
    // SAFETY: the headers and what they point to live until the end of the call.
    unsafe { libc::sendmmsg(socket.as_raw_fd(), headers.as_mut_ptr(), count as u32, 0) };
}

fn receive_many(socket: &UdpSocket, buffers: &mut [[u8; 256]]) -> u64 {
    let mut parts: Vec<libc::iovec> = buffers
        .iter_mut()
        .map(|buffer| libc::iovec {
            iov_base: buffer.as_mut_ptr().cast(),
            iov_len: buffer.len(),
        })
        .collect();
    let mut headers: Vec<libc::mmsghdr> = parts
        .iter_mut()
        .map(|part| {
            // SAFETY: a header of zeroes is valid.
            let mut header: libc::mmsghdr = unsafe { std::mem::zeroed() };
            header.msg_hdr.msg_iov = part;
            header.msg_hdr.msg_iovlen = 1;
            header
        })
        .collect();
    // SAFETY: the headers and what they point to live until the end of the call.
    let count = unsafe {
        libc::recvmmsg(
            socket.as_raw_fd(),
            headers.as_mut_ptr(),
            headers.len() as u32,
            libc::MSG_WAITFORONE,
            std::ptr::null_mut(),
        )
    };
    u64::try_from(count).unwrap_or(0)
}
