//! The box: user, network, mount, pid, uts and ipc namespaces of the lab's own.
//!
//! Everything a lab runs is a descendant of the box's first process, the *warden*, and every
//! network namespace, link and mount it makes exists only inside. When the warden is gone,
//! however that came, all of it is gone; on the host remains the lab folder alone. No root is
//! needed: the caller becomes root inside.
//!
//! - [`enter`] makes a box, [`BoxHandle`] talks to it, [`take_down`] ends it from any state.
//! - `enter` and `warden` are the two sides of our own binary's hidden subcommand; `children`
//!   starts programs in namespaces; `wire` is what travels over the control socket.
//!
//! Not here: what runs in the box ([`crate::net`], [`crate::wan`], and the sites' daemons).

mod children;
mod client;
mod down;
mod enter;
mod launcher;
mod warden;
mod wire;

use std::io;
use std::path::PathBuf;

pub(crate) use children::{netns_path, search_path};
pub use client::{BoxHandle, Output};
pub use down::take_down;
pub use enter::{BoxSpec, enter, probe};
pub(crate) use enter::{OUTER_COMMAND, PROBE_COMMAND, outer_main, probe_main};
pub use wire::{BoxStatus, End, ProcessStatus, Program};

/// As the first word of [`Program::argv`]: our own binary, also after the file on disk was
/// replaced, so all of one lab runs one version.
pub const SELF_EXE: &str = "/proc/self/exe";

/// What our own processes are called in listings.
const OWN_NAME: &str = "transhume";

/// What can go wrong with the box.
#[derive(Debug, thiserror::Error)]
pub enum BoxError {
    /// The lab folder.
    #[error(transparent)]
    Folder(#[from] crate::folder::FolderError),
    /// The log of the box could not be opened.
    #[error("cannot write {path}: check the permissions and the space there")]
    Log {
        /// The log file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Our own binary could not be started again.
    #[error("cannot start our own binary again: check that it can still be read and executed")]
    Start(#[source] io::Error),
    /// The host does not let us.
    #[error("the lab cannot have namespaces of its own ({what}): {advice}")]
    Refused {
        /// The step and the system's word on it.
        what: String,
        /// The way out, as far as the host tells.
        advice: &'static str,
    },
    /// It ended without a word.
    #[error("the lab's first process ended at once ({outer}): see log/box.log in the lab folder")]
    Lost {
        /// How it ended.
        outer: String,
    },
    /// Nobody answers on the control socket.
    #[error("the lab does not answer at {socket}: clear it with `transhume lab down`")]
    Unreachable {
        /// The control socket.
        socket: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// The conversation broke.
    #[error("the lab's first process broke off: clear the lab with `transhume lab down`")]
    Talk(#[source] io::Error),
    /// The warden refused.
    #[error("{0}")]
    Warden(String),
    /// A program in the box failed.
    #[error("`{argv}` failed in the lab with {end}: {said}")]
    Failed {
        /// The program.
        argv: String,
        /// How it ended.
        end: End,
        /// What it said.
        said: String,
    },
    /// Something of the lab would not end.
    #[error(
        "process {pid} of the lab does not end: try `kill -9 {pid}`, then `transhume lab down` again"
    )]
    Stuck {
        /// Its pid.
        pid: i32,
    },
    /// A process could not be signalled or watched.
    #[error(
        "cannot end process {pid} of the lab: run `transhume lab down` as the user who started it"
    )]
    Kill {
        /// Its pid.
        pid: i32,
        /// The cause.
        #[source]
        source: io::Error,
    },
}
