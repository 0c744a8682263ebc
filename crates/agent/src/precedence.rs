//! Who gets the CPU first.
//!
//! On a busy host a switchover is as long as QEMU waits for a CPU: at the source for its last passes,
//! at the target for the load and for the guest's first steps, which answer all that has waited. QEMU
//! therefore goes before every ordinary process (sched(7), `SCHED_RR`), and what its main loop starts,
//! the migration among it, does too; guests do not. At a target the guest's own threads go first as
//! well, until it has run for [`FIRST_STEPS`]. It takes `CAP_SYS_NICE` or an agent that is real-time
//! itself; without, the switchover is what the host's load makes of it.

use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::thread::JoinHandle;
use std::time::Duration;

/// Below the switch and the agents, which run at 2 where they have precedence.
const PRIORITY: libc::c_int = 1;

const REAPER: &str = "reaper";

/// A resumed VM has answered what waited for it after this.
pub(crate) const FIRST_STEPS: Duration = Duration::from_millis(100);

/// Lets a child run under the ordinary scheduler, whatever the agent itself was given: an agent and
/// its switch that go before everything else must not take the guests along.
pub(crate) fn ordinary(command: &mut Command) {
    // SAFETY: one system call with a structure on the stack, between fork and exec.
    unsafe {
        command.pre_exec(|| {
            schedule(0, libc::SCHED_OTHER, 0);
            Ok(())
        });
    }
}

/// Lets a child go before every ordinary process.
pub(crate) fn early(command: &mut Command) {
    // SAFETY: one system call with a structure on the stack, between fork and exec.
    unsafe {
        command.pre_exec(|| {
            schedule(0, libc::SCHED_RR, PRIORITY);
            Ok(())
        });
    }
}

/// Reaps a child when it has ended. An ordinary thread does: a reaper waits in the kernel, spinning,
/// for the child's last threads, and one that goes before them keeps them from the CPU and never ends.
pub(crate) fn reap(mut child: Child) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new()
        .name(REAPER.to_owned())
        .spawn(move || {
            be_ordinary();
            let _ = child.wait();
        })
}

/// This thread is an ordinary one from now on.
pub(crate) fn be_ordinary() {
    schedule(0, libc::SCHED_OTHER, 0);
}

/// These threads are ordinary ones from now on.
pub(crate) fn usual(threads: &[i32]) {
    for thread in threads {
        schedule(*thread, libc::SCHED_OTHER, 0);
    }
}

fn schedule(thread: i32, policy: libc::c_int, priority: libc::c_int) -> bool {
    // SAFETY: all-zero is a valid value, and the structure lives across the call.
    unsafe {
        let mut parameters: libc::sched_param = std::mem::zeroed();
        parameters.sched_priority = priority;
        libc::sched_setscheduler(thread, policy, &raw const parameters) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(pid: i32) -> libc::c_int {
        // SAFETY: one system call without a pointer.
        unsafe { libc::sched_getscheduler(pid) }
    }

    #[test]
    fn a_child_goes_first_where_that_may_be_and_is_an_ordinary_one_when_told() {
        let mut command = Command::new("sleep");
        early(command.arg("60"));
        let mut child = command.spawn().unwrap();
        let pid = child.id() as i32;
        let granted = schedule(0, libc::SCHED_RR, PRIORITY);
        schedule(0, libc::SCHED_OTHER, 0);
        assert_eq!(policy(pid) == libc::SCHED_RR, granted);
        usual(&[pid]);
        assert_eq!(policy(pid), libc::SCHED_OTHER);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    #[test]
    fn a_child_is_reaped_by_an_ordinary_thread_whatever_its_parent_is() {
        let child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id() as i32;
        schedule(0, libc::SCHED_RR, PRIORITY);
        let reaper = reap(child).unwrap();
        schedule(0, libc::SCHED_OTHER, 0);
        let reapers = || {
            let threads = std::fs::read_dir("/proc/self/task").unwrap().flatten();
            threads
                .filter(|thread| {
                    let name = std::fs::read_to_string(thread.path().join("comm"));
                    name.is_ok_and(|name| name.trim() == REAPER)
                })
                .map(|thread| thread.file_name().to_str().unwrap().parse().unwrap())
                .collect::<Vec<i32>>()
        };
        let begun = std::time::Instant::now();
        while reapers().is_empty()
            || reapers()
                .into_iter()
                .any(|t| policy(t) != libc::SCHED_OTHER)
        {
            assert!(begun.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
        usual(&[pid]);
        nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(pid),
            nix::sys::signal::Signal::SIGKILL,
        )
        .unwrap();
        reaper.join().unwrap();
    }
}
