//! What cannot be carried to another host, by name.
//!
//! A device that lives on the host, or whose state is not in QEMU's stream, is refused: the domain would
//! arrive without it.

use super::{Definition, attribute};
use xmltree::Element;

impl Definition {
    /// One sentence for each, with the way out; none when the domain can be taken along.
    pub fn obstacles(&self) -> Vec<String> {
        let root = &self.0;
        let mut found = Vec::new();
        let kind = attribute(root, "type").unwrap_or_default();
        if kind != "kvm" && kind != "qemu" {
            found.push(format!(
                "it is a domain of type '{kind}'; only those of QEMU are moved"
            ));
        }
        if root.get_child("os").is_some_and(writes_nvram) {
            found.push(
                "it keeps UEFI variables in a file (nvram), which would stay behind; boot it by BIOS, or from a stateless firmware"
                    .to_owned(),
            );
        }
        if root.get_child("launchSecurity").is_some() {
            found.push(
                "its memory is sealed by the host (launchSecurity); nobody can move it".to_owned(),
            );
        }
        let interfaces = self
            .devices()
            .filter(|device| device.name == "interface")
            .count();
        if interfaces != 1 {
            found.push(format!(
                "it has {interfaces} network interfaces; one is linked, so detach the others (virsh detach-interface)"
            ));
        }
        found.extend(self.devices().filter_map(device));
        found
    }
}

fn writes_nvram(os: &Element) -> bool {
    let stateless = os
        .get_child("loader")
        .is_some_and(|loader| attribute(loader, "stateless").as_deref() == Some("yes"));
    let efi = attribute(os, "firmware").as_deref() == Some("efi");
    !stateless && (efi || os.get_child("nvram").is_some())
}

fn device(device: &Element) -> Option<String> {
    let kind = attribute(device, "type").unwrap_or_default();
    let of = |name: &str, what: &str| attribute(device.get_child(name)?, what);
    let name = of("target", "dev").unwrap_or_default();
    match device.name.as_str() {
        "hostdev" => Some(format!(
            "it holds a device of the host (hostdev, {kind}); detach it (virsh detach-device)"
        )),
        "shmem" => Some(
            "it shares memory with others on the host (shmem); detach it (virsh detach-device)"
                .to_owned(),
        ),
        "filesystem" => Some(format!(
            "it mounts a folder of the host (filesystem '{name}'); unmount and detach it",
            name = of("target", "dir").unwrap_or_default()
        )),
        "tpm" => Some("it has a TPM, whose state is kept on the host; remove it".to_owned()),
        "vsock" => {
            Some("it talks to the host over vsock; detach it (virsh detach-device)".to_owned())
        }
        "memory" => Some(format!(
            "it has a memory device of model '{}'; detach it",
            attribute(device, "model").unwrap_or_default()
        )),
        "interface" => interface(device, &kind),
        "disk" => disk(device, &kind, &name),
        _ => None,
    }
}

fn interface(device: &Element, kind: &str) -> Option<String> {
    if kind != "bridge" && kind != "network" {
        return Some(format!(
            "its interface is of type '{kind}'; plug it into a bridge or a network of libvirt first"
        ));
    }
    if device.get_child("virtualport").is_some() {
        return Some("its interface is a port of another virtual switch (virtualport); plug it into a bridge first".to_owned());
    }
    let queues = device
        .get_child("driver")
        .and_then(|driver| attribute(driver, "queues"));
    match queues.as_deref() {
        None | Some("1") => None,
        Some(queues) => Some(format!(
            "its interface has {queues} queues; packets that wait are taken from one, so set queues to 1"
        )),
    }
}

fn disk(device: &Element, kind: &str, name: &str) -> Option<String> {
    let source = device.get_child("source");
    let what = attribute(device, "device").unwrap_or_else(|| "disk".to_owned());
    if what != "disk" {
        return source.map(|_| {
            format!("there is a medium in its {what} '{name}'; eject it (virsh change-media)")
        });
    }
    if kind != "file" {
        return Some(format!(
            "its disk '{name}' is of type '{kind}'; only images in files are carried"
        ));
    }
    let format = device
        .get_child("driver")
        .and_then(|driver| attribute(driver, "type"));
    if !matches!(format.as_deref(), Some("raw" | "qcow2")) {
        return Some(format!(
            "its disk '{name}' is of format '{}'; only raw and qcow2 are carried",
            format.unwrap_or_else(|| "unknown".to_owned())
        ));
    }
    let backing = device
        .get_child("backingStore")
        .and_then(|store| store.get_child("source"));
    if backing.is_some() {
        return Some(format!(
            "its disk '{name}' rests on another image; flatten it (virsh blockpull)"
        ));
    }
    let sealed = source.is_some_and(|source| source.get_child("encryption").is_some())
        || device.get_child("encryption").is_some();
    sealed.then(|| format!("its disk '{name}' is encrypted by libvirt; that is not carried"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::SAMPLE;

    fn with(device: &str) -> Vec<String> {
        let text = SAMPLE.replace("<memballoon", &format!("{device}<memballoon"));
        Definition::read(&text).unwrap().obstacles()
    }

    #[test]
    fn each_thing_that_cannot_be_carried_is_named() {
        let image = |inner: &str| {
            format!(
                "<disk type='file' device='disk'><driver type='qcow2'/><target dev='vdb'/>{inner}</disk>"
            )
        };
        let backed = image(
            "<source file='/x'/><backingStore type='file'><source file='/base'/></backingStore>",
        );
        let sealed = image("<source file='/x'><encryption format='luks'/></source>");
        for (device, words) in [
            ("<hostdev mode='subsystem' type='pci'/>", "hostdev, pci"),
            ("<shmem name='s'/>", "shmem"),
            (
                "<filesystem type='mount'><target dir='data'/></filesystem>",
                "filesystem 'data'",
            ),
            ("<tpm model='tpm-crb'/>", "TPM"),
            ("<vsock model='virtio'/>", "vsock"),
            ("<memory model='nvdimm'/>", "'nvdimm'"),
            (
                "<disk type='network' device='disk'><target dev='vdb'/></disk>",
                "'vdb' is of type 'network'",
            ),
            (
                "<disk type='file' device='disk'><driver type='vmdk'/><target dev='vdb'/></disk>",
                "'vmdk'",
            ),
            (
                "<disk type='file' device='cdrom'><source file='/cd'/><target dev='sda'/></disk>",
                "cdrom 'sda'",
            ),
            (&backed, "'vdb' rests on another image"),
            (&sealed, "'vdb' is encrypted"),
        ] {
            let found = with(device);
            assert_eq!(found.len(), 1, "{device}: {found:?}");
            assert!(found[0].contains(words), "{device}: {found:?}");
        }
        assert_eq!(
            with("<disk type='file' device='cdrom'><target dev='sda'/></disk>"),
            Vec::<String>::new()
        );
    }

    #[test]
    fn interfaces_and_firmware_that_cannot_be_carried_are_named() {
        for (from, to, words) in [
            ("type='bridge'", "type='user'", "of type 'user'"),
            (
                "<source bridge='br0'/>",
                "<source bridge='b'/><virtualport type='openvswitch'/>",
                "virtualport",
            ),
            ("<model type='virtio'/>", "<driver queues='4'/>", "4 queues"),
            ("<cmdline>", "<nvram>/x</nvram><cmdline>", "nvram"),
            ("type='qemu'", "type='xen'", "'xen'"),
        ] {
            let found = Definition::read(&SAMPLE.replacen(from, to, 1))
                .unwrap()
                .obstacles();
            assert_eq!(found.len(), 1, "{to}: {found:?}");
            assert!(found[0].contains(words), "{to}: {found:?}");
        }
        let two = with("<interface type='bridge'><mac address='52:54:00:00:00:02'/></interface>");
        assert!(two[0].contains("2 network interfaces"), "{two:?}");
    }
}
