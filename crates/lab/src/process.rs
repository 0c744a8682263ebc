//! Processes by identity: a pid together with its start time, so that a recycled pid is never
//! taken for the process that was recorded.
//!
//! Here: reading, comparing, signalling and waiting. Not here: starting processes (see
//! [`crate::boxed`]).

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::str::FromStr;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout};
use serde::{Deserialize, Serialize};

/// One process of this host, as the caller's pid namespace numbers it.
///
/// `start` is field 22 of `/proc/PID/stat` (clock ticks since boot, proc(5)). The pair is unique
/// while the machine runs. The text form is `"PID START"`, used in pid files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// The process id.
    pub pid: i32,
    /// The start time in clock ticks since boot.
    pub start: u64,
}

impl ProcessId {
    /// Reads the identity of a living process. `None` when there is no such process, or only a
    /// zombie of it.
    pub fn of(pid: i32) -> Option<Self> {
        Self::of_in(Path::new("/proc"), pid)
    }

    /// As [`ProcessId::of`], from a proc file system mounted elsewhere.
    pub(crate) fn of_in(proc_root: &Path, pid: i32) -> Option<Self> {
        let text = fs::read_to_string(proc_root.join(format!("{pid}/stat"))).ok()?;
        let (state, start) = parse_stat(&text)?;
        (state != 'Z' && state != 'X').then_some(Self { pid, start })
    }

    /// Reads a pid file. `None` when it is missing or unreadable.
    pub fn from_file(path: &Path) -> Option<Self> {
        fs::read_to_string(path).ok()?.parse().ok()
    }

    /// Whether exactly this process still runs (zombies count as gone).
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Sends a signal to exactly this process. Returns `false` when it is gone already.
    ///
    /// The pidfd is opened before the identity is checked, so there is no moment at which the
    /// signal could reach a successor with the same number.
    pub fn signal(&self, signal: nix::sys::signal::Signal) -> io::Result<bool> {
        let Some(fd) = pidfd_open(self.pid)? else {
            return Ok(false);
        };
        if !self.is_alive() {
            return Ok(false);
        }
        // SAFETY: pidfd_send_signal takes an fd, a number, a null siginfo and zero flags.
        let rc = unsafe {
            libc::syscall(
                libc::SYS_pidfd_send_signal,
                fd.as_raw_fd(),
                signal as libc::c_int,
                std::ptr::null::<libc::siginfo_t>(),
                0,
            )
        };
        match rc {
            0 => Ok(true),
            _ => match io::Error::last_os_error() {
                e if e.raw_os_error() == Some(libc::ESRCH) => Ok(false),
                e => Err(e),
            },
        }
    }

    /// Waits until this process is gone; `false` when it still runs after `limit`.
    pub fn wait_gone(&self, limit: Duration) -> io::Result<bool> {
        let deadline = Instant::now() + limit;
        let Some(fd) = pidfd_open(self.pid)? else {
            return Ok(true);
        };
        loop {
            if !self.is_alive() {
                return Ok(true);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            let slice = PollTimeout::try_from(left.min(Duration::from_millis(200)))
                .unwrap_or(PollTimeout::ZERO);
            let mut fds = [PollFd::new(fd.as_fd(), PollFlags::POLLIN)];
            match nix::poll::poll(&mut fds, slice) {
                Ok(_) | Err(nix::errno::Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }
}

impl std::fmt::Display for ProcessId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.pid, self.start)
    }
}

impl FromStr for ProcessId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut words = text.split_whitespace();
        let pid = words.next().ok_or(())?.parse().map_err(|_| ())?;
        let start = words.next().ok_or(())?.parse().map_err(|_| ())?;
        (pid > 0).then_some(Self { pid, start }).ok_or(())
    }
}

/// State letter and start time from the text of `/proc/PID/stat`. The command name may hold
/// spaces and parentheses, so everything up to the last `)` is skipped (proc(5)).
fn parse_stat(text: &str) -> Option<(char, u64)> {
    let rest = &text[text.rfind(')')? + 1..];
    let mut fields = rest.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let start = fields.nth(18)?.parse().ok()?;
    Some((state, start))
}

fn pidfd_open(pid: i32) -> io::Result<Option<OwnedFd>> {
    // SAFETY: pidfd_open takes two numbers and returns a new fd or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    if fd >= 0 {
        // SAFETY: the fd was just made and nobody else owns it.
        return Ok(Some(unsafe { OwnedFd::from_raw_fd(fd as i32) }));
    }
    match io::Error::last_os_error() {
        e if e.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        e => Err(e),
    }
}

/// All pids that a proc file system shows.
pub(crate) fn all_pids(proc_root: &Path) -> Vec<i32> {
    let Ok(dir) = fs::read_dir(proc_root) else {
        return Vec::new();
    };
    dir.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

/// The pids of a process in its nested pid namespaces, outermost first (`NSpid` of
/// `/proc/PID/status`).
pub(crate) fn nested_pids(proc_root: &Path, pid: i32) -> Option<Vec<i32>> {
    let text = fs::read_to_string(proc_root.join(format!("{pid}/status"))).ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("NSpid:"))?;
    line.split_whitespace().map(|w| w.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_name_with_spaces_and_parentheses_does_not_confuse_the_start_time() {
        let text = "42 (a) b) c) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 20 21";
        assert_eq!(parse_stat(text), Some(('S', 777)));
    }

    #[test]
    fn a_process_with_another_start_time_is_never_signalled() {
        let me = ProcessId::of(std::process::id() as i32).unwrap();
        let stranger = ProcessId {
            start: me.start + 1,
            ..me
        };
        assert!(me.is_alive());
        assert!(!stranger.is_alive());
        assert!(!stranger.signal(nix::sys::signal::Signal::SIGKILL).unwrap());
    }

    #[test]
    fn the_text_form_round_trips_and_nonsense_is_refused() {
        let id = ProcessId {
            pid: 12,
            start: 345,
        };
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "12", "x 3", "-1 3", "0 9"] {
            assert!(bad.parse::<ProcessId>().is_err(), "{bad:?}");
        }
    }
}
