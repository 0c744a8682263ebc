//! VMs' processes: start, adopt after a restart of the agent, end. Most are QEMUs of our own; those that libvirt
//! keeps come in through [`crate::kept`].
//!
//! A VM outlives its agent. What the agent must know of it lies in one folder a VM: the member's
//! description, the process id with its start time, and the QMP socket.

use crate::disks::image::Images;
use crate::domains::Domains;
use crate::kept::domain_of;
use crate::vm::{alive, end_process};
use crate::{AgentError, abandoned, precedence};
use model::news::VmHere;
use model::vm::Accel;
use model::{ClusterName, Member, MemberKind, Net, VmName};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use qmp::Qmp;
use std::collections::BTreeMap;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// QEMU's own duplicate of our end of its migration socket; see [`crate::outgoing`].
pub const KEEP: &str = "transhume-keep";

/// A QEMU that has not answered after this hangs on what nobody reads.
const ANSWERS: Duration = Duration::from_secs(3);

pub(crate) use crate::vm::start_time;
pub use crate::vm::{Keeper, Moving, Record, Vm};

/// Cluster and member.
pub type Key = (ClusterName, VmName);

/// How a VM is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Boot it.
    Boot,
    /// Wait for a migration, and stay paused when it has arrived.
    Incoming,
}

/// The VMs of this host.
pub struct Vms {
    folder: PathBuf,
    qemu: PathBuf,
    accel: &'static str,
    nice: u8,
    images: Images,
    domains: Domains,
    all: Mutex<BTreeMap<Key, Arc<Vm>>>,
    spawning: Mutex<()>,
}

impl Vms {
    /// Opens the folder and adopts the VMs that still live.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub async fn open(
        folder: PathBuf,
        qemu: PathBuf,
        nice: u8,
        domains: Domains,
    ) -> Result<Self, AgentError> {
        std::fs::create_dir_all(&folder)?;
        let images = Images::new(folder.with_file_name("disks"));
        let vms = Self {
            folder,
            images,
            domains,
            qemu,
            accel: if kvm_works() { "kvm" } else { "tcg" },
            nice,
            all: Mutex::default(),
            spawning: Mutex::default(),
        };
        for entry in std::fs::read_dir(&vms.folder)?.flatten() {
            match vms.adopt(&entry.path()).await {
                Ok(Some(vm)) => {
                    tracing::info!(vm = %vm.record.member.name, pid = vm.record.pid, "adopted");
                    vms.insert(vm);
                }
                Ok(None) => {
                    let _ = std::fs::remove_dir_all(entry.path());
                }
                Err(error) => {
                    tracing::warn!(%error, folder = %entry.path().display(), "not adopted")
                }
            }
        }
        let alive: Vec<Key> = vms.all().iter().map(|vm| vm.key()).collect();
        vms.images.sweep(&alive);
        Ok(vms)
    }

    /// The disks' images.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// libvirt on this host.
    pub fn domains(&self) -> &Domains {
        &self.domains
    }

    /// `kvm` or `tcg`.
    pub fn accel(&self) -> &'static str {
        self.accel
    }

    /// The QEMU program.
    pub fn qemu(&self) -> &Path {
        &self.qemu
    }

    /// One VM.
    pub fn get(&self, key: &Key) -> Option<Arc<Vm>> {
        self.all.lock().ok()?.get(key).cloned()
    }

    /// Every VM.
    pub fn all(&self) -> Vec<Arc<Vm>> {
        self.all
            .lock()
            .map(|all| all.values().cloned().collect())
            .unwrap_or_default()
    }

    /// What every VM does.
    pub async fn here(&self) -> Vec<VmHere> {
        let mut here = Vec::new();
        for vm in self.all() {
            here.push(VmHere {
                cluster: vm.record.net.cluster.clone(),
                vm: vm.record.member.name.clone(),
                state: vm.state().await,
            });
        }
        here
    }

    pub(crate) fn insert(&self, vm: Vm) -> Arc<Vm> {
        let vm = Arc::new(vm);
        if let Ok(mut all) = self.all.lock() {
            all.insert(vm.key(), vm.clone());
        }
        vm
    }

    /// Starts a VM on its port.
    ///
    /// # Errors
    /// When it is here already, is no VM, or QEMU does not start; the sentence holds QEMU's words.
    pub async fn start(
        &self,
        net: &Net,
        member: &Member,
        ifname: &str,
        tap: OwnedFd,
        how: Start,
    ) -> Result<Arc<Vm>, AgentError> {
        let MemberKind::Vm { spec } = &member.kind else {
            return Err(AgentError::plain(format!(
                "'{}' is a host, not a VM",
                member.name
            )));
        };
        let key = (net.cluster.clone(), member.name.clone());
        self.must_be_new(&key)?;
        for file in [&spec.kernel, &spec.initrd] {
            if !file.exists() {
                return Err(AgentError::plain(format!(
                    "'{}' needs {}, which is not on this host; put it there",
                    member.name,
                    file.display()
                )));
            }
        }
        let accel = match spec.accel {
            Accel::Auto => self.accel,
            Accel::Kvm => "kvm",
            Accel::Tcg => "tcg",
        };
        match how {
            Start::Boot => self.images.for_boot(&key, spec).await?,
            Start::Incoming => self.images.for_arrival(&key, spec).await?,
        }
        let folder = self.fresh_folder(&key)?;
        let mut command = Command::new("nice");
        command
            .args(["-n", &self.nice.min(19).to_string()])
            .arg(&self.qemu);
        let machine_accel = if accel == "tcg" {
            "tcg,thread=multi"
        } else {
            "kvm"
        };
        command
            .args(["-name", &format!("{}.{}", key.0, key.1)])
            .args(["-accel", machine_accel])
            .args(["-M", &spec.machine, "-cpu", &spec.cpu])
            .args([
                "-m",
                &spec.memory_mib.to_string(),
                "-smp",
                &spec.vcpus.to_string(),
            ])
            .args([
                "-display",
                "none",
                "-nodefaults",
                "-no-user-config",
                "-no-reboot",
            ])
            .args([
                "-serial",
                &format!("file:{}", folder.join("serial.log").display()),
            ])
            .args([
                "-qmp",
                &format!("unix:{},server=on,wait=off", folder.join("qmp").display()),
            ])
            .args(["-netdev", &format!("tap,id=n0,fd={}", tap.as_raw_fd())])
            .args([
                "-device",
                &format!("virtio-net-pci,romfile=,netdev=n0,mac={}", member.mac),
            ])
            .arg("-kernel")
            .arg(&spec.kernel)
            .arg("-initrd")
            .arg(&spec.initrd)
            .args(["-append", &spec.cmdline])
            .args(self.images.arguments(&key, spec));
        if how == Start::Incoming {
            command.args(["-incoming", "defer", "-S"]);
        }
        let log = folder.join("qemu.log");
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log)?)
            .process_group(0);
        precedence::early(&mut command);
        let child = {
            // The tap's descriptor may be inherited by this one child only: another QEMU that had it
            // too would keep the port busy.
            let _one_at_a_time = self.spawning.lock();
            fcntl(&tap, FcntlArg::F_SETFD(FdFlag::empty())).map_err(std::io::Error::from)?;
            let child = command.spawn();
            fcntl(&tap, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).map_err(std::io::Error::from)?;
            child.map_err(|error| {
                AgentError::plain(format!(
                    "{} does not start: {error}; install QEMU or set `qemu` in the agent's configuration",
                    self.qemu.display()
                ))
            })?
        };
        let pid = child.id() as i32;
        precedence::reap(child)?;
        let record = Record {
            net: net.clone(),
            member: member.clone(),
            ifname: ifname.to_owned(),
            pid,
            started: start_time(pid).unwrap_or_default(),
            plugged: None,
        };
        std::fs::write(
            folder.join("vm.json"),
            serde_json::to_vec(&record).map_err(std::io::Error::from)?,
        )?;
        match Qmp::connect(folder.join("qmp")).await {
            Ok(qmp) => {
                let vm = self.insert(Vm {
                    record,
                    qmp,
                    tap: Some(tap),
                    behind: None,
                    keeper: Keeper::Agent,
                    nodes: BTreeMap::new(),
                    folder,
                });
                if how != Start::Incoming {
                    vm.guest_is_ordinary().await;
                }
                Ok(vm)
            }
            Err(error) => {
                end_process(&record);
                let words = std::fs::read_to_string(&log).unwrap_or_default();
                let _ = std::fs::remove_dir_all(&folder);
                Err(AgentError::plain(format!(
                    "QEMU for '{}' did not come up ({error}): {}",
                    member.name,
                    words.lines().last().unwrap_or("it said nothing")
                )))
            }
        }
    }

    pub(crate) fn must_be_new(&self, key: &Key) -> Result<(), AgentError> {
        match self.get(key) {
            None => Ok(()),
            Some(_) => Err(AgentError::plain(format!(
                "'{}' already has a process on this host",
                key.1
            ))),
        }
    }

    pub(crate) fn fresh_folder(&self, key: &Key) -> std::io::Result<PathBuf> {
        let folder = self.folder.join(format!("{}.{}", key.0, key.1));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder)?;
        Ok(folder)
    }

    /// Knows nothing of a VM any more, whose process may live on.
    pub(crate) fn forget(&self, key: &Key) {
        let vm = self.all.lock().ok().and_then(|mut all| all.remove(key));
        if let Some(vm) = vm {
            let _ = std::fs::remove_dir_all(&vm.folder);
        }
    }

    /// The VM lives elsewhere: its process ends without being asked, and with it goes all that is kept of it
    /// here, but for its images.
    ///
    /// # Errors
    /// libvirt's words; it is to be asked again.
    pub async fn leave(&self, key: &Key) -> Result<(), AgentError> {
        if let Some(vm) = self.get(key)
            && let Keeper::Libvirt(domain) = &vm.keeper
        {
            // First: a process that is still there is found again by the next agent, a definition is not.
            domain.undefine().await?;
        }
        self.kill(key).await;
        Ok(())
    }

    /// Ends a VM's process and forgets it. Ending one that is gone is fine.
    pub async fn end(&self, key: &Key) {
        let Some(vm) = self.get(key) else { return };
        if matches!(vm.keeper, Keeper::Libvirt(_)) {
            return self.kill(key).await;
        }
        let _ = tokio::time::timeout(Duration::from_secs(2), vm.qmp.quit()).await;
        self.kill(key).await;
    }

    /// Ends a VM's process without asking it, and forgets it. Ending one that is gone is fine.
    pub async fn kill(&self, key: &Key) {
        let vm = self.all.lock().ok().and_then(|mut all| all.remove(key));
        let Some(vm) = vm else { return };
        end_process(&vm.record);
        for _ in 0..4000 {
            if !alive(&vm.record) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        if let Keeper::Libvirt(domain) = &vm.keeper {
            domain.destroy().await;
        }
        let _ = std::fs::remove_dir_all(&vm.folder);
    }

    async fn adopt(&self, folder: &Path) -> Result<Option<Vm>, AgentError> {
        let Ok(bytes) = std::fs::read(folder.join("vm.json")) else {
            return Ok(None);
        };
        let record: Record = serde_json::from_slice(&bytes).map_err(std::io::Error::from)?;
        if !alive(&record) {
            self.give_back_dead(&record).await;
            return Ok(None);
        }
        let moving = std::fs::read(folder.join("moving.json")).ok();
        let moving = moving.and_then(|bytes| serde_json::from_slice::<Moving>(&bytes).ok());
        let (pid, stream) = (record.pid, moving.and_then(|moving| moving.stream));
        let drain = || {
            if let Some(stream) = stream {
                abandoned::drain(pid, stream);
            }
        };
        if domain_of(&record.member).is_some() {
            let adopted = self.adopt_domain(record, folder.to_owned(), ANSWERS, drain);
            return adopted.await.map(Some);
        }
        let socket = folder.join("qmp");
        let qmp = match Qmp::connect_within(&socket, ANSWERS).await {
            Err(_) if stream.is_some() => {
                drain();
                Qmp::connect(socket).await?
            }
            answered => answered?,
        };
        Ok(Some(Vm {
            record,
            qmp,
            tap: None,
            behind: None,
            keeper: Keeper::Agent,
            nodes: BTreeMap::new(),
            folder: folder.to_owned(),
        }))
    }
}

/// KVM is used only where guests really boot under it: `/dev/kvm` opens, the CPU has the extension,
/// and the module is not one that cannot run stock guests.
fn kvm_works() -> bool {
    let extension = std::fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| {
        text.split_whitespace()
            .any(|word| word == "vmx" || word == "svm")
    });
    extension
        && !Path::new("/sys/module/kvm_pvm").exists()
        && std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open("/dev/kvm")
            .is_ok()
}
