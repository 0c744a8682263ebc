//! Images in the agent's folder: `disks/CLUSTER.VM/DISK.FORMAT`.
//!
//! An image that is being received is marked. The mark goes away just before the VM first runs here,
//! never later: from then on the image may hold the only copy of a write. Only marked images are
//! ever removed without an order to do so.

use crate::AgentError;
use crate::vms::Key;
use model::vm::{Disk, DiskFormat, VmSpec};
use std::path::{Path, PathBuf};

const MARK: &str = "arriving";

/// In the folder: the images of the VM that are elsewhere, where its keeper wants them.
const OUTSIDE: &str = "outside.json";

/// The images of this host.
#[derive(Debug, Clone)]
pub struct Images {
    root: PathBuf,
}

impl Images {
    /// Images below this folder.
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// The folder, which may not exist yet.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn folder(&self, key: &Key) -> PathBuf {
        self.root.join(format!("{}.{}", key.0, key.1))
    }

    /// Where a disk's image is.
    pub fn path(&self, key: &Key, spec: &VmSpec, disk: &Disk) -> PathBuf {
        let elsewhere = disk.shared.as_ref().or_else(|| outside(spec, disk));
        match elsewhere {
            Some(path) => path.clone(),
            None => {
                let name = format!("{}.{}", disk.name, disk.format.as_str());
                self.folder(key).join(name)
            }
        }
    }

    /// QEMU's arguments for a VM's disks; nodes are named as in [`node`], alike on every host.
    pub fn arguments(&self, key: &Key, spec: &VmSpec) -> Vec<String> {
        let mut arguments = Vec::new();
        for disk in &spec.disks {
            let (name, node, format) = (&disk.name, node(disk), disk.format.as_str());
            let path = self.path(key, spec, disk);
            // QEMU reads a comma in an option's value as two.
            let path = path.display().to_string().replace(',', ",,");
            arguments.extend([
                "-blockdev".to_owned(),
                format!("driver=file,node-name=file-{name},filename={path},discard=unmap"),
                "-blockdev".to_owned(),
                format!("driver={format},node-name={node},file=file-{name},discard=unmap"),
                "-device".to_owned(),
                format!("virtio-blk-pci,id=disk-{name},drive={node},serial={name},romfile="),
            ]);
        }
        arguments
    }

    /// Makes the images that a VM needs to boot and that are not there.
    ///
    /// # Errors
    /// When one cannot be made, or a shared one is not there.
    pub async fn for_boot(&self, key: &Key, spec: &VmSpec) -> Result<(), AgentError> {
        for disk in &spec.disks {
            let path = self.path(key, spec, disk);
            if path.exists() {
                continue;
            }
            if disk.shared.is_some() && disk.from.is_none() {
                return Err(missing(key, disk, &path));
            }
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let fresh = path.with_extension("new");
            match &disk.from {
                Some(from) if !from.exists() => {
                    return Err(AgentError::plain(format!(
                        "disk '{}' of '{}' is made from {}, which is not on this host; put it there",
                        disk.name,
                        key.1,
                        from.display()
                    )));
                }
                Some(from) => {
                    let words = ["convert", "-O", disk.format.as_str()];
                    qemu_img(&words, &[from, &fresh], None).await?;
                }
                None => create(disk, &fresh).await?,
            }
            std::fs::rename(&fresh, &path)?;
        }
        Ok(())
    }

    /// Makes empty images for a VM that will be received, and marks them.
    ///
    /// # Errors
    /// When images of that VM are here already, space is short, or one cannot be made.
    pub async fn for_arrival(&self, key: &Key, spec: &VmSpec) -> Result<(), AgentError> {
        let folder = self.folder(key);
        for disk in &spec.disks {
            let path = self.path(key, spec, disk);
            match &disk.shared {
                Some(_) if !path.exists() => return Err(missing(key, disk, &path)),
                None if path.exists() && !self.is_arriving(key) => {
                    return Err(AgentError::plain(format!(
                        "an image of disk '{}' of '{}' is already on this host, at {}; move it away if nothing needs it",
                        disk.name,
                        key.1,
                        path.display()
                    )));
                }
                _ => {}
            }
        }
        if spec.disks.iter().all(|disk| disk.shared.is_some()) {
            return Ok(());
        }
        self.remove_arriving(key);
        std::fs::create_dir_all(&folder)?;
        self.name_outside(key, spec)?;
        std::fs::write(folder.join(MARK), b"")?;
        for disk in spec.disks.iter().filter(|disk| disk.shared.is_none()) {
            let path = self.path(key, spec, disk);
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            if let Err(error) = create(disk, &path).await {
                self.remove_arriving(key);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes down which images of a VM are not in its folder, so that they go with it when it goes.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn name_outside(&self, key: &Key, spec: &VmSpec) -> std::io::Result<()> {
        let copied = spec.disks.iter().filter(|disk| disk.shared.is_none());
        let paths: Vec<_> = copied.filter_map(|disk| outside(spec, disk)).collect();
        if paths.is_empty() {
            return Ok(());
        }
        let folder = self.folder(key);
        std::fs::create_dir_all(&folder)?;
        let text = serde_json::to_vec(&paths)?;
        std::fs::write(folder.join(OUTSIDE), text)
    }

    /// The VM stays: none of its images goes.
    pub fn keep_outside(&self, key: &Key) {
        let folder = self.folder(key);
        let _ = std::fs::remove_file(folder.join(OUTSIDE));
        // Only where nothing else is in it.
        let _ = std::fs::remove_dir(folder);
    }

    /// Whether the VM's images have never been run here.
    pub fn is_arriving(&self, key: &Key) -> bool {
        self.folder(key).join(MARK).exists()
    }

    /// The VM will run on them now.
    ///
    /// # Errors
    /// When the mark cannot be removed; the VM must not run then.
    pub fn arrived(&self, key: &Key) -> std::io::Result<()> {
        match std::fs::remove_file(self.folder(key).join(MARK)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.keep_outside(key);
        Ok(())
    }

    /// Everything that was written to the VM's images is durable when this returns.
    ///
    /// # Errors
    /// When the storage refuses.
    pub async fn settle(&self, key: &Key, spec: &VmSpec) -> std::io::Result<()> {
        for disk in &spec.disks {
            let path = self.path(key, spec, disk);
            let synced = tokio::task::spawn_blocking(move || {
                std::fs::OpenOptions::new()
                    .write(true)
                    .open(path)?
                    .sync_data()
            });
            synced.await.map_err(std::io::Error::other)??;
        }
        Ok(())
    }

    /// Removes images that were being received and never ran.
    pub fn remove_arriving(&self, key: &Key) {
        if self.is_arriving(key) {
            self.remove(key);
        }
    }

    /// Removes a VM's images: it lives elsewhere. Those on shared storage stay.
    pub fn remove(&self, key: &Key) {
        let folder = self.folder(key);
        remove_named(&folder);
        match std::fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, folder = %folder.display(), "images could not be removed");
            }
            _ => {}
        }
    }

    /// Removes what an earlier agent was receiving, but for the VMs that still have a process.
    pub fn sweep(&self, alive: &[Key]) {
        for entry in std::fs::read_dir(&self.root)
            .into_iter()
            .flatten()
            .flatten()
        {
            let folder = entry.path();
            if folder.join(MARK).exists() && !alive.iter().any(|key| self.folder(key) == folder) {
                tracing::info!(folder = %folder.display(), "images that never arrived are removed");
                remove_named(&folder);
                let _ = std::fs::remove_dir_all(folder);
            }
        }
    }
}

/// An image that is where the VM's keeper wants it.
fn outside<'a>(spec: &'a VmSpec, disk: &Disk) -> Option<&'a PathBuf> {
    spec.libvirt.as_ref()?.images.get(&disk.name)
}

fn remove_named(folder: &Path) {
    let Ok(bytes) = std::fs::read(folder.join(OUTSIDE)) else {
        return;
    };
    let paths: Vec<PathBuf> = serde_json::from_slice(&bytes).unwrap_or_default();
    for path in paths {
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!(%error, image = %path.display(), "an image could not be removed");
            }
            _ => {}
        }
    }
}

/// The block node that the guest's device uses.
pub fn node(disk: &Disk) -> String {
    format!("disk-{}", disk.name)
}

fn missing(key: &Key, disk: &Disk, path: &Path) -> AgentError {
    AgentError::plain(format!(
        "disk '{}' of '{}' is said to be shared, and {} is not on this host; mount the storage here",
        disk.name,
        key.1,
        path.display()
    ))
}

async fn create(disk: &Disk, path: &Path) -> Result<(), AgentError> {
    match disk.format {
        DiskFormat::Raw => std::fs::File::create(path)?.set_len(disk.size)?,
        DiskFormat::Qcow2 => {
            qemu_img(&["create", "-q", "-f", "qcow2"], &[path], Some(disk.size)).await?;
        }
    }
    Ok(())
}

async fn qemu_img(words: &[&str], paths: &[&Path], size: Option<u64>) -> Result<(), AgentError> {
    let mut command = tokio::process::Command::new("qemu-img");
    command.args(words).args(paths);
    if let Some(size) = size {
        command.arg(size.to_string());
    }
    crate::precedence::ordinary(command.as_std_mut());
    let output = command.output().await.map_err(|error| {
        AgentError::plain(format!(
            "qemu-img does not start: {error}; install qemu-utils"
        ))
    })?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(AgentError::plain(format!(
        "an image could not be made: {}",
        words.trim()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{ClusterName, VmName};

    fn disk(name: &str) -> Disk {
        Disk {
            name: name.to_owned(),
            size: 1 << 20,
            format: DiskFormat::Raw,
            from: None,
            shared: None,
        }
    }

    fn spec(disks: Vec<Disk>) -> VmSpec {
        VmSpec {
            machine: "q35".into(),
            cpu: "qemu64".into(),
            accel: model::vm::Accel::Tcg,
            vcpus: 1,
            memory_mib: 128,
            kernel: "/k".into(),
            initrd: "/i".into(),
            cmdline: String::new(),
            disks,
            libvirt: None,
        }
    }

    fn bed() -> (tempfile::TempDir, Images, Key) {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::new(folder.path().join("disks"));
        let key = (
            ClusterName::new("shop").unwrap(),
            VmName::new("shop-1").unwrap(),
        );
        (folder, images, key)
    }

    #[tokio::test]
    async fn an_image_that_never_ran_is_swept_and_one_that_ran_is_not() {
        let (_folder, images, key) = bed();
        let spec = spec(vec![disk("data")]);
        images.for_arrival(&key, &spec).await.unwrap();
        images.sweep(std::slice::from_ref(&key));
        assert!(images.is_arriving(&key), "its VM has a process");
        images.sweep(&[]);
        assert!(!images.path(&key, &spec, &spec.disks[0]).exists());

        images.for_arrival(&key, &spec).await.unwrap();
        images.arrived(&key).unwrap();
        images.sweep(&[]);
        images.remove_arriving(&key);
        assert!(images.path(&key, &spec, &spec.disks[0]).exists());
    }

    #[tokio::test]
    async fn an_image_that_is_here_is_not_written_over() {
        let (_folder, images, key) = bed();
        let spec = spec(vec![disk("data")]);
        images.for_boot(&key, &spec).await.unwrap();
        let error = images.for_arrival(&key, &spec).await.unwrap_err();
        assert!(
            error.to_string().contains("already on this host"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_shared_image_that_is_not_here_is_named() {
        let (_folder, images, key) = bed();
        let mut shared = disk("data");
        shared.shared = Some("/nowhere/data.raw".into());
        let error = images
            .for_arrival(&key, &spec(vec![shared]))
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .contains("/nowhere/data.raw is not on this host"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_disk_is_made_from_its_beginning() {
        let (folder, images, key) = bed();
        let from = folder.path().join("from.raw");
        std::fs::write(&from, vec![7; 1 << 20]).unwrap();
        let mut it = disk("data");
        it.from = Some(from);
        let spec = spec(vec![it]);
        images.for_boot(&key, &spec).await.unwrap();
        assert_eq!(
            std::fs::read(images.path(&key, &spec, &spec.disks[0])).unwrap(),
            vec![7; 1 << 20]
        );
        images.settle(&key, &spec).await.unwrap();
    }
}
