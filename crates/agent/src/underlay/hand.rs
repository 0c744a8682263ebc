//! The agent's end of the socket, and the process behind it.

use super::device::{OWN, SOCKET};
use super::keys::write;
use super::wire::{Ask, Own, Say, Seen, Wanted};
use crate::AgentError;
use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

/// How long a process that was started may take until it answers.
const START: Duration = Duration::from_secs(5);
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A refusal that goes on is logged so often.
const QUIET: Duration = Duration::from_secs(1);
/// Different ones that are logged in that time.
const MOST_TOLD: usize = 64;

type Lines = tokio::io::Lines<BufReader<OwnedReadHalf>>;

pub(super) struct Hand {
    folder: PathBuf,
    /// What the process was started with.
    own: Own,
}

impl Hand {
    /// Finds the process, or starts it. One that was started with something else is ended first.
    pub(super) async fn open(folder: &Path, own: &Own) -> Result<Self, AgentError> {
        std::fs::create_dir_all(folder)?;
        let hand = Self {
            folder: folder.to_owned(),
            own: own.clone(),
        };
        let before = std::fs::read(folder.join(OWN)).ok();
        let before: Option<Own> = before.and_then(|text| serde_json::from_slice(&text).ok());
        if before.as_ref() == Some(own) && hand.connect().await.is_ok() {
            return Ok(hand);
        }
        hand.end().await;
        hand.revive().await?;
        Ok(hand)
    }

    /// Starts the process, unless it answers.
    pub(super) async fn revive(&self) -> Result<(), AgentError> {
        if self.connect().await.is_ok() {
            return Ok(());
        }
        let text = serde_json::to_vec(&self.own).map_err(std::io::Error::from)?;
        write(&self.folder.join(OWN), &text)?;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.folder.join("wireguard.log"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("wireguard")
            .arg("--folder")
            .arg(&self.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .process_group(0)
            .spawn()?;
        let pid = child.id();
        let begun = Instant::now();
        while self.connect().await.is_err() {
            if let Some(status) = child.try_wait()? {
                return Err(AgentError::plain(format!(
                    "what encrypts has ended ({status}); see {}",
                    self.folder.join("wireguard.log").display()
                )));
            }
            if begun.elapsed() > START {
                return Err(AgentError::plain(format!(
                    "what encrypts (process {pid}) does not answer; see {}",
                    self.folder.join("wireguard.log").display()
                )));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // Whoever has started it must take its end, or it stays as a zombie.
        std::thread::spawn(move || child.wait());
        write(
            &self.folder.join("wireguard.pid"),
            pid.to_string().as_bytes(),
        )?;
        Ok(())
    }

    /// Ends a process of an earlier life, if it is there.
    async fn end(&self) {
        use nix::sys::signal::{Signal, kill};
        let Ok(stream) = self.connect().await else {
            return;
        };
        let pid = stream.peer_cred().ok().and_then(|peer| peer.pid());
        if let Some(pid) = pid {
            tracing::info!(
                pid,
                "what encrypts was started with something else; it is started anew"
            );
            let pid = nix::unistd::Pid::from_raw(pid);
            let _ = kill(pid, Signal::SIGTERM);
            let begun = Instant::now();
            while kill(pid, None).is_ok() && begun.elapsed() < START {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }

    pub(super) async fn set(&self, wanted: &Wanted) -> Result<(), AgentError> {
        match self.ask(&Ask::Set(wanted.clone())).await? {
            Say::Failed(why) => Err(AgentError::plain(why)),
            _ => Ok(()),
        }
    }

    pub(super) async fn status(&self) -> Option<Seen> {
        match self.ask(&Ask::Status).await {
            Ok(Say::Status(seen)) => Some(seen),
            _ => None,
        }
    }

    /// Logs what is refused, until the process ends: each reason once a second.
    pub(super) async fn watch(&self) {
        let mut told: HashMap<(String, IpAddr), Instant> = HashMap::new();
        let Ok((mut lines, _writer)) = self.begin(&Ask::Follow).await else {
            return;
        };
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(Say::Refused { from, why }) => {
                    told.retain(|_, then| then.elapsed() < QUIET);
                    let key = (why.clone(), from.ip());
                    if told.len() < MOST_TOLD && !told.contains_key(&key) {
                        told.insert(key, Instant::now());
                        tracing::warn!(%from, why, "the secure underlay has refused something");
                    }
                }
                Ok(Say::Roamed { key, to }) => {
                    tracing::info!(key, %to, "a host has turned up elsewhere");
                }
                _ => {}
            }
        }
    }

    async fn connect(&self) -> std::io::Result<UnixStream> {
        UnixStream::connect(self.folder.join(SOCKET)).await
    }

    async fn begin(&self, ask: &Ask) -> std::io::Result<(Lines, OwnedWriteHalf)> {
        let (reader, mut writer) = self.connect().await?.into_split();
        let mut line = serde_json::to_vec(ask)?;
        line.push(b'\n');
        writer.write_all(&line).await?;
        Ok((BufReader::new(reader).lines(), writer))
    }

    async fn ask(&self, ask: &Ask) -> Result<Say, AgentError> {
        let asked = async {
            let (mut lines, _writer) = self.begin(ask).await?;
            let line = lines.next_line().await?;
            let line = line.ok_or(std::io::ErrorKind::UnexpectedEof)?;
            Ok::<Say, std::io::Error>(serde_json::from_str(&line)?)
        };
        let said = tokio::time::timeout(PATIENCE, asked).await;
        let said = said.map_err(|_| AgentError::plain("what encrypts does not answer"))?;
        Ok(said?)
    }
}
