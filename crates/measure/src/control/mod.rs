//! A probe as a process of its own: JSON lines over standard input and output, or a unix socket.
//!
//! Another process starts `measure`'s loop in the peer's network namespace and talks to it:
//!
//! ```text
//! → {"id":1,"do":"start","config":{"targets":[{"name":"shop-1","address":"10.77.0.11"}]}}
//! ← {"id":1,"ok":null}
//! → {"id":2,"do":"mark","name":"m-0001 begin"}
//! ← {"id":2,"ok":{"name":"m-0001 begin","at_ns":81234567890,"unix_ns":1763780000000000000}}
//! → {"id":3,"do":"collect","targets":[{"name":"shop-1","address":"10.77.0.11"}]}
//! → {"id":4,"do":"stop","path":"/tmp/recording.json"}
//! ← {"id":3,"error":"'shop-1' does not answer HTTP at 10.77.0.11:80: …"}
//! ← {"id":4,"ok":null}
//! ```
//!
//! Every request gets exactly one answer with its id; answers to requests that take time may come
//! after answers to later ones. When the input ends, the probe ends: nothing outlives its owner.
//!
//! [`serve`] is the probe's side, [`Client`] the other one.

mod client;
mod server;

pub use client::{Client, ControlError};
pub use server::{serve, serve_socket, serve_stdio};

use crate::analysis::Window;
use crate::guest::{Dirty, DiskCheck, Stats};
use crate::probe::{Config, Target};
use serde::{Deserialize, Serialize};

/// What a guest found on its disk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckedDisk {
    /// The VM.
    pub name: String,
    /// What it found.
    pub check: Option<DiskCheck>,
    /// Why there is none.
    pub error: Option<String>,
}

/// What the probe's process is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Returned in the answer.
    pub id: u64,
    /// What to do.
    #[serde(flatten)]
    pub command: Command,
}

/// What to do. The comments name what `ok` holds in the answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Command {
    /// Let guests read back what they acknowledged to have written. A list of [`CheckedDisk`].
    CheckDisks {
        /// The VMs.
        targets: Vec<Target>,
    },
    /// Start a probe; refused while one runs. `null`.
    Start {
        /// Its configuration.
        config: Config,
    },
    /// Name this moment. A [`crate::recording::Mark`].
    Mark {
        /// The name.
        name: String,
    },
    /// How does it stand? A [`crate::probe::Status`].
    Status,
    /// Figures of what was seen so far. A list of lists of [`crate::analysis::VmFigures`], one for each window.
    Figures {
        /// The windows.
        windows: Vec<Window>,
    },
    /// What was seen so far. The [`crate::recording::Recording`], or `null` with a path.
    Snapshot {
        /// File to write it to.
        #[serde(default)]
        path: Option<String>,
    },
    /// Stop the probe and say what it saw. As `snapshot`.
    Stop {
        /// File to write it to.
        #[serde(default)]
        path: Option<String>,
    },
    /// Wait until every VM answers, without starting a probe. A list of
    /// [`crate::probe::FirstAnswer`], in the same order.
    Await {
        /// The VMs.
        targets: Vec<Target>,
        /// Longest wait, ms.
        timeout_ms: u64,
    },
    /// Ask guests for their accounts. A list of [`Collected`], in the same order.
    Collect {
        /// The guests.
        targets: Vec<Target>,
    },
    /// Let guests begin a new account. `null` when all have.
    Reset {
        /// The guests.
        targets: Vec<Target>,
    },
    /// Set guests' memory dirtiers. `null` when all have.
    Dirty {
        /// The guests.
        targets: Vec<Target>,
        /// The settings.
        #[serde(flatten)]
        dirty: Dirty,
    },
    /// End the process. `null`.
    Quit,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// The request's id; 0 when the request could not be read.
    pub id: u64,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// The outcome of a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done; [`Command`] says what this holds.
    Ok(serde_json::Value),
    /// Refused or failed, in one sentence.
    Error(String),
}

/// A guest's account, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Collected {
    /// The guest.
    pub name: String,
    /// Its account.
    pub stats: Option<Stats>,
    /// Why there is none.
    pub error: Option<String>,
}
