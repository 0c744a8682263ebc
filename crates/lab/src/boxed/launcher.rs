//! The thread that starts the warden's children.
//!
//! What goes before everything else in the lab inherits that from whoever starts it, since nobody in
//! the box may grant it. The warden itself must be an ordinary process: it reaps, and a reaper
//! waits in the kernel, spinning, for the last threads of what it reaps. One that goes before those
//! threads keeps them from the CPU and never ends.

use super::children::{self, Stdio3};
use super::wire::Program;
use std::io;
use std::sync::mpsc::{Receiver, Sender, channel};

/// A hand to the thread.
pub(crate) struct Launcher {
    jobs: Sender<(Program, Stdio3)>,
    pids: Receiver<io::Result<i32>>,
}

impl Launcher {
    /// Starts the thread, with this one's scheduling and blocked signals, and makes this one ordinary.
    pub(crate) fn start() -> io::Result<Self> {
        let (jobs, todo) = channel::<(Program, Stdio3)>();
        let (done, pids) = channel();
        std::thread::Builder::new()
            .name("launcher".to_owned())
            .spawn(move || {
                for (program, stdio) in todo {
                    if done.send(children::start(&program, stdio)).is_err() {
                        return;
                    }
                }
            })?;
        children::schedule(libc::SCHED_OTHER, 0);
        Ok(Self { jobs, pids })
    }

    /// Starts a program; this thread waits meanwhile. The caller reaps it by pid.
    pub(crate) fn launch(&self, program: Program, stdio: Stdio3) -> io::Result<i32> {
        let gone = || io::Error::other("the lab's launcher has died: take the lab down");
        self.jobs.send((program, stdio)).map_err(|_| gone())?;
        self.pids.recv().map_err(|_| gone())?
    }
}
