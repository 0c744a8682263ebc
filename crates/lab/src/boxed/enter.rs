//! Making the box: a process that leaves for namespaces of its own and becomes their first process.
//!
//! Two steps, both in our own binary (nothing else is needed on the host). The *outer* process
//! starts fresh (one thread), takes a session of its own, unshares, maps the caller to root
//! (user_namespaces(7)) and forks; the child is pid 1 of the new pid namespace, the *warden*. The
//! outer process writes the warden's pid file before the warden may do anything, so there is never
//! a box that `lab down` could not find. It then exits; the warden belongs to nobody's terminal.
//! When the warden dies, the kernel kills everything in its pid namespace (pid_namespaces(7)).

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::mount::{MntFlags, MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{ForkResult, fork, getegid, geteuid, pipe, setsid};

use super::{BoxError, children, warden};
use crate::folder::{self, Folder};
use crate::process::ProcessId;

pub(crate) const OUTER_COMMAND: &str = "__lab-box";
pub(crate) const PROBE_COMMAND: &str = "__lab-box-probe";

/// Where the host's proc file system stays visible inside the box, to translate pids.
pub(crate) const OUTSIDE_PROC: &str = "/run/outside-proc";

/// How to make a box.
#[derive(Debug, Clone)]
pub struct BoxSpec {
    /// The lab folder; [`Folder::create`] has made it.
    pub folder: Folder,
    /// The binary that becomes the warden. Its `main` must call [`crate::run_if_hidden`] first.
    /// `None` is the running one.
    pub exe: Option<PathBuf>,
}

/// Makes the box and waits until its warden answers. The box outlives the caller.
pub fn enter(spec: &BoxSpec) -> Result<ProcessId, BoxError> {
    let log_path = spec.folder.log("box");
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(|source| BoxError::Log {
            path: log_path,
            source,
        })?;
    let mut child = own_binary(spec.exe.as_deref(), OUTER_COMMAND)
        .arg(spec.folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .map_err(BoxError::Start)?;
    let answer = read_answer(child.stdout.take());
    let outer = child.wait().map_err(BoxError::Start)?;
    match answer {
        Answer::Ready => spec.folder.warden().ok_or(BoxError::Lost {
            outer: outer.to_string(),
        }),
        Answer::Failed(what) => Err(BoxError::Refused {
            what,
            advice: advice(),
        }),
        Answer::Silence => Err(BoxError::Lost {
            outer: outer.to_string(),
        }),
    }
}

/// Tries whether a box could be made, and makes none.
pub fn probe(exe: Option<&Path>) -> Result<(), BoxError> {
    let mut child = own_binary(exe, PROBE_COMMAND)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(BoxError::Start)?;
    let answer = read_answer(child.stdout.take());
    let end = child.wait().map_err(BoxError::Start)?;
    match answer {
        Answer::Ready => Ok(()),
        Answer::Failed(what) => Err(BoxError::Refused {
            what,
            advice: advice(),
        }),
        Answer::Silence => Err(BoxError::Lost {
            outer: end.to_string(),
        }),
    }
}

fn own_binary(exe: Option<&Path>, command: &str) -> Command {
    let mut program = Command::new(exe.unwrap_or(Path::new(super::SELF_EXE)));
    program.arg0(super::OWN_NAME).arg(command);
    program
}

enum Answer {
    Ready,
    Failed(String),
    Silence,
}

fn read_answer(pipe: Option<impl Read>) -> Answer {
    let mut line = String::new();
    if let Some(pipe) = pipe {
        // An unreadable pipe is silence.
        let _ = BufReader::new(pipe).read_line(&mut line);
    }
    match line.trim_end() {
        "ready" => Answer::Ready,
        "" => Answer::Silence,
        what => Answer::Failed(what.to_owned()),
    }
}

/// Why unprivileged namespaces may be refused here, as far as the host tells.
fn advice() -> &'static str {
    let holds =
        |path: &str, value: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == value);
    if holds("/proc/sys/user/max_user_namespaces", "0") {
        "user namespaces are switched off: `sudo sysctl user.max_user_namespaces=10000`"
    } else if holds("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "user namespaces are for root only here: `sudo sysctl kernel.unprivileged_userns_clone=1`, or run as root"
    } else if holds(
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
    ) {
        "AppArmor restricts user namespaces: `sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0`, or run as root"
    } else {
        "the lab needs user, network, mount and pid namespaces: inside a container, start it with them allowed"
    }
}

/// The outer process; returns its exit code. `args` are those behind the hidden command.
pub(crate) fn outer_main(args: &[std::ffi::OsString]) -> i32 {
    // What the caller left open by mistake (a pipe somebody reads to its end, say) must not be kept
    // open for as long as the lab stands.
    // SAFETY: only the standard descriptors are in use yet.
    unsafe { libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0) };
    let Some(folder) = args.first() else {
        say("no lab folder given");
        return 2;
    };
    let folder = match Folder::locate(Some(Path::new(folder))) {
        Ok(folder) => folder,
        Err(e) => {
            say(&e.to_string());
            return 2;
        }
    };
    match leave(Some(&folder)) {
        Ok(()) => 0,
        Err((step, error)) => {
            say(&format!("{step}: {error}"));
            1
        }
    }
}

/// The probe; returns its exit code.
pub(crate) fn probe_main() -> i32 {
    match leave(None) {
        Ok(()) => 0,
        Err((step, error)) => {
            say(&format!("{step}: {error}"));
            1
        }
    }
}

type Step<T> = Result<T, (&'static str, io::Error)>;

fn step<T, E: Into<io::Error>>(name: &'static str, result: Result<T, E>) -> Step<T> {
    result.map_err(|e| (name, e.into()))
}

/// Leaves for the new namespaces. In the child it becomes the warden and never returns; without a
/// folder the child only mounts what a warden would, says so and exits.
fn leave(folder: Option<&Folder>) -> Step<()> {
    // A process that leads a group already has a session that is fine, too.
    let _ = setsid();
    // Agents and switches go before VMs in their switchover, and those before the rest.
    children::schedule(libc::SCHED_RR, 2);
    let (uid, gid) = (geteuid(), getegid());
    step(
        "cannot make namespaces",
        unshare(
            CloneFlags::CLONE_NEWUSER
                | CloneFlags::CLONE_NEWNS
                | CloneFlags::CLONE_NEWNET
                | CloneFlags::CLONE_NEWPID
                | CloneFlags::CLONE_NEWUTS
                | CloneFlags::CLONE_NEWIPC,
        ),
    )?;
    // user_namespaces(7): an unprivileged gid map needs setgroups denied first.
    step(
        "cannot deny setgroups",
        fs::write("/proc/self/setgroups", "deny"),
    )?;
    step(
        "cannot map the user",
        fs::write("/proc/self/uid_map", format!("0 {uid} 1\n")),
    )?;
    step(
        "cannot map the group",
        fs::write("/proc/self/gid_map", format!("0 {gid} 1\n")),
    )?;
    let (go_read, go_write) = step("cannot make a pipe", pipe())?;
    // SAFETY: this process has one thread (nothing was started since exec).
    match step("cannot fork", unsafe { fork() })? {
        ForkResult::Parent { child } => {
            drop(go_read);
            if let Some(folder) = folder {
                let id = ProcessId::of(child.as_raw())
                    .ok_or(("cannot see the box", io::ErrorKind::NotFound.into()))?;
                let file = folder.warden_pid_file();
                let text = format!("{id}\n");
                step(
                    "cannot write the pid file",
                    folder::write_whole(&file, text.as_bytes()),
                )?;
            }
            step("cannot start the box", File::from(go_write).write_all(b"!"))?;
            if folder.is_none() {
                let _ = nix::sys::wait::waitpid(child, None);
            }
            Ok(())
        }
        ForkResult::Child => {
            drop(go_write);
            let end = match inner(folder, go_read) {
                Ok(()) => 0,
                Err((step, error)) => {
                    say(&format!("{step}: {error}"));
                    1
                }
            };
            std::process::exit(end)
        }
    }
}

/// The first process of the box.
fn inner(folder: Option<&Folder>, go: OwnedFd) -> Step<()> {
    let mut byte = [0u8];
    if File::from(go).read_exact(&mut byte).is_err() {
        // The outer process died before it could record us: do nothing, leave nothing.
        return Ok(());
    }
    furnish(folder.map(Folder::path))?;
    let Some(folder) = folder else {
        say("ready");
        return Ok(());
    };
    let listener = step("cannot listen", warden::listen(folder))?;
    say("ready");
    // From here on nobody reads our pipe: what is said goes to the log.
    step("cannot log", nix::unistd::dup2_stdout(io::stderr()))?;
    step("the warden failed", warden::run(folder, listener))
}

/// Mounts what the box needs. Nothing here is visible outside.
fn furnish(folder: Option<&Path>) -> Step<()> {
    let none: Option<&str> = None;
    let apart = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    step("cannot detach mounts", mount(none, "/", none, apart, none))?;
    let kept = folder.map(File::open).transpose();
    let kept = step("cannot open the lab folder", kept)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    step(
        "cannot mount /run",
        mount(
            Some("tmpfs"),
            "/run",
            Some("tmpfs"),
            flags,
            Some("mode=755"),
        ),
    )?;
    step("cannot make /run/netns", fs::create_dir("/run/netns"))?;
    step("cannot make the view outside", fs::create_dir(OUTSIDE_PROC))?;
    let bind = MsFlags::MS_BIND | MsFlags::MS_REC;
    step(
        "cannot keep the view outside",
        mount(Some("/proc"), OUTSIDE_PROC, none, bind, none),
    )?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    step(
        "cannot mount /proc",
        mount(Some("proc"), "/proc", Some("proc"), flags, none),
    )?;
    if let (Some(folder), Some(kept)) = (folder, kept) {
        // A lab folder below /run has just been hidden: bring it back.
        if fs::metadata(folder).is_err() {
            step(
                "cannot make the lab folder visible",
                fs::create_dir_all(folder),
            )?;
            let source = format!("/proc/self/fd/{}", kept.as_raw_fd());
            step(
                "cannot bring the lab folder back",
                mount(Some(source.as_str()), folder, none, MsFlags::MS_BIND, none),
            )?;
        }
        step(
            "cannot enter the lab folder",
            std::env::set_current_dir(folder),
        )?;
    }
    // Shared among ourselves only: processes with a mount namespace of their own (each has its
    // own /sys) see network namespaces that are made later, as with `ip netns`. Last, since a mount
    // on one of two shared views of /proc would appear on the other.
    let among_us = MsFlags::MS_REC | MsFlags::MS_SHARED;
    step(
        "cannot share mounts",
        mount(none, "/", none, among_us, none),
    )?;
    let name = c"transhume-lab";
    // SAFETY: name points to that many bytes.
    let rc = unsafe { libc::sethostname(name.as_ptr(), name.count_bytes()) };
    step("cannot set the host name", nix::errno::Errno::result(rc))?;
    Ok(())
}

/// Gives a process a `/sys` that shows the network namespace it is in. Best effort: without it
/// only programs that look into /sys/class/net are misled.
pub(crate) fn own_sysfs() {
    let none: Option<&str> = None;
    if unshare(CloneFlags::CLONE_NEWNS).is_err() {
        return;
    }
    let follow = MsFlags::MS_REC | MsFlags::MS_SLAVE;
    if mount(none, "/", none, follow, none).is_ok() {
        let _ = nix::mount::umount2("/sys", MntFlags::MNT_DETACH);
        let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), none);
    }
}

fn say(line: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}
