//! Throughput of the device between two network namespaces, one core a side, beside `wireguard-go`, `boringtun-cli` and
//! a bare veth in the same run. Each side's device and `iperf3` share the side's core. The second figure is what a
//! device carries by a second of its own processor time, which other load on the machine changes less. Needs root, two cores, `ip`, `wg`,
//! `taskset` and `iperf3`.
//!
//! Words on the command line run only the rows that contain one of them. Exit code 1: ours is slower than the faster of
//! the others.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use wireguard::{Attach, Device, DeviceConfig, Peer, SecretKey, Transport, Wanted};

/// Seconds of one measurement, and how many of each there are; the middle one counts.
const SECONDS: u8 = 3;
const ROUNDS: usize = 3;
const PORT: u16 = 51820;
const MTU: u16 = 1420;

/// What carries packets between the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Veth,
    Go,
    Boring,
    Ours,
    OursPlain,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Veth,
        Self::Go,
        Self::Boring,
        Self::Ours,
        Self::OursPlain,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Veth => "bare veth",
            Self::Go => "wireguard-go",
            Self::Boring => "boringtun-cli",
            Self::Ours => "ours",
            Self::OursPlain => "ours, in clear (lab only)",
        }
    }

    fn program(self) -> Option<String> {
        match self {
            Self::Go => Some("wireguard-go".to_owned()),
            Self::Boring => {
                Some(std::env::var("BORINGTUN").unwrap_or_else(|_| "boringtun-cli".to_owned()))
            }
            _ => None,
        }
    }

    fn version(self) -> String {
        let Some(program) = self.program() else {
            return String::new();
        };
        let output = Command::new(program).arg("--version").output();
        let text = output.map_or(vec![], |output| output.stdout);
        String::from_utf8_lossy(&text)
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned()
    }

    fn how_to_get(self) -> &'static str {
        match self {
            Self::Go => "apt-get install -t bookworm-backports wireguard-go wireguard-tools",
            _ => "cargo install boringtun-cli, then have it in PATH or name it in BORINGTUN",
        }
    }
}

fn main() -> ExitCode {
    let only: Vec<String> = std::env::args()
        .skip(1)
        .filter(|a| !a.starts_with('-'))
        .collect();
    let wanted = |row: &str| only.is_empty() || only.iter().any(|word| row.contains(word.as_str()));
    for program in ["ip", "wg", "taskset", "iperf3"] {
        if !is_there(program) {
            eprintln!(
                "{program} is missing: apt-get install iproute2 wireguard-tools util-linux iperf3"
            );
            return ExitCode::from(2);
        }
    }
    let mut kinds = Vec::new();
    for kind in Kind::ALL {
        match kind.program() {
            _ if !wanted(kind.name()) => {}
            Some(program) if !is_there(&program) => {
                println!("{:<28} not there: {}", kind.name(), kind.how_to_get());
            }
            _ => kinds.push(kind),
        }
    }
    let mut results: Vec<(Kind, Vec<f64>, Vec<f64>)> =
        kinds.iter().map(|kind| (*kind, vec![], vec![])).collect();
    for _ in 0..ROUNDS {
        for (kind, values, efficiencies) in &mut results {
            let stage = Stage::new(*kind);
            let before = stage.spent();
            let rate = stage.iperf();
            // Both sides' devices have worked on each bit.
            let spent = (stage.spent() - before) / 2.0;
            values.push(rate);
            efficiencies.push(rate * f64::from(SECONDS) / spent);
        }
    }
    let mut best_other: f64 = 0.0;
    let mut ours = None;
    for (kind, values, efficiencies) in &mut results {
        let middle = median(values);
        let efficiency = match kind {
            Kind::Veth => String::new(),
            _ => format!("{:>7.2} Gbit by a second of CPU", median(efficiencies)),
        };
        let (least, most) = (
            values.first().unwrap_or(&0.0),
            values.last().unwrap_or(&0.0),
        );
        println!(
            "{:<28} {middle:>7.2} Gbit/s  ({least:.2} to {most:.2}) {efficiency}  {}",
            kind.name(),
            kind.version(),
        );
        match kind {
            Kind::Go | Kind::Boring => best_other = best_other.max(middle),
            Kind::Ours => ours = Some(middle),
            Kind::Veth | Kind::OursPlain => {}
        }
    }
    match ours {
        Some(ours) if ours < best_other => {
            println!("MISSED: ours {ours:.2}, the faster of the others {best_other:.2}");
            ExitCode::FAILURE
        }
        Some(ours) if best_other > 0.0 => {
            println!(
                "ok: {:.2} times the faster of the others",
                ours / best_other
            );
            ExitCode::SUCCESS
        }
        _ => ExitCode::SUCCESS,
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// Seconds of processor time in a `stat` file of a process or a thread (proc(5)).
fn seconds(stat: &std::path::Path) -> f64 {
    let text = std::fs::read_to_string(stat).unwrap_or_default();
    let words = text.rsplit(')').next().unwrap_or_default();
    // User and system time are the 12th and 13th after the name.
    let times = words.split_whitespace().skip(11).take(2);
    let ticks: f64 = times.filter_map(|time| time.parse::<f64>().ok()).sum();
    let a_second = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK);
    ticks / a_second.ok().flatten().unwrap_or(100) as f64
}

fn is_there(program: &str) -> bool {
    Command::new("sh")
        .args(["-c", &format!("command -v {program}")])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn sh(command: &str) {
    let status = Command::new("sh").args(["-ec", command]).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "failed: {command}"
    );
}

/// Two namespaces with a veth between them and a tunnel over it; gone when this is dropped.
struct Stage {
    spaces: [String; 2],
    target: IpAddr,
    children: Vec<Child>,
    /// Control sockets of the programs, which do not go with a program that is killed.
    sockets: Vec<PathBuf>,
    devices: Vec<Device>,
}

impl Stage {
    fn new(kind: Kind) -> Self {
        let id = std::process::id();
        let spaces = [format!("wgb{id}a"), format!("wgb{id}b")];
        let [a, b] = &spaces;
        sh(&format!(
            "ip netns add {a}; ip netns add {b}
             ip link add e0 netns {a} type veth peer name e0 netns {b}
             ip -n {a} addr add 10.0.0.1/24 dev e0; ip -n {b} addr add 10.0.0.2/24 dev e0
             for n in {a} {b}; do ip -n $n link set e0 up; ip -n $n link set lo up; done"
        ));
        let mut stage = Self {
            spaces,
            target: inner(1),
            children: Vec::new(),
            sockets: Vec::new(),
            devices: Vec::new(),
        };
        let keys = [SecretKey::generate(), SecretKey::generate()];
        for side in 0..2 {
            match kind {
                Kind::Veth => stage.target = outer(1),
                Kind::Go | Kind::Boring => stage.program(kind, side, &keys),
                Kind::Ours => stage.ours(side, &keys, Transport::Wireguard),
                Kind::OursPlain => stage.ours(side, &keys, Transport::Plain),
            }
        }
        let server = stage.run(1, "iperf3", &["-s", "-1"]);
        stage.children.push(server);
        std::thread::sleep(Duration::from_millis(300));
        stage
    }

    /// A program in a side's namespace and on its core.
    fn run(&self, side: usize, program: &str, arguments: &[&str]) -> Child {
        Command::new("ip")
            .args(["netns", "exec", &self.spaces[side], "taskset", "-c"])
            .arg(side.to_string())
            .arg(program)
            .args(arguments)
            .env("WG_PROCESS_FOREGROUND", "1")
            .env("LOG_LEVEL", "error")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    fn program(&mut self, kind: Kind, side: usize, keys: &[SecretKey; 2]) {
        let name = format!("wgb{}{side}", std::process::id() % 1_000_000);
        let program = kind.program().unwrap_or_default();
        let arguments: &[&str] = match kind {
            Kind::Boring => &["-f", "--disable-drop-privileges", &name],
            _ => &["-f", &name],
        };
        let child = self.run(side, &program, arguments);
        self.children.push(child);
        let socket = PathBuf::from(format!("/var/run/wireguard/{name}.sock"));
        self.sockets.push(socket.clone());
        let began = Instant::now();
        while !socket.exists() {
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "{program} does not start"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        let (space, own, other) = (&self.spaces[side], &keys[side], keys[1 - side].public());
        sh(&format!(
            "echo {secret} | ip netns exec {space} wg set {name} private-key /dev/stdin listen-port {PORT} \
                peer {other} allowed-ips {allowed}/32 endpoint {to}:{PORT}
             ip -n {space} link set {name} mtu {MTU} up; ip -n {space} addr add {mine}/24 dev {name}",
            secret = own.to_base64().as_str(),
            allowed = inner(1 - side),
            to = outer(1 - side),
            mine = inner(side),
        ));
    }

    fn ours(&mut self, side: usize, keys: &[SecretKey; 2], transport: Transport) {
        let path = PathBuf::from("/run/netns").join(&self.spaces[side]);
        let open = std::thread::spawn(move || {
            let file = std::fs::File::open(path).expect("a namespace");
            nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).expect("setns");
            let mut core = nix::sched::CpuSet::new();
            core.set(side).expect("a core");
            // The device's thread inherits it.
            nix::sched::sched_setaffinity(nix::unistd::Pid::from_raw(0), &core).expect("affinity");
            Device::open(DeviceConfig {
                listen: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT),
                attach: Attach::Tun {
                    name: "wg0".to_owned(),
                },
                mtu: MTU,
            })
        });
        let device = open.join().expect("no panic").expect("a device");
        let wanted = Wanted {
            identities: vec![keys[side].clone()],
            peers: vec![Peer {
                keys: vec![keys[1 - side].public()],
                allowed: vec![inner(1 - side).into()],
                endpoint: Some(SocketAddr::new(outer(1 - side), PORT)),
                keepalive: None,
                transport,
                roam: true,
            }],
        };
        device.set(wanted).expect("a state");
        let (space, mine) = (&self.spaces[side], inner(side));
        sh(&format!("ip -n {space} addr add {mine}/24 dev wg0"));
        self.devices.push(device);
    }

    /// Seconds of processor time that the devices have used.
    fn spent(&self) -> f64 {
        let proc = PathBuf::from("/proc");
        let programs = self.children.iter().take(self.sockets.len());
        let programs: f64 = programs
            .map(|child| seconds(&proc.join(child.id().to_string()).join("stat")))
            .sum();
        let tasks = std::fs::read_dir("/proc/self/task").expect("tasks");
        let threads = tasks.flatten().filter(|task| {
            let name = std::fs::read_to_string(task.path().join("comm"));
            name.is_ok_and(|name| name.starts_with("wg "))
        });
        programs
            + threads
                .map(|task| seconds(&task.path().join("stat")))
                .sum::<f64>()
    }

    /// Gbit/s of TCP from the first side to the second.
    fn iperf(&self) -> f64 {
        let to = self.target.to_string();
        let output = Command::new("ip")
            .args(["netns", "exec", &self.spaces[0], "taskset", "-c", "0"])
            .args(["iperf3", "-f", "m", "-c", &to, "-t", &SECONDS.to_string()])
            .output()
            .expect("iperf3");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if std::env::var_os("VERBOSE").is_some() {
            println!("{text}");
            for device in &self.devices {
                println!("{:?}", device.status());
            }
        }
        let line = text.lines().find(|line| line.ends_with("receiver"));
        let words: Vec<&str> = line.unwrap_or_default().split_whitespace().collect();
        let at = words.iter().position(|word| *word == "Mbits/sec");
        let rate = at.and_then(|at| words.get(at - 1)?.parse::<f64>().ok());
        rate.unwrap_or(0.0) / 1000.0
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.devices.clear();
        for child in &mut self.children {
            drop(child.kill());
            drop(child.wait());
        }
        for socket in &self.sockets {
            drop(std::fs::remove_file(socket));
        }
        for space in &self.spaces {
            drop(Command::new("ip").args(["netns", "del", space]).status());
        }
    }
}

fn outer(side: usize) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, side as u8 + 1).into()
}

fn inner(side: usize) -> IpAddr {
    Ipv4Addr::new(10, 9, 0, side as u8 + 1).into()
}
