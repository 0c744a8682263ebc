use super::*;
use model::facts::{
    CpuModel, FileFound, GuestMemory, Machine, Memory, PortTaken, Space, TakenBy, Tunnel, VmFound,
    WallClock,
};
use model::news::Abilities;
use model::plan::{Check, CheckResult};
use model::vm::{Accel, VmSpec};
use model::{Mac, Nanos};
use std::collections::BTreeSet;

/// A move of one VM from 'north-1' to 'south-1' in which nothing is wrong.
struct Bed {
    member: Member,
    hosts: [Hello; 2],
    facts: [Facts; 2],
    options: Options,
    reserved: Vec<Reserved>,
    one_way_ms: Option<f64>,
}

const NOW_S: i64 = 1_800_000_000;

fn hello(host: &str, site: &str, address: &str) -> Hello {
    Hello {
        protocol: 1,
        host: HostName::new(host).unwrap(),
        site: SiteName::new(site).unwrap(),
        underlay: address.parse().unwrap(),
        relay_ip: address.parse().unwrap(),
        relay_port: 6640,
        delay_responder: format!("{address}:6641").parse().unwrap(),
        secured: None,
        abilities: Abilities {
            qemu: "10.0.2".into(),
            accel: "tcg".into(),
            prediction: true,
            prediction_note: String::new(),
            free_mib: 4096,
            cpus: 2,
            uplink_mtu: 9000,
            uplink_mbit: 200.0,
        },
        entries: Vec::new(),
        vms: Vec::new(),
    }
}

fn facts() -> Facts {
    let file = |path: &str| FileFound {
        path: path.into(),
        digest: Some(format!("digest of {path}")),
    };
    let known: BTreeSet<String> = ["pc-q35-9.2", "pc-q35-10.0"].map(str::to_owned).into();
    Facts {
        machines: vec![Machine {
            asked: "q35".into(),
            is: Some("pc-q35-10.0".into()),
            known,
        }],
        cpus: vec![CpuModel {
            asked: "qemu64".into(),
            accel: Accel::Tcg,
            features: Some(["sse2", "sse3"].map(str::to_owned).into()),
        }],
        memory: Memory {
            free_mib: 4096,
            limit_mib: 0,
        },
        images: Some(Space {
            folder: "/images".into(),
            free: 1 << 30,
        }),
        clock: Some(WallClock {
            moment: Nanos(5_000_000_000),
            wall_unix_ns: NOW_S * 1_000_000_000,
            uncertainty_ms: 8.0,
        }),
        certificate_ends_s: Some(NOW_S + 86_400 * 365),
        authority_ends_s: Some(NOW_S + 86_400 * 3650),
        files: vec![file("/vmlinux"), file("/initrd")],
        ..Facts::default()
    }
}

impl Bed {
    fn new() -> Self {
        let name = VmName::new("shop-1").unwrap();
        let mut here = facts();
        here.vms.push(VmFound {
            cluster: ClusterName::new("shop").unwrap(),
            vm: name.clone(),
            memory_mib: 128,
            resident_mib: 200,
            seen: Some(GuestMemory {
                machine: Some("pc-q35-10.0".into()),
                used: Some(100 << 20),
                packs: Some(1.0),
                dirty_rate: Some(2e6),
                differs: None,
                shared: None,
                disk_bytes: None,
            }),
        });
        let mut there = facts();
        there.tunnels.push(Tunnel {
            host: HostName::new("north-1").unwrap(),
            from: "192.0.2.2".parse().unwrap(),
            one_way_ms: Some(15.5),
            packet_passes: Some(true),
        });
        Self {
            member: Member {
                name,
                host: HostName::new("north-1").unwrap(),
                mac: Mac([2, 0, 0, 0, 0, 1]),
                addresses: Vec::new(),
                after: Vec::new(),
                security: Vec::new(),
                kind: MemberKind::Vm {
                    spec: VmSpec {
                        machine: "q35".into(),
                        cpu: "qemu64".into(),
                        accel: Accel::Auto,
                        vcpus: 1,
                        memory_mib: 128,
                        kernel: "/vmlinux".into(),
                        initrd: "/initrd".into(),
                        cmdline: String::new(),
                        disks: Vec::new(),
                        libvirt: None,
                    },
                },
            },
            hosts: [
                hello("north-1", "north", "192.0.2.1"),
                hello("south-1", "south", "192.0.2.2"),
            ],
            facts: [here, there],
            options: Options::default(),
            reserved: Vec::new(),
            one_way_ms: Some(15.5),
        }
    }

    fn here(&mut self) -> &mut Facts {
        &mut self.facts[0]
    }

    fn there(&mut self) -> &mut Facts {
        &mut self.facts[1]
    }

    fn seen(&mut self) -> &mut GuestMemory {
        self.facts[0].vms[0].seen.as_mut().unwrap()
    }

    fn gang(&self, vms: usize) -> Plan {
        let [source, target] = &self.hosts;
        let candidate = Candidate {
            member: &self.member,
            source,
            target,
            one_way_ms: self.one_way_ms,
            stall_ms: 0.0,
            here: Some(&self.facts[0]),
            there: Some(&self.facts[1]),
        };
        let around = Around {
            cluster: &ClusterName::new("shop").unwrap(),
            encap: Encap::Vxlan,
            mtu: 1500,
            from: &source.site,
            to: &target.site,
            wall_less_monotonic_ns: (NOW_S - 5) * 1_000_000_000,
            now_s: NOW_S,
            reserved: &self.reserved,
        };
        make(&around, &vec![candidate; vms], &self.options)
    }

    fn plan(&self) -> Plan {
        self.gang(1)
    }

    /// The one thing that stands in the way.
    fn refusal(&self) -> String {
        let plan = self.plan();
        let obstacles = plan.checks.iter();
        let obstacles = obstacles.filter(|check| check.result == CheckResult::Obstacle);
        assert_eq!(obstacles.count(), 1, "{:#?}", plan.checks);
        plan.refusal().unwrap()
    }

    fn check(&self, name: &str) -> Check {
        let checks = self.plan().checks;
        let found = checks.into_iter().find(|check| check.name == name);
        found.unwrap_or_else(|| panic!("there is a check '{name}'"))
    }
}

#[test]
fn where_nothing_is_wrong_every_check_says_so() {
    let plan = Bed::new().plan();
    for check in &plan.checks {
        assert_eq!(check.result, CheckResult::Ok, "{check:?}");
        assert!(!check.found.is_empty() && check.remedy.is_empty());
    }
    assert_eq!(plan.refusal(), None);
}

#[test]
fn every_refusal_is_one_sentence_that_names_what_is_wrong_and_the_way_out() {
    type Spoil = fn(&mut Bed);
    let cases: [(&str, Spoil); 14] = [
        ("pc-q35-10.0", |bed| {
            let machine = &mut bed.there().machines[0];
            machine.is = Some("pc-q35-9.2".into());
            machine.known.remove("pc-q35-10.0");
        }),
        ("describe it with machine pc-q35-10.0", |bed| {
            bed.there().machines[0].is = Some("pc-q35-9.2".into());
        }),
        ("lacks sse3", |bed| {
            let cpu = &mut bed.there().cpus[0];
            cpu.features.as_mut().unwrap().remove("sse3");
        }),
        ("no CPU model 'qemu64'", |bed| {
            bed.there().cpus[0].features = None;
        }),
        ("/initrd is another file on 'south-1'", |bed| {
            bed.there().files[1].digest = Some("other".into());
        }),
        ("60 min ahead of the controller's", |bed| {
            let clock = bed.there().clock.as_mut().unwrap();
            clock.wall_unix_ns += 3_600_000_000_000;
        }),
        ("its own ended 60 s ago", |bed| {
            bed.there().certificate_ends_s = Some(NOW_S - 60);
        }),
        ("before the migration would be over", |bed| {
            bed.there().certificate_ends_s = Some(NOW_S + 20);
        }),
        ("228 MiB are needed and 100 MiB are free", |bed| {
            bed.there().memory.free_mib = 100;
        }),
        ("228 MiB are needed and 200 of the 200 MiB", |bed| {
            bed.there().memory.limit_mib = 200;
        }),
        ("an interface tht-1 that is not ours", |bed| {
            let vm = bed.member.name.clone();
            bed.there().ports.push(PortTaken {
                vm,
                by: TakenBy::Interface("tht-1".into()),
            });
        }),
        ("packets of 1550 bytes do not pass", |bed| {
            bed.there().tunnels[0].packet_passes = Some(false);
        }),
        ("no answer through the data network", |bed| {
            bed.there().tunnels[0].one_way_ms = None;
        }),
        ("dirties 60.0 MB/s and 20.5 MB/s can be sent", |bed| {
            bed.seen().dirty_rate = Some(60e6);
        }),
    ];
    for (wanted, spoil) in cases {
        let mut bed = Bed::new();
        spoil(&mut bed);
        let refusal = bed.refusal();
        assert!(refusal.contains(wanted), "{wanted}: {refusal}");
        assert!(
            !refusal.contains('\n') && !refusal.ends_with('.'),
            "{refusal}"
        );
        assert!(refusal.contains("; "), "no way out in: {refusal}");
    }
}

#[test]
fn a_newer_qemu_at_the_target_is_a_warning_and_an_older_one_an_obstacle() {
    let mut bed = Bed::new();
    bed.hosts[1].abilities.qemu = "10.1.0".into();
    assert_eq!(bed.check("QEMU version").result, CheckResult::Warning);
    bed.hosts[1].abilities.qemu = "9.2.0".into();
    assert!(bed.refusal().contains("install at least 10.0.2"));
}

#[test]
fn what_an_agent_does_not_tell_is_a_warning() {
    let mut bed = Bed::new();
    bed.facts[1].clock = None;
    bed.facts[1].certificate_ends_s = None;
    bed.facts[1].authority_ends_s = None;
    bed.seen().dirty_rate = None;
    for name in ["clock", "certificate", "convergence"] {
        let checks = bed.plan().checks;
        let mut of_name = checks.iter().filter(|check| check.name == name);
        assert!(
            of_name.any(|check| check.result == CheckResult::Warning),
            "{name}"
        );
    }
    assert_eq!(bed.plan().refusal(), None);
}

#[test]
fn what_others_reserved_is_not_free_until_they_have_it() {
    let mut bed = Bed::new();
    bed.there().memory.limit_mib = 300;
    let other = Reserved {
        host: HostName::new("south-1").unwrap(),
        cluster: ClusterName::new("bank").unwrap(),
        vm: VmName::new("bank-1").unwrap(),
        by: MigrationId::new("m-0007").unwrap(),
        needs: Needs {
            memory_mib: 228,
            disk_bytes: 0,
        },
    };
    assert_eq!(bed.plan().refusal(), None);
    bed.reserved.push(other.clone());
    let refusal = bed.refusal();
    assert!(refusal.contains("reserved for m-0007"), "{refusal}");
    // It is there now, and counts once.
    bed.there().vms.push(VmFound {
        cluster: other.cluster,
        vm: other.vm,
        memory_mib: 128,
        resident_mib: 120,
        seen: None,
    });
    let refusal = bed.refusal();
    assert!(refusal.contains("72 of the 300 MiB"), "{refusal}");
    bed.there().memory.limit_mib = 456;
    assert_eq!(bed.plan().refusal(), None);
}

#[test]
fn a_guest_that_may_be_slowed_is_moved_slowed() {
    let mut bed = Bed::new();
    bed.seen().dirty_rate = Some(60e6);
    bed.options.allow_slowdown = true;
    assert_eq!(bed.check("convergence").result, CheckResult::Warning);
    assert_eq!(bed.plan().refusal(), None);
}

#[test]
fn a_slower_path_than_configured_is_what_the_prediction_reckons_with() {
    let mut bed = Bed::new();
    let before = bed.plan();
    bed.facts[0].path = Some(PathFound::Carries {
        rate: 5e6,
        at_least: false,
        bytes: 3_000_000,
        ms: 600.0,
    });
    let after = bed.plan();
    assert_eq!(after.rate_from, "measured now");
    assert!(after.total_ms > 3.0 * before.total_ms);
    assert_eq!(bed.check("bandwidth").result, CheckResult::Warning);
}

#[test]
fn a_gang_takes_longer_and_its_parts_add_up() {
    let bed = Bed::new();
    let (one, four) = (bed.plan(), bed.gang(4));
    assert_eq!(four.vms.len(), 4);
    assert!(four.bytes > 4 * one.bytes - 1000);
    assert!(four.total_ms > 3.0 * one.total_ms && four.spread_ms > 0.0);
    let parts: f64 = four.phases.iter().map(|part| part.ms).sum();
    assert!((parts - four.total_ms).abs() < 1e-6);
}

#[test]
fn a_cluster_without_vms_is_an_obstacle() {
    let plan = Bed::new().gang(0);
    assert!(plan.refusal().unwrap().contains("nothing would move"));
    assert_eq!(plan.bytes, 0);
}

#[test]
fn disks_need_room_and_time_and_shared_ones_must_be_seen_from_both_hosts() {
    let mut bed = Bed::new();
    let before = bed.plan();
    let MemberKind::Vm { spec } = &mut bed.member.kind else {
        panic!("a VM");
    };
    let disk = |name: &str, shared: Option<&str>| model::vm::Disk {
        name: name.into(),
        size: 512 << 20,
        format: model::vm::DiskFormat::Qcow2,
        from: None,
        shared: shared.map(Into::into),
    };
    spec.disks = vec![disk("own", None), disk("both", Some("/san/both"))];
    assert!(
        bed.refusal()
            .contains("/san/both is not seen from 'south-1'")
    );
    let found = |disk: &str, path: &str, inode| model::facts::DiskFound {
        cluster: ClusterName::new("shop").unwrap(),
        vm: VmName::new("shop-1").unwrap(),
        disk: disk.into(),
        path: path.into(),
        inode,
    };
    bed.here().disks.push(found("both", "/san/both", 7));
    bed.there().disks.push(found("both", "/san/both", 8));
    assert!(bed.refusal().contains("another file on 'south-1'"));
    bed.there().disks = vec![found("both", "/san/both", 7)];
    bed.here().disks.push(found("own", "/images/own", 9));
    bed.there().disks.push(found("own", "/images/own", 10));
    assert!(bed.refusal().contains("already on 'south-1'"));
    bed.there().disks[1].inode = 9;
    assert!(bed.refusal().contains("in the same file, /images/own"));
    bed.there().disks.pop();
    let plan = bed.plan();
    assert_eq!(plan.refusal(), None);
    assert_eq!(plan.bytes - before.bytes, 512 << 20);
    assert!(plan.total_ms > before.total_ms + 20_000.0);
    // What is not written is not copied, but will need its room.
    bed.seen().disk_bytes = Some(1 << 20);
    assert_eq!(bed.plan().bytes - before.bytes, 1 << 20);
    bed.there().images.as_mut().unwrap().free = 100 << 20;
    assert!(bed.refusal().contains("0.5 GiB are needed"));
}
