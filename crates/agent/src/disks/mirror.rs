//! The source's disks: a mirror each, ended when the VM has stopped.

use super::outlet::Outlet;
use crate::AgentError;
use crate::relay::Opening;
use crate::relay::dial::Peer;
use crate::vms::Vm;
use model::vm::Disk;
use nbd::Export;
use qmp::{Qmp, QmpError};
use serde::Deserialize;
use serde_json::json;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A mirror that was whole ends within this.
const END: Duration = Duration::from_secs(20);
/// Smaller than the default of 64 KiB: a journal writes 4 KiB, and only that shall travel.
const GRANULARITY: u32 = 16 << 10;

/// The mirrors of one VM.
pub(crate) struct Mirrors {
    vm: Arc<Vm>,
    disks: Vec<(Disk, Outlet)>,
    ready: Mutex<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Job {
    device: String,
    len: u64,
    offset: u64,
    #[serde(default)]
    ready: bool,
}

fn job(disk: &Disk) -> String {
    format!("mirror-{}", disk.name)
}

fn target(disk: &Disk) -> String {
    format!("target-{}", disk.name)
}

impl Mirrors {
    /// Begins to mirror the disks that are not shared.
    pub(crate) async fn start(
        vm: Arc<Vm>,
        peer: &Peer,
        opening: &Opening,
        rate: u64,
    ) -> Result<Self, AgentError> {
        let disks: Vec<Disk> = vm
            .disks()
            .filter(|disk| disk.shared.is_none())
            .cloned()
            .collect();
        refuse_chains(&vm, &disks).await?;
        let mut mirrors = Self {
            vm,
            disks: Vec::new(),
            ready: Mutex::default(),
        };
        let share = rate / disks.len().max(1) as u64;
        for disk in disks {
            if let Err(error) = mirrors.add(disk, peer, opening, share).await {
                cancel(&mirrors.vm).await;
                return Err(error);
            }
        }
        Ok(mirrors)
    }

    async fn add(
        &mut self,
        disk: Disk,
        peer: &Peer,
        opening: &Opening,
        rate: u64,
    ) -> Result<(), AgentError> {
        let socket = self.vm.path(&format!("nbd-{}", disk.name));
        let export = Export {
            name: disk.name.clone(),
            size: disk.size,
        };
        let opening = Opening {
            disk: Some(disk.name.clone()),
            ..opening.clone()
        };
        let outlet = Outlet::open(&socket, export, peer.clone(), opening, rate)?;
        let qmp = &self.vm.qmp;
        let server = json!({"type": "unix", "path": socket});
        qmp.execute(
            "blockdev-add",
            json!({
                "driver": "nbd", "node-name": target(&disk), "server": server, "export": disk.name,
            }),
        )
        .await?;
        qmp.execute("blockdev-mirror", json!({
            "job-id": job(&disk), "device": self.vm.node(&disk), "target": target(&disk), "sync": "full",
            "copy-mode": "background", "granularity": GRANULARITY,
        }))
        .await?;
        self.disks.push((disk, outlet));
        Ok(())
    }

    /// Whether every mirror is whole but for what the guest writes now; and what is done of what is to
    /// do, bytes.
    ///
    /// # Errors
    /// One sentence when a mirror has ended.
    pub(crate) async fn look(&self) -> Result<(bool, u64, u64), String> {
        for (disk, outlet) in &self.disks {
            if let Some(why) = &*outlet.failed().borrow() {
                return Err(format!("disk '{}' cannot be mirrored: {why}", disk.name));
            }
        }
        let jobs: Vec<Job> = self
            .vm
            .qmp
            .query("query-block-jobs", json!({}))
            .await
            .map_err(|error| error.to_string())?;
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut done, mut total) = (0, 0);
        for (disk, _) in &self.disks {
            let name = job(disk);
            let Some(job) = jobs.iter().find(|job| job.device == name) else {
                return Err(format!("QEMU has ended the mirror of disk '{}'", disk.name));
            };
            (done, total) = (done + job.offset, total + job.len);
            if job.ready && !ready.contains(&name) {
                ready.push(name);
            }
        }
        Ok((ready.len() == self.disks.len(), done, total))
    }

    /// Bytes that were written to the mirrors, and what crossed the WAN for them.
    pub(crate) fn counted(&self) -> (u64, u64) {
        let counted = self.disks.iter().map(|(_, outlet)| outlet.counted());
        counted.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1))
    }

    /// Limits the rate of all, bytes a second, or lifts the limit.
    pub(crate) fn pace(&self, rate: Option<u64>) {
        let each = rate.map(|rate| rate / self.disks.len().max(1) as u64);
        for (_, outlet) in &self.disks {
            outlet.pace(each);
        }
    }

    /// The VM has stopped: ends the mirrors, each with everything in it, and tells the target.
    ///
    /// # Errors
    /// One sentence; the target must not run the VM then.
    pub(crate) async fn finish(&self) -> Result<(), String> {
        let mut events = self.vm.qmp.events();
        let plain = |error: QmpError| error.to_string();
        for (disk, _) in &self.disks {
            let args = json!({"device": job(disk), "force": false});
            self.vm
                .qmp
                .execute("block-job-cancel", args)
                .await
                .map_err(plain)?;
        }
        let mut open: Vec<String> = self.disks.iter().map(|(disk, _)| job(disk)).collect();
        let ended = async {
            while !open.is_empty() {
                let event = events.recv().await.map_err(|error| error.to_string())?;
                let device = event.data.get("device").and_then(|name| name.as_str());
                let Some(at) = open.iter().position(|name| Some(name.as_str()) == device) else {
                    continue;
                };
                if event.name == "BLOCK_JOB_COMPLETED" {
                    if let Some(why) = event.data.get("error").and_then(|why| why.as_str()) {
                        return Err(format!("the mirror of a disk failed at its end: {why}"));
                    }
                    open.remove(at);
                } else if event.name == "BLOCK_JOB_CANCELLED" {
                    return Err("the mirror of a disk was not whole at the stop".to_owned());
                }
            }
            Ok(())
        };
        tokio::time::timeout(END, ended)
            .await
            .map_err(|_| "the mirror of a disk did not end".to_owned())??;
        for (_, outlet) in &self.disks {
            outlet.pace(None);
            outlet.end();
        }
        Ok(())
    }
}

/// Ends every mirror of a VM, whole or not, also those that an earlier agent began.
pub(crate) async fn cancel(vm: &Vm) {
    let qmp = &vm.qmp;
    let disks: Vec<&Disk> = vm.disks().filter(|disk| disk.shared.is_none()).collect();
    if disks.is_empty() {
        return;
    }
    for disk in &disks {
        let args = json!({"device": job(disk), "force": true});
        let _ = qmp.execute("block-job-cancel", args).await;
    }
    for _ in 0..200 {
        match qmp.query::<Vec<Job>>("query-block-jobs", json!({})).await {
            Ok(jobs)
                if jobs
                    .iter()
                    .any(|it| disks.iter().any(|disk| it.device == job(disk))) =>
            {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            _ => break,
        }
    }
    for disk in &disks {
        let _ = qmp
            .execute("blockdev-del", json!({"node-name": target(disk)}))
            .await;
    }
}

/// An image with a backing file or snapshots is refused by name: the target would get its content and
/// lose what it is made of.
async fn refuse_chains(vm: &Vm, disks: &[Disk]) -> Result<(), AgentError> {
    let nodes = nodes(&vm.qmp).await?;
    for disk in disks {
        let name = vm.node(disk);
        let Some(it) = nodes
            .iter()
            .find(|it| it.node_name.as_deref() == Some(&name))
        else {
            return Err(AgentError::plain(format!(
                "disk '{}' has no block node in QEMU",
                disk.name
            )));
        };
        if it.image.virtual_size != disk.size {
            return Err(AgentError::plain(format!(
                "disk '{}' of '{}' has {} bytes and its description says {}; correct the description",
                disk.name, vm.record.member.name, it.image.virtual_size, disk.size
            )));
        }
        if let Some(backing) = &it.image.backing_filename {
            return Err(AgentError::plain(format!(
                "disk '{}' of '{}' rests on {backing}; flatten it (block-stream, or qemu-img rebase -b '') and migrate again",
                disk.name, vm.record.member.name
            )));
        }
        if let Some(first) = it.image.snapshots.first() {
            return Err(AgentError::plain(format!(
                "disk '{}' of '{}' has the snapshot '{}', which would be lost; delete its snapshots and migrate again",
                disk.name, vm.record.member.name, first.name
            )));
        }
    }
    Ok(())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Node {
    node_name: Option<String>,
    image: Image,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Image {
    virtual_size: u64,
    backing_filename: Option<String>,
    #[serde(default)]
    snapshots: Vec<Snapshot>,
}

#[derive(Debug, Deserialize)]
struct Snapshot {
    name: String,
}

async fn nodes(qmp: &Qmp) -> Result<Vec<Node>, QmpError> {
    qmp.query("query-named-block-nodes", json!({"flat": false}))
        .await
}
