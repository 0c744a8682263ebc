//! Domains that libvirt has already: found, linked, moved, given back. Two real libvirtd, one a site; beside
//! the domain a VM of our own is in the cluster.

use crate::fixture::{Lab, OUT_OF_ORDER, Silent, shop};
use lab::cli::UpOptions;
use lab::demo::Tour;
use lab::shop::{DiskLoad, Load, Shop};
use model::libvirt::Found;
use model::migration::{Options, State};
use model::vm::{Disk, DiskFormat, LibvirtDomain, VmSpec};
use model::{HostName, Member, MemberKind};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

const DOMAIN: &str = "web";
const MEMBER: &str = "shop-2";
const IMAGE: &str = "/var/lib/libvirt/images/web.raw";
const DISK_MIB: u64 = 160;

/// A lab with a VM of our own, and a user's bridge at north that libvirt plugs domains into.
async fn lab(name: &str) -> Lab {
    let options = UpOptions {
        vms: 1,
        load: Load::IDLE,
        libvirt: true,
        ..UpOptions::default()
    };
    let lab = Lab::with(name, options).await;
    for site in ["north", "south"] {
        lab.run(site, &["ip", "link", "add", "br0", "type", "bridge"]);
        lab.run(site, &["ip", "link", "set", "br0", "up"]);
    }
    lab
}

/// The second VM of the shop, whose domain a user defined.
fn two(lab: &Lab, disk: Option<DiskLoad>) -> Shop {
    Shop {
        vms: 2,
        load: Load::USUAL,
        disk,
        ..lab.standing.shop.clone()
    }
}

fn spec(member: &Member) -> VmSpec {
    match &member.kind {
        MemberKind::Vm { spec } => spec.clone(),
        MemberKind::Host => panic!("{member:?}"),
    }
}

/// The member that the domain will be, as `vm find` shows it, with its addresses filled in.
fn member(lab: &Lab, disk: Option<DiskLoad>) -> (Member, VmSpec) {
    let with_disk = disk.is_some();
    let all = two(lab, disk).describe().unwrap().members;
    let mut member = all
        .into_iter()
        .find(|it| it.name.as_str() == MEMBER)
        .unwrap();
    let built = spec(&member);
    let name = "vda".to_owned();
    member.kind = MemberKind::Vm {
        spec: VmSpec {
            disks: with_disk
                .then(|| Disk {
                    name: name.clone(),
                    size: DISK_MIB << 20,
                    format: DiskFormat::Raw,
                    from: None,
                    shared: None,
                })
                .into_iter()
                .collect(),
            libvirt: Some(LibvirtDomain {
                domain: DOMAIN.to_owned(),
                images: with_disk
                    .then(|| (name, PathBuf::from(IMAGE)))
                    .into_iter()
                    .collect(),
            }),
            ..built.clone()
        },
    };
    (member, built)
}

/// A domain as a user would write it.
fn xml(lab: &Lab, member: &Member, built: &VmSpec, devices: &str) -> String {
    let serial = lab.path("web.serial");
    format!(
        "<domain type='qemu'>
  <name>{DOMAIN}</name>
  <title>the shop's web server</title>
  <metadata><s:owner xmlns:s='http://shop.example/1'>me</s:owner></metadata>
  <memory unit='MiB'>{}</memory>
  <vcpu>{}</vcpu>
  <os>
    <type arch='x86_64' machine='{}'>hvm</type>
    <kernel>{}</kernel><initrd>{}</initrd><cmdline>{}</cmdline>
  </os>
  <features><acpi/><apic/></features>
  <cpu mode='custom' match='exact' check='none'><model fallback='forbid'>{}</model></cpu>
  <on_reboot>destroy</on_reboot>
  <devices>
    <interface type='bridge'>
      <mac address='{}'/><source bridge='br0'/><model type='virtio'/><rom enabled='no'/>
    </interface>
    <serial type='file'><source path='{}'/></serial>
    {devices}
  </devices>
</domain>
",
        built.memory_mib,
        built.vcpus,
        built.machine,
        built.kernel.display(),
        built.initrd.display(),
        built.cmdline,
        built.cpu,
        member.mac,
        serial.display(),
    )
}

const WITH_DISK: &str = "<disk type='file' device='disk'><driver name='qemu' type='raw'/>\
    <source file='/var/lib/libvirt/images/web.raw'/><target dev='vda' bus='virtio'/></disk>";

/// Where a site's libvirt has its images, as the test sees it.
fn image(lab: &Lab, site: &str) -> PathBuf {
    lab.path(&format!("sites/{site}/libvirt/lib/images/web.raw"))
}

fn virsh(lab: &Lab, site: &str, words: &[&str]) -> Output {
    let uri = format!(
        "qemu:///system?socket={}",
        lab.path(&format!("sites/{site}/libvirt/run/libvirt-sock"))
            .display()
    );
    Command::new(env!("CARGO_BIN_EXE_transhume"))
        .args(["lab", "--folder"])
        .arg(lab.path(""))
        .args(["exec", site, "--", "virsh", "-c", &uri])
        .args(words)
        .output()
        .expect("virsh runs")
}

fn said(lab: &Lab, site: &str, words: &[&str]) -> String {
    let done = virsh(lab, site, words);
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "virsh {words:?}: {error}");
    String::from_utf8_lossy(&done.stdout).into_owned()
}

fn names(lab: &Lab, site: &str) -> String {
    said(lab, site, &["list", "--all", "--name"])
        .trim()
        .to_owned()
}

fn state(lab: &Lab, site: &str) -> String {
    said(lab, site, &["domstate", DOMAIN]).trim().to_owned()
}

/// The definition, but for what differs from host to host: where the interface is plugged in.
fn definition(lab: &Lab, site: &str) -> String {
    said(
        lab,
        site,
        &["dumpxml", "--inactive", "--security-info", DOMAIN],
    )
}

/// Defines and starts the domain at north, as a user does, and waits for nothing.
fn define(lab: &Lab, text: &str) {
    let path = lab.path("web.xml");
    std::fs::write(&path, text).unwrap();
    said(lab, "north", &["define", &path.to_string_lossy()]);
    said(lab, "north", &["start", DOMAIN]);
}

/// Links the domain; from then on it is one of those that must answer.
async fn link(lab: &mut Lab, member: &Member) {
    let linked = lab.client().link(&shop(), member).await;
    linked.expect("the domain is linked");
    lab.standing.targets = two(lab, None).targets();
    // It boots as an ordinary process beside everything else of the lab.
    let begun = std::time::Instant::now();
    while !lab.answers().await {
        let serial = std::fs::read_to_string(lab.path("web.serial")).unwrap_or_default();
        assert!(
            begun.elapsed() < Duration::from_secs(60),
            "the domain does not answer: {serial}"
        );
    }
}

async fn found(lab: &Lab, site: &str) -> Vec<Found> {
    let host = HostName::new(format!("{site}-1")).unwrap();
    lab.client().domains(&host).await.expect("the domains")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_is_found_linked_moved_there_and_back_and_given_back_to_its_bridge() {
    let mut lab = lab("lv").await;
    let (member, built) = member(&lab, None);
    define(&lab, &xml(&lab, &member, &built, ""));
    said(&lab, "north", &["autostart", DOMAIN]);
    let written = definition(&lab, "north");

    let seen = found(&lab, "north").await;
    assert_eq!(seen.len(), 1, "{seen:?}");
    assert_eq!(seen[0].obstacles, Vec::<String>::new());
    assert_eq!((seen[0].memory_mib, seen[0].nics[0].mac), (128, member.mac));
    assert!(seen[0].running && seen[0].persistent && seen[0].autostart);
    assert_eq!(found(&lab, "south").await, []);

    link(&mut lab, &member).await;
    let linked = definition(&lab, "north");
    let mut tour = Tour::begin(&lab.standing, Duration::from_secs(1))
        .await
        .unwrap();
    for (to, from) in [("south", "north"), ("north", "south")] {
        let moved = tour
            .travel(to, Options::default(), &mut Silent)
            .await
            .unwrap();
        assert_eq!(moved.state, State::Arrived, "{}", moved.message);
        assert_eq!(state(&lab, to), "running");
        assert_eq!(names(&lab, from), "", "left at {from}");
        assert_eq!(definition(&lab, to), linked);
        let here = found(&lab, to).await;
        assert!(here[0].persistent && here[0].autostart, "{here:?}");
    }
    let seen = tour.end().await.unwrap();
    for vm in seen.migrations.iter().flat_map(|migration| &migration.vms) {
        assert_eq!(vm.tcp_lost, 0, "{}", vm.name);
        let lost = vm.switch_udp_lost.unwrap_or(u64::MAX);
        assert!(lost < OUT_OF_ORDER, "{}: {lost} lost", vm.name);
    }

    lab.client().unlink(&shop(), &member.name).await.unwrap();
    assert_eq!(state(&lab, "north"), "running", "it is its user's");
    assert_eq!(definition(&lab, "north"), written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domains_disk_goes_along_and_a_rehearsal_or_a_restart_leaves_everything_where_it_was() {
    let mut lab = lab("lvdisk").await;
    let load = DiskLoad {
        size_mib: DISK_MIB,
        fill_mib: 16,
        rate: 0,
        format: DiskFormat::Raw,
        image: PathBuf::new(),
    };
    let (member, built) = member(&lab, Some(load));
    let here = image(&lab, "north");
    std::fs::create_dir_all(here.parent().unwrap()).unwrap();
    lab::disk::make(&here, DISK_MIB, 16).unwrap();
    define(&lab, &xml(&lab, &member, &built, WITH_DISK));
    link(&mut lab, &member).await;

    let rehearsal = Options {
        rehearse: true,
        ..Options::default()
    };
    let id = lab.begin("south", rehearsal).await;
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Aborted, "{}", end.message);
    assert!(end.message.contains("rehearsal"), "{}", end.message);
    assert_eq!(state(&lab, "north"), "running");
    assert_eq!(names(&lab, "south"), "");
    assert!(!image(&lab, "south").exists());

    // The next agent finds the domain where the last one left it.
    lab.kill("agent-north");
    lab.restart("agent-north").await;
    let begun = std::time::Instant::now();
    while lab.places(MEMBER).await != ["north"] {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "it is not adopted"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }

    // The inode lives on after the source has removed its name.
    let kept = lab.path("kept.raw");
    std::fs::hard_link(&here, &kept).unwrap();
    let id = lab.begin("south", Options::default()).await;
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
    let moved = end.vms.iter().find(|vm| vm.vm.as_str() == MEMBER).unwrap();
    assert!(
        moved.figures.disk_bytes > 16 << 20,
        "{}",
        moved.figures.disk_bytes
    );
    assert_eq!(state(&lab, "south"), "running");
    assert_eq!(names(&lab, "north"), "");
    assert!(!here.exists(), "its image is left at north");
    compare(&kept, &image(&lab, "south"));
    assert!(lab.answers().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_domain_that_cannot_be_carried_or_is_not_as_described_is_refused_by_name_and_left_alone()
{
    let lab = lab("lvno").await;
    let (member, built) = member(&lab, None);
    let refused = |member: &Member| {
        let (client, member) = (lab.client().clone(), member.clone());
        async move { client.link(&shop(), &member).await.unwrap_err().to_string() }
    };
    let said_of = refused(&member).await;
    assert!(said_of.contains("no domain 'web'"), "{said_of}");

    let vsock = "<vsock model='virtio'><cid auto='no' address='7'/></vsock>";
    let cdrom = "<disk type='file' device='cdrom'><source file='/etc/hostname'/><target dev='sda' bus='sata'/></disk>";
    let path = lab.path("web.xml");
    for (devices, words) in [(vsock, "vsock"), (cdrom, "cdrom 'sda'")] {
        std::fs::write(&path, xml(&lab, &member, &built, devices)).unwrap();
        said(&lab, "north", &["define", &path.to_string_lossy()]);
        let before = definition(&lab, "north");
        let said_of = refused(&member).await;
        assert!(
            said_of.contains("cannot be moved") && said_of.contains(words),
            "{said_of}"
        );
        assert_eq!(definition(&lab, "north"), before);
        assert_eq!(state(&lab, "north"), "shut off");
        assert!(found(&lab, "north").await[0].obstacles[0].contains(words));
        said(&lab, "north", &["undefine", DOMAIN]);
    }

    std::fs::write(&path, xml(&lab, &member, &built, "")).unwrap();
    said(&lab, "north", &["define", &path.to_string_lossy()]);
    let mut other = member.clone();
    if let MemberKind::Vm { spec } = &mut other.kind {
        spec.memory_mib = 256;
    }
    let said_of = refused(&other).await;
    assert!(said_of.contains("memory_mib = 128"), "{said_of}");
}

fn compare(one: &Path, other: &Path) {
    let done = Command::new("qemu-img")
        .args(["compare", "-U", "-f", "raw", "-F", "raw"])
        .args([one, other])
        .output()
        .expect("qemu-img, of qemu-utils");
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stdout)
    );
}
