//! One host: Open vSwitch with icbr0 and icint0 in a namespace, plugged into a hub.

use super::netns::{Netns, run, try_run};
use control::projection::{Change, Cookie, HostView, RuleSet, changes, converge, rules};
use model::{Encap, HostName, Locator};
use openflow::client::Client;
use openflow::multipart::FlowStatsRequest;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

/// The hub that joins the hosts' uplinks.
pub struct Hub(pub Netns);

impl Hub {
    pub fn new() -> Self {
        let netns = Netns::new("hub");
        netns.ip("link add hub type bridge");
        netns.ip("link set hub mtu 1600 up");
        Self(netns)
    }
}

pub const TUNNELS: [(Encap, u32); 3] = [(Encap::Vxlan, 1), (Encap::Gre, 2), (Encap::Geneve, 3)];

pub struct Host {
    pub number: u8,
    pub view: HostView,
    pub client: Client,
    pub installed: RuleSet,
    folder: PathBuf,
    /// Dropped before the namespace, so that no process outlives it.
    _daemons: Daemons,
    pub netns: Netns,
}

/// The underlay address of a host, by family.
pub fn underlay(number: u8, v6: bool) -> IpAddr {
    let text = if v6 {
        format!("fd00:b::{number}")
    } else {
        format!("172.31.0.{number}")
    };
    text.parse().expect("an address")
}

/// The pinned address of a host's icbr0.
fn uplink_mac(number: u8) -> String {
    format!("02:00:0a:00:00:{number:02x}")
}

pub fn locator(number: u8) -> Locator {
    let host = HostName::new(format!("h{number}")).expect("a name");
    Locator {
        host,
        address: underlay(number, false),
    }
}

impl Host {
    pub async fn start(hub: &Hub, root: &Path, number: u8) -> Self {
        let netns = Netns::new(&format!("h{number}"));
        let folder = root.join(format!("h{number}"));
        std::fs::create_dir_all(&folder).expect("a folder of ours");
        netns.ip(&format!(
            "link add eth0 type veth peer name h{number} netns {}",
            hub.0.name
        ));
        netns.ip("link set eth0 mtu 1600 arp off up");
        hub.0
            .ip(&format!("link set h{number} mtu 1600 master hub up"));
        let daemons = Daemons::start(&netns, &folder);
        vsctl(
            &folder,
            &format!(
                "add-br icbr0 -- set bridge icbr0 datapath_type=netdev other_config:hwaddr={} \
             -- add-port icbr0 eth0 -- add-br icint0 -- set bridge icint0 datapath_type=netdev fail_mode=secure \
             protocols=OpenFlow13,OpenFlow14",
                uplink_mac(number)
            ),
        );
        // Rounds of revalidation are waited for; the shortest pause between them is 100 ms.
        vsctl(
            &folder,
            "set open_vswitch . other_config:max-revalidator=100",
        );
        for (encap, port) in TUNNELS {
            let name = encap.as_str();
            vsctl(
                &folder,
                &format!(
                    "add-port icint0 enc-{name} -- set interface enc-{name} type={name} options:remote_ip=flow \
                 options:key=flow ofport_request={port}"
                ),
            );
        }
        netns.ip(&format!(
            "addr add {}/24 dev icbr0",
            underlay(number, false)
        ));
        netns.ip(&format!(
            "addr add {}/64 dev icbr0 nodad",
            underlay(number, true)
        ));
        netns.ip("link set icbr0 up");
        let client = Client::connect_unix(folder.join("icint0.mgmt"))
            .await
            .expect("the bridge listens");
        let mut view = HostView::new(locator(number).host, underlay(number, false));
        view.tunnels = TUNNELS.into();
        Self {
            number,
            view,
            client,
            installed: RuleSet::new(),
            folder,
            _daemons: daemons,
            netns,
        }
    }

    pub fn vsctl(&self, words: &str) -> String {
        vsctl(&self.folder, words)
    }

    /// Waits until what the datapath has cached is renewed, and what it has counted is told.
    pub fn settle(&self) {
        // The first round may have begun before the change.
        for _ in 0..2 {
            self.appctl(&["revalidator/wait"]);
        }
    }

    fn appctl(&self, words: &[&str]) -> String {
        let control = self.folder.join("vswitchd.ctl").display().to_string();
        let all: Vec<&str> = ["ovs-appctl", "-t", &control]
            .into_iter()
            .chain(words.iter().copied())
            .collect();
        run(&all)
    }

    /// `ovs-ofctl` on icint0.
    pub fn ofctl(&self, command: &str, rest: &[&str]) -> String {
        let bridge = format!("unix:{}", self.folder.join("icint0.mgmt").display());
        let all: Vec<&str> = ["ovs-ofctl", "-OOpenFlow13", command, &bridge]
            .into_iter()
            .chain(rest.iter().copied())
            .collect();
        run(&all)
    }

    /// Sets another host's tunnel neighbour: a cold one swallows packets.
    pub fn warm(&self, other: u8) {
        for v6 in [false, true] {
            let (ip, mac) = (underlay(other, v6).to_string(), uplink_mac(other));
            self.appctl(&["tnl/neigh/set", "icbr0", &ip, &mac]);
        }
    }

    /// Installs what the view says now.
    pub async fn install(&mut self) {
        let wanted = rules(&self.view);
        self.make(&changes(&self.installed, &wanted)).await;
        self.installed = wanted;
    }

    /// The same, and waits until no packet goes by the old rules any more. A barrier alone does
    /// not say that: what the datapath has cached is renewed by other threads a moment later.
    pub async fn sync(&mut self) {
        self.install().await;
        self.settle();
    }

    pub async fn make(&self, steps: &[Change]) {
        let sent = self
            .client
            .send_batch(steps.iter().map(Change::flow_mod))
            .await;
        sent.unwrap_or_else(|error| panic!("the switch refuses rules: {error}"));
    }

    /// What the switch holds, as table and cookie.
    pub async fn read(&self) -> Vec<(u8, Cookie)> {
        let flows = self
            .client
            .dump_flows(FlowStatsRequest::default())
            .await
            .expect("the switch tells its rules");
        flows
            .iter()
            .map(|flow| (flow.table_id, Cookie(flow.cookie)))
            .collect()
    }

    pub async fn converge(&self) -> Vec<Change> {
        let steps = converge(self.read().await, &rules(&self.view));
        self.make(&steps).await;
        steps
    }
}

fn vsctl(folder: &Path, words: &str) -> String {
    let database = format!("--db=unix:{}", folder.join("db.sock").display());
    let all: Vec<&str> = ["ovs-vsctl", "-t", "10", &database]
        .into_iter()
        .chain(words.split_whitespace())
        .collect();
    run(&all)
}

/// ovsdb-server and ovs-vswitchd of one folder; ended when dropped.
struct Daemons {
    folder: PathBuf,
}

impl Daemons {
    fn start(netns: &Netns, folder: &Path) -> Self {
        let path = folder.display().to_string();
        let daemons = Self {
            folder: folder.to_owned(),
        };
        run(&[
            "ovsdb-tool",
            "create",
            &format!("{path}/conf.db"),
            "/usr/share/openvswitch/vswitch.ovsschema",
        ]);
        let start = |program: &str, rest: &str, short: &str| {
            let command = format!(
                "env OVS_RUNDIR={path} OVS_LOGDIR={path} OVS_DBDIR={path} {program} {rest} --unixctl={path}/{short}.ctl \
                 --pidfile={path}/{short}.pid --log-file={path}/{short}.log --detach --no-chdir -vconsole:off"
            );
            netns
                .exec(&command)
                .unwrap_or_else(|error| panic!("{error}"));
        };
        start(
            "ovsdb-server",
            &format!("{path}/conf.db --remote=punix:{path}/db.sock"),
            "ovsdb",
        );
        run(&[
            "ovs-vsctl",
            &format!("--db=unix:{path}/db.sock"),
            "--no-wait",
            "init",
        ]);
        start("ovs-vswitchd", &format!("unix:{path}/db.sock"), "vswitchd");
        daemons
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for short in ["vswitchd", "ovsdb"] {
            let pid = std::fs::read_to_string(self.folder.join(format!("{short}.pid")));
            if let Some(pid) = pid.ok().and_then(|text| text.trim().parse::<i32>().ok()) {
                let _ = try_run(&["kill", "-9", &pid.to_string()]);
            }
        }
    }
}
