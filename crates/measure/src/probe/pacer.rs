//! The thread that sends UDP packets at exact times.
//!
//! It sleeps to absolute moments (clock_nanosleep(2), `TIMER_ABSTIME`), so that lateness does not
//! add up. When it wakes late by whole intervals it does not make up for them in a burst: the
//! packets that were due are counted as skipped, and the moment is written down.

use super::Shared;
use super::log::{Log, lock};
use crate::clock::now_ns;
use crate::recording::Late;
use crate::wire::Record;
use nix::errno::Errno;
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, ClockNanosleepFlags, clock_nanosleep};
use std::net::UdpSocket;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

/// As the lab's switches; a VM in its switchover runs one below.
const PRIORITY: i32 = 2;

/// The shortest slice that the kernel grants, ns.
const SLICE_NS: u64 = 100_000;

/// Lateness that is written down, ns.
const LATE_NS: i64 = 1_000_000;

pub(super) fn run(shared: &Shared, sockets: &[UdpSocket]) {
    shared.realtime.store(ask_for_priority(), Ordering::Relaxed);
    let interval = shared.config.udp_interval_ns();
    let mut due = super::next_tick(now_ns(), interval);
    while shared.sending.load(Ordering::Acquire) {
        sleep_until(due);
        let late_ns = now_ns() - due;
        if late_ns >= LATE_NS {
            let due_ns = due;
            lock(&shared.late).note(Late { due_ns, late_ns });
        }
        for (socket, log) in sockets.iter().zip(&shared.logs) {
            send(socket, log);
        }
        due += interval;
        let missed = (now_ns() - due).max(0) / interval;
        if missed > 0 {
            due += missed * interval;
            for log in &shared.logs {
                lock(log).skipped += missed.unsigned_abs();
            }
        }
    }
}

fn send(socket: &UdpSocket, log: &Mutex<Log>) {
    let sent_ns = now_ns();
    // Noted before it leaves: its reply can be read before send returns.
    let seq = lock(log).send(sent_ns);
    let record = Record {
        seq,
        sent_ns,
        guest: 0,
    };
    let bytes = record.encode();
    // A connected socket reports an ICMP error for an earlier packet in place of sending this
    // one (udp(7)), so a first refusal is tried again.
    if socket.send(&bytes).is_err() && socket.send(&bytes).is_err() {
        lock(log).unsend();
    }
}

fn sleep_until(at_ns: i64) {
    let at = TimeSpec::new(at_ns / 1_000_000_000, at_ns % 1_000_000_000);
    let flags = ClockNanosleepFlags::TIMER_ABSTIME;
    // A signal ends the sleep early; the moment stands, so it is simply slept again.
    while clock_nanosleep(ClockId::CLOCK_MONOTONIC, flags, &at) == Err(Errno::EINTR) {}
}

/// A low real-time priority for this thread, so that busy VMs on the same CPUs do not delay its
/// microseconds of work; true when it was granted (sched(7)).
///
/// Without the right to it, as inside a user namespace, a short slice, which needs no right: the
/// scheduler (Linux 6.12 and later) then picks this thread soon after it wakes. On two CPUs with
/// four busy loops that left a quarter of the skipped packets.
fn ask_for_priority() -> bool {
    let param = libc::sched_param {
        sched_priority: PRIORITY,
    };
    // SAFETY: the pointer is to a live `sched_param`, which the call only reads; 0 is this thread.
    if unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &param) } == 0 {
        return true;
    }
    let slice = libc::sched_attr {
        size: std::mem::size_of::<libc::sched_attr>() as u32,
        sched_policy: libc::SCHED_OTHER as u32,
        sched_flags: 0,
        sched_nice: 0,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the pointer is to a live `sched_attr` of the size it names, which the call only
    // reads; 0 is this thread, 0 are no flags (sched_setattr(2)).
    unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const slice, 0) };
    false
}
