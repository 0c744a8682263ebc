//! Making a plan real inside the box.
//!
//! [`up`] runs in the caller and asks the warden: namespaces, then our own binary once inside (the
//! hidden subcommand behind [`inside_main`]), which writes sysctls, runs `ip -batch` and switches
//! offloads off with one thread per namespace. Undoing needs nothing: the box's end is its end.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::batch;
use super::plan::{Plan, WAN};
use crate::boxed::{BoxError, BoxHandle, Program, SELF_EXE};

pub(crate) const INSIDE_COMMAND: &str = "__lab-net";

/// Makes the namespaces and links of a plan in an empty box. About 50 ms for three sites.
pub fn up(handle: &BoxHandle, plan: &Plan) -> Result<(), BoxError> {
    for name in plan.namespaces() {
        handle.netns_add(name)?;
    }
    let program = Program {
        argv: vec![SELF_EXE.to_owned(), INSIDE_COMMAND.to_owned()],
        ..Program::default()
    };
    let text = serde_json::to_vec(plan)
        .map_err(|e| BoxError::Talk(io::Error::new(io::ErrorKind::InvalidData, e)))?;
    handle.run_with_input(&program, &text).map(drop)
}

/// The hidden subcommand: a plan on standard input; returns the exit code.
pub(crate) fn inside_main() -> i32 {
    let mut text = String::new();
    let done = io::stdin()
        .read_to_string(&mut text)
        .and_then(|_| serde_json::from_str::<Plan>(&text).map_err(io::Error::from))
        .and_then(|plan| apply(&plan));
    match done {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("{e}");
            1
        }
    }
}

fn apply(plan: &Plan) -> io::Result<()> {
    // Before any link is there, so that none of them ever speaks IPv6 by itself.
    for name in plan.namespaces() {
        let settings = batch::sysctls(plan, name == WAN);
        within(name, move || {
            settings
                .iter()
                .try_for_each(|(path, value)| sysctl(path, value))
        })?;
    }
    ip(&batch::links(plan))?;
    for site in &plan.sites {
        within(&site.name, move || {
            for link in batch::without_ipv6(site) {
                sysctl(&format!("ipv6/conf/{link}/disable_ipv6"), "1")?;
            }
            let socket = control_socket()?;
            site.uplinks
                .iter()
                .try_for_each(|u| offloads_off(&socket, &u.site_end))?;
            ip(&batch::site(site))
        })?;
    }
    within(WAN, move || {
        let socket = control_socket()?;
        let uplinks = plan.sites.iter().flat_map(|site| &site.uplinks);
        for uplink in uplinks {
            offloads_off(&socket, &uplink.wan_end)?;
        }
        ip(&batch::wan(plan))
    })
}

/// Runs something in a network namespace on a thread of its own, and waits for it.
fn within<T: Send>(netns: &str, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    let file = File::open(format!("/run/netns/{netns}"))?;
    std::thread::scope(|scope| {
        let worker = scope.spawn(move || {
            setns(&file, CloneFlags::CLONE_NEWNET)?;
            work()
        });
        worker
            .join()
            .unwrap_or_else(|_| Err(io::Error::other("a worker of the lab died")))
    })
}

/// /proc/sys/net shows the namespace of the thread that opens it. What this kernel does not know
/// (IPv6 switched off, say) is left alone.
fn sysctl(path: &str, value: &str) -> io::Result<()> {
    match fs::write(format!("/proc/sys/net/{path}"), value) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(e) => Err(io::Error::new(
            e.kind(),
            format!("cannot set {path} to {value}: {e}"),
        )),
        Ok(()) => Ok(()),
    }
}

/// Feeds `ip -batch`; a started child is in the namespace of the thread that started it.
fn ip(batch: &str) -> io::Result<()> {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(batch.as_bytes())?;
    }
    let output = child.wait_with_output()?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr)
        .trim()
        .replace('\n', "; ");
    Err(io::Error::other(format!("ip -batch: {said}")))
}

fn control_socket() -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC;
    Ok(socket(
        AddressFamily::Inet,
        SockType::Datagram,
        flags,
        None,
    )?)
}

/// Switches off what would put unfinished frames on the wire: the relay has to see real packets
/// with valid checksums. (ethtool ioctls; linux/ethtool.h.)
fn offloads_off(socket: &OwnedFd, link: &str) -> io::Result<()> {
    const ETHTOOL_STXCSUM: u32 = 0x17;
    const ETHTOOL_SSG: u32 = 0x19;
    const ETHTOOL_STSO: u32 = 0x1f;
    const ETHTOOL_SGSO: u32 = 0x24;
    const ETHTOOL_SGRO: u32 = 0x2c;
    for command in [
        ETHTOOL_STSO,
        ETHTOOL_SGSO,
        ETHTOOL_SGRO,
        ETHTOOL_SSG,
        ETHTOOL_STXCSUM,
    ] {
        let mut value = EthtoolValue { command, data: 0 };
        let mut request = InterfaceRequest {
            name: [0; 16],
            data: &raw mut value,
            rest: [0; 2],
        };
        let name = link.as_bytes();
        if name.len() > 15 {
            return Err(io::Error::other(format!(
                "{link} is too long for an interface"
            )));
        }
        request.name[..name.len()].copy_from_slice(name);
        // SAFETY: SIOCETHTOOL takes an ifreq whose data points to an ethtool_value; both live here.
        let rc = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCETHTOOL, &raw mut request) };
        if rc != 0 {
            let e = io::Error::last_os_error();
            // A switch this link does not have is off.
            if e.raw_os_error() != Some(libc::EOPNOTSUPP) {
                return Err(io::Error::other(format!(
                    "cannot switch offloads of {link} off: {e}"
                )));
            }
        }
    }
    Ok(())
}

#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// `struct ifreq` as SIOCETHTOOL reads it (netdevice(7)): the name, and a pointer in a union of
/// 24 bytes.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    data: *mut EthtoolValue,
    rest: [u64; 2],
}
