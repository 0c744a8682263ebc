//! Why a part of the lab did not come up.

use crate::boxed::{BoxError, End};
use crate::disk::DiskError;
use crate::folder::FolderError;
use crate::shop::NoGuest;
use crate::testbed::LabError;
use std::io;
use std::path::PathBuf;

/// Why a part of the lab did not come up.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// Box, network, WAN, folder.
    #[error(transparent)]
    Lab(#[from] LabError),
    /// There is nothing to boot.
    #[error(transparent)]
    Guest(#[from] NoGuest),
    /// An image for the VMs' disks.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The plan of the network.
    #[error(transparent)]
    Plan(#[from] crate::net::PlanError),
    /// Other LISP sites are reached in the open.
    #[error(
        "the lab has LISP routers in the open only: use --underlay none with --plane lisp-gpe, lisp or lisp-solicited"
    )]
    LispInside,
    /// A process ended that should run.
    #[error("{name} ended with {end}: {said}")]
    Ended {
        /// Its name in the lab.
        name: String,
        /// How it ended.
        end: End,
        /// The last lines of its log.
        said: String,
    },
    /// Something took too long.
    #[error("{what} after {seconds} s: {said}")]
    Slow {
        /// What did not happen.
        what: String,
        /// How long was waited.
        seconds: u64,
        /// The last lines of the log that may tell why.
        said: String,
    },
    /// The controller refused, or does not answer.
    #[error(transparent)]
    Api(#[from] api::client::Error),
    /// The probe.
    #[error(transparent)]
    Probe(#[from] measure::control::ControlError),
    /// A file of a part.
    #[error("cannot write {path}: check the permissions and the space there")]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A configuration that cannot be written down.
    #[error("the {0}'s configuration cannot be written")]
    Config(&'static str, #[source] toml::ser::Error),
    /// What a process of ours said makes no sense.
    #[error("the measurement of {what} gave no figures: {said}")]
    Garbled {
        /// What was measured.
        what: &'static str,
        /// What it said.
        said: String,
    },
    /// A name that is none.
    #[error(transparent)]
    Name(#[from] model::name::InvalidName),
    /// The user ended it.
    #[error("interrupted; everything that was started is gone again")]
    Interrupted,
}

impl From<BoxError> for PartError {
    fn from(error: BoxError) -> Self {
        Self::Lab(error.into())
    }
}

impl From<FolderError> for PartError {
    fn from(error: FolderError) -> Self {
        Self::Lab(error.into())
    }
}
