//! What tunnels between sites run in: nothing is read on the wire, and nothing breaks when keys, processes and
//! hosts come and go.

use crate::fixture::{Lab, OUT_OF_ORDER, Silent, shop};
use crate::wire::Wire;
use lab::cli::UpOptions;
use lab::demo::Tour;
use lab::shop::{DiskLoad, Load};
use model::HostName;
use model::migration::{Options, State};
use model::underlay::Method;
use model::vm::DiskFormat;
use std::path::PathBuf;
use std::time::{Duration, Instant};

fn secured(underlay: Method) -> UpOptions {
    UpOptions {
        vms: 2,
        load: Load::IDLE,
        talk_ms: 20,
        underlay,
        ..UpOptions::default()
    }
}

/// What is looked for: in packets, in a guest's memory (its command line), on its disk (the magic of its
/// records), in orders to agents and in what they tell.
const SAID: &[u8] = b"TranshumeMarked!";
const REMEMBERED: &[u8] = b"th.name=|cryptomgr.notests";
const RECORDED: &[u8] = b"THRECORD";
const ORDERED: [&[u8]; 3] = [b"\"order\":", b"shop-1", b"\"migration\""];

/// Moves the cluster while VMs are asked with marked packets, and gives what was on the wire.
async fn overheard(name: &str, underlay: Method) -> Wire {
    let options = UpOptions {
        disk: Some(DiskLoad {
            size_mib: 80,
            fill_mib: 16,
            rate: 20,
            format: DiskFormat::Raw,
            image: PathBuf::new(),
        }),
        ..secured(underlay)
    };
    let lab = Lab::with(name, options).await;
    let wire = Wire::listen(&lab);
    lab.run("office", &marked("10.77.0.11"));
    let id = lab.begin("south", Options::default()).await;
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
    lab.run("office", &marked("10.77.0.12"));
    assert!(lab.answers().await);
    wire.heard(&lab)
}

/// `ping` with a payload that says [`SAID`] all over.
fn marked(to: &str) -> Vec<&str> {
    vec![
        "ping",
        "-q",
        "-c",
        "20",
        "-i",
        "0.05",
        "-s",
        "600",
        "-p",
        "5472616e7368756d654d61726b656421",
        to,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_guests_disks_or_agents_say_is_read_where_wireguard_is() {
    reads_nothing(&overheard("wg", Method::Wireguard).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_guests_disks_or_agents_say_is_read_where_ipsec_is() {
    reads_nothing(&overheard("esp", Method::Ipsec).await);
}

fn reads_nothing(wire: &Wire) {
    assert!(wire.bytes() > 10_000_000, "{} bytes heard", wire.bytes());
    let remembered = REMEMBERED.split(|byte| *byte == b'|');
    let marks = [SAID, RECORDED]
        .into_iter()
        .chain(ORDERED)
        .chain(remembered);
    for mark in marks {
        let found = wire.count(mark);
        assert_eq!(found, 0, "'{}' was read", String::from_utf8_lossy(mark));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_packets_are_read_on_a_wire_that_is_not_protected() {
    let wire = overheard("open", Method::None).await;
    assert!(wire.count(SAID) > 100, "the ear is deaf");
    assert_eq!(wire.count(RECORDED), 0, "disks never go in clear");
    assert_eq!(wire.count(ORDERED[1]), 0, "nor do orders");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_live_while_keys_change_and_what_encrypts_and_agents_are_killed() {
    let lab = Lab::with("keys", secured(Method::Wireguard)).await;
    let mut tour = Tour::begin(&lab.standing, Duration::from_secs(1))
        .await
        .unwrap();
    for host in ["north-1", "office-1", "south-1"] {
        let before = lab.client().underlay().await.unwrap();
        let now = lab
            .client()
            .rotate_key(&host.parse().unwrap())
            .await
            .unwrap();
        let old = before
            .hosts
            .iter()
            .find(|one| one.host == now.host)
            .unwrap();
        assert_eq!((old.keys.len(), now.keys.len()), (1, 1));
        assert_ne!(old.keys, now.keys);
    }
    let moved = tour
        .travel("south", Options::default(), &mut Silent)
        .await
        .unwrap();
    assert_eq!(moved.state, State::Arrived, "{}", moved.message);
    let pid = std::fs::read_to_string(lab.state("south").join("underlay/wireguard.pid")).unwrap();
    lab.run("south", &["kill", "-9", pid.trim()]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    lab.kill("agent-office");
    lab.restart("agent-office").await;
    let moved = tour
        .travel("north", Options::default(), &mut Silent)
        .await
        .unwrap();
    assert_eq!(moved.state, State::Arrived, "{}", moved.message);
    let seen = tour.end().await.unwrap();
    for vm in seen.migrations.iter().flat_map(|migration| &migration.vms) {
        assert_eq!(vm.tcp_lost, 0, "{}", vm.name);
        let lost = vm.switch_udp_lost.unwrap_or(u64::MAX);
        assert!(lost < OUT_OF_ORDER, "{}: {lost} lost", vm.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_host_is_cut_off_within_a_second_and_the_others_are_not() {
    let lab = Lab::with("removed", secured(Method::Wireguard)).await;
    let office: HostName = "office-1".parse().unwrap();
    let refused = lab.client().remove_host(&office, false).await.unwrap_err();
    assert!(refused.to_string().contains("members"), "{refused}");
    lab.run("office", &marked("10.77.0.11"));
    let began = Instant::now();
    lab.client().remove_host(&office, true).await.unwrap();
    let deaf = || {
        lab.try_run(
            "office",
            &["ping", "-q", "-c", "1", "-W", "1", "10.77.0.11"],
        )
    };
    while deaf() {
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "it still gets through"
        );
    }
    // Its certificate is good for nothing either: an agent that starts again is not let in.
    lab.kill("agent-office");
    lab.restart("agent-office").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let hosts = lab.client().hosts().await.unwrap();
    assert!(hosts.iter().all(|host| host.name != office));
    let id = lab.begin("south", Options::default()).await;
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
    assert!(lab.client().cluster(&shop()).await.is_ok());
}
