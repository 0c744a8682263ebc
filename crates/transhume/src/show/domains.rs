//! Domains that libvirt has on a host, and what a cluster's file would say of them.

use crate::output::table;
use model::libvirt::Found;
use model::vm::{Accel, Disk, LibvirtDomain, VmSpec};
use model::{HostName, Member, MemberKind, VmName};
use serde::Serialize;

/// A domain, and the member that it would be.
#[derive(Debug, Serialize)]
pub(crate) struct FoundDomain {
    domain: Found,
    /// None where something stands in the way.
    member: Option<Member>,
}

impl FoundDomain {
    pub(crate) fn new(domain: Found, host: &HostName) -> Self {
        let member = member(&domain, host);
        Self { domain, member }
    }
}

/// Its addresses are the guest's, and nobody here knows them.
fn member(domain: &Found, host: &HostName) -> Option<Member> {
    if !domain.obstacles.is_empty() {
        return None;
    }
    let boot = domain.boot.clone();
    let disk = |image: &model::libvirt::Image| Disk {
        name: image.name.clone(),
        size: image.size,
        format: image.format,
        from: None,
        shared: None,
    };
    let images = domain.images.iter();
    Some(Member {
        name: name(&domain.name)?,
        host: host.clone(),
        mac: domain.nics.first()?.mac,
        addresses: Vec::new(),
        after: Vec::new(),
        security: Vec::new(),
        kind: MemberKind::Vm {
            spec: VmSpec {
                machine: domain.machine.clone(),
                cpu: domain.cpu.clone(),
                accel: match domain.kind.as_str() {
                    "kvm" => Accel::Kvm,
                    _ => Accel::Tcg,
                },
                vcpus: domain.vcpus,
                memory_mib: domain.memory_mib,
                kernel: boot
                    .as_ref()
                    .map(|boot| boot.kernel.clone())
                    .unwrap_or_default(),
                initrd: boot
                    .as_ref()
                    .map(|boot| boot.initrd.clone())
                    .unwrap_or_default(),
                cmdline: boot.map(|boot| boot.cmdline).unwrap_or_default(),
                disks: images.clone().map(disk).collect(),
                libvirt: Some(LibvirtDomain {
                    domain: domain.name.clone(),
                    images: images
                        .map(|image| (image.name.clone(), image.path.clone()))
                        .collect(),
                }),
            },
        },
    })
}

/// The domain's name as a member's: lower case, and - for what a member's name cannot hold.
fn name(domain: &str) -> Option<VmName> {
    let fine = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    VmName::new(
        domain
            .chars()
            .map(fine)
            .collect::<String>()
            .trim_matches('-'),
    )
    .ok()
}

pub(crate) fn domains(found: &[FoundDomain]) -> String {
    let rows = found.iter().map(|one| {
        let domain = &one.domain;
        let nics: Vec<_> = domain
            .nics
            .iter()
            .map(|nic| format!("{} {}", nic.mac, nic.source))
            .collect();
        let images: Vec<_> = domain
            .images
            .iter()
            .map(|image| image.name.clone())
            .collect();
        vec![
            domain.name.clone(),
            if domain.running { "running" } else { "off" }.to_owned(),
            domain.memory_mib.to_string(),
            domain.vcpus.to_string(),
            domain.machine.clone(),
            nics.join(", "),
            images.join(", "),
            if domain.obstacles.is_empty() {
                "yes"
            } else {
                "no"
            }
            .to_owned(),
        ]
    });
    let header = [
        "DOMAIN",
        "STATE",
        "MIB",
        "VCPUS",
        "MACHINE",
        "INTERFACES",
        "DISKS",
        "MOVES",
    ];
    let mut text = table(&header, rows);
    for one in found {
        for obstacle in &one.domain.obstacles {
            text.push_str(&format!(
                "\n{} does not move: {obstacle}\n",
                one.domain.name
            ));
        }
    }
    let members: Vec<_> = found.iter().filter_map(|one| one.member.as_ref()).collect();
    if !members.is_empty() {
        text.push_str("\nFor a cluster's file; the addresses are the guest's own, for example \"10.77.0.11/24\":\n\n");
        text.push_str(&fragment(&members));
    }
    text
}

fn fragment(members: &[&Member]) -> String {
    #[derive(Serialize)]
    struct Fragment<'a> {
        members: &'a [&'a Member],
    }
    toml::to_string(&Fragment { members }).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::libvirt::{Image, Nic};
    use model::vm::DiskFormat;

    fn found() -> Found {
        Found {
            name: "Web_1".into(),
            uuid: String::new(),
            running: true,
            persistent: true,
            autostart: false,
            kind: "kvm".into(),
            memory_mib: 512,
            vcpus: 2,
            machine: "pc-q35-10.0".into(),
            cpu: "Haswell,-tsx".into(),
            boot: None,
            nics: vec![Nic {
                mac: "52:54:00:77:00:0b".parse().unwrap(),
                source: "bridge br0".into(),
                device: None,
                model: "virtio".into(),
            }],
            images: vec![Image {
                name: "vda".into(),
                path: "/i/web.qcow2".into(),
                format: DiskFormat::Qcow2,
                size: 1 << 30,
            }],
            obstacles: Vec::new(),
        }
    }

    #[test]
    fn what_is_found_can_be_put_into_a_clusters_file_when_its_addresses_are_filled_in() {
        let host = HostName::new("north-1").unwrap();
        let text = domains(&[FoundDomain::new(found(), &host)]);
        let at = text.find("[[members]]").unwrap();
        let addressed = text[at..].replace("addresses = []", "addresses = [\"10.77.0.11/24\"]");
        let cluster: model::Cluster =
            toml::from_str(&format!("name = \"shop\"\n{addressed}")).unwrap();
        let member = &cluster.members[0];
        assert_eq!(member.name.as_str(), "web-1");
        let MemberKind::Vm { spec } = &member.kind else {
            panic!("{member:?}");
        };
        assert_eq!(spec.libvirt.as_ref().unwrap().domain, "Web_1");
        spec.check_disks().unwrap();
        spec.check_boot().unwrap();
    }

    #[test]
    fn what_does_not_move_is_said_and_is_no_member() {
        let host = HostName::new("north-1").unwrap();
        let with_tpm = Found {
            obstacles: vec!["it has a TPM".into()],
            ..found()
        };
        let text = domains(&[FoundDomain::new(with_tpm, &host)]);
        assert!(text.contains("Web_1 does not move: it has a TPM"), "{text}");
        assert!(!text.contains("[[members]]"), "{text}");
    }
}
