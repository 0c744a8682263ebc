//! What process 1 of a guest does before it serves: mounts, modules, sysctls, addresses. A step
//! that fails says so on the console and the next one goes on: half a guest can still be asked.

use crate::netlink;
use crate::params::Params;
use crate::sys;
use std::ffi::CString;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

const DEV: &str = "eth0";

/// Kernel settings, written before eth0 exists so that it inherits them.
const SYSCTLS: [(&str, &str); 17] = [
    ("net/core/rmem_max", "16777216"),
    ("net/core/rmem_default", "4194304"),
    // A guest of 128 MB would allow UDP about 12 MB in all; a resumed VM gets its whole queue at once.
    ("net/ipv4/udp_mem", "8192 12288 16384"),
    ("net/ipv6/conf/all/accept_dad", "0"),
    ("net/ipv6/conf/default/accept_dad", "0"),
    ("net/ipv6/conf/default/dad_transmits", "0"),
    ("net/ipv6/conf/default/accept_ra", "0"),
    ("net/ipv6/conf/default/router_solicitations", "0"),
    // A first question lost to a link that is still being made is asked again soon.
    ("net/ipv4/neigh/default/retrans_time_ms", "100"),
    ("net/ipv6/neigh/default/retrans_time_ms", "100"),
    // More questions before giving up: a peer may still be booting.
    ("net/ipv4/neigh/default/mcast_solicit", "20"),
    ("net/ipv6/neigh/default/mcast_solicit", "20"),
    // Under emulation code is dear the first time it runs, and after a migration all of it is new: no
    // short cut whose saving needs thousands of packets, no unfinished business for ksoftirqd.
    ("net/ipv4/ip_early_demux", "0"),
    ("net/ipv4/tcp_recovery", "0"),
    // Nor housekeeping that wakes up for nothing in a guest of one program.
    ("vm/stat_interval", "120"),
    ("vm/compaction_proactiveness", "0"),
    // Echo clients come and go with thousands of sessions.
    ("net/core/somaxconn", "4096"),
];

/// A line on the console (or standard error outside a guest).
pub(crate) fn say(text: &str) {
    eprintln!("guest: {text}");
}

fn attempt(what: &str, result: io::Result<()>) {
    if let Err(error) = result {
        say(&format!("{what}: {error}"));
    }
}

/// Mounts the kernel's file systems and loads the modules in the order of `/modules/order`
/// (`scripts/guest.sh` writes it; 6.1 wants virtio_ring before virtio).
pub(crate) fn mount_and_load() {
    for (kind, path) in [("proc", "/proc"), ("sysfs", "/sys"), ("devtmpfs", "/dev")] {
        attempt(path, mount(kind, kind, path, 0));
    }
    load("/modules/order");
}

fn load(order: &str) {
    let order = std::fs::read_to_string(order).unwrap_or_default();
    for module in order.lines() {
        attempt(module, insert(&format!("/modules/{module}")));
    }
}

/// Mounts the VM's disk at `/data`; only a guest that has one pays for what that needs.
pub(crate) fn disk() -> Result<(), String> {
    const DISK: &str = "/dev/vda";
    load("/modules/order-disk");
    let began = sys::now();
    while !Path::new(DISK).exists() {
        if sys::now() - began > 5_000_000_000 {
            return Err(format!("there is no {DISK}; give the VM a virtio-blk disk"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    // Reading is no reason to write.
    mount(DISK, "ext4", "/data", libc::MS_NOATIME)
        .map_err(|e| format!("cannot mount {DISK}: {e}; is it made with mke2fs -t ext4?"))
}

fn mount(source: &str, kind: &str, path: &str, flags: libc::c_ulong) -> io::Result<()> {
    let _ = std::fs::create_dir(path);
    let [source, kind, path] = [source, kind, path].map(CString::new);
    let (source, kind, path) = (source?, kind?, path?);
    // SAFETY: all strings outlive the call.
    let rc = unsafe {
        libc::mount(
            source.as_ptr(),
            path.as_ptr(),
            kind.as_ptr(),
            flags,
            std::ptr::null(),
        )
    };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn insert(path: &str) -> io::Result<()> {
    let file = std::fs::File::open(path)?;
    // Without interrupts for frames that were sent: one wake-up less for each reply.
    let words = if path.contains("virtio_net") {
        c"napi_tx=0"
    } else {
        c""
    };
    // SAFETY: finit_module(2) with an open file, a string that lives as long, and no flags.
    let rc = unsafe { libc::syscall(libc::SYS_finit_module, file.as_raw_fd(), words.as_ptr(), 0) };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Sets up lo and eth0.
pub(crate) fn network(params: &Params) {
    for (key, value) in SYSCTLS {
        attempt(key, std::fs::write(format!("/proc/sys/{key}"), value));
    }
    attempt("a place before the kernel's threads", sys::before_others());
    attempt("lo", netlink::up("lo", None));
    let present = Path::new("/sys/class/net").join(DEV);
    for _ in 0..1000 {
        if present.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    if !present.exists() {
        say("there is no eth0; give the VM a virtio-net device");
        return;
    }
    for key in [
        "accept_dad",
        "dad_transmits",
        "accept_ra",
        "router_solicitations",
    ] {
        attempt(
            key,
            std::fs::write(format!("/proc/sys/net/ipv6/conf/{DEV}/{key}"), "0"),
        );
    }
    attempt(DEV, sys::no_gro(DEV));
    attempt(DEV, netlink::up(DEV, params.mtu));
    for cidr in &params.addrs {
        attempt(&cidr.addr.to_string(), netlink::address(DEV, *cidr));
    }
    for gateway in &params.gateways {
        attempt(
            &format!("default route by {gateway}"),
            netlink::default_route(*gateway),
        );
    }
    let _ = std::fs::write("/proc/sys/kernel/hostname", &params.name);
}

/// A shell on the console for somebody who wants to look around; ended shells come back.
pub(crate) fn shell() {
    std::thread::spawn(|| {
        loop {
            let ended = std::process::Command::new("/bin/busybox")
                .arg("sh")
                .current_dir("/")
                .status();
            attempt("the shell", ended.map(drop));
            std::thread::sleep(Duration::from_secs(1));
        }
    });
}

/// Ends the VM.
pub(crate) fn power_off() {
    sys::sync();
    // SAFETY: what was written is on the disk, if there is one; only process 1 of a guest comes here.
    unsafe { libc::reboot(libc::RB_POWER_OFF) };
}
