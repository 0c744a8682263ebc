//! Ending a box from any state it may be in: standing, half made, its warden killed or stopped.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::BoxError;
use super::client::{BoxHandle, processes_of_box};
use super::enter::OUTER_COMMAND;
use crate::folder::{Folder, FolderState};
use crate::process::{self, ProcessId};

/// How long the warden may take to answer a shutdown, beyond the grace.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);

/// How long the kernel may take to clear the namespaces after a kill.
const KILL_LIMIT: Duration = Duration::from_secs(20);

/// Ends the box of a lab folder and waits until every process of it is gone. Fine when there is
/// none. The folder stays; see [`Folder::remove`].
///
/// First the warden is asked; when that fails or takes too long it is killed by its recorded
/// identity (never a recycled pid), and the kernel ends the rest with it. Should the record be
/// missing, the warden is found by its command line, which names the folder.
pub fn take_down(folder: &Folder, grace: Duration) -> Result<(), BoxError> {
    // An `up` that was killed may have left its outer process behind, which makes a warden while
    // we look: only when two looks find nothing is there nothing.
    let mut empty = 0;
    while empty < 2 {
        empty += 1;
        if let FolderState::Alive(warden) = folder.state()? {
            empty = 0;
            let rest = processes_of_box(warden.pid);
            if ask(folder, grace) {
                // Should it not go after all, it is killed below.
                let _ = warden.wait_gone(ANSWER_LIMIT);
            }
            end(warden)?;
            for process in rest {
                end(process)?;
            }
        }
        for process in unrecorded(folder.path()) {
            empty = 0;
            end(process)?;
        }
    }
    Ok(())
}

/// Asks the warden politely; `false` when it did not agree in time. It is asked on a thread, since
/// a stopped warden neither answers nor hangs up.
fn ask(folder: &Folder, grace: Duration) -> bool {
    let handle = BoxHandle::new(folder.clone());
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = tell.send(handle.shutdown(grace).is_ok());
    });
    told.recv_timeout(grace + ANSWER_LIMIT).unwrap_or(false)
}

/// Kills a process and waits. The kernel reports the end of a pid namespace's first process only
/// after all others in it are gone (pid_namespaces(7)).
fn end(process: ProcessId) -> Result<(), BoxError> {
    let pid = process.pid;
    let failed = |source| BoxError::Kill { pid, source };
    if !process.signal(Signal::SIGKILL).map_err(failed)? {
        return Ok(());
    }
    match process.wait_gone(KILL_LIMIT).map_err(failed)? {
        true => Ok(()),
        false => Err(BoxError::Stuck { pid }),
    }
}

/// Boxes for this folder that no pid file tells of.
fn unrecorded(folder: &Path) -> Vec<ProcessId> {
    process::all_pids(Path::new("/proc"))
        .into_iter()
        .filter_map(|pid| {
            // The identity first: should the pid be recycled in between, it no longer matches.
            let id = ProcessId::of(pid)?;
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
            let mut words = line.split(|b| *b == 0);
            let ours = words.nth(1) == Some(OUTER_COMMAND.as_bytes())
                && words.next() == Some(folder.as_os_str().as_bytes());
            ours.then_some(id)
        })
        .collect()
}
