//! A network namespace, and programs run there to their end.

use crate::{Error, Result};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// A network namespace, the caller's when there is no file.
#[derive(Debug, Clone)]
pub struct Host {
    netns: Option<Arc<File>>,
}

impl Host {
    /// The namespace of a file, for example `/run/netns/north`.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn open(netns: Option<&Path>) -> Result<Self> {
        let netns = netns
            .map(|path| {
                File::open(path)
                    .map(Arc::new)
                    .map_err(|cause| Error::Netns {
                        path: path.to_owned(),
                        cause,
                    })
            })
            .transpose()?;
        Ok(Self { netns })
    }

    /// A command that will run in the namespace.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        // Debian keeps these programs where an ordinary user's PATH does not look.
        let paths = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{paths}:/usr/sbin:/usr/bin:/sbin:/bin"));
        if let Some(netns) = self.netns.clone() {
            // SAFETY: setns is one system call on a descriptor that the closure owns; nothing is
            // allocated between fork and exec.
            unsafe {
                command.pre_exec(move || {
                    setns(netns.as_fd(), CloneFlags::CLONE_NEWNET).map_err(Into::into)
                });
            }
        }
        command
    }

    /// Runs a program to its end, and gives what it printed.
    ///
    /// # Errors
    /// When it cannot be started, or does not succeed.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        self.run_with(program, arguments, "").await
    }

    /// The same, with something to read for it.
    ///
    /// # Errors
    /// As [`Host::run`].
    pub async fn run_with(&self, program: &str, arguments: &[&str], input: &str) -> Result<String> {
        let failed = |cause| Error::Program {
            program: program.to_owned(),
            cause,
        };
        let mut child = self
            .command(Path::new(program))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // A program that does not read says why by its status.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let output = child.wait_with_output().await.map_err(failed)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        Err(Error::Refused {
            what: format!("{program} {}", arguments.join(" ")),
            why: said
                .lines()
                .find(|line| !line.trim().is_empty())
                .map_or_else(|| output.status.to_string(), str::to_owned),
        })
    }
}
