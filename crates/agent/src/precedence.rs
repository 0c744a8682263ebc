//! Who gets the CPU first.
//!
//! On a busy host a switchover is as long as QEMU waits for a CPU: at the source for its last passes,
//! at the target for the load and for the guest's first steps, which answer all that has waited. QEMU
//! therefore goes before every ordinary process (sched(7), `SCHED_RR`), and what its main loop starts,
//! the migration among it, does too; guests do not. At a target the guest's own threads go first as
//! well, until it has run for [`FIRST_STEPS`]. It takes `CAP_SYS_NICE` or an agent that is real-time
//! itself; without, the switchover is what the host's load makes of it.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// Below the switch and the agents, which run at 2 where they have precedence.
const PRIORITY: libc::c_int = 1;

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
}
