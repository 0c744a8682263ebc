//! A whole lab: preflight, folder, box, network and WAN in one call, and its end in another.
//!
//! What runs at the sites (controller, agents, VMs) is started through [`Testbed::boxed`] by
//! others.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::boxed::{self, BoxError, BoxHandle, BoxSpec};
use crate::folder::{Folder, FolderError, FolderState};
use crate::net::{self, Plan, PlanError};
use crate::preflight::{self, Needs, PreflightError};
use crate::wan::{self, Shaping, WanConfig, WanError};

/// The state file of a lab.
pub const STATE_FILE: &str = "lab.json";

/// How long processes have to end by themselves when a lab goes down.
pub const GRACE: Duration = Duration::from_millis(1500);

/// What a lab is made of.
#[derive(Debug, Clone)]
pub struct Options<'a> {
    /// The lab folder; see [`Folder::locate`].
    pub folder: Option<&'a Path>,
    /// The network.
    pub plan: Plan,
    /// What every access of the WAN does at first.
    pub shaping: Shaping,
    /// What the WAN's losses and jitter follow from.
    pub seed: u64,
    /// What the host must have.
    pub needs: Needs<'a>,
    /// The binary for the hidden subcommands; the running one when `None`.
    pub exe: Option<PathBuf>,
}

impl Default for Options<'_> {
    fn default() -> Self {
        Self {
            folder: None,
            plan: Plan::default(),
            shaping: Shaping::default(),
            seed: 1,
            needs: Needs::default(),
            exe: None,
        }
    }
}

/// How far a lab has come up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// `lab up` works on it, or was interrupted.
    Starting,
    /// Box, network and WAN stand.
    Standing,
}

/// What `lab.json` holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LabState {
    /// Version of this layout: 1.
    pub schema: u32,
    /// How far it is.
    pub stage: Stage,
    /// The network.
    pub plan: Plan,
    /// Seed of the WAN.
    pub seed: u64,
}

/// What can go wrong with a whole lab.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Something the host lacks. More may be lacking: [`preflight::check`] tells all.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The folder.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The box, or a program in it.
    #[error(transparent)]
    Box(#[from] BoxError),
    /// The WAN relay.
    #[error(transparent)]
    Wan(#[from] WanError),
}

/// A standing lab.
#[derive(Debug, Clone)]
pub struct Testbed {
    handle: BoxHandle,
    state: LabState,
}

impl Testbed {
    /// Brings a lab up. When anything fails, what was made is gone again; when the caller is
    /// killed, [`down`] clears the rest.
    pub fn up(options: &Options<'_>) -> Result<Self, LabError> {
        let folder = Folder::locate(options.folder)?;
        match folder.state()? {
            FolderState::Absent => {}
            // The folder's own words on it.
            _ => folder.create()?,
        }
        let lacking = preflight::check(&folder, &options.needs, options.exe.as_deref());
        if let Some(first) = lacking.into_iter().next() {
            return Err(first.into());
        }
        folder.create()?;
        let made = Self::furnish(&folder, options);
        if made.is_err() {
            // The first error is the one to tell.
            let _ = clear(&folder, Duration::ZERO);
        }
        made
    }

    fn furnish(folder: &Folder, options: &Options<'_>) -> Result<Self, LabError> {
        let _lock = folder.lock()?;
        let plan = options.plan.clone();
        let seed = options.seed;
        let mut state = LabState {
            schema: 1,
            stage: Stage::Starting,
            plan,
            seed,
        };
        folder.write_json(STATE_FILE, &state)?;
        boxed::enter(&BoxSpec {
            folder: folder.clone(),
            exe: options.exe.clone(),
        })?;
        let handle = BoxHandle::open(folder)?;
        net::up(&handle, &state.plan)?;
        let shaping = options.shaping;
        wan::start(
            &handle,
            &WanConfig {
                plan: state.plan.clone(),
                shaping,
                seed,
            },
        )?;
        state.stage = Stage::Standing;
        folder.write_json(STATE_FILE, &state)?;
        Ok(Self { handle, state })
    }

    /// Finds a standing lab.
    pub fn open(folder: Option<&Path>) -> Result<Self, LabError> {
        let folder = Folder::locate(folder)?;
        let handle = BoxHandle::open(&folder)?;
        match folder.read_json::<LabState>(STATE_FILE)? {
            Some(state) if state.stage == Stage::Standing => Ok(Self { handle, state }),
            _ => Err(FolderError::Remains(folder.path().to_owned()).into()),
        }
    }

    /// The box.
    pub fn boxed(&self) -> &BoxHandle {
        &self.handle
    }

    /// The lab folder.
    pub fn folder(&self) -> &Folder {
        self.handle.folder()
    }

    /// The network.
    pub fn plan(&self) -> &Plan {
        &self.state.plan
    }

    /// A connection to the WAN relay.
    pub fn wan(&self) -> Result<wan::Client, LabError> {
        Ok(wan::Client::connect(&self.folder().wan_socket())?)
    }
}

/// What [`down`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WasThere {
    /// A lab, or what was left of one; it is gone now.
    Yes,
    /// Nothing.
    No,
}

/// Ends a lab, whatever state it is in, and removes its folder. Fine when there is none.
pub fn down(folder: Option<&Path>) -> Result<WasThere, LabError> {
    let folder = Folder::locate(folder)?;
    clear(&folder, GRACE)
}

fn clear(folder: &Folder, grace: Duration) -> Result<WasThere, LabError> {
    if folder.state()? == FolderState::Foreign {
        return Err(FolderError::Foreign(folder.path().to_owned()).into());
    }
    let there = folder.path().exists();
    let _lock = match there {
        true => Some(folder.lock()?),
        false => None,
    };
    boxed::take_down(folder, grace)?;
    folder.remove()?;
    Ok(if there { WasThere::Yes } else { WasThere::No })
}
