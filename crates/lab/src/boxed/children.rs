//! The warden's children: starting them in a network namespace, finding their pid outside, and
//! reading how they ended.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::signal::SigSet;

use super::enter::{OUTSIDE_PROC, own_sysfs};
use super::wire::{End, Program};
use crate::process::{self, ProcessId};

/// Where programs are looked for besides the caller's PATH: an ordinary user's often lacks the
/// places where `ip` and `ovs-vswitchd` are.
const SYSTEM_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The PATH that programs of the lab are looked for in.
pub(crate) fn search_path() -> String {
    match std::env::var("PATH") {
        Ok(path) if !path.is_empty() => format!("{path}:{SYSTEM_PATH}"),
        _ => SYSTEM_PATH.to_owned(),
    }
}

/// The three standard descriptors of a child.
pub(crate) struct Stdio3 {
    pub(crate) stdin: Stdio,
    pub(crate) stdout: Stdio,
    pub(crate) stderr: Stdio,
}

impl Stdio3 {
    /// No input, all output to the end of a log file.
    pub(crate) fn log(path: &Path) -> io::Result<Self> {
        let log = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            stdin: Stdio::null(),
            stdout: log.try_clone()?.into(),
            stderr: log.into(),
        })
    }

    /// Descriptors from the caller.
    pub(crate) fn from_fds(fds: Vec<OwnedFd>) -> Option<Self> {
        let [stdin, stdout, stderr] = <[OwnedFd; 3]>::try_from(fds).ok()?;
        Some(Self {
            stdin: stdin.into(),
            stdout: stdout.into(),
            stderr: stderr.into(),
        })
    }
}

pub(crate) fn netns_path(name: &str) -> PathBuf {
    Path::new("/run/netns").join(name)
}

/// A name for a namespace or process: it becomes a file name, so nothing but letters, digits and
/// `. _ -`, not first a dot.
pub(crate) fn check_name(name: &str) -> io::Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    if name.is_empty() || name.len() > 40 || name.starts_with('.') || !name.chars().all(plain) {
        return Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("{name:?} cannot be a name: use up to 40 letters, digits, '.', '_' and '-'"),
        ));
    }
    Ok(())
}

/// Starts a program in its namespace, in a session of its own. The caller reaps it by pid.
pub(crate) fn start(program: &Program, stdio: Stdio3) -> io::Result<i32> {
    let (first, rest) = program
        .argv
        .split_first()
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no program given"))?;
    let netns = match &program.netns {
        None => None,
        Some(name) => {
            check_name(name)?;
            Some(File::open(netns_path(name)).map_err(|e| match e.kind() {
                io::ErrorKind::NotFound => {
                    io::Error::new(e.kind(), format!("there is no namespace {name} in the lab"))
                }
                _ => e,
            })?)
        }
    };
    let mut command = Command::new(first);
    command
        .args(rest)
        .env("PATH", search_path())
        .envs(&program.env)
        .stdin(stdio.stdin)
        .stdout(stdio.stdout)
        .stderr(stdio.stderr);
    if first == super::SELF_EXE {
        command.arg0(super::OWN_NAME);
    }
    if let Some(cwd) = &program.cwd {
        command.current_dir(cwd);
    }
    let urgent = program.urgent;
    // SAFETY: the warden's other thread waits for this one meanwhile and holds no lock, so the forked
    // child may do what the parent may; these are plain system calls anyway.
    unsafe {
        command.pre_exec(move || {
            nix::unistd::setsid()?;
            if !urgent {
                schedule(libc::SCHED_OTHER, 0);
            }
            // The warden's signals are blocked for its signalfd, and exec keeps that.
            SigSet::empty().thread_set_mask()?;
            if let Some(netns) = &netns {
                setns(netns, CloneFlags::CLONE_NEWNET)?;
                own_sysfs();
            }
            Ok(())
        });
    }
    let child = command.spawn().map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => io::Error::new(
            e.kind(),
            format!("cannot start {first}: no such program (install it, or correct PATH)"),
        ),
        _ => io::Error::new(e.kind(), format!("cannot start {first}: {e}")),
    })?;
    Ok(child.id() as i32)
}

/// Sets how this process is scheduled (sched(7)); best effort. The outer process gives the warden
/// its right to real-time scheduling before it leaves for a user namespace, where none can be had.
pub(crate) fn schedule(policy: libc::c_int, priority: libc::c_int) {
    // SAFETY: all-zero is a valid value, the structure lives across the call.
    unsafe {
        let mut parameters: libc::sched_param = std::mem::zeroed();
        parameters.sched_priority = priority;
        libc::sched_setscheduler(0, policy, &raw const parameters);
    }
}

/// Makes a network namespace the way `ip netns add` does: a file below /run/netns with the
/// namespace mounted on it.
pub(crate) fn netns_add(name: &str) -> io::Result<()> {
    check_name(name)?;
    let path = netns_path(name);
    File::create_new(&path).map_err(|e| match e.kind() {
        io::ErrorKind::AlreadyExists => io::Error::new(
            e.kind(),
            format!("there is a namespace {name} in the lab already"),
        ),
        _ => e,
    })?;
    let made = in_new_netns(&path);
    if made.is_err() {
        let _ = fs::remove_file(&path);
    }
    made
}

/// Unshares on a thread of its own, so that the warden stays where it is. `/proc/thread-self`
/// names that thread's namespace.
fn in_new_netns(path: &Path) -> io::Result<()> {
    let path = path.to_owned();
    let worker = std::thread::spawn(move || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let none: Option<&str> = None;
        mount(
            Some("/proc/thread-self/ns/net"),
            &path,
            none,
            MsFlags::MS_BIND,
            none,
        )?;
        Ok(())
    });
    worker
        .join()
        .unwrap_or_else(|_| Err(io::Error::other("the namespace's maker died")))
}

pub(crate) fn netns_del(name: &str) -> io::Result<()> {
    check_name(name)?;
    let path = netns_path(name);
    umount2(&path, MntFlags::MNT_DETACH)?;
    fs::remove_file(&path)
}

pub(crate) fn netns_list() -> Vec<String> {
    let Ok(dir) = fs::read_dir("/run/netns") else {
        return Vec::new();
    };
    let mut names: Vec<String> = dir
        .flatten()
        .filter_map(|e| e.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

/// The identity outside the box of a child of the warden.
///
/// The host's proc file system is still mounted (see [`OUTSIDE_PROC`]); there, our own children
/// are listed with outside pids, and each tells its pid inside as the last of `NSpid`.
pub(crate) fn outside_id(inside: i32) -> Option<ProcessId> {
    let proc_root = Path::new(OUTSIDE_PROC);
    let me = fs::read_link(proc_root.join("self")).ok()?;
    let me: i32 = me.to_str()?.parse().ok()?;
    // Children are listed with the thread that started them.
    let threads = fs::read_dir(proc_root.join(format!("{me}/task"))).ok()?;
    let lists: Vec<String> = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok())
        .collect();
    lists
        .iter()
        .flat_map(|list| list.split_whitespace())
        .filter_map(|word| word.parse().ok())
        .find(|pid| {
            process::nested_pids(proc_root, *pid).is_some_and(|n| n.last() == Some(&inside))
        })
        .and_then(|pid| ProcessId::of_in(proc_root, pid))
}

/// Reaps one child that has ended, whoever started it.
pub(crate) fn reap() -> Option<(i32, End)> {
    use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::Exited(pid, code)) => return Some((pid.as_raw(), End::Code(code))),
            Ok(WaitStatus::Signaled(pid, signal, _)) => {
                return Some((pid.as_raw(), End::Signal(signal as i32)));
            }
            Ok(WaitStatus::StillAlive) => return None,
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return None,
        }
    }
}
