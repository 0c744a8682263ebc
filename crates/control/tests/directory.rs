//! The directory: what it refuses and why, and what holds after any sequence of changes.

use control::directory::{Directory, DirectoryError, Snapshot};
use model::{
    ClusterName, Encap, Entry, Epoch, HostName, Locator, Mac, Member, MemberKind, Net, VmName,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

fn cluster(name: &str) -> ClusterName {
    ClusterName::new(name).unwrap()
}

fn vm(name: &str) -> VmName {
    VmName::new(name).unwrap()
}

fn at(host: u8) -> Locator {
    Locator {
        host: HostName::new(format!("h{host}")).unwrap(),
        address: IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
    }
}

fn net(name: &str, vni: u32) -> Net {
    Net {
        cluster: cluster(name),
        vni,
        encap: Encap::Vxlan,
        mtu: 1500,
    }
}

fn member(name: &str, mac: u8, addresses: &[&str]) -> Member {
    Member {
        name: vm(name),
        host: at(1).host,
        mac: Mac([0x52, 0x54, 0, 0, 0, mac]),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        after: Vec::new(),
        security: Vec::new(),
        kind: MemberKind::Host,
    }
}

fn shop() -> Directory {
    let mut directory = Directory::new();
    directory.declare(net("shop", 7)).unwrap();
    directory
        .link(
            &cluster("shop"),
            &member("web", 1, &["10.0.0.1/24", "fd00::1/64"]),
            at(1),
        )
        .unwrap();
    directory
}

#[test]
fn an_address_given_twice_is_refused_and_the_holder_is_named() {
    let mut directory = shop();
    let before = directory.clone();
    for (new, words) in [
        (member("db", 2, &["10.0.0.1/24"]), ["10.0.0.1", "web"]),
        (
            member("db", 2, &["10.0.0.2/24", "fd00::1/64"]),
            ["fd00::1", "web"],
        ),
        (
            member("db", 1, &["10.0.0.2/24"]),
            ["52:54:00:00:00:01", "web"],
        ),
        (
            member("db", 2, &["fe80::5054:ff:fe00:1/64"]),
            ["fe80::5054:ff:fe00:1", "web"],
        ),
        (member("web", 2, &["10.0.0.2/24"]), ["web", "h1"]),
    ] {
        let error = directory
            .link(&cluster("shop"), &new, at(2))
            .unwrap_err()
            .to_string();
        assert!(words.iter().all(|word| error.contains(word)), "{error}");
    }
    assert_eq!(directory, before);
}

#[test]
fn two_clusters_may_use_the_same_addresses_but_not_the_same_network() {
    let mut directory = shop();
    let error = directory.declare(net("bank", 7)).unwrap_err();
    assert_eq!(
        error,
        DirectoryError::VniTaken {
            vni: 7,
            holder: cluster("shop")
        }
    );
    directory.declare(net("bank", 8)).unwrap();
    directory
        .link(
            &cluster("bank"),
            &member("web", 1, &["10.0.0.1/24", "fd00::1/64"]),
            at(1),
        )
        .unwrap();
}

#[test]
fn the_lowest_free_network_is_found() {
    let mut directory = shop();
    assert_eq!(directory.free_vni(), Some(1));
    directory.declare(net("bank", 1)).unwrap();
    directory.declare(net("mill", 2)).unwrap();
    assert_eq!(directory.free_vni(), Some(3));
}

#[test]
fn networks_and_addresses_that_cannot_be_are_refused() {
    let mut directory = shop();
    for bad in [
        net("bank", 0),
        net("bank", 1 << 24),
        Net {
            mtu: 1279,
            ..net("bank", 8)
        },
    ] {
        directory.declare(bad).unwrap_err();
    }
    for address in [
        "0.0.0.0/0",
        "127.0.0.1/8",
        "224.0.0.1/4",
        "255.255.255.255/32",
        "10.0.0.0/24",
        "10.0.0.255/24",
        "::1/128",
        "ff02::1/64",
        "::ffff:10.0.0.9/128",
    ] {
        let error = directory
            .link(&cluster("shop"), &member("db", 2, &[address]), at(1))
            .unwrap_err();
        assert!(
            matches!(error, DirectoryError::BadIp { .. }),
            "{address}: {error}"
        );
    }
    let group = Member {
        mac: Mac([1, 0, 0, 0, 0, 1]),
        ..member("db", 2, &[])
    };
    assert!(matches!(
        directory.link(&cluster("shop"), &group, at(1)),
        Err(DirectoryError::BadMac { .. })
    ));
    let twice = member("db", 2, &["10.0.0.2/24", "10.0.0.2/16"]);
    assert!(matches!(
        directory.link(&cluster("shop"), &twice, at(1)),
        Err(DirectoryError::IpTwice { .. })
    ));
    directory
        .link(
            &cluster("shop"),
            &member("db", 2, &["10.0.0.254/31", "10.0.1.255/32"]),
            at(1),
        )
        .unwrap();
}

#[test]
fn what_is_not_there_cannot_be_moved_or_removed() {
    let mut directory = shop();
    let nobody = (cluster("shop"), vm("nobody"));
    assert!(matches!(
        directory.commit(&nobody, at(2)),
        Err(DirectoryError::NoSuchMember { .. })
    ));
    assert!(matches!(
        directory.unlink(&nobody),
        Err(DirectoryError::NoSuchMember { .. })
    ));
    assert!(matches!(
        directory.retire(&cluster("bank")),
        Err(DirectoryError::NoSuchCluster(_))
    ));
    let error = directory
        .link(&cluster("bank"), &member("web", 1, &[]), at(1))
        .unwrap_err();
    assert_eq!(error, DirectoryError::NoSuchCluster(cluster("bank")));
}

#[test]
fn a_network_with_members_keeps_its_identifier_and_stays() {
    let mut directory = shop();
    assert!(matches!(
        directory.declare(net("shop", 9)),
        Err(DirectoryError::NetInUse { .. })
    ));
    assert!(matches!(
        directory.retire(&cluster("shop")),
        Err(DirectoryError::NetInUse { .. })
    ));
    directory
        .declare(Net {
            mtu: 1400,
            ..net("shop", 7)
        })
        .unwrap();
    directory.unlink(&(cluster("shop"), vm("web"))).unwrap();
    directory.declare(net("shop", 9)).unwrap();
    assert_eq!(directory.retire(&cluster("shop")).unwrap(), net("shop", 9));
}

#[test]
fn a_commit_moves_one_endpoint_and_both_hosts_are_told() {
    let mut directory = shop();
    directory
        .link(&cluster("shop"), &member("db", 2, &["10.0.0.2/24"]), at(3))
        .unwrap();
    let key = (cluster("shop"), vm("web"));
    let hosts = |directory: &Directory| {
        directory
            .affected_hosts(&key)
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
    };
    assert_eq!(hosts(&directory), ["h1", "h3"]);
    let entry = directory.commit(&key, at(2)).unwrap();
    assert_eq!((entry.locator.clone(), entry.epoch), (at(2), Epoch(2)));
    assert_eq!(hosts(&directory), ["h2", "h3"]);
    assert_eq!(directory.slice_for(&at(1).host).entries, []);
    assert_eq!(directory.slice_for(&at(2).host).entries.len(), 2);
}

#[test]
fn a_host_whose_address_changed_changes_every_endpoint_on_it() {
    let mut directory = shop();
    directory
        .link(&cluster("shop"), &member("db", 2, &["10.0.0.2/24"]), at(3))
        .unwrap();
    let changed = directory.relocate(&at(1).host, "2001:db8::1".parse().unwrap());
    assert_eq!(changed.len(), 1);
    assert_eq!(
        (changed[0].vm.as_str(), changed[0].epoch),
        ("web", Epoch(2))
    );
    assert_eq!(
        directory.relocate(&at(1).host, "2001:db8::1".parse().unwrap()),
        []
    );
}

#[test]
fn a_newer_row_of_an_agent_is_adopted_and_an_older_one_is_not() {
    let mut directory = shop();
    let key = (cluster("shop"), vm("web"));
    let mut newer = directory.commit(&key, at(2)).unwrap();
    (newer.epoch, newer.locator) = (Epoch(9), at(3));
    let older = Entry {
        epoch: Epoch(1),
        locator: at(4),
        ..newer.clone()
    };
    let adopted = directory.adopt([older, newer.clone()]);
    assert_eq!(
        (adopted.taken, adopted.refused),
        (vec![newer.clone()], vec![])
    );
    assert_eq!(directory.get(&key), Some(&newer));
    assert_eq!(directory.commit(&key, at(1)).unwrap().epoch, Epoch(10));
}

#[test]
fn a_row_that_was_unlinked_is_not_brought_back_by_an_agent() {
    let mut directory = shop();
    let key = (cluster("shop"), vm("web"));
    let row = directory.get(&key).unwrap().clone();
    directory.unlink(&key).unwrap();
    assert_eq!(directory.adopt([row.clone()]), Default::default());
    let unknown = Entry {
        epoch: Epoch(5),
        ..row
    };
    assert_eq!(directory.adopt([unknown.clone()]).taken, [unknown]);
}

#[test]
fn a_row_that_contradicts_others_is_refused_with_the_reason() {
    let mut directory = shop();
    let web = directory
        .get(&(cluster("shop"), vm("web")))
        .unwrap()
        .clone();
    let clash = Entry {
        vm: vm("db"),
        epoch: Epoch(9),
        ..web.clone()
    };
    let foreign = Entry {
        cluster: cluster("bank"),
        epoch: Epoch(9),
        ..web.clone()
    };
    let absurd = Entry {
        epoch: Epoch(u64::MAX),
        ..web
    };
    let adopted = directory.adopt([clash, foreign, absurd]);
    assert_eq!(adopted.taken, []);
    let reasons: Vec<_> = adopted
        .refused
        .into_iter()
        .map(|(_, error)| error)
        .collect();
    assert!(matches!(
        reasons.as_slice(),
        [
            DirectoryError::MacTaken { .. },
            DirectoryError::NoSuchCluster(_),
            DirectoryError::BadEpoch(_)
        ]
    ));
}

#[test]
fn a_snapshot_that_contradicts_itself_is_refused() {
    let good = shop().snapshot();
    let mut twice = good.clone();
    twice.entries.push(Entry {
        vm: vm("db"),
        ..good.entries[0].clone()
    });
    let mut same = good.clone();
    same.entries.push(good.entries[0].clone());
    let mut orphan = good.clone();
    orphan.nets.clear();
    for bad in [twice, same, orphan] {
        Directory::try_from(bad).unwrap_err();
    }
}

#[derive(Debug, Clone)]
enum Step {
    Declare {
        net: u8,
        vni: u32,
    },
    Retire {
        net: u8,
    },
    Link {
        net: u8,
        vm: u8,
        mac: u8,
        ip: u8,
        host: u8,
    },
    Commit {
        net: u8,
        vm: u8,
        host: u8,
    },
    Unlink {
        net: u8,
        vm: u8,
    },
    Relocate {
        host: u8,
        address: u8,
    },
    Adopt {
        net: u8,
        vm: u8,
        host: u8,
        ahead: u64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let (net, vm, host) = (0..3u8, 0..4u8, 1..4u8);
    prop_oneof![
        (net.clone(), 1..5u32).prop_map(|(net, vni)| Step::Declare { net, vni }),
        net.clone().prop_map(|net| Step::Retire { net }),
        (net.clone(), vm.clone(), 1..5u8, 1..5u8, host.clone()).prop_map(
            |(net, vm, mac, ip, host)| Step::Link {
                net,
                vm,
                mac,
                ip,
                host
            }
        ),
        (net.clone(), vm.clone(), host.clone()).prop_map(|(net, vm, host)| Step::Commit {
            net,
            vm,
            host
        }),
        (net.clone(), vm.clone()).prop_map(|(net, vm)| Step::Unlink { net, vm }),
        (host.clone(), 1..9u8).prop_map(|(host, address)| Step::Relocate { host, address }),
        (net, vm, host, 0..4u64).prop_map(|(net, vm, host, ahead)| Step::Adopt {
            net,
            vm,
            host,
            ahead
        }),
    ]
}

/// Makes one step; true when the directory accepted it.
fn make(directory: &mut Directory, step: &Step) -> bool {
    let key = |net: u8, number: u8| (cluster(&format!("c{net}")), vm(&format!("m{number}")));
    match *step {
        Step::Declare { net: n, vni } => directory.declare(net(&format!("c{n}"), vni)).is_ok(),
        Step::Retire { net } => directory.retire(&cluster(&format!("c{net}"))).is_ok(),
        Step::Link {
            net,
            vm,
            mac,
            ip,
            host,
        } => {
            let member = member(&format!("m{vm}"), mac, &[&format!("10.0.0.{ip}/24")]);
            directory
                .link(&cluster(&format!("c{net}")), &member, at(host))
                .is_ok()
        }
        Step::Commit { net, vm, host } => directory.commit(&key(net, vm), at(host)).is_ok(),
        Step::Unlink { net, vm } => directory.unlink(&key(net, vm)).is_ok(),
        Step::Relocate { host, address } => !directory
            .relocate(&at(host).host, at(address).address)
            .is_empty(),
        Step::Adopt {
            net,
            vm,
            host,
            ahead,
        } => match directory.get(&key(net, vm)).cloned() {
            Some(mut entry) => {
                entry.epoch = Epoch(entry.epoch.0 + ahead);
                entry.locator = at(host);
                !directory.adopt([entry]).taken.is_empty()
            }
            None => false,
        },
    }
}

proptest! {
    #[test]
    fn epochs_never_go_back_and_every_slice_agrees(steps in prop::collection::vec(step(), 1..60)) {
        let mut directory = Directory::new();
        let mut seen: BTreeMap<_, (Epoch, Locator)> = BTreeMap::new();
        for step in &steps {
            let before = directory.clone();
            if !make(&mut directory, step) {
                prop_assert_eq!(&directory, &before, "a refused step left a trace: {:?}", step);
            }
            for entry in directory.entries() {
                let now = (entry.epoch, entry.locator.clone());
                if let Some(was) = seen.insert(entry.key(), now.clone()) {
                    prop_assert!(now.0 > was.0 || now == was, "{:?} after {:?}", now, was);
                }
            }
            check_slices(&directory)?;
            check_claims(&directory)?;
            let json = serde_json::to_string(&directory.snapshot()).unwrap();
            let back: Snapshot = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(&Directory::try_from(back).unwrap(), &directory);
        }
    }
}

fn check_slices(directory: &Directory) -> Result<(), TestCaseError> {
    for host in 1..4u8 {
        let host = at(host).host;
        let slice = directory.slice_for(&host);
        let clusters: BTreeSet<_> = slice.nets.iter().map(|net| net.cluster.clone()).collect();
        for entry in directory.entries() {
            let needed = clusters.contains(&entry.cluster);
            prop_assert_eq!(slice.entries.contains(entry), needed);
            prop_assert!(needed || entry.locator.host != host);
            let told = directory.affected_hosts(&entry.key());
            prop_assert_eq!(told.contains(&host), needed);
        }
        for net in &slice.nets {
            let here = |entry: &&Entry| entry.cluster == net.cluster && entry.locator.host == host;
            prop_assert!(slice.entries.iter().any(|entry| here(&entry)));
            prop_assert_eq!(directory.net(&net.cluster), Some(net));
        }
    }
    Ok(())
}

fn check_claims(directory: &Directory) -> Result<(), TestCaseError> {
    let (mut macs, mut ips, mut vnis) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for entry in directory.entries() {
        prop_assert!(macs.insert((&entry.cluster, entry.mac)));
        for ip in &entry.ips {
            prop_assert!(ips.insert((&entry.cluster, ip)));
        }
    }
    for net in directory.nets() {
        prop_assert!(vnis.insert(net.vni));
    }
    Ok(())
}
