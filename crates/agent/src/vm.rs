//! One VM whose process lives here.

use crate::disks::{image, mirror};
use crate::domains::Domain;
use crate::precedence;
use crate::vms::{KEEP, Key};
use model::libvirt::Plugged;
use model::vm::{Disk, VmSpec, VmState};
use model::{Member, MemberKind, MigrationId, Net};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use qmp::{Qmp, RunState};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

/// What is kept of a VM on disk.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    /// Its network.
    pub net: Net,
    /// The member.
    pub member: Member,
    /// Its port's interface.
    pub ifname: String,
    /// Process id.
    pub pid: i32,
    /// Start time of the process (proc(5), stat field 22), so that a recycled id is never taken for it.
    pub started: u64,
    /// What a libvirt domain's interface was plugged into before it was linked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plugged: Option<Plugged>,
}

impl Record {
    /// Cluster and member.
    pub fn key(&self) -> Key {
        (self.net.cluster.clone(), self.member.name.clone())
    }
}

/// Who keeps a VM's process.
#[derive(Debug, Clone)]
pub enum Keeper {
    /// Its agent, which started QEMU.
    Agent,
    /// libvirt.
    Libvirt(Domain),
}

/// A VM that is being sent, as the next agent on this host must know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Moving {
    /// The migration.
    pub migration: MigrationId,
    /// The target was given leave to run the VM: it must not resume here unless the target has not
    /// started it.
    pub relinquished: bool,
    /// Inode of the socket that QEMU writes its stream to, of which it keeps the reading end.
    #[serde(default)]
    pub stream: Option<u64>,
}

/// A VM whose process lives here.
pub struct Vm {
    /// What is kept of it.
    pub record: Record,
    /// Its machine protocol.
    pub qmp: Qmp,
    /// A second descriptor of its tap, while the agent that started it lives.
    pub tap: Option<OwnedFd>,
    /// Its tap, where that is not its port.
    pub behind: Option<String>,
    /// Who keeps its process.
    pub keeper: Keeper,
    /// QEMU's block nodes of its disks, where they are not named by us.
    pub nodes: BTreeMap<String, String>,
    pub(crate) folder: PathBuf,
}

impl Vm {
    /// Cluster and member.
    pub fn key(&self) -> Key {
        self.record.key()
    }

    /// Lets it run.
    ///
    /// # Errors
    /// QEMU's words.
    pub async fn run(&self) -> Result<(), qmp::QmpError> {
        if let Keeper::Libvirt(domain) = &self.keeper {
            match domain.resume().await {
                Ok(()) => return Ok(()),
                // It may not have heard yet that the guest stands: QEMU knows.
                Err(error) => tracing::warn!(%error, "libvirt did not resume it"),
            }
        }
        self.qmp.cont().await
    }

    /// QEMU's block node of a disk.
    pub fn node(&self, disk: &Disk) -> String {
        let named = self.nodes.get(&disk.name).cloned();
        named.unwrap_or_else(|| image::node(disk))
    }

    /// Writes down that the VM is being sent.
    ///
    /// # Errors
    /// When the file cannot be written; the VM must not be relinquished then.
    pub fn set_moving(&self, moving: &Moving) -> std::io::Result<()> {
        let (file, fresh) = (
            self.folder.join("moving.json"),
            self.folder.join("moving.new"),
        );
        std::fs::write(
            &fresh,
            serde_json::to_vec(moving).map_err(std::io::Error::from)?,
        )?;
        std::fs::rename(fresh, file)
    }

    /// Whether it is being sent.
    pub fn moving(&self) -> Option<Moving> {
        serde_json::from_slice(&std::fs::read(self.folder.join("moving.json")).ok()?).ok()
    }

    /// It is not being sent any more.
    pub fn clear_moving(&self) {
        let _ = std::fs::remove_file(self.folder.join("moving.json"));
    }

    /// Its disks.
    pub fn disks(&self) -> impl Iterator<Item = &Disk> {
        self.spec().into_iter().flat_map(|spec| &spec.disks)
    }

    /// How it is built.
    pub fn spec(&self) -> Option<&VmSpec> {
        match &self.record.member.kind {
            MemberKind::Vm { spec } => Some(spec),
            MemberKind::Host => None,
        }
    }

    /// Ends an outgoing migration and lets the VM run on here. Only for who knows that it runs nowhere
    /// else.
    pub async fn stay(&self) {
        let _ = self
            .qmp
            .execute("closefd", serde_json::json!({"fdname": KEEP}))
            .await;
        if let Err(error) = self.qmp.migrate_cancel().await {
            tracing::warn!(%error, vm = %self.record.member.name, "cancel was refused");
        }
        mirror::cancel(self).await;
        for _ in 0..600 {
            match self.qmp.query_status().await {
                Ok(status) if status.running => break,
                Ok(status)
                    if status.status == RunState::PostMigrate
                        || status.status == RunState::Paused =>
                {
                    let _ = self.run().await;
                }
                Ok(_) => {}
                Err(_) => return,
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.clear_moving();
    }

    /// Socket path below the VM's folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// What QEMU last said on its standard error.
    pub fn last_words(&self) -> String {
        let words = std::fs::read_to_string(self.folder.join("qemu.log")).unwrap_or_default();
        words.lines().last().unwrap_or("it said nothing").to_owned()
    }

    /// The guest's own threads share the CPUs as everybody does; see [`precedence`].
    pub async fn guest_is_ordinary(&self) {
        if matches!(self.keeper, Keeper::Libvirt(_)) {
            // Its user may have given it a precedence of his own.
            return;
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "kebab-case")]
        struct Cpu {
            thread_id: i32,
        }
        let cpus = self
            .qmp
            .query::<Vec<Cpu>>("query-cpus-fast", serde_json::json!({}))
            .await;
        match cpus {
            Ok(cpus) => {
                let threads: Vec<_> = cpus.iter().map(|cpu| cpu.thread_id).collect();
                precedence::usual(&threads);
            }
            Err(error) => {
                tracing::warn!(%error, vm = %self.record.member.name, "its threads are not known")
            }
        }
    }

    /// True while the process lives.
    pub fn alive(&self) -> bool {
        alive(&self.record)
    }

    /// What it does.
    pub async fn state(&self) -> VmState {
        if !self.alive() {
            return VmState::Gone;
        }
        match self.qmp.query_status().await {
            Ok(status) if status.running => VmState::Running,
            Ok(status) if status.status == RunState::InMigrate => VmState::Incoming,
            Ok(_) => VmState::Paused,
            Err(_) => VmState::Gone,
        }
    }
}

pub(crate) fn start_time(pid: i32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command name may hold spaces and parentheses; the fields begin after its last ')'.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let state = fields.next()?;
    (state != "Z")
        .then(|| fields.nth(18)?.parse().ok())
        .flatten()
}

pub(crate) fn alive(record: &Record) -> bool {
    start_time(record.pid) == Some(record.started)
}

pub(crate) fn end_process(record: &Record) {
    if alive(record) {
        let _ = kill(Pid::from_raw(record.pid), Signal::SIGKILL);
    }
}
