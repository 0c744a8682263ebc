//! A service that remembers what it was asked, behind a real socket.

#![allow(dead_code, unreachable_pub, missing_docs)]

mod flows;

#[allow(unused_imports)]
pub use flows::{asked, question};

use api::server::UnixServer;
use api::view::{
    Cluster, Endpoint, Host, JoinToken, LispKey, LispLocator, LispMapping, LispMappingSpec,
    LispSite, LispSiteSpec, LispSource, Placed, Site, Vm,
};
use api::{Client, Events, Problem, Service};
use async_trait::async_trait;
use futures::StreamExt;
use model::cluster::Cidr;
use model::event::{Event, What};
use model::libvirt::{BootFiles, Found, Image, Nic};
use model::limits::Limits;
use model::migration::{Figures, Kind, Migration, Options, Phase, Progress, State, Switch, VmMove};
use model::news::Abilities;
use model::plan::{Check, Convergence, Forecast, Needs, Part, Plan, SwitchForecast};
use model::vm::{Accel, VmSpec, VmState};
use model::{
    ClusterName, Encap, Entry, Epoch, Locator, Mac, Member, MemberKind, MigrationId, SecurityRule,
    SiteName, VmName,
};
use std::sync::{Arc, Mutex};
use tokio_stream::wrappers::BroadcastStream;

pub fn name<T>(text: &str) -> T
where
    T: std::str::FromStr,
    T::Err: std::fmt::Debug,
{
    text.parse().expect("a good name in a test")
}

pub fn vm_member(index: u8) -> Member {
    Member {
        name: name(&format!("shop-{index}")),
        host: name("north-1"),
        mac: Mac([0x52, 0x54, 0, 0x77, 0, index]),
        addresses: vec![
            name(&format!("10.77.0.{index}/24")),
            name(&format!("fd77::{index}/64")),
        ],
        after: Vec::new(),
        security: vec![name("ingress tcp 80 from 10.77.0.0/24")],
        kind: MemberKind::Vm {
            spec: VmSpec {
                machine: "q35".into(),
                cpu: "qemu64".into(),
                accel: Accel::Tcg,
                vcpus: 1,
                memory_mib: 128,
                kernel: "/boot/vmlinux".into(),
                initrd: "/boot/initrd".into(),
                cmdline: "quiet".into(),
                disks: Vec::new(),
                libvirt: None,
            },
        },
    }
}

pub fn host_member() -> Member {
    Member {
        name: name("gate"),
        host: name("north-1"),
        mac: Mac([0x52, 0x54, 0, 0x77, 1, 1]),
        addresses: vec![name::<Cidr>("10.77.0.100/24")],
        after: Vec::new(),
        security: Vec::new(),
        kind: MemberKind::Host,
    }
}

pub fn spec() -> model::Cluster {
    model::Cluster {
        name: name("shop"),
        vni: 7,
        encap: Encap::Geneve,
        members: vec![vm_member(1), vm_member(2), host_member()],
    }
}

pub fn locator() -> Locator {
    Locator {
        host: name("north-1"),
        address: name("192.0.2.10"),
    }
}

pub fn entry(member: &Member) -> Entry {
    Entry {
        cluster: name("shop"),
        vm: member.name.clone(),
        mac: member.mac,
        ips: member.addresses.iter().map(|cidr| cidr.address).collect(),
        security: member.security.clone(),
        locator: locator(),
        epoch: Epoch(3),
        seal: None,
    }
}

pub fn progress() -> Progress {
    Progress {
        sent_bytes: 5,
        wire_bytes: 4,
        total_bytes: 9,
        rate: 1.5,
        passes: 2,
        ..Default::default()
    }
}

pub fn migration(state: State) -> Migration {
    Migration {
        id: name("m-0001"),
        cluster: name("shop"),
        from: name("north"),
        to: name("south"),
        kind: Kind::Live,
        options: Options::default(),
        state,
        message: "Memory flows.".into(),
        vms: vec![VmMove {
            vm: name("shop-1"),
            from: name("north-1"),
            to: name("south-1"),
            needs: Needs {
                memory_mib: 228,
                disk_bytes: 0,
            },
            predicted: Some(plan().predicted()),
            progress: progress(),
            figures: Figures {
                stop_error_ms: Some(-0.4),
                stopped_unix_ns: Some(5),
                ..Default::default()
            },
        }],
        phases: vec![
            Phase {
                name: "prepare".into(),
                vm: None,
                start_ms: 0.0,
                ms: 12.5,
            },
            Phase {
                name: "pre-copy".into(),
                vm: Some(name("shop-1")),
                start_ms: 12.5,
                ms: 99.0,
            },
        ],
        started_unix_ms: 1_700_000_000_000,
        total_ms: 111.5,
        predicted: Some(plan().predicted()),
        paused: false,
        given_mbit: 200.0,
    }
}

pub fn plan() -> Plan {
    Plan {
        cluster: name("shop"),
        from: name("north"),
        to: name("south"),
        checks: vec![
            Check::ok("memory", "south-1", "456 of 4096 MiB free"),
            Check::ok("files", "shop-1", "the same on both hosts"),
            Check::ok("files", "shop-2", "the same on both hosts"),
            Check::warning(
                "clock",
                "south-1",
                "3 s behind the controller's",
                "set it right",
            ),
        ],
        vms: vec![Forecast {
            vm: name("shop-1"),
            from: name("north-1"),
            to: name("south-1"),
            needs: Needs {
                memory_mib: 228,
                disk_bytes: 0,
            },
            used_bytes: 900,
            dirty_rate: Some(2e6),
            bytes: 1000,
            disk_bytes: 0,
            ready_ms: 4000.0,
            gap_ms: 60.0,
            convergence: Convergence::Yes,
        }],
        phases: vec![Part {
            name: "pre-copy".into(),
            ms: 4000.0,
        }],
        bytes: 1000,
        total_ms: 5000.0,
        gap_ms: 60.0,
        spread_ms: 0.0,
        rate: 20e6,
        rate_from: "measured now".into(),
        switches: vec![
            SwitchForecast {
                switch: Switch::Together,
                gap_ms: 90.0,
                window_ms: 40.0,
                chosen: false,
                groups: vec![vec![name("shop-1"), name("shop-2")]],
            },
            SwitchForecast {
                switch: Switch::OneByOne,
                gap_ms: 60.0,
                window_ms: 220.0,
                chosen: true,
                groups: vec![vec![name("shop-1")], vec![name("shop-2")]],
            },
        ],
    }
}

pub fn events() -> Vec<Event> {
    let whats = vec![
        What::HostUp {
            host: name("north-1"),
        },
        What::HostDown {
            host: name("north-1"),
        },
        What::ClusterChanged {
            cluster: name("shop"),
        },
        What::Phase {
            migration: name("m-0001"),
            vm: None,
            phase: "hold".into(),
            message: "Waits for shop-2.".into(),
        },
        What::Progress {
            migration: name("m-0001"),
            vm: name("shop-1"),
            progress: progress(),
        },
        What::Phase {
            migration: name("m-0002"),
            vm: None,
            phase: "hold".into(),
            message: "Waits.".into(),
        },
        What::Ended {
            migration: name("m-0001"),
            arrived: true,
            message: "Arrived.".into(),
        },
    ];
    let numbered = whats.into_iter().zip(1..);
    numbered
        .map(|(what, seq)| Event {
            seq,
            unix_ms: 1_700_000_000_000 + seq,
            what,
        })
        .collect()
}

pub fn lisp_mapping(eid: &str) -> LispMapping {
    LispMapping {
        eid: eid.into(),
        source: LispSource::Directory,
        ttl_minutes: 15,
        version: 3,
        locators: vec![LispLocator {
            address: name("192.0.2.10"),
            priority: 1,
            weight: 100,
        }],
    }
}

/// Answers from fixed data; every change is kept for the test to look at.
pub struct Fake {
    pub applied: Mutex<Vec<model::Cluster>>,
    pub linked: Mutex<Vec<Member>>,
    pub journeys: Mutex<Vec<(ClusterName, SiteName, Options)>>,
    /// What `m-0001` says of itself.
    pub current: Mutex<Migration>,
    pub limits: Mutex<Limits>,
    pub lisp_sites: Mutex<Vec<LispSite>>,
    /// Secrets that came in.
    pub lisp_keys: Mutex<Vec<LispKey>>,
    told: Mutex<Vec<Event>>,
    feed: tokio::sync::broadcast::Sender<Event>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            applied: Mutex::default(),
            linked: Mutex::default(),
            journeys: Mutex::default(),
            current: Mutex::new(migration(State::Arrived)),
            limits: Mutex::default(),
            lisp_sites: Mutex::new(vec![LispSite {
                name: "branch".into(),
                id: 9,
                key_ids: vec![0],
                prefixes: vec!["[7]10.2.0.0/16".into()],
                accept_more_specifics: true,
                accept_constant_nonce: false,
            }]),
            lisp_keys: Mutex::default(),
            told: Mutex::new(events()),
            feed: tokio::sync::broadcast::channel(100).0,
        }
    }
}

impl Fake {
    /// Lets something happen.
    pub fn tell(&self, what: What) {
        let mut told = self.told.lock().expect("not poisoned");
        let seq = told.len() as u64 + 1;
        let event = Event {
            seq,
            unix_ms: 1_700_000_000_000 + 500 * seq,
            what,
        };
        told.push(event.clone());
        // Nobody may listen yet; what was told is kept.
        let _ = self.feed.send(event);
    }

    /// Forgets what was told.
    pub fn forget(&self) {
        self.told.lock().expect("not poisoned").clear();
    }
}

impl Fake {
    fn shown(spec: model::Cluster) -> Cluster {
        Cluster {
            spec,
            mtu: 1450,
            sites: vec![name("north")],
            migration: Some(name("m-0001")),
        }
    }

    fn known(cluster: &ClusterName) -> Result<(), Problem> {
        if cluster.as_str() == "shop" {
            return Ok(());
        }
        Err(Problem::not_found(
            format!("There is no cluster '{cluster}'."),
            "See the clusters with `transhume cluster list`.",
        ))
    }
}

#[async_trait]
impl Service for Fake {
    async fn sites(&self) -> Result<Vec<Site>, Problem> {
        Ok(vec![Site {
            name: name("north"),
            provider: "kvm".into(),
            up: true,
            hosts: vec![name("north-1")],
            vms: 2,
        }])
    }

    async fn domains(&self, _: &model::HostName) -> Result<Vec<Found>, Problem> {
        Ok(vec![Found {
            name: "web".into(),
            uuid: "8f7d1b52-6a0e-4a7e-9d61-0f3c3a1f0c11".into(),
            running: true,
            persistent: true,
            autostart: false,
            kind: "kvm".into(),
            memory_mib: 128,
            vcpus: 1,
            machine: "pc-q35-10.0".into(),
            cpu: "qemu64".into(),
            boot: Some(BootFiles {
                kernel: "/k".into(),
                initrd: "/i".into(),
                cmdline: "quiet".into(),
            }),
            nics: vec![Nic {
                mac: name("52:54:00:77:00:0b"),
                source: "bridge br0".into(),
                device: Some("vnet0".into()),
                model: "virtio".into(),
            }],
            images: vec![Image {
                name: "vda".into(),
                path: "/i/web.qcow2".into(),
                format: model::vm::DiskFormat::Qcow2,
                size: 1 << 30,
            }],
            obstacles: vec!["it has a TPM".into()],
        }])
    }

    async fn flows(
        &self,
        host: &model::HostName,
        _: model::flows::FlowsAsked,
    ) -> Result<api::view::Flows, Problem> {
        match host.as_str() {
            "north-1" => Ok(flows::flows(host)),
            _ => Err(api::service::no_such_host(host)),
        }
    }

    async fn trace(
        &self,
        question: model::trace::Question,
    ) -> Result<model::trace::Trace, Problem> {
        Ok(flows::trace(&question))
    }

    async fn links(
        &self,
        _: u32,
    ) -> Result<std::collections::BTreeMap<model::HostName, model::links::Links>, Problem> {
        Ok([(name("north-1"), flows::links())].into())
    }

    async fn hosts(&self) -> Result<Vec<Host>, Problem> {
        Ok(vec![Host {
            name: name("north-1"),
            site: name("north"),
            up: true,
            underlay: name("192.0.2.10"),
            vms: 2,
            abilities: Abilities {
                qemu: "10.0.2".into(),
                accel: "tcg".into(),
                prediction: true,
                prediction_note: String::new(),
                free_mib: 1000,
                cpus: 2,
                uplink_mtu: 1500,
                uplink_mbit: 200.0,
            },
        }])
    }

    async fn clusters(&self) -> Result<Vec<Cluster>, Problem> {
        Ok(vec![Self::shown(spec())])
    }

    async fn cluster(&self, name: &ClusterName) -> Result<Cluster, Problem> {
        Self::known(name)?;
        Ok(Self::shown(spec()))
    }

    async fn apply_cluster(&self, spec: model::Cluster) -> Result<Cluster, Problem> {
        self.applied
            .lock()
            .expect("not poisoned")
            .push(spec.clone());
        Ok(Self::shown(spec))
    }

    async fn delete_cluster(&self, name: &ClusterName) -> Result<(), Problem> {
        Self::known(name)
    }

    async fn link(&self, cluster: &ClusterName, member: Member) -> Result<Placed, Problem> {
        Self::known(cluster)?;
        let placed = Placed {
            cluster: cluster.clone(),
            member: member.name.clone(),
            locator: locator(),
            epoch: Epoch(1),
            mtu: 1450,
            took_ms: 1.25,
        };
        self.linked.lock().expect("not poisoned").push(member);
        Ok(placed)
    }

    async fn unlink(&self, cluster: &ClusterName, member: &VmName) -> Result<(), Problem> {
        Self::known(cluster)?;
        match member.as_str() {
            "boom" => panic!("a fault in the service"),
            _ => Ok(()),
        }
    }

    async fn security(
        &self,
        cluster: &ClusterName,
        _: &VmName,
    ) -> Result<Vec<SecurityRule>, Problem> {
        Self::known(cluster)?;
        Ok(vm_member(1).security)
    }

    async fn secure(
        &self,
        cluster: &ClusterName,
        _: &VmName,
        rules: Vec<SecurityRule>,
    ) -> Result<Vec<SecurityRule>, Problem> {
        Self::known(cluster)?;
        Ok(rules)
    }

    async fn vms(&self) -> Result<Vec<Vm>, Problem> {
        let one = vm_member(1);
        Ok(vec![Vm {
            cluster: name("shop"),
            name: one.name,
            host: name("north-1"),
            site: name("north"),
            state: VmState::Running,
            mac: one.mac,
            addresses: one.addresses,
            vcpus: 1,
            memory_mib: 128,
            migration: None,
        }])
    }

    async fn endpoints(&self) -> Result<Vec<Endpoint>, Problem> {
        let site: SiteName = name("north");
        let members = [vm_member(1), host_member()];
        Ok(members
            .iter()
            .map(|one| Endpoint {
                entry: entry(one),
                site: site.clone(),
            })
            .collect())
    }

    async fn plan(
        &self,
        cluster: &ClusterName,
        to: &SiteName,
        options: Options,
    ) -> Result<Plan, Problem> {
        Self::known(cluster)?;
        self.journeys
            .lock()
            .expect("not poisoned")
            .push((cluster.clone(), to.clone(), options));
        Ok(plan())
    }

    async fn migrate(
        &self,
        cluster: &ClusterName,
        to: &SiteName,
        options: Options,
    ) -> Result<Migration, Problem> {
        Self::known(cluster)?;
        if to.as_str() == "north" {
            return Err(Problem::refused(
                "Cluster 'shop' is at 'north' already.",
                "Choose another site.",
            ));
        }
        self.journeys
            .lock()
            .expect("not poisoned")
            .push((cluster.clone(), to.clone(), options));
        Ok(migration(State::Preparing))
    }

    async fn migrations(&self) -> Result<Vec<Migration>, Problem> {
        Ok(vec![migration(State::PreCopy)])
    }

    async fn migration(&self, id: &MigrationId) -> Result<Migration, Problem> {
        if id.as_str() != "m-0001" {
            return Err(Problem::not_found(
                format!("There is no migration '{id}'."),
                "See them with `transhume migration list`.",
            ));
        }
        Ok(self.current.lock().expect("not poisoned").clone())
    }

    async fn cancel(&self, _: &MigrationId) -> Result<Migration, Problem> {
        Ok(migration(State::Aborting))
    }

    async fn rollback(&self, _: &MigrationId) -> Result<Migration, Problem> {
        Ok(migration(State::Preparing))
    }

    async fn pause(&self, _: &MigrationId) -> Result<Migration, Problem> {
        let mut paused = migration(State::PreCopy);
        paused.paused = true;
        paused.message = "paused by the user; memory flows while the guests run".into();
        Ok(paused)
    }

    async fn resume(&self, _: &MigrationId) -> Result<Migration, Problem> {
        Ok(migration(State::PreCopy))
    }

    async fn limits(&self) -> Result<Limits, Problem> {
        Ok(self.limits.lock().expect("not poisoned").clone())
    }

    async fn set_limits(&self, limits: Option<Limits>) -> Result<Limits, Problem> {
        let limits = limits.unwrap_or_default();
        *self.limits.lock().expect("not poisoned") = limits.clone();
        Ok(limits)
    }

    async fn events(&self, from: Option<u64>, follow: bool) -> Result<Events, Problem> {
        let from = from.unwrap_or(u64::MAX);
        let told = self.told.lock().expect("not poisoned");
        let kept: Vec<Event> = told
            .iter()
            .filter(|event| event.seq >= from)
            .cloned()
            .collect();
        let kept = futures::stream::iter(kept);
        let feed = BroadcastStream::new(self.feed.subscribe());
        let live = feed.filter_map(|event| async { event.ok() });
        if follow {
            Ok(kept.chain(live).boxed())
        } else {
            Ok(kept.boxed())
        }
    }

    async fn lisp_sites(&self) -> Result<Vec<LispSite>, Problem> {
        Ok(self.lisp_sites.lock().expect("not poisoned").clone())
    }

    async fn put_lisp_site(
        &self,
        name: &SiteName,
        spec: LispSiteSpec,
    ) -> Result<LispSite, Problem> {
        let site = LispSite {
            name: name.to_string(),
            id: spec.id,
            key_ids: spec.keys.iter().map(|key| key.id).collect(),
            prefixes: spec.prefixes.clone(),
            accept_more_specifics: spec.accept_more_specifics,
            accept_constant_nonce: spec.accept_constant_nonce,
        };
        self.lisp_keys
            .lock()
            .expect("not poisoned")
            .extend(spec.keys);
        let mut sites = self.lisp_sites.lock().expect("not poisoned");
        sites.retain(|known| known.name != site.name);
        sites.push(site.clone());
        Ok(site)
    }

    async fn delete_lisp_site(&self, name: &SiteName) -> Result<(), Problem> {
        let mut sites = self.lisp_sites.lock().expect("not poisoned");
        sites.retain(|known| known.name != name.as_str());
        Ok(())
    }

    async fn lisp_mappings(&self, _: Option<&str>) -> Result<Vec<LispMapping>, Problem> {
        Ok(vec![lisp_mapping("[7]10.77.0.11/32")])
    }

    async fn lisp_mapping(&self, eid: &str) -> Result<LispMapping, Problem> {
        Ok(lisp_mapping(eid))
    }

    async fn put_lisp_mapping(
        &self,
        eid: &str,
        spec: LispMappingSpec,
    ) -> Result<LispMapping, Problem> {
        Ok(LispMapping {
            source: LispSource::Static,
            ttl_minutes: spec.ttl_minutes,
            locators: spec.locators,
            ..lisp_mapping(eid)
        })
    }

    async fn delete_lisp_mapping(&self, _: &str) -> Result<(), Problem> {
        Ok(())
    }

    async fn join_token(&self) -> Result<JoinToken, Problem> {
        Ok(JoinToken {
            token: "secret".into(),
            controller: "192.0.2.1:7443".into(),
            ca_sha256: "00".repeat(32),
            expires_unix_ms: 1,
        })
    }
}

/// A server on a socket of its own; both are gone when this is dropped.
pub struct Served {
    pub fake: Arc<Fake>,
    pub client: Client,
    pub socket: std::path::PathBuf,
    task: tokio::task::JoinHandle<()>,
    _folder: tempfile::TempDir,
}

impl Served {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder for the socket");
        let socket = folder.path().join("api.sock");
        let fake = Arc::new(Fake::default());
        let server = UnixServer::bind(&socket).await.expect("a free socket");
        let task = tokio::spawn(server.serve(fake.clone()));
        Self {
            fake,
            client: Client::unix(&socket),
            socket,
            task,
            _folder: folder,
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.task.abort();
    }
}
