//! The caller's side of the box: what the rest of the lab uses.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::Duration;

use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::signal::Signal;

use super::BoxError;
use super::wire::{self, BoxStatus, End, ProcessStatus, Program, Reply, Request};
use crate::folder::{Folder, FolderError, FolderState};
use crate::process::{self, ProcessId};

/// A standing box. Cheap to clone; every call is one connection to the warden, so handles may be
/// used from any thread. Calls block: use `spawn_blocking` from async code.
#[derive(Debug, Clone)]
pub struct BoxHandle {
    folder: Folder,
}

/// A program that ran to its end in the box.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// How it ended.
    pub end: End,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
}

impl Output {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl BoxHandle {
    /// The box of a lab folder; refused when none stands there.
    pub fn open(folder: &Folder) -> Result<Self, BoxError> {
        let path = || folder.path().to_owned();
        match folder.state()? {
            FolderState::Alive(_) => Ok(Self {
                folder: folder.clone(),
            }),
            FolderState::Absent => Err(FolderError::Absent(path()).into()),
            FolderState::Foreign => Err(FolderError::Foreign(path()).into()),
            FolderState::Remains => Err(FolderError::Remains(path()).into()),
        }
    }

    pub(crate) fn new(folder: Folder) -> Self {
        Self { folder }
    }

    /// The lab folder.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Makes a network namespace, as `ip netns add` does. `ip -n NAME` works in the box.
    pub fn netns_add(&self, name: &str) -> Result<(), BoxError> {
        self.done(&Request::NetnsAdd {
            name: name.to_owned(),
        })
    }

    /// Removes a network namespace by name.
    pub fn netns_del(&self, name: &str) -> Result<(), BoxError> {
        self.done(&Request::NetnsDel {
            name: name.to_owned(),
        })
    }

    /// Starts a process under a name. Its output goes to `log/NAME.log`, its pid outside the box to
    /// `run/NAME.pid`. It is not restarted when it ends; its name may then be used again.
    pub fn spawn(&self, name: &str, program: &Program) -> Result<ProcessStatus, BoxError> {
        let request = Request::Spawn {
            name: name.to_owned(),
            program: program.clone(),
        };
        match self.ask(&request, &[])? {
            Reply::Spawned { process } => Ok(process),
            other => Err(unexpected(&other)),
        }
    }

    /// Sends a signal to a named process. One that has ended already is fine.
    pub fn kill(&self, name: &str, signal: Signal) -> Result<(), BoxError> {
        self.done(&Request::Kill {
            name: name.to_owned(),
            signal: signal as i32,
        })
    }

    /// Runs a program to its end and returns what it wrote, whatever its exit code.
    pub fn exec(&self, program: &Program) -> Result<Output, BoxError> {
        self.exec_with_input(program, b"")
    }

    /// As [`BoxHandle::exec`], with bytes for standard input.
    pub fn exec_with_input(&self, program: &Program, input: &[u8]) -> Result<Output, BoxError> {
        // Memory files instead of pipes: a daemon that the program leaves behind and that keeps
        // its output open does not keep us waiting.
        let memory = |name| -> Result<File, BoxError> {
            let fd = memfd_create(name, MFdFlags::MFD_CLOEXEC).map_err(io::Error::from);
            Ok(File::from(fd.map_err(BoxError::Talk)?))
        };
        let (mut stdin, mut stdout, mut stderr) =
            (memory(c"stdin")?, memory(c"stdout")?, memory(c"stderr")?);
        stdin
            .write_all(input)
            .and_then(|()| stdin.rewind())
            .map_err(BoxError::Talk)?;
        let fds = [stdin.as_raw_fd(), stdout.as_raw_fd(), stderr.as_raw_fd()];
        let end = self.exec_on(program, &fds)?;
        let read = |file: &mut File| -> Result<Vec<u8>, BoxError> {
            let mut bytes = Vec::new();
            file.rewind()
                .and_then(|()| file.read_to_end(&mut bytes))
                .map_err(BoxError::Talk)?;
            Ok(bytes)
        };
        Ok(Output {
            end,
            stdout: read(&mut stdout)?,
            stderr: read(&mut stderr)?,
        })
    }

    /// Runs a program that must succeed; its standard output as text.
    pub fn run(&self, program: &Program) -> Result<String, BoxError> {
        self.run_with_input(program, b"")
    }

    /// As [`BoxHandle::run`], with bytes for standard input.
    pub fn run_with_input(&self, program: &Program, input: &[u8]) -> Result<String, BoxError> {
        let output = self.exec_with_input(program, input)?;
        if output.end.success() {
            return Ok(output.text());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let said = if said.is_empty() {
            output.text().trim().to_owned()
        } else {
            said
        };
        Err(BoxError::Failed {
            argv: program.argv.join(" "),
            end: output.end,
            said,
        })
    }

    /// Runs a program on the given standard descriptors (for a person's terminal: pass those of
    /// this process). It is killed when the caller dies.
    pub fn exec_with_stdio(
        &self,
        program: &Program,
        stdio: [BorrowedFd<'_>; 3],
    ) -> Result<End, BoxError> {
        self.exec_on(program, &stdio.map(|fd| fd.as_raw_fd()))
    }

    /// A command for the host's `nsenter` that runs a program in the box with the caller's
    /// terminal as its own (job control works, unlike with [`BoxHandle::exec_with_stdio`]).
    pub fn nsenter(&self, program: &Program) -> Result<Command, BoxError> {
        let warden = self
            .folder
            .warden()
            .ok_or_else(|| BoxError::Folder(FolderError::Remains(self.folder.path().to_owned())))?;
        let mut command = Command::new("nsenter");
        let target = warden.pid;
        command.args([
            "--user",
            "--preserve-credentials",
            "--mount",
            "--pid",
            "--uts",
            "--ipc",
        ]);
        command.arg(format!("--target={target}"));
        match &program.netns {
            Some(name) => command.arg(format!("--net=/proc/{target}/root/run/netns/{name}")),
            None => command.arg("--net"),
        };
        command.arg("--").args(&program.argv).envs(&program.env);
        Ok(command)
    }

    /// Namespaces and processes in the box.
    pub fn status(&self) -> Result<BoxStatus, BoxError> {
        match self.ask(&Request::Status, &[])? {
            Reply::Status { status } => Ok(status),
            other => Err(unexpected(&other)),
        }
    }

    /// Every process of the box as the caller's pid namespace numbers them. Empty when it is gone.
    pub fn outside_pids(&self) -> Vec<ProcessId> {
        self.folder
            .warden()
            .map(|warden| processes_of_box(warden.pid))
            .unwrap_or_default()
    }

    /// A process of the box, of which the pid inside is known (from a daemon's own pid file, say), as
    /// the caller's pid namespace numbers it.
    pub fn outside_id(&self, inside: i32) -> Option<ProcessId> {
        let proc_root = std::path::Path::new("/proc");
        let is_it = |id: &ProcessId| {
            process::nested_pids(proc_root, id.pid).is_some_and(|p| p.last() == Some(&inside))
        };
        self.outside_pids().into_iter().find(is_it)
    }

    /// Ends the box: SIGTERM to everything, and after at most `grace` the rest is killed.
    pub fn shutdown(&self, grace: Duration) -> Result<(), BoxError> {
        let grace_ms = grace.as_millis().try_into().unwrap_or(u64::MAX);
        self.done(&Request::Shutdown { grace_ms })
    }

    fn exec_on(&self, program: &Program, fds: &[i32]) -> Result<End, BoxError> {
        match self.ask(
            &Request::Exec {
                program: program.clone(),
            },
            fds,
        )? {
            Reply::Exited { end } => Ok(end),
            other => Err(unexpected(&other)),
        }
    }

    fn done(&self, request: &Request) -> Result<(), BoxError> {
        match self.ask(request, &[])? {
            Reply::Done => Ok(()),
            other => Err(unexpected(&other)),
        }
    }

    fn ask(&self, request: &Request, fds: &[i32]) -> Result<Reply, BoxError> {
        let socket = self.folder.warden_socket();
        let mut stream = UnixStream::connect(&socket)
            .map_err(|source| BoxError::Unreachable { socket, source })?;
        wire::send(&mut stream, request, fds).map_err(BoxError::Talk)?;
        match wire::receive::<Reply>(&stream).map_err(BoxError::Talk)? {
            None => Err(BoxError::Talk(io::ErrorKind::UnexpectedEof.into())),
            Some((Reply::Error { message }, _)) => Err(BoxError::Warden(message)),
            Some((reply, _)) => Ok(reply),
        }
    }
}

fn unexpected(reply: &Reply) -> BoxError {
    BoxError::Talk(io::Error::new(
        io::ErrorKind::InvalidData,
        format!("unexpected {reply:?}"),
    ))
}

/// All processes that share the pid namespace of a box's first process.
pub(crate) fn processes_of_box(warden: i32) -> Vec<ProcessId> {
    let namespace = |pid: i32| std::fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let Some(of_box) = namespace(warden) else {
        return Vec::new();
    };
    process::all_pids(std::path::Path::new("/proc"))
        .into_iter()
        .filter(|pid| namespace(*pid).as_ref() == Some(&of_box))
        .filter_map(ProcessId::of)
        .collect()
}
