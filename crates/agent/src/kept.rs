//! VMs whose process is libvirt's: found and linked where they are, made at a target, given back.

use crate::AgentError;
use crate::domains::Domain;
use crate::vms::{Keeper, Key, Record, Vm, Vms, start_time};
use model::libvirt::{Description, Found, Plugged};
use model::vm::{DiskFormat, LibvirtDomain, VmSpec};
use model::{Member, MemberKind, Net};
use qmp::Qmp;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// In the VM's folder: what libvirt is to be told when the VM is here for good. Only root reads it.
const DEFINITION: &str = "definition.json";

/// The domain that a member is; none for a VM of our own.
pub fn domain_of(member: &Member) -> Option<(&VmSpec, &LibvirtDomain)> {
    match &member.kind {
        MemberKind::Vm { spec } => Some((spec, spec.libvirt.as_ref()?)),
        MemberKind::Host => None,
    }
}

fn needed(member: &Member) -> Result<(&VmSpec, &LibvirtDomain), AgentError> {
    domain_of(member)
        .ok_or_else(|| AgentError::plain(format!("'{}' is no domain of libvirt", member.name)))
}

impl Vms {
    /// Links a domain that is here: its interface is plugged into the member's bridge, and it is started if
    /// it does not run. The guest notices nothing.
    ///
    /// # Errors
    /// When there is no such domain, it is not as described, or it could not be moved; it is left as it was.
    pub async fn attach(
        &self,
        net: &Net,
        member: &Member,
        ifname: &str,
    ) -> Result<Arc<Vm>, AgentError> {
        let (spec, kept) = needed(member)?;
        let key = (net.cluster.clone(), member.name.clone());
        self.must_be_new(&key)?;
        let domain = self.domains().domain(&kept.domain, member.mac).await?;
        fits(&domain.find().await?, member, spec, kept)?;
        let bridge = ovs::names::bridge(&key.0, &key.1);
        let plugged = domain.plug_into(&bridge).await?;
        let linked = async {
            domain.start().await?;
            let begun = Begun {
                net,
                member,
                ifname,
                plugged: Some(plugged.clone()),
            };
            self.take_up(domain.clone(), begun, None).await
        };
        match linked.await {
            Ok(vm) => Ok(vm),
            Err(error) => {
                if let Err(also) = domain.plug(plugged).await {
                    tracing::warn!(error = %also, "a domain that could not be linked stays unplugged");
                }
                Err(error)
            }
        }
    }

    /// Makes a domain that waits for a migration, and stays paused when it has arrived.
    ///
    /// # Errors
    /// When a domain of that name is here, an image is, or libvirt does not make it; nothing is left.
    pub async fn await_domain(
        &self,
        net: &Net,
        member: &Member,
        ifname: &str,
        description: Option<&Description>,
    ) -> Result<Arc<Vm>, AgentError> {
        let (spec, kept) = needed(member)?;
        let description = description.ok_or_else(|| {
            AgentError::plain(format!(
                "nothing was said of domain '{}'; update the controller",
                kept.domain
            ))
        })?;
        let key = (net.cluster.clone(), member.name.clone());
        self.must_be_new(&key)?;
        let domain = self.domains().domain(&kept.domain, member.mac).await?;
        self.images().for_arrival(&key, spec).await?;
        let bridge = ovs::names::bridge(&key.0, &key.1);
        domain
            .create_incoming(description.running.clone(), bridge)
            .await?;
        let begun = Begun {
            net,
            member,
            ifname,
            plugged: description.plugged.clone(),
        };
        let made = self.take_up(domain.clone(), begun, Some(description)).await;
        if made.is_err() {
            domain.destroy().await;
        }
        made
    }

    /// Takes up a domain whose process there is.
    async fn take_up(
        &self,
        domain: Domain,
        begun: Begun<'_>,
        description: Option<&Description>,
    ) -> Result<Arc<Vm>, AgentError> {
        let pid = domain.process().await?;
        let record = Record {
            net: begun.net.clone(),
            member: begun.member.clone(),
            ifname: begun.ifname.to_owned(),
            pid,
            started: start_time(pid).unwrap_or_default(),
            plugged: begun.plugged,
        };
        let folder = self.fresh_folder(&record.key())?;
        let done = async {
            if let Some(description) = description {
                write_definition(&folder, description)?;
            }
            let bytes = serde_json::to_vec(&record).map_err(std::io::Error::from)?;
            std::fs::write(folder.join("vm.json"), bytes)?;
            let qmp = domain.monitor(pid).await?;
            furnished(record, domain, qmp, folder.clone()).await
        };
        match done.await {
            Ok(vm) => Ok(self.insert(vm)),
            Err(error) => {
                let _ = std::fs::remove_dir_all(folder);
                Err(error)
            }
        }
    }

    /// Gives a linked domain back: its interface is plugged into what it was plugged into before, and it runs
    /// on. False when the VM is our own, or not here.
    pub async fn give_back(&self, key: &Key) -> bool {
        let Some(vm) = self.get(key) else {
            return false;
        };
        let Keeper::Libvirt(domain) = &vm.keeper else {
            return false;
        };
        if let Some(plugged) = vm.record.plugged.clone()
            && let Err(error) = domain.plug(plugged).await
        {
            tracing::warn!(%error, vm = %key.1, "its interface is plugged into nothing now; plug it in by virsh update-device");
        }
        self.forget(key);
        true
    }

    /// A domain whose process ended while no agent was there: its definition is its user's again. One that
    /// has left this host has none.
    pub(crate) async fn give_back_dead(&self, record: &Record) {
        let (Some((_, kept)), Some(plugged)) = (domain_of(&record.member), &record.plugged) else {
            return;
        };
        let domain = self.domains().domain(&kept.domain, record.member.mac).await;
        if let Ok(domain) = domain
            && let Err(error) = domain.plug(plugged.clone()).await
        {
            tracing::info!(%error, vm = %record.member.name, "not plugged back");
        }
    }

    /// A domain that was adopted, as far as a process of that record lives.
    pub(crate) async fn adopt_domain(
        &self,
        record: Record,
        folder: PathBuf,
        answers: Duration,
        stuck: impl FnOnce(),
    ) -> Result<Vm, AgentError> {
        let (_, kept) = needed(&record.member)?;
        let domain = self
            .domains()
            .domain(&kept.domain, record.member.mac)
            .await?;
        let qmp = domain.monitor(record.pid).await?;
        if tokio::time::timeout(answers, qmp.query_status())
            .await
            .is_err()
        {
            stuck();
        }
        let vm = furnished(record, domain, qmp, folder).await?;
        if vm
            .qmp
            .query_status()
            .await
            .is_ok_and(|status| status.running)
        {
            // The agent that received it may have died before it could do this.
            vm.define().await?;
        }
        Ok(vm)
    }
}

/// What is known of a VM before its process is.
struct Begun<'a> {
    net: &'a Net,
    member: &'a Member,
    ifname: &'a str,
    plugged: Option<Plugged>,
}

async fn furnished(
    record: Record,
    domain: Domain,
    qmp: Qmp,
    folder: PathBuf,
) -> Result<Vm, AgentError> {
    let behind = domain.tap().await?;
    let tap = ovs::tap::of_process(record.pid, &behind);
    if let Err(error) = &tap {
        tracing::warn!(%error, vm = %record.member.name, "what waits for it when it stops cannot be read");
    }
    Ok(Vm {
        nodes: domain.nodes(&qmp).await?,
        tap: tap.ok(),
        behind: Some(behind),
        keeper: Keeper::Libvirt(domain),
        record,
        qmp,
        folder,
    })
}

impl Vm {
    /// What a target must know of the VM.
    ///
    /// # Errors
    /// When it is no domain of libvirt, or cannot be carried; by name.
    pub async fn describe(&self) -> Result<Description, AgentError> {
        let Keeper::Libvirt(domain) = &self.keeper else {
            return Err(AgentError::plain(format!(
                "'{}' is no domain of libvirt",
                self.record.member.name
            )));
        };
        Ok(Description {
            plugged: self.record.plugged.clone(),
            ..domain.describe().await?
        })
    }

    /// The VM has run here: libvirt keeps it as it did where it came from. Once; content when there is
    /// nothing to do.
    ///
    /// # Errors
    /// libvirt's words; it may be asked again.
    pub async fn define(&self) -> Result<(), AgentError> {
        let Keeper::Libvirt(domain) = &self.keeper else {
            return Ok(());
        };
        let path = self.path(DEFINITION);
        let Ok(bytes) = std::fs::read(&path) else {
            return Ok(());
        };
        let description = serde_json::from_slice(&bytes).map_err(std::io::Error::from)?;
        domain.define(description).await?;
        match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

fn write_definition(folder: &Path, description: &Description) -> Result<(), AgentError> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(folder.join(DEFINITION))?;
    // Of it the target needs what it is to be defined as; it was made from the rest.
    let kept = Description {
        running: String::new(),
        ..description.clone()
    };
    let bytes = serde_json::to_vec(&kept).map_err(std::io::Error::from)?;
    Ok(file.write_all(&bytes)?)
}

/// A domain is linked only if it is what the cluster says, and can be moved.
fn fits(
    found: &Found,
    member: &Member,
    spec: &VmSpec,
    kept: &LibvirtDomain,
) -> Result<(), AgentError> {
    let name = &found.name;
    let refuse = |why: String| Err(AgentError::plain(why));
    if let Some(first) = found.obstacles.first() {
        return refuse(format!("domain '{name}' cannot be moved: {first}"));
    }
    if !found.nics.iter().any(|nic| nic.mac == member.mac) {
        let has: Vec<_> = found.nics.iter().map(|nic| nic.mac.to_string()).collect();
        return refuse(format!(
            "domain '{name}' has no interface {}; it has {}",
            member.mac,
            has.join(", ")
        ));
    }
    let differs = [
        (
            "memory_mib",
            found.memory_mib.to_string(),
            spec.memory_mib.to_string(),
        ),
        ("vcpus", found.vcpus.to_string(), spec.vcpus.to_string()),
    ];
    for (what, is, said) in differs {
        if is != said {
            return refuse(format!(
                "domain '{name}' has {what} = {is} and the cluster says {said}; correct the cluster's file (transhume vm find shows one)"
            ));
        }
    }
    for image in &found.images {
        let disk = spec.disks.iter().find(|disk| disk.name == image.name);
        let Some(disk) = disk else {
            return refuse(format!(
                "domain '{name}' has disk '{}', which the cluster's file does not name",
                image.name
            ));
        };
        let path = disk.shared.as_ref().or_else(|| kept.images.get(&disk.name));
        let same = path == Some(&image.path)
            && disk.size == image.size
            && format(disk.format) == format(image.format);
        if !same {
            return refuse(format!(
                "disk '{}' of domain '{name}' is {} ({}, {} bytes), which is not what the cluster's file says",
                disk.name,
                image.path.display(),
                format(image.format),
                image.size
            ));
        }
    }
    match spec
        .disks
        .iter()
        .find(|disk| found.images.iter().all(|image| image.name != disk.name))
    {
        Some(disk) => refuse(format!("domain '{name}' has no disk '{}'", disk.name)),
        None => Ok(()),
    }
}

fn format(format: DiskFormat) -> &'static str {
    format.as_str()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::libvirt::{Image, Nic};
    use model::vm::Disk;
    use model::{HostName, VmName};

    fn bed() -> (Found, Member) {
        let mac = "52:54:00:77:00:0b".parse().unwrap();
        let found = Found {
            name: "web".into(),
            uuid: String::new(),
            running: true,
            persistent: true,
            autostart: false,
            kind: "qemu".into(),
            memory_mib: 128,
            vcpus: 1,
            machine: "pc-q35-10.0".into(),
            cpu: "qemu64".into(),
            boot: None,
            nics: vec![Nic {
                mac,
                source: "bridge br0".into(),
                device: None,
                model: "virtio".into(),
            }],
            images: vec![Image {
                name: "vda".into(),
                path: "/i/web.raw".into(),
                format: DiskFormat::Raw,
                size: 4096,
            }],
            obstacles: Vec::new(),
        };
        let member = Member {
            name: VmName::new("web").unwrap(),
            host: HostName::new("north").unwrap(),
            mac,
            addresses: Vec::new(),
            after: Vec::new(),
            security: Vec::new(),
            kind: MemberKind::Vm {
                spec: VmSpec {
                    machine: "pc-q35-10.0".into(),
                    cpu: "qemu64".into(),
                    accel: model::vm::Accel::Tcg,
                    vcpus: 1,
                    memory_mib: 128,
                    kernel: PathBuf::new(),
                    initrd: PathBuf::new(),
                    cmdline: String::new(),
                    disks: vec![Disk {
                        name: "vda".into(),
                        size: 4096,
                        format: DiskFormat::Raw,
                        from: None,
                        shared: None,
                    }],
                    libvirt: Some(LibvirtDomain {
                        domain: "web".into(),
                        images: [("vda".to_owned(), PathBuf::from("/i/web.raw"))].into(),
                    }),
                },
            },
        };
        (found, member)
    }

    fn said(change: impl FnOnce(&mut Found)) -> Option<String> {
        let (mut found, member) = bed();
        change(&mut found);
        let (spec, kept) = domain_of(&member).unwrap();
        fits(&found, &member, spec, kept)
            .err()
            .map(|error| error.to_string())
    }

    #[test]
    fn a_domain_that_is_not_what_the_cluster_says_is_refused_by_name() {
        assert_eq!(said(|_| {}), None);
        type Change = fn(&mut Found);
        let cases: [(Change, &str); 6] = [
            (
                |found| found.obstacles.push("it has a TPM".into()),
                "cannot be moved: it has a TPM",
            ),
            (
                |found| found.nics.clear(),
                "has no interface 52:54:00:77:00:0b",
            ),
            (|found| found.memory_mib = 256, "memory_mib = 256"),
            (|found| found.images[0].size = 8192, "8192 bytes"),
            (
                |found| found.images[0].name = "vdb".into(),
                "disk 'vdb', which the cluster's file does not name",
            ),
            (|found| found.images.clear(), "has no disk 'vda'"),
        ];
        for (change, words) in cases {
            let said = said(change).unwrap();
            assert!(said.contains(words), "{said}");
        }
    }
}
