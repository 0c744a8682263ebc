//! The WAN against real bonds of Open vSwitch.

mod support;

use std::process::Command;

use lab::boxed::BoxHandle;
use lab::testbed::Testbed;
use support::{Scratch, sh};

/// Open vSwitch in a site, as the agent sets it up: icbr0 with icbond0 over eth0 and eth1.
fn bond(lab: &Testbed, site: &str, settings: &str) {
    assert!(
        Command::new("ovs-vswitchd")
            .arg("--version")
            .output()
            .is_ok(),
        "this test needs Open vSwitch: sudo apt-get install openvswitch-switch"
    );
    let tun = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun");
    assert!(
        tun.is_ok(),
        "this test needs /dev/net/tun: sudo chmod 0666 /dev/net/tun, or run as root"
    );
    let data = &lab.plan().site(site).unwrap().data;
    let (v4, v6, mac, gateway) = (data.v4, data.v6, data.mac, data.gateway_v4);
    let script = format!(
        r#"set -e
        d=$PWD/{site}; mkdir $d
        export OVS_RUNDIR=$d OVS_LOGDIR=$d OVS_DBDIR=$d
        ovsdb-tool create $d/conf.db /usr/share/openvswitch/vswitch.ovsschema
        ovsdb-server $d/conf.db --remote=punix:$d/db.sock --unixctl=$d/ovsdb.ctl --pidfile=$d/ovsdb.pid --log-file=$d/ovsdb.log --detach --no-chdir -vconsole:off
        vs="ovs-vsctl --db=unix:$d/db.sock"
        $vs --no-wait init
        ovs-vswitchd unix:$d/db.sock --unixctl=$d/vswitchd.ctl --pidfile=$d/vswitchd.pid --log-file=$d/vswitchd.log --detach --no-chdir -vconsole:off
        $vs add-br icbr0 -- set bridge icbr0 datapath_type=netdev other_config:hwaddr='"{mac}"' -- add-bond icbr0 icbond0 eth0 eth1 {settings}
        ip addr add {v4}/24 dev icbr0
        ip addr add {v6}/64 dev icbr0 nodad
        ip link set icbr0 mtu 1600 up
        ip route add 10.10.0.0/16 via {gateway} dev icbr0"#
    );
    lab.boxed().run(&sh(site, &script)).unwrap();
}

fn bond_show(handle: &BoxHandle, site: &str) -> String {
    let script = format!(
        "d=$PWD/{site}; ovs-appctl -t $d/vswitchd.ctl bond/show icbond0; ovs-appctl -t $d/vswitchd.ctl lacp/show icbond0"
    );
    handle.run(&sh(site, &script)).unwrap()
}

/// Whether north reaches south over the data network before long.
fn reaches(lab: &Testbed) -> bool {
    let script =
        "for n in 1 2 3 4 5 6 7 8 9 10; do ping -n -q -c 1 -W 1 10.10.2.2 && exit 0; done; exit 1";
    lab.boxed()
        .exec(&sh("north", script))
        .unwrap()
        .end
        .success()
}

fn loses_its_active_link_and_is_still_reached(settings: &str) {
    let scratch = Scratch::new();
    let lab = scratch.up();
    for site in ["north", "south"] {
        bond(&lab, site, settings);
    }
    assert!(reaches(&lab), "{}", bond_show(lab.boxed(), "north"));
    for (dead, alive) in [("eth0", "eth1"), ("eth1", "eth0")] {
        for site in ["north", "south"] {
            lab.boxed()
                .run(&sh(
                    site,
                    &format!("ip link set {alive} up; ip link set {dead} down"),
                ))
                .unwrap();
        }
        assert!(reaches(&lab), "{dead}: {}", bond_show(lab.boxed(), "south"));
    }
}

#[test]
fn an_active_backup_bond_loses_its_link_and_is_still_reached() {
    loses_its_active_link_and_is_still_reached("bond_mode=active-backup");
}

#[test]
fn a_balanced_bond_loses_its_link_and_is_still_reached() {
    loses_its_active_link_and_is_still_reached("bond_mode=balance-slb");
}

#[test]
fn a_bond_with_lacp_negotiates_with_the_gateway_and_survives_a_dead_link() {
    let settings = "bond_mode=balance-tcp lacp=active other_config:lacp-time=fast";
    let scratch = Scratch::new();
    let lab = scratch.up();
    for site in ["north", "south"] {
        bond(&lab, site, settings);
    }
    let negotiated = |site| {
        let shown = bond_show(lab.boxed(), site);
        shown.contains("lacp_status: negotiated") && shown.matches("current attached").count() == 2
    };
    let mut tries = 0;
    while !(negotiated("north") && negotiated("south")) {
        tries += 1;
        assert!(tries < 600, "{}", bond_show(lab.boxed(), "south"));
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert!(reaches(&lab));
    lab.boxed()
        .run(&sh("south", "ip link set eth0 down"))
        .unwrap();
    assert!(reaches(&lab), "{}", bond_show(lab.boxed(), "south"));
}
