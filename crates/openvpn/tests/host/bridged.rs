//! What passes between two bridges, and who may join them.

use crate::stage::{Stage, Wire, certified, out, sh, up};
use identity::Authority;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use openvpn::{Bridge, OpenVpn, State};
use std::time::Duration;
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_bridges_are_one_network_and_nobody_reads_it_on_the_way() {
    let stage = Stage::new();
    let (one, two) = stage.pair().await;
    let wire = Wire::watch(&stage.ns("wan"));
    stage.reached().await;
    assert_eq!(stage.ping(50, "-p 6d61726b"), 50);
    // A full frame, which is cut on the way.
    assert_eq!(stage.ping(20, "-s 1472 -M do -p 6d61726b"), 20);
    // They are neighbours: the one has the other's own Ethernet address.
    let neighbour = sh(&format!("ip -n {} neigh show 192.168.9.2", stage.guest(1)));
    let own = sh(&format!("ip -n {} -br link show eth0", stage.guest(2)));
    let mac = own.split_whitespace().nth(2).unwrap();
    assert!(neighbour.contains(mac), "{neighbour} {mac}");

    let seen = wire.end();
    assert!(seen.len() > 100_000);
    assert!(!seen.windows(12).any(|part| part == b"markmarkmark"));
    let status = two.status().await.unwrap();
    assert!(
        status.bytes_in > 35_000 && status.bytes_out > 35_000,
        "{status:?}"
    );
    assert_eq!(status.endpoint.unwrap().to_string(), "10.9.0.1:1194");
    let owner = out(&format!("ps -o user= -p {}", two.pid().await.unwrap()));
    assert_eq!(owner.trim(), "nobody");
    one.end().await;
    two.end().await;
    stage.nothing_is_left(1);
    stage.nothing_is_left(2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_may_be_killed_and_the_bridge_comes_back() {
    let stage = Stage::new();
    let (one, two) = stage.pair().await;
    stage.reached().await;
    for (side, other) in [(&one, &two), (&two, &one)] {
        let first = side.pid().await.unwrap();
        kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
        let links = sh(&format!("ip -n {} -br link", stage.site(1)));
        assert!(links.contains("site"), "the port has gone: {links}");
        sleep(Duration::from_millis(300)).await;
        eprintln!("back after {:?}", stage.reached().await);
        assert_ne!(side.pid().await.unwrap(), first);
        up(other).await;
    }
    one.end().await;
    two.end().await;
    stage.nothing_is_left(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_authority_and_another_name_are_refused() {
    let stage = Stage::new();
    let other = Authority::open(&stage.folder.path().join("other")).unwrap();
    let one = OpenVpn::start(stage.config(1)).await.unwrap();
    let cases = [
        (certified(&other, "site-2"), "certificate"),
        (certified(&stage.authority, "site-3"), "site-3"),
    ];
    for (mut credentials, why) in cases {
        // It would accept the other side: what is refused is refused by that.
        let mut config = stage.config(2);
        credentials.authority = stage.authority.certificate().to_owned();
        config.credentials = credentials;
        let two = OpenVpn::start(config).await.unwrap();
        let known = one.refusals().len();
        for _ in 0..100 {
            if one.refusals().len() > known {
                break;
            }
            sleep(Duration::from_millis(100)).await;
        }
        let refusal = one
            .refusals()
            .get(known)
            .cloned()
            .expect("nothing was noted");
        eprintln!("{refusal:?}");
        assert!(refusal.why.contains(why), "{refusal:?}");
        assert_eq!(stage.ping(20, ""), 0);
        assert_ne!(one.status().await.unwrap().state, State::Up);
        two.end().await;
    }
    // The right one is let in afterwards.
    let two = OpenVpn::start(stage.config(2)).await.unwrap();
    up(&two).await;
    stage.reached().await;
    one.end().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_certificate_is_cut_off_and_refused() {
    let stage = Stage::new();
    let one = OpenVpn::start(stage.config(1)).await.unwrap();
    let config = stage.config(2);
    let serial = identity::ca::serial(&config.credentials.certificate).unwrap();
    let two = OpenVpn::start(config).await.unwrap();
    up(&one).await;
    stage.reached().await;
    let list = stage
        .authority
        .revoked(&[serial], 1, 1_700_000_000)
        .unwrap();
    one.revoke(list).await.unwrap();
    sleep(Duration::from_secs(12)).await;
    assert_eq!(stage.ping(20, ""), 0);
    let refusals = one.refusals();
    assert!(
        refusals.iter().any(|one| one.why.contains("revoked")),
        "{refusals:?}"
    );
    assert!(one.revoke("no list".into()).await.is_err());
    one.end().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_of_open_vswitch_is_joined_too() {
    let stage = Stage::new();
    let folder = stage.folder.path().join("ovs");
    std::fs::create_dir(&folder).unwrap();
    let (d, ns, guest) = (folder.display(), stage.site(1), stage.guest(1));
    sh(&format!(
        "export PATH=$PATH:/usr/sbin:/sbin OVS_RUNDIR={d} OVS_LOGDIR={d} OVS_DBDIR={d}
         log='--detach --no-chdir -vconsole:off -vsyslog:off'
         ovsdb-tool create {d}/conf.db /usr/share/openvswitch/vswitch.ovsschema
         ip netns exec {ns} ovsdb-server {d}/conf.db --remote=punix:{d}/db --unixctl={d}/o.ctl --pidfile={d}/o.pid --log-file={d}/o.log $log
         ovs-vsctl --db=unix:{d}/db --no-wait init
         ip netns exec {ns} ovs-vswitchd unix:{d}/db --unixctl={d}/v.ctl --pidfile={d}/v.pid --log-file={d}/v.log $log
         ip -n {ns} link set guest nomaster
         ip netns exec {guest} ethtool -K eth0 tx off >/dev/null
         ovs-vsctl --db=unix:{d}/db -t 5 add-br ovs -- set bridge ovs datapath_type=netdev -- add-port ovs guest"
    ));
    let mut config = stage.config(1);
    config.bridge = Bridge::OpenVswitch {
        name: "ovs".into(),
        database: folder.join("db"),
    };
    let one = OpenVpn::start(config).await.unwrap();
    let two = OpenVpn::start(stage.config(2)).await.unwrap();
    up(&two).await;
    stage.reached().await;
    assert_eq!(stage.ping(50, "-s 1400"), 50);
    one.end().await;
    two.end().await;
    let ports = sh(&format!("ovs-vsctl --db=unix:{d}/db -t 5 list-ports ovs"));
    assert_eq!(ports.trim(), "guest");
    out(&format!(
        "ovs-appctl -t {d}/v.ctl exit --cleanup; kill $(cat {d}/o.pid); sleep 0.2"
    ));
    stage.nothing_is_left(1);
}
