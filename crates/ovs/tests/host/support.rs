//! A stage with members, and the frames of pretended guests.

use model::{Encap, Entry, Member, MemberKind, Net, Slice, vm::VmSpec};
use ovs::bench::Stage;
use ovs::bench::stage::{self, Plan};
use ovs::{Host, Key, Netns};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard};

static ONE_AT_A_TIME: Mutex<()> = Mutex::const_new(());

/// A stage with one network and one host member on each of its hosts.
pub(crate) struct World {
    pub(crate) stage: Stage,
    pub(crate) net: Net,
    pub(crate) members: Vec<Member>,
    /// The directory.
    pub(crate) rows: Vec<Entry>,
    v6: bool,
    _alone: MutexGuard<'static, ()>,
}

impl World {
    /// Hosts without members.
    pub(crate) async fn empty(plan: Plan, encap: Encap) -> Self {
        let alone = ONE_AT_A_TIME.lock().await;
        let v6 = plan.v6;
        let stage = Stage::build(plan)
            .await
            .expect("a stage: root, openvswitch-switch and /dev/net/tun are needed");
        let net = stage::net(1, encap, 1400).unwrap();
        Self {
            stage,
            net,
            members: Vec::new(),
            rows: Vec::new(),
            v6,
            _alone: alone,
        }
    }

    /// Hosts with one member each, and every host knows all of them.
    pub(crate) async fn linked(plan: Plan, encap: Encap) -> Self {
        let mut world = Self::empty(plan, encap).await;
        for at in 0..world.stage.hosts.len() {
            let member =
                stage::member(&world.net, at as u8 + 1, &world.stage.hosts[at].config.host)
                    .unwrap();
            world.host(at).link(&world.net, &member).await.unwrap();
            world.add_row(&member, at);
            world.members.push(member);
        }
        world.tell_all().await;
        world
    }

    /// A VM, the `number`-th member, with its port on this host; the directory does not know it.
    pub(crate) async fn vm(&mut self, number: u8, at: usize) -> (Member, Guest) {
        let mut member =
            stage::member(&self.net, number, &self.stage.hosts[at].config.host).unwrap();
        member.kind = MemberKind::Vm { spec: spec() };
        self.host(at).link(&self.net, &member).await.unwrap();
        let guest = self.guest(&member, at).await;
        (member, guest)
    }

    pub(crate) async fn guest(&self, member: &Member, at: usize) -> Guest {
        let key = self.key(member);
        let tap = self.host(at).open_tap(&key).await.unwrap();
        Guest {
            tap,
            member: member.clone(),
        }
    }

    pub(crate) fn host(&self, at: usize) -> &Host {
        self.stage.host(at).unwrap()
    }

    pub(crate) fn netns(&self, at: usize) -> &Netns {
        &self.stage.hosts[at].netns
    }

    pub(crate) fn key(&self, member: &Member) -> Key {
        (self.net.cluster.clone(), member.name.clone())
    }

    pub(crate) fn add_row(&mut self, member: &Member, at: usize) {
        let row = self.row(member, at, 1);
        self.rows.push(row);
    }

    pub(crate) fn row(&self, member: &Member, at: usize, epoch: u64) -> Entry {
        stage::entry(
            &self.net,
            member,
            &self.stage.hosts[at].config,
            self.v6,
            epoch,
        )
        .unwrap()
    }

    pub(crate) fn slice(&self) -> Slice {
        Slice {
            nets: vec![self.net.clone()],
            entries: self.rows.clone(),
        }
    }

    pub(crate) async fn tell_all(&self) {
        for at in 0..self.stage.hosts.len() {
            self.host(at).replace(self.slice()).await.unwrap();
        }
        self.effective().await;
    }

    /// Waits until packets follow the rules on every host.
    pub(crate) async fn effective(&self) {
        for at in 0..self.stage.hosts.len() {
            self.host(at).effective().await.unwrap();
        }
    }

    /// Every member reaches every other one, by IPv4 and IPv6.
    pub(crate) async fn assert_all_reach_all(&self) {
        for (from, _) in self.members.iter().enumerate() {
            for (to, member) in self.members.iter().enumerate() {
                if from != to {
                    for cidr in &member.addresses {
                        assert!(
                            ping(self.netns(from), cidr.address).await,
                            "host {from} gets no answer from {} ({})",
                            cidr.address,
                            self.net.encap.as_str(),
                        );
                    }
                }
            }
        }
    }

    pub(crate) fn appctl(&self, at: usize) -> &ovs::unixctl::Unixctl {
        self.host(at).control()
    }
}

/// Whether an address answers; asks three times.
pub(crate) async fn ping(netns: &Netns, to: IpAddr) -> bool {
    let to = to.to_string();
    let output = netns
        .run(move || {
            Command::new("ping")
                .args(["-c", "3", "-i", "0.02", "-W", "1", &to])
                .output()
        })
        .await
        .unwrap()
        .expect("the program 'ping'; install iputils-ping");
    output.status.success()
}

/// The guest's end of a tap.
pub(crate) struct Guest {
    pub(crate) tap: OwnedFd,
    pub(crate) member: Member,
}

impl Guest {
    pub(crate) fn send(&self, frame: &[u8]) {
        nix::unistd::write(&self.tap, frame).unwrap();
    }

    /// What has arrived at the guest, after a while.
    pub(crate) async fn received(&self) -> Vec<Vec<u8>> {
        tokio::time::sleep(Duration::from_millis(120)).await;
        ovs::tap::read_waiting(&self.tap).unwrap()
    }

    /// The texts of the UDP packets that have arrived, after a while.
    pub(crate) async fn texts(&self) -> Vec<String> {
        self.received()
            .await
            .iter()
            .filter_map(|frame| text_of(frame))
            .collect()
    }

    pub(crate) fn ip(&self) -> Ipv4Addr {
        v4(&self.member)
    }

    pub(crate) fn says(&self, to: &Member, text: &str) {
        self.send(&udp(self.member.mac.0, to.mac.0, self.ip(), v4(to), text));
    }
}

pub(crate) fn v4(member: &Member) -> Ipv4Addr {
    match member.addresses[0].address {
        IpAddr::V4(v4) => v4,
        IpAddr::V6(_) => panic!("the first address of a test's member is IPv4"),
    }
}

/// A UDP packet over IPv4 with a text.
pub(crate) fn udp(
    from: [u8; 6],
    to: [u8; 6],
    source: Ipv4Addr,
    destination: Ipv4Addr,
    text: &str,
) -> Vec<u8> {
    let builder = etherparse::PacketBuilder::ethernet2(from, to)
        .ipv4(source.octets(), destination.octets(), 64)
        .udp(4000, 4001);
    let mut frame = Vec::new();
    builder.write(&mut frame, text.as_bytes()).unwrap();
    frame
}

/// The text in such a packet.
pub(crate) fn text_of(frame: &[u8]) -> Option<String> {
    let sliced = etherparse::SlicedPacket::from_ethernet(frame).ok()?;
    match sliced.transport? {
        etherparse::TransportSlice::Udp(udp) => Some(
            String::from_utf8_lossy(udp.payload())
                .trim_end_matches('\0')
                .to_owned(),
        ),
        _ => None,
    }
}

fn spec() -> VmSpec {
    VmSpec {
        machine: "q35".into(),
        cpu: "qemu64".into(),
        accel: model::vm::Accel::Auto,
        vcpus: 1,
        memory_mib: 64,
        kernel: "/nowhere".into(),
        initrd: "/nowhere".into(),
        cmdline: String::new(),
        disks: Vec::new(),
        libvirt: None,
    }
}
