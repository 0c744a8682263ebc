//! The guest's disk as it is used: a real VM, a real image, the machine's power cut. QEMU's user-mode network
//! forwards ports of this machine, so no privileges are needed.

use lab::disk;
use lab::shop::Guest;
use measure::guest::{self, Disk};
use measure::probe::Target;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest time for anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(90);

struct Vm {
    qemu: Child,
    target: Target,
    log: PathBuf,
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.qemu.kill();
        let _ = self.qemu.wait();
    }
}

impl Vm {
    fn boot(folder: &Path, image: Option<&Path>, words: &str) -> Vm {
        let built = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/guest");
        let files = Guest::find(Some(Path::new(built))).unwrap();
        let free = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
        let mut target = Target::new("shop-1", IpAddr::V4(Ipv4Addr::LOCALHOST));
        target.http_port = free.unwrap().port();
        let log = folder.join("console.log");
        let mut command = Command::new("qemu-system-x86_64");
        command
            .args("-accel tcg -M q35 -cpu qemu64 -m 128 -display none -nodefaults".split(' '))
            .args("-no-user-config -no-reboot -device virtio-net-pci,romfile=,netdev=n0".split(' '))
            .arg("-netdev")
            .arg(format!(
                "user,id=n0,net=10.77.0.0/24,hostfwd=tcp:127.0.0.1:{}-10.77.0.11:80",
                target.http_port
            ))
            .arg("-append")
            .arg(format!(
                "console=ttyS0 quiet panic=-1 cryptomgr.notests th.name=shop-1 th.ip=10.77.0.11/24 {words}"
            ))
            .arg("-serial")
            .arg(format!("file:{}", log.display()))
            .arg("-kernel")
            .arg(files.kernel)
            .arg("-initrd")
            .arg(files.initrd);
        if let Some(image) = image {
            let file = format!("file={},if=virtio,format=raw", image.display());
            command.arg("-drive").arg(file);
        }
        let qemu = command
            .stdin(Stdio::null())
            .spawn()
            .expect("qemu-system-x86_64 is missing; run `make setup`");
        let vm = Vm { qemu, target, log };
        vm.wait("an answer", |vm| guest::stats(&vm.target).is_ok());
        vm
    }

    fn wait(&self, what: &str, holds: impl Fn(&Vm) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !holds(self) {
            let console = std::fs::read_to_string(&self.log).unwrap_or_default();
            assert!(Instant::now() < end, "never {what}; console:\n{console}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn disk(&self) -> Disk {
        guest::stats(&self.target).unwrap().disk.unwrap()
    }
}

#[test]
fn every_write_that_was_acknowledged_is_there_after_a_power_cut() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    disk::make(&image, 96, 4).unwrap();
    let mut seen = 0;
    let mut id = String::new();
    // Thrice, so that what is found at a boot comes from a boot that found something itself.
    for boot in 1..=3 {
        let mut vm = Vm::boot(folder.path(), Some(&image), "th.disk=500");
        vm.wait("an open disk", |vm| vm.disk().state != "opening");
        let found = vm.disk();
        assert_eq!((found.state.as_str(), found.error.as_str()), ("open", ""));
        assert!(found.found >= seen, "{} < {seen}", found.found);
        if boot == 1 {
            id.clone_from(&found.id);
        }
        assert_eq!(found.id, id);
        let check = guest::disk_check(&vm.target).unwrap();
        assert!(check.is_whole(seen), "boot {boot}: {check:?}");
        let more = found.acked + 300;
        vm.wait("more records", |vm| vm.disk().acked >= more);
        seen = vm.disk().acked;
        vm.qemu.kill().unwrap();
        vm.qemu.wait().unwrap();
    }
}

#[test]
fn a_pause_leaves_nothing_in_flight_and_a_check_lets_others_be_served() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    disk::make(&image, 96, 0).unwrap();
    let vm = Vm::boot(folder.path(), Some(&image), "th.disk=500,64");
    // Once round the ring, which holds 512 of these.
    vm.wait("a full ring", |vm| vm.disk().acked > 512 + 100);
    let target = vm.target.clone();
    let check = std::thread::spawn(move || guest::disk_check(&target).unwrap());
    let mut served = 0;
    while !check.is_finished() {
        guest::stats(&vm.target).unwrap();
        served += 1;
    }
    let check = check.join().unwrap();
    assert!(check.is_whole(512 + 100), "{check:?}");
    assert!(check.files.checked > 0, "{check:?}");
    assert!(served > 3, "{served} answers in {} ms", check.took_ms);

    let paused = guest::disk_rate(&vm.target, 0).unwrap();
    assert_eq!((paused.rate, paused.errors), (0, 0));
    assert!(paused.slowest_ms > 0.0);
    let before = std::fs::read(&image).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(vm.disk().acked, paused.acked);
    assert!(before == std::fs::read(&image).unwrap(), "still written to");

    guest::reset(&vm.target).unwrap();
    guest::disk_rate(&vm.target, 50).unwrap();
    vm.wait("records again", |vm| vm.disk().acked > paused.acked + 5);
    let last = vm.disk();
    assert_eq!(last.acked - last.written, paused.acked);
}

#[test]
fn what_is_on_the_medium_and_not_right_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let image = folder.path().join("disk.img");
    disk::make(&image, 96, 0).unwrap();
    let vm = Vm::boot(folder.path(), Some(&image), "th.disk=200");
    vm.wait("records", |vm| vm.disk().acked > 60);
    let last = guest::disk_rate(&vm.target, 0).unwrap().acked;
    // Under the guest's feet: the record's number as it stands in its header.
    let bytes = std::fs::read(&image).unwrap();
    let at = |sequence: u64| {
        let header = [b"THRECORD".as_slice(), &sequence.to_be_bytes()].concat();
        let slots = bytes.chunks_exact(4096);
        let mut found = slots.enumerate().filter(|(_, s)| s.starts_with(&header));
        found.next().expect("the record is in the image").0 as u64 * 4096
    };
    use std::os::unix::fs::FileExt;
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(&image)
        .unwrap();
    file.write_all_at(&[0xff; 8], at(7) + 2048).unwrap();
    file.write_all_at(&[0; 4096], at(last)).unwrap();
    let check = guest::disk_check(&vm.target).unwrap();
    assert_eq!((check.bad, check.missing), (vec![7], vec![last]));
    assert_eq!(check.checked, last - 2);
}

#[test]
fn a_guest_without_a_disk_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let vm = Vm::boot(folder.path(), None, "");
    assert_eq!(guest::stats(&vm.target).unwrap().disk, None);
    let refused = guest::disk_check(&vm.target).unwrap_err().to_string();
    assert!(refused.contains("th.disk=RATE"), "{refused}");
    drop(vm);
    let vm = Vm::boot(folder.path(), None, "th.disk=10");
    let refused = guest::disk_rate(&vm.target, 0).unwrap_err().to_string();
    assert!(refused.contains("there is no /dev/vda"), "{refused}");
    assert_eq!(vm.disk().state, "failed");
}
