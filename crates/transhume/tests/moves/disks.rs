//! VMs with disks of their own.

use crate::fixture::{Lab, OUT_OF_ORDER, Silent};
use lab::demo::Tour;
use lab::shop::{DiskLoad, Load};
use lab::wan::{Change, Shaping};
use model::migration::{Migration, Options, State};
use model::vm::DiskFormat;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

fn disk(fill_mib: u64, rate: u32, format: DiskFormat) -> Option<DiskLoad> {
    Some(DiskLoad {
        size_mib: 160,
        fill_mib,
        rate,
        format,
        image: PathBuf::new(),
    })
}

/// Where the image of the first VM's disk is at a site.
fn image(lab: &Lab, site: &str, format: DiskFormat) -> PathBuf {
    let name = format!("sites/{site}/disks/shop.shop-1/data.{}", format.as_str());
    lab.path(&name)
}

fn is_mirroring(seen: &Migration) -> bool {
    seen.vms.iter().any(|vm| vm.progress.disk_bytes > 1 << 20)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_writes_goes_there_and_back_and_every_acknowledged_write_is_there() {
    let disk = disk(16, 50, DiskFormat::Qcow2);
    let lab = Lab::with_disks("disk", 1, Load::USUAL, disk).await;
    let mut tour = Tour::begin(&lab.standing, Duration::from_secs(1))
        .await
        .unwrap();
    for (to, from) in [("south", "north"), ("north", "south")] {
        let moved = tour
            .travel(to, Options::default(), &mut Silent)
            .await
            .unwrap();
        assert_eq!(moved.state, State::Arrived, "{}", moved.message);
        let figures = &moved.vms[0].figures;
        assert!(
            figures.disk_bytes > 16 << 20,
            "{} bytes",
            figures.disk_bytes
        );
        assert!(image(&lab, to, DiskFormat::Qcow2).exists());
        assert!(
            !image(&lab, from, DiskFormat::Qcow2).exists(),
            "left at {from}"
        );
    }
    let seen = tour.end().await.unwrap();
    assert!(seen.missing.is_empty(), "{:?}", seen.missing);
    for vm in seen.migrations.iter().flat_map(|migration| &migration.vms) {
        assert_eq!(vm.tcp_lost, 0, "{}", vm.name);
        let lost = vm.switch_udp_lost.unwrap_or(u64::MAX);
        assert!(lost < OUT_OF_ORDER, "{}: {lost} lost", vm.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_is_taken_up_where_it_broke_and_the_images_are_alike() {
    const FILL: u64 = 48;
    let disk = disk(FILL, 0, DiskFormat::Raw);
    let lab = Lab::with_disks("cut", 1, Load::IDLE, disk).await;
    // The inode lives on after the source has removed its name.
    let kept = lab.path("kept.raw");
    std::fs::hard_link(image(&lab, "north", DiskFormat::Raw), &kept).unwrap();
    let id = lab.begin("south", Options::default()).await;
    lab.until(&id, is_mirroring).await;
    let mut wan = lab.standing.testbed.wan().unwrap();
    let nothing = Shaping {
        loss: 1.0,
        ..Shaping::default()
    };
    wan.set(&Change::all_to(&nothing)).unwrap();
    // Longer than a disk's connection waits for a confirmation, shorter than memory's does.
    tokio::time::sleep(Duration::from_secs(14)).await;
    wan.set(&Change::all_to(&Shaping::default())).unwrap();
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Arrived, "{}", end.message);
    let log = std::fs::read_to_string(lab.path("log/agent-north.log")).unwrap();
    assert!(log.contains("connection is made again"), "it never broke");
    let crossed = end.vms[0].figures.disk_wire_bytes;
    assert!(
        crossed < (FILL + FILL / 2) << 20,
        "{crossed} bytes crossed the WAN for {FILL} MiB"
    );
    compare(&kept, &image(&lab, "south", DiskFormat::Raw));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_whose_storage_fills_up_gives_the_vm_back_and_keeps_nothing() {
    let disk = disk(48, 20, DiskFormat::Raw);
    let lab = Lab::with_disks("full", 1, Load::IDLE, disk).await;
    let place = make_small(&lab, "sites/south/disks", 240);
    let id = lab.begin("south", Options::default()).await;
    lab.until(&id, is_mirroring).await;
    // Somebody else takes the room that there was.
    let mut zeroes = std::io::repeat(0).take(240 << 20);
    let mut other = std::fs::File::create(place.join("other")).unwrap();
    std::io::copy(&mut zeroes, &mut other).expect_err("no room is left");
    let end = lab.until_end(&id).await;
    assert_eq!(end.state, State::Aborted, "{}", end.message);
    assert!(
        end.message.contains("storage of this host is full"),
        "{}",
        end.message
    );
    assert_eq!(lab.places("shop-1").await, ["north"]);
    assert!(lab.answers().await);
    assert!(!place.join("shop.shop-1").exists());
}

/// Puts a small file system in place of a folder, as the lab's processes see it, and gives the way to
/// it; it goes with them.
fn make_small(lab: &Lab, relative: &str, mib: u32) -> PathBuf {
    let boxed = lab.standing.testbed.boxed();
    let first = boxed.outside_pids().first().expect("the box").pid;
    let place = lab.path(relative);
    std::fs::create_dir_all(&place).unwrap();
    let done = Command::new("nsenter")
        .args([
            "-t",
            &first.to_string(),
            "-m",
            "-U",
            "--preserve-credentials",
        ])
        .args([
            "mount",
            "-t",
            "tmpfs",
            "-o",
            &format!("size={mib}m"),
            "small",
        ])
        .arg(&place)
        .output()
        .expect("nsenter, of util-linux");
    assert!(done.status.success(), "{done:?}");
    let root = PathBuf::from(format!("/proc/{first}/root"));
    root.join(place.strip_prefix("/").unwrap())
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
