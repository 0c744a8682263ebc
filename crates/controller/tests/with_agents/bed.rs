//! A controller on loopback, in a folder of its own.

use super::agent::{Agent, Held, Host, enrol, hello};
use api::Service;
use controller::service::Controlling;
use controller::{Controller, ControllerConfig};
use model::cluster::Cidr;
use model::vm::{Accel, VmSpec};
use model::{Cluster, ClusterName, Encap, Entry, HostName, Member, MemberKind, VmName};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tokio::task::JoinHandle;

pub(crate) struct Bed {
    folder: TempDir,
    pub(crate) service: Arc<Controlling>,
    pub(crate) agents: SocketAddr,
    running: Running,
    more: &'static str,
}

impl Bed {
    pub(crate) async fn new() -> Self {
        Self::with("").await
    }

    /// With more in its configuration.
    pub(crate) async fn with(more: &'static str) -> Self {
        Self::at(tempfile::tempdir().unwrap(), more).await
    }

    async fn at(folder: TempDir, more: &'static str) -> Self {
        // These agents have no tunnels; those tests that are about them say otherwise.
        let open = match more.contains("underlay") {
            true => "",
            false => "underlay.default = 'none'\n",
        };
        let config: ControllerConfig = toml::from_str(&format!(
            "state = '{0}/state'\nsocket = '{0}/api.sock'\nlisten = '127.0.0.1:0'\n{open}{more}",
            folder.path().display()
        ))
        .unwrap();
        // The file of a controller that has just ended may be its still for a moment.
        let mut opened = Controller::open(config.clone()).await;
        for _ in 0..200 {
            if opened.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
            opened = Controller::open(config.clone()).await;
        }
        let controller = opened.unwrap();
        let (service, agents) = (controller.service(), controller.agents_address().unwrap());
        let running = Running(tokio::spawn(controller.serve()));
        Self {
            folder,
            service,
            agents,
            running,
            more,
        }
    }

    /// Ends the controller and starts it again on the same folder.
    pub(crate) async fn restart(self) -> Self {
        let Self {
            folder,
            service,
            mut running,
            more,
            ..
        } = self;
        running.0.abort();
        let _ = (&mut running.0).await;
        drop(service);
        Self::at(folder, more).await
    }

    /// The controller's state folder.
    pub(crate) fn state(&self) -> std::path::PathBuf {
        self.folder.path().join("state")
    }

    /// Puts the controller's mark on a row, as if it had given it before its store was put back.
    pub(crate) fn seal(&self, row: &mut Entry) {
        let seal = identity::Seal::open(&self.folder.path().join("state/authority")).unwrap();
        row.seal = None;
        row.seal = Some(seal.mark(&serde_json::to_vec(row).unwrap()));
    }

    pub(crate) async fn token(&self) -> String {
        self.service.join_token().await.unwrap().token
    }

    /// A host that has joined and not dialled in.
    pub(crate) async fn joined(&self, name: &str, site: &str, number: u8) -> Host {
        let credentials = enrol(self.agents, name, &self.token().await).await.unwrap();
        Host {
            name: HostName::new(name).unwrap(),
            hello: hello(name, site, &format!("192.0.2.{number}")),
            credentials,
            controller: self.agents,
            held: Arc::new(Mutex::new(Held::default())),
        }
    }

    /// Three hosts, connected: `north`, `south` and `office`, each its own site.
    pub(crate) async fn with_three_hosts() -> (Self, [Host; 3], [Agent; 3]) {
        let bed = Self::new().await;
        let north = bed.joined("north", "north", 1).await;
        let south = bed.joined("south", "south", 2).await;
        let office = bed.joined("office", "office", 3).await;
        let agents = [
            north.connect().await,
            south.connect().await,
            office.connect().await,
        ];
        (bed, [north, south, office], agents)
    }

    /// Makes cluster `shop` of these members.
    pub(crate) async fn shop(
        &self,
        members: Vec<Member>,
    ) -> Result<api::view::Cluster, api::Problem> {
        self.service.apply_cluster(cluster("shop", members)).await
    }
}

/// Ends the controller with the bed.
pub(crate) struct Running(JoinHandle<()>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) async fn until(condition: impl Fn() -> bool) {
    for _ in 0..2000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("what was waited for did not come");
}

pub(crate) fn cluster(name: &str, members: Vec<Member>) -> Cluster {
    Cluster {
        name: ClusterName::new(name).unwrap(),
        vni: 0,
        encap: Encap::Vxlan,
        members,
    }
}

pub(crate) fn shop() -> ClusterName {
    ClusterName::new("shop").unwrap()
}

pub(crate) fn vm_name(name: &str) -> VmName {
    VmName::new(name).unwrap()
}

pub(crate) fn host_name(name: &str) -> HostName {
    HostName::new(name).unwrap()
}

/// A member that is a host, with addresses that follow from the number.
pub(crate) fn member(name: &str, host: &str, number: u8) -> Member {
    Member {
        name: vm_name(name),
        host: host_name(host),
        mac: model::Mac([0x52, 0x54, 0, 0x77, 0, number]),
        addresses: vec![Cidr {
            address: [10, 77, 0, number].into(),
            prefix: 24,
        }],
        after: Vec::new(),
        security: Vec::new(),
        kind: MemberKind::Host,
    }
}

/// The same as a VM.
pub(crate) fn vm(name: &str, host: &str, number: u8) -> Member {
    let spec = VmSpec {
        machine: "q35".into(),
        cpu: "max".into(),
        accel: Accel::Auto,
        vcpus: 1,
        memory_mib: 64,
        kernel: "/k".into(),
        initrd: "/i".into(),
        cmdline: String::new(),
        disks: Vec::new(),
        libvirt: None,
    };
    Member {
        kind: MemberKind::Vm { spec },
        ..member(name, host, number)
    }
}
