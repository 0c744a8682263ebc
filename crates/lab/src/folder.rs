//! The lab folder: sockets, logs, pid files and the state of one lab.
//!
//! Here: where it is, whether it may be used, its lock, and its removal. Only a folder that carries
//! our marker (or is empty) is ever removed. Not here: what the files in it mean to others.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};
use serde::{Serialize, de::DeserializeOwned};

use crate::process::ProcessId;

/// The environment variable that names the lab folder.
pub const FOLDER_VARIABLE: &str = "TRANSHUME_LAB";

/// Longest path of a lab folder in bytes. A unix socket path may hold 107 bytes (unix(7)); the
/// rest is for the names below the folder, such as `sites/office/ovs/icbr0.mgmt`.
pub const LONGEST_FOLDER: usize = 107 - LONGEST_SOCKET_NAME;

/// Longest path of a socket relative to the lab folder that callers may use.
pub const LONGEST_SOCKET_NAME: usize = 40;

const LOCK_PATIENCE: Duration = Duration::from_secs(3);

const MARKER: &str = ".transhume-lab";

/// What can be wrong with a lab folder.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Neither the variable nor a home directory is set.
    #[error("there is no place for the lab: set {FOLDER_VARIABLE} to a folder, or set HOME")]
    NoPlace,
    /// Unix socket paths below it would not fit.
    #[error(
        "the lab folder {path} is {length} bytes long, and unix sockets below it need it to have at most {LONGEST_FOLDER}: set {FOLDER_VARIABLE} to a shorter path"
    )]
    TooLong {
        /// The folder.
        path: PathBuf,
        /// Its length in bytes.
        length: usize,
    },
    /// It holds something that is not ours.
    #[error(
        "{0} exists and is not a lab of ours: set {FOLDER_VARIABLE} to a folder that does not exist yet"
    )]
    Foreign(PathBuf),
    /// A lab stands there.
    #[error("a lab already exists in {0}: end it with `transhume lab down` first")]
    Exists(PathBuf),
    /// A lab was there and did not end properly.
    #[error(
        "{0} holds the remains of a lab that did not end properly: clear them with `transhume lab down` first"
    )]
    Remains(PathBuf),
    /// No lab stands there.
    #[error("there is no lab in {0}: start one with `transhume lab up`")]
    Absent(PathBuf),
    /// Another command works on it.
    #[error("another `transhume lab` command works on {0} right now: wait for it to end")]
    Busy(PathBuf),
    /// A file in it could not be read or written.
    #[error("cannot {doing} {path}: check the permissions and the space there")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A state file does not hold what we wrote.
    #[error("{path} is damaged: clear the lab with `transhume lab down`")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// What stands in a lab folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FolderState {
    /// No folder, or an empty one.
    Absent,
    /// Something that is not ours.
    Foreign,
    /// A lab whose first process does not run.
    Remains,
    /// A lab whose first process runs.
    Alive(ProcessId),
}

/// The folder of one lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
    ours_to_prune: bool,
}

impl Folder {
    /// Finds the lab folder: `explicit`, else `$TRANSHUME_LAB`, else
    /// `$XDG_STATE_HOME/transhume/lab` (`~/.local/state` when that is unset).
    pub fn locate(explicit: Option<&Path>) -> Result<Self, FolderError> {
        let set = |name: &str| std::env::var_os(name).filter(|v| !v.is_empty());
        let (path, ours_to_prune) = if let Some(path) = explicit {
            (path.to_owned(), false)
        } else if let Some(path) = set(FOLDER_VARIABLE) {
            (PathBuf::from(path), false)
        } else {
            let state = set("XDG_STATE_HOME")
                .map(PathBuf::from)
                .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".local/state")))
                .ok_or(FolderError::NoPlace)?;
            (state.join("transhume/lab"), true)
        };
        let path = std::path::absolute(&path).map_err(|source| FolderError::Io {
            doing: "resolve",
            path: path.clone(),
            source,
        })?;
        let length = path.as_os_str().len();
        if length > LONGEST_FOLDER {
            return Err(FolderError::TooLong { path, length });
        }
        Ok(Self {
            path,
            ours_to_prune,
        })
    }

    /// The folder itself, absolute.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A path below the folder.
    pub fn join(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.path.join(relative)
    }

    /// The control socket of the box.
    pub fn warden_socket(&self) -> PathBuf {
        self.join("box.sock")
    }

    /// The pid file of the first process of the box (pid as seen outside, and start time).
    pub fn warden_pid_file(&self) -> PathBuf {
        self.join("box.pid")
    }

    /// The control socket of the WAN relay.
    pub fn wan_socket(&self) -> PathBuf {
        self.join("wan.sock")
    }

    /// The log file of a process of the lab.
    pub fn log(&self, process: &str) -> PathBuf {
        self.join(format!("log/{process}.log"))
    }

    /// The pid file of a supervised process (pid as seen outside, and start time).
    pub fn pid_file(&self, process: &str) -> PathBuf {
        self.join(format!("run/{process}.pid"))
    }

    /// Looks at what stands there.
    pub fn state(&self) -> Result<FolderState, FolderError> {
        let mut entries = match fs::read_dir(&self.path) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(FolderState::Absent),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Ok(FolderState::Foreign),
            Err(source) => return Err(self.io("read", &self.path, source)),
        };
        if entries.next().is_none() {
            return Ok(FolderState::Absent);
        }
        if !self.join(MARKER).exists() {
            return Ok(FolderState::Foreign);
        }
        Ok(match self.warden() {
            Some(warden) if warden.is_alive() => FolderState::Alive(warden),
            _ => FolderState::Remains,
        })
    }

    /// The recorded first process of the box, alive or not.
    pub fn warden(&self) -> Option<ProcessId> {
        ProcessId::from_file(&self.warden_pid_file())
    }

    /// Makes the folder for a new lab, readable by its owner alone.
    pub fn create(&self) -> Result<(), FolderError> {
        match self.state()? {
            FolderState::Absent => {}
            FolderState::Foreign => return Err(FolderError::Foreign(self.path.clone())),
            FolderState::Remains => return Err(FolderError::Remains(self.path.clone())),
            FolderState::Alive(_) => return Err(FolderError::Exists(self.path.clone())),
        }
        if let Some(parent) = self.path.parent() {
            fs::create_dir_all(parent).map_err(|e| self.io("make", parent, e))?;
        }
        match fs::DirBuilder::new().mode(0o700).create(&self.path) {
            Ok(()) => {}
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                fs::set_permissions(&self.path, fs::Permissions::from_mode(0o700))
                    .map_err(|e| self.io("protect", &self.path, e))?;
            }
            Err(e) => return Err(self.io("make", &self.path, e)),
        }
        let marker = self.join(MARKER);
        match fs::File::create_new(&marker) {
            Ok(_) => {}
            // Two commands saw the same empty folder; the other one was first.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                return Err(FolderError::Exists(self.path.clone()));
            }
            Err(e) => return Err(self.io("make", &marker, e)),
        }
        for below in ["log", "run"] {
            let below = self.join(below);
            fs::create_dir(&below).map_err(|e| self.io("make", &below, e))?;
        }
        Ok(())
    }

    /// Takes the lock that keeps two commands from changing one lab at the same time. It is
    /// released when the guard is dropped or its holder dies.
    ///
    /// Waits up to three seconds: a child of a command that was killed may hold the lock for the
    /// moment between its fork and its exec.
    pub fn lock(&self) -> Result<FolderLock, FolderError> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        let mut dir = fs::File::open(&self.path).map_err(|e| self.io("open", &self.path, e))?;
        loop {
            dir = match Flock::lock(dir, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(FolderLock(lock)),
                Err((dir, nix::errno::Errno::EWOULDBLOCK)) if Instant::now() < deadline => dir,
                Err((_, nix::errno::Errno::EWOULDBLOCK)) => {
                    return Err(FolderError::Busy(self.path.clone()));
                }
                Err((_, e)) => return Err(self.io("lock", &self.path, e.into())),
            };
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Removes the folder and everything in it. A missing one is fine, a foreign one is refused.
    pub fn remove(&self) -> Result<(), FolderError> {
        match fs::symlink_metadata(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(self.io("read", &self.path, e)),
            Ok(_) => {}
        }
        match self.state()? {
            FolderState::Foreign => return Err(FolderError::Foreign(self.path.clone())),
            FolderState::Alive(_) => return Err(FolderError::Exists(self.path.clone())),
            FolderState::Absent | FolderState::Remains => {}
        }
        // The marker goes last, so that an interrupted removal can be repeated.
        let entries = fs::read_dir(&self.path).map_err(|e| self.io("read", &self.path, e))?;
        for entry in entries {
            let entry = entry.map_err(|e| self.io("read", &self.path, e))?;
            if entry.file_name() == MARKER {
                continue;
            }
            let path = entry.path();
            let is_dir = entry.file_type().map(|t| t.is_dir()).unwrap_or(false);
            let done = if is_dir {
                fs::remove_dir_all(&path)
            } else {
                fs::remove_file(&path)
            };
            ignore_missing(done).map_err(|e| self.io("remove", &path, e))?;
        }
        let marker = self.join(MARKER);
        ignore_missing(fs::remove_file(&marker)).map_err(|e| self.io("remove", &marker, e))?;
        ignore_missing(fs::remove_dir(&self.path)).map_err(|e| self.io("remove", &self.path, e))?;
        if self.ours_to_prune
            && let Some(parent) = self.path.parent()
        {
            // Only succeeds when nothing else of ours is kept there.
            let _ = fs::remove_dir(parent);
        }
        Ok(())
    }

    /// Writes a state file whole or not at all.
    pub fn write_json<T: Serialize>(&self, name: &str, value: &T) -> Result<(), FolderError> {
        let path = self.join(name);
        let text = serde_json::to_vec_pretty(value).map_err(|source| FolderError::Damaged {
            path: path.clone(),
            source,
        })?;
        write_whole(&path, &text).map_err(|e| self.io("write", &path, e))
    }

    /// Reads a state file; `None` when there is none.
    pub fn read_json<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, FolderError> {
        let path = self.join(name);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|source| FolderError::Damaged { path, source }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.io("read", &path, e)),
        }
    }

    fn io(&self, doing: &'static str, path: &Path, source: io::Error) -> FolderError {
        FolderError::Io {
            doing,
            path: path.to_owned(),
            source,
        }
    }
}

/// The lock of a lab folder; see [`Folder::lock`].
#[derive(Debug)]
pub struct FolderLock(#[allow(dead_code, reason = "held for its Drop")] Flock<fs::File>);

/// Writes beside the file and renames, so that a reader sees the old or the new text.
pub(crate) fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let fresh = PathBuf::from(name);
    let mut file = fs::File::create(&fresh)?;
    file.write_all(text)?;
    fs::rename(&fresh, path)
}

fn ignore_missing(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::locate(Some(&dir.path().join("lab"))).unwrap();
        (dir, folder)
    }

    #[test]
    fn a_path_too_long_for_unix_sockets_is_refused_with_the_limit() {
        let long = PathBuf::from(format!("/{}", "x".repeat(LONGEST_FOLDER)));
        let error = Folder::locate(Some(&long)).unwrap_err();
        assert!(matches!(error, FolderError::TooLong { .. }));
        assert!(error.to_string().contains(FOLDER_VARIABLE));
    }

    #[test]
    fn a_second_lab_in_the_same_folder_is_refused_and_removal_makes_room() {
        let (_dir, folder) = folder();
        folder.create().unwrap();
        assert!(matches!(folder.create(), Err(FolderError::Remains(_))));
        folder.remove().unwrap();
        folder.remove().unwrap();
        folder.create().unwrap();
    }

    #[test]
    fn a_folder_of_somebody_else_is_neither_used_nor_removed() {
        let (_dir, folder) = folder();
        fs::create_dir(folder.path()).unwrap();
        fs::write(folder.join("thesis.tex"), "years of work").unwrap();
        assert!(matches!(folder.create(), Err(FolderError::Foreign(_))));
        assert!(matches!(folder.remove(), Err(FolderError::Foreign(_))));
        assert!(folder.join("thesis.tex").exists());
    }

    #[test]
    fn the_lock_admits_one_command_at_a_time() {
        let (_dir, folder) = folder();
        folder.create().unwrap();
        let held = folder.lock().unwrap();
        assert!(matches!(folder.lock(), Err(FolderError::Busy(_))));
        drop(held);
        folder.lock().unwrap();
    }
}
