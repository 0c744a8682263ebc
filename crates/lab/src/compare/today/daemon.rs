//! A site's libvirtd: the monolithic daemon, on folders of its own, reachable by TCP in its site.
//!
//! libvirt's folders are fixed when it is built, and a lab has two of them: each daemon sees its site's
//! folders in their places, in mounts of its own ([`inside_main`]). Its guests are in the box like
//! all else, and end with it.

use crate::boxed::{BoxHandle, Program, SELF_EXE};
use crate::net::{Plan, SitePlan};
use crate::parts::{PartError, apart, until};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

pub(crate) const INSIDE_COMMAND: &str = "__lab-libvirtd";

/// The daemon as its own site reaches it.
pub(super) const HERE: &str = "qemu+tcp://127.0.0.1/system";

const LIMIT: Duration = Duration::from_secs(20);

/// A folder of ours, and the place where libvirt looks for it.
const PLACES: [(&str, &str); 5] = [
    ("etc", "/etc/libvirt"),
    ("lib", "/var/lib/libvirt"),
    ("cache", "/var/cache/libvirt"),
    ("log", "/var/log/libvirt"),
    ("run", "/run/libvirt"),
];

/// In the site's folder: what it sees as /etc/hosts.
const HOSTS: &str = "hosts";

/// Its name among the box's processes.
pub(super) fn name(site: &str) -> String {
    format!("libvirtd-{site}")
}

/// The daemon as other sites reach it.
pub(super) fn uri(site: &SitePlan) -> String {
    format!("qemu+tcp://{}/system", site.mgmt.v4)
}

/// Starts a site's daemon and waits until it answers.
///
/// # Errors
/// It ended, or took too long; with the end of its log.
pub(crate) async fn start(
    handle: &BoxHandle,
    plan: &Plan,
    site: &SitePlan,
) -> Result<(), PartError> {
    let root = root(handle, &site.name);
    for (file, text) in [
        ("etc/libvirtd.conf", libvirtd_conf(site)),
        ("etc/qemu.conf", QEMU_CONF.to_owned()),
        (HOSTS, hosts(plan)),
    ] {
        write(&root.join(file), &text)?;
    }
    let path = root.to_string_lossy().into_owned();
    let argv = [SELF_EXE, INSIDE_COMMAND, &path, &site.name];
    // An ordinary process, as on every host that runs libvirt.
    let program = Program::new(&site.name, argv);
    let daemon = name(&site.name);
    let spawned = daemon.clone();
    apart(handle, move |handle| handle.spawn(&spawned, &program)).await?;
    let what = format!("libvirtd at {} does not answer", site.name);
    until(handle, &daemon, &what, LIMIT, || async {
        let asked = virsh(&site.name, ["version"]);
        let said = apart(handle, move |handle| handle.exec(&asked))
            .await
            .ok()?;
        said.end.success().then_some(())
    })
    .await
}

/// A word to a site's own daemon.
pub(super) fn virsh<'a>(site: &str, words: impl IntoIterator<Item = &'a str>) -> Program {
    Program::new(site, ["virsh", "-c", HERE].into_iter().chain(words)).env("LC_ALL", "C")
}

/// The site's folder, outside of the box as well.
pub(crate) fn root(handle: &BoxHandle, site: &str) -> PathBuf {
    handle.folder().join(format!("sites/{site}/libvirt"))
}

fn write(path: &Path, text: &str) -> Result<(), PartError> {
    let folder = path.parent().unwrap_or(path);
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(path, text))
        .map_err(|source| PartError::File {
            path: path.to_owned(),
            source,
        })
}

/// libvirt looks its host's name up at every turn, and where no server answers that takes it ten
/// seconds: the sites know each other's names, as hosts do that migrate to each other.
fn hosts(plan: &Plan) -> String {
    let sites = plan.sites.iter();
    let lines = sites.map(|site| format!("{} {}\n", site.mgmt.v4, site.name));
    std::iter::once("127.0.0.1 localhost\n".to_owned())
        .chain(lines)
        .collect()
}

/// Nobody but the sites of this lab reaches it, so nobody is asked who he is.
fn libvirtd_conf(site: &SitePlan) -> String {
    // Two daemons of one machine would otherwise take themselves for one.
    let uuid = format!("7472616e-7368-4d65-8000-{:012x}", site.number);
    format!(
        "host_uuid = \"{uuid}\"\nlisten_tls = 0\nlisten_tcp = 1\nlisten_addr = \"0.0.0.0\"\n\
         auth_tcp = \"none\"\nauth_unix_ro = \"none\"\nauth_unix_rw = \"none\"\nunix_sock_group = \"root\"\n"
    )
}

/// What there is no room for in a box: other users, cgroups, labels, and a daemon for logs. How
/// guests run and move is libvirt's default throughout.
const QEMU_CONF: &str = "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\n\
    namespaces = []\ncgroup_controllers = []\nstdio_handler = \"file\"\nremember_owner = 0\n\
    dynamic_ownership = 0\n";

/// The hidden subcommand: the site's folder and its name; becomes libvirtd, or our own program with the words
/// that follow, which then sees the host as libvirtd does. Returns an exit code only when it cannot.
pub(crate) fn inside_main(args: &[OsString]) -> i32 {
    let [root, name, words @ ..] = args else {
        eprintln!("a folder and a name are needed");
        return 2;
    };
    let error = match furnish(Path::new(root), name) {
        Err(error) => error,
        Ok(()) if !words.is_empty() => match std::env::current_exe() {
            Ok(exe) => Command::new(exe).args(words).exec(),
            Err(error) => error,
        },
        Ok(()) => match forgo_setgroups() {
            Ok(()) => Command::new("libvirtd")
                .args(["--listen", "--config", "/etc/libvirt/libvirtd.conf"])
                .args(["--pid-file", "/run/libvirt/libvirtd.pid"])
                .exec(),
            Err(error) => error,
        },
    };
    eprintln!("cannot become libvirtd, or what sees what it sees: {error}");
    1
}

/// How our own program is started beside a site's libvirtd, so that both see the same files.
pub(crate) fn beside(handle: &BoxHandle, site: &str, words: &[&str]) -> Vec<String> {
    let root = root(handle, site).to_string_lossy().into_owned();
    let first = [SELF_EXE, INSIDE_COMMAND, root.as_str(), site];
    let all = first.into_iter().chain(words.iter().copied());
    all.map(str::to_owned).collect()
}

fn furnish(root: &Path, name: &OsStr) -> io::Result<()> {
    let none: Option<&str> = None;
    // A host's name that is its own: libvirt refuses to migrate to where it is already.
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWUTS)?;
    // SAFETY: name points to that many bytes.
    let rc = unsafe { libc::sethostname(name.as_bytes().as_ptr().cast(), name.len()) };
    Errno::result(rc)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    for (folder, place) in PLACES {
        let folder = root.join(folder);
        std::fs::create_dir_all(&folder)?;
        // The box's own /run is empty; the other places came with the package.
        std::fs::create_dir_all(place)?;
        mount(Some(&folder), place, none, MsFlags::MS_BIND, none)?;
    }
    let hosts = Some(&root.join(HOSTS));
    mount(hosts, "/etc/hosts", none, MsFlags::MS_BIND, none)?;
    Ok(())
}

/// Lets setgroups(2) do nothing and say that it did. libvirt calls it before every program that it
/// starts, for a user who is root alone already; a user namespace that an ordinary user made forbids
/// it for good (user_namespaces(7)).
fn forgo_setgroups() -> io::Result<()> {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    // seccomp_data begins with the system call's number.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            jf: 1,
            ..statement(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                libc::SYS_setgroups as u32,
            )
        },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: filter.len() as libc::c_ushort,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and the filter that it points to live across the call, which copies them.
    let rc = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    Ok(Errno::result(rc).map(drop)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sites_are_two_hosts_to_libvirt_and_each_is_reached_on_its_management_address() {
        let plan = Plan::default();
        let (north, south) = (&plan.sites[0], &plan.sites[1]);
        assert_ne!(libvirtd_conf(north), libvirtd_conf(south));
        assert_eq!(uri(south), "qemu+tcp://10.20.2.2/system");
        assert!(hosts(&plan).contains("10.20.2.2 south\n"));
    }
}
