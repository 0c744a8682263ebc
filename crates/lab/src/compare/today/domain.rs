//! A member of the cluster as libvirt describes one: the same machine, CPU, memory, kernel and
//! command line that our own agents start it with, and no device more.

use super::layer2::BRIDGE;
use model::vm::{Accel, VmSpec};
use model::{Mac, Member, MemberKind};
use std::path::Path;

/// The interface of a VM on its bridge: the same at every site, and told from the tunnel.
pub(super) fn tap(mac: Mac) -> String {
    let [.., number] = mac.0;
    format!("vm{number}")
}

/// Its description; none of a member that is no VM. `accel` is what guests run by here.
pub(super) fn xml(member: &Member, accel: &str, serial: &Path) -> Option<String> {
    let MemberKind::Vm { spec } = &member.kind else {
        return None;
    };
    let VmSpec {
        machine,
        cpu,
        vcpus,
        memory_mib,
        ..
    } = spec;
    let kind = match (spec.accel, accel) {
        (Accel::Kvm, _) | (Accel::Auto, "kvm") => "kvm",
        _ => "qemu",
    };
    let path = |path: &Path| escaped(&path.to_string_lossy());
    let (kernel, initrd, serial) = (path(&spec.kernel), path(&spec.initrd), path(serial));
    let cmdline = escaped(&spec.cmdline);
    let (name, mac, tap) = (&member.name, member.mac, tap(member.mac));
    Some(format!(
        "<domain type='{kind}'>
  <name>{name}</name>
  <memory unit='MiB'>{memory_mib}</memory>
  <vcpu>{vcpus}</vcpu>
  <os>
    <type arch='x86_64' machine='{machine}'>hvm</type>
    <kernel>{kernel}</kernel>
    <initrd>{initrd}</initrd>
    <cmdline>{cmdline}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>{cpu}</model></cpu>
  <on_reboot>destroy</on_reboot>
  <devices>
    <controller type='usb' model='none'/>
    <interface type='bridge'>
      <mac address='{mac}'/>
      <source bridge='{BRIDGE}'/>
      <target dev='{tap}'/>
      <model type='virtio'/>
      <rom enabled='no'/>
      <address type='pci' domain='0' bus='0' slot='2' function='0'/>
    </interface>
    <serial type='file'><source path='{serial}'/></serial>
    <memballoon model='none'/>
  </devices>
</domain>
"
    ))
}

fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&apos;"),
            _ => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shop::{Guest, Load, Shop};

    #[test]
    fn a_domain_has_what_our_own_agents_give_the_vm() {
        let shop = Shop {
            vms: 1,
            load: Load::USUAL,
            talk_ms: 10,
            disk: None,
            encap: model::Encap::Vxlan,
            client: true,
            size: crate::shop::Size::USUAL,
            guest: Guest {
                kernel: "/g/vm&linux".into(),
                initrd: "/g/initramfs.cpio".into(),
            },
        };
        let cluster = shop.describe().unwrap();
        let xml = |at: usize| xml(&cluster.members[at], "tcg", Path::new("/s.log"));
        let text = xml(0).unwrap();
        for part in [
            "type='qemu'",
            "<name>shop-1</name>",
            ">128</memory>",
            "machine='q35'",
            ">qemu64</model>",
            "th.dirty=48,500,1",
            "address='52:54:00:77:00:0b'",
            "<kernel>/g/vm&amp;linux</kernel>",
            "dev='vm11'",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert_eq!(xml(1), None, "the client is no VM");
    }
}
