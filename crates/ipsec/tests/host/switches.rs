//! The path of a real switch's own tunnels.

use crate::stage::{Stage, inner, name, peer, sh, switch, up};
use crate::traffic::Wire;
use ipsec::{Ipsec, USER_SPACE_MTU};

/// Open vSwitch of one host, as it is started by the folder of its own.
struct Ovs {
    folder: String,
}

impl Ovs {
    /// Bridge `icsec0` with the inner address, its port `icsec-k` that leads to the tunnels; bridge `lan` with
    /// a VXLAN tunnel to the other host and 192.168.7.N on `lan0`.
    fn start(stage: &Stage, host: usize, other: usize) -> Self {
        let folder = stage.folder.path().join(format!("ovs{host}"));
        std::fs::create_dir(&folder).unwrap();
        let (d, ns) = (folder.display(), stage.ns(host));
        let mtu = USER_SPACE_MTU - 50;
        sh(&format!(
            "export PATH=$PATH:/usr/sbin:/sbin OVS_RUNDIR={d} OVS_LOGDIR={d} OVS_DBDIR={d}
             log='--detach --no-chdir -vconsole:off -vsyslog:off'
             ovsdb-tool create {d}/conf.db /usr/share/openvswitch/vswitch.ovsschema
             ip netns exec {ns} ovsdb-server {d}/conf.db --remote=punix:{d}/db --unixctl={d}/o.ctl --pidfile={d}/o.pid --log-file={d}/o.log $log
             ovs-vsctl --db=unix:{d}/db --no-wait init
             ip netns exec {ns} ovs-vswitchd unix:{d}/db --unixctl={d}/v.ctl --pidfile={d}/v.pid --log-file={d}/v.log $log
             ovs-vsctl --db=unix:{d}/db -t 5 \
               add-br icsec0 -- set bridge icsec0 datapath_type=netdev other_config:hwaddr='\"02:00:00:00:0b:0{host}\"' \
               -- add-port icsec0 icsec-k -- set interface icsec-k type=internal 'mac=\"02:00:00:00:0c:0{host}\"' mtu_request=1600 \
               -- add-br lan -- set bridge lan datapath_type=netdev -- add-port lan lan0 -- set interface lan0 type=internal mtu_request={mtu} \
               -- add-port lan vx -- set interface vx type=vxlan options:remote_ip={remote} options:local_ip={local} options:key=7
             ip -n {ns} addr add {local}/10 dev icsec0; ip -n {ns} link set icsec0 up
             ip -n {ns} addr add 192.168.7.{host}/24 dev lan0; ip -n {ns} link set lan0 up
             ovs-appctl -t {d}/v.ctl tnl/neigh/set icsec0 {remote} 02:00:00:00:0c:0{host}",
            remote = inner(other),
            local = inner(host),
        ));
        Self {
            folder: d.to_string(),
        }
    }
}

impl Drop for Ovs {
    fn drop(&mut self) {
        let d = &self.folder;
        crate::stage::run(&format!(
            "ovs-appctl -t {d}/v.ctl exit --cleanup; kill $(cat {d}/o.pid); sleep 0.2"
        ));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_tunnels_of_two_switches_pass_the_tunnel_of_their_hosts() {
    let stage = Stage::new(2);
    let switches = [Ovs::start(&stage, 1, 2), Ovs::start(&stage, 2, 1)];
    let mut hosts = Vec::new();
    for host in 1..=2 {
        let mut config = stage.config(host);
        config.switch = Some(switch(host));
        hosts.push(Ipsec::start(config).await.unwrap());
    }
    hosts[0].set(vec![peer(2)], None).await.unwrap();
    hosts[1].set(vec![peer(1)], None).await.unwrap();
    up(&hosts[0], &name(2)).await;

    let wire = Wire::watch(&stage.netns(0));
    let ns = stage.ns(1);
    // The first one may wait for the switches' own resolution.
    sh(&format!("ip netns exec {ns} ping -q -c 1 -W 3 192.168.7.2"));
    let largest = usize::from(USER_SPACE_MTU) - 50 - 28;
    for size in [56, largest] {
        let said = sh(&format!(
            "ip netns exec {ns} ping -q -i 0.02 -c 50 -s {size} -M do -p 6d61726b 192.168.7.2"
        ));
        assert!(said.contains(" 50 received"), "{said}");
    }
    // The hosts' own packets between inner addresses pass the switches too.
    sh(&format!(
        "ip netns exec {ns} ping -q -c 2 -I {} {}",
        inner(1),
        inner(2)
    ));
    let seen = wire.end();
    assert!(seen.esp > 200, "only {} packets of ESP", seen.esp);
    assert!(
        !seen.holds(b"markmarkmark"),
        "what the ping carried is on the wire"
    );

    let stats = sh(&format!("ip -n {ns} -s -j link show ipsec0"));
    assert!(stats.contains("\"dropped\":0"), "{stats}");
    for host in hosts {
        host.end().await;
    }
    drop(switches);
    stage.nothing_is_left(1);
    stage.nothing_is_left(2);
}
