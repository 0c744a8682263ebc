//! What Transhume must know of a domain.

use super::{Definition, attribute, elements, mac_of, text};
use crate::{Error, Result};
use model::libvirt::{BootFiles, Found, Image, Nic};
use model::vm::DiskFormat;
use xmltree::Element;

impl Definition {
    /// All of it but what only libvirt knows: whether it runs, is defined, starts with the host, and the
    /// sizes of its images.
    ///
    /// # Errors
    /// When something that every domain has is missing.
    pub fn found(&self) -> Result<Found> {
        let root = &self.0;
        let need = |what: &str| text(root, what).ok_or_else(|| missing(what));
        let machine = root
            .get_child("os")
            .and_then(|os| os.get_child("type"))
            .and_then(|kind| attribute(kind, "machine"))
            .ok_or_else(|| missing("os/type"))?;
        let vcpus: u32 = need("vcpu")?.parse().map_err(|_| missing("vcpu"))?;
        Ok(Found {
            name: self.name()?,
            uuid: need("uuid")?,
            running: false,
            persistent: false,
            autostart: false,
            kind: attribute(root, "type").unwrap_or_default(),
            memory_mib: memory_mib(root).ok_or_else(|| missing("memory"))?,
            vcpus: u8::try_from(vcpus).unwrap_or(u8::MAX),
            machine,
            cpu: cpu(root),
            boot: boot(root),
            nics: self
                .devices()
                .filter(|device| device.name == "interface")
                .filter_map(nic)
                .collect(),
            images: self.devices().filter_map(image).collect(),
            obstacles: self.obstacles(),
        })
    }
}

fn missing(what: &str) -> Error {
    Error::Xml(format!("a domain without <{what}>"))
}

fn memory_mib(root: &Element) -> Option<u32> {
    let memory = root.get_child("memory")?;
    let number: u64 = memory.get_text()?.trim().parse().ok()?;
    let unit: u64 = match attribute(memory, "unit").as_deref() {
        None | Some("KiB" | "k") => 1 << 10,
        Some("b" | "bytes") => 1,
        Some("MiB" | "M") => 1 << 20,
        Some("GiB" | "G") => 1 << 30,
        Some("TiB" | "T") => 1 << 40,
        Some("KB") => 1000,
        Some("MB") => 1_000_000,
        Some("GB") => 1_000_000_000,
        Some(_) => return None,
    };
    u32::try_from(number.checked_mul(unit)? >> 20).ok()
}

/// As for QEMU's `-cpu`: libvirt's names of models and features on x86 are QEMU's.
fn cpu(root: &Element) -> String {
    let Some(cpu) = root.get_child("cpu") else {
        // What QEMU takes for its machines without a word.
        return "qemu64".to_owned();
    };
    match attribute(cpu, "mode").as_deref() {
        Some("host-passthrough") => return "host".to_owned(),
        Some("maximum") => return "max".to_owned(),
        _ => {}
    }
    let mut words = vec![text(cpu, "model").unwrap_or_else(|| "qemu64".to_owned())];
    for feature in elements(cpu).filter(|child| child.name == "feature") {
        let Some(name) = attribute(feature, "name") else {
            continue;
        };
        words.push(match attribute(feature, "policy").as_deref() {
            Some("disable" | "forbid") => format!("-{name}"),
            _ => format!("+{name}"),
        });
    }
    words.join(",")
}

fn boot(root: &Element) -> Option<BootFiles> {
    let os = root.get_child("os")?;
    Some(BootFiles {
        kernel: text(os, "kernel")?.into(),
        initrd: text(os, "initrd").unwrap_or_default().into(),
        cmdline: text(os, "cmdline").unwrap_or_default(),
    })
}

fn nic(interface: &Element) -> Option<Nic> {
    let kind = attribute(interface, "type")?;
    let source = interface.get_child("source");
    let named = source.and_then(|source| {
        ["network", "bridge", "dev"]
            .iter()
            .find_map(|name| attribute(source, name))
    });
    let child = |name: &str, of: &str| attribute(interface.get_child(name)?, of);
    Some(Nic {
        mac: mac_of(interface)?,
        source: format!("{kind} {}", named.unwrap_or_default())
            .trim()
            .to_owned(),
        device: child("target", "dev"),
        model: child("model", "type").unwrap_or_default(),
    })
}

fn image(device: &Element) -> Option<Image> {
    let kind = attribute(device, "device").unwrap_or_else(|| "disk".to_owned());
    if device.name != "disk" || kind != "disk" {
        return None;
    }
    let format = match attribute(device.get_child("driver")?, "type").as_deref() {
        Some("qcow2") => DiskFormat::Qcow2,
        _ => DiskFormat::Raw,
    };
    Some(Image {
        name: attribute(device.get_child("target")?, "dev")?,
        path: attribute(device.get_child("source")?, "file")?.into(),
        format,
        size: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::SAMPLE;

    #[test]
    fn a_domain_is_read_as_libvirt_writes_it() {
        let found = Definition::read(SAMPLE).unwrap().found().unwrap();
        assert_eq!(found.name, "web");
        assert_eq!((found.memory_mib, found.vcpus), (128, 1));
        assert_eq!(found.machine, "pc-q35-10.0");
        assert_eq!(found.cpu, "qemu64,+hypervisor,-svm");
        assert_eq!(found.boot.unwrap().cmdline, "console=ttyS0 quiet");
        assert_eq!(found.nics[0].source, "bridge br0");
        assert_eq!(found.nics[0].device.as_deref(), Some("vnet0"));
        assert_eq!(found.images[0].name, "vda");
        assert_eq!(found.images[0].format, DiskFormat::Qcow2);
        assert_eq!(found.obstacles, Vec::<String>::new());
    }

    #[test]
    fn memory_is_understood_in_every_unit_that_libvirt_takes() {
        for (text, mib) in [
            ("<memory>131072</memory>", 128),
            ("<memory unit='MiB'>64</memory>", 64),
            ("<memory unit='GiB'>2</memory>", 2048),
            ("<memory unit='bytes'>1048576</memory>", 1),
        ] {
            let root = Element::parse(format!("<domain>{text}</domain>").as_bytes()).unwrap();
            assert_eq!(memory_mib(&root), Some(mib), "{text}");
        }
    }

    #[test]
    fn a_cpu_is_named_as_qemu_names_it() {
        for (text, cpu_is) in [
            ("", "qemu64"),
            ("<cpu mode='host-passthrough'/>", "host"),
            ("<cpu mode='maximum'/>", "max"),
            ("<cpu><model>Haswell</model></cpu>", "Haswell"),
        ] {
            let root = Element::parse(format!("<domain>{text}</domain>").as_bytes()).unwrap();
            assert_eq!(cpu(&root), cpu_is, "{text}");
        }
    }
}
