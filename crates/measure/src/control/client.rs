//! The owner's side of the control protocol, on tokio.

use super::{CheckedDisk, Collected, Command, Outcome, Request, Response};
use crate::analysis::{VmFigures, Window};
use crate::guest::Dirty;
use crate::probe::{Config, FirstAnswer, Status, Target};
use crate::recording::{Mark, Recording};
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::process::Child;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Why the probe's process gave no answer, or which.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// It could not be started or reached.
    #[error("cannot reach the probe: {0}; check that its program exists and its namespace is up")]
    Reach(std::io::Error),
    /// It ended, or the connection broke.
    #[error("the probe's process is gone; look at its error output and start it again")]
    Gone,
    /// It refused or failed.
    #[error("{0}")]
    Refused(String),
    /// Its answer cannot be read.
    #[error("the probe's answer cannot be read: {0}; both sides must be of one version")]
    Content(serde_json::Error),
}

type Waiting = Arc<Mutex<State>>;

#[derive(Default)]
struct State {
    waiting: HashMap<u64, oneshot::Sender<Outcome>>,
    last_id: u64,
    gone: bool,
}

/// A connection to a probe's process. Methods may run at the same time. Dropping it ends the
/// probe, because its input ends then.
pub struct Client {
    state: Waiting,
    output: tokio::sync::Mutex<Box<dyn AsyncWrite + Send + Unpin>>,
    reader: JoinHandle<()>,
    child: Option<Child>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

impl Client {
    /// Starts a process that runs [`super::serve_stdio`], for example in another network
    /// namespace. Its error output goes where the command says. It is killed when the client is
    /// dropped before [`Client::quit`].
    pub fn spawn(mut command: tokio::process::Command) -> Result<Self, ControlError> {
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        let mut child = command.spawn().map_err(ControlError::Reach)?;
        let (Some(input), Some(output)) = (child.stdout.take(), child.stdin.take()) else {
            return Err(ControlError::Gone);
        };
        let mut client = Self::new(input, output);
        client.child = Some(child);
        Ok(client)
    }

    /// Connects to a process that runs [`super::serve_socket`].
    pub async fn connect(path: &Path) -> Result<Self, ControlError> {
        let stream = tokio::net::UnixStream::connect(path)
            .await
            .map_err(ControlError::Reach)?;
        let (input, output) = stream.into_split();
        Ok(Self::new(input, output))
    }

    /// Speaks over any pair of streams. Must be called in a tokio runtime.
    pub fn new(
        input: impl AsyncRead + Send + Unpin + 'static,
        output: impl AsyncWrite + Send + Unpin + 'static,
    ) -> Self {
        let state = Waiting::default();
        let reader = tokio::spawn(read(state.clone(), input));
        Self {
            state,
            output: tokio::sync::Mutex::new(Box::new(output)),
            reader,
            child: None,
        }
    }

    /// Starts the probe; returns when every TCP session is established and packets flow.
    pub async fn start(&self, config: &Config) -> Result<(), ControlError> {
        let config = config.clone();
        self.ask(Command::Start { config }).await
    }

    /// Names this moment.
    pub async fn mark(&self, name: impl Into<String>) -> Result<Mark, ControlError> {
        let name = name.into();
        self.ask(Command::Mark { name }).await
    }

    /// How the probe stands.
    pub async fn status(&self) -> Result<Status, ControlError> {
        self.ask(Command::Status).await
    }

    /// Figures of what was seen so far: one list of VMs for each window.
    pub async fn figures(&self, windows: &[Window]) -> Result<Vec<Vec<VmFigures>>, ControlError> {
        let windows = windows.to_vec();
        self.ask(Command::Figures { windows }).await
    }

    /// Everything seen so far.
    pub async fn snapshot(&self) -> Result<Recording, ControlError> {
        self.ask(Command::Snapshot { path: None }).await
    }

    /// Stops the probe, after waiting for the last replies, and returns everything it saw.
    pub async fn stop(&self) -> Result<Recording, ControlError> {
        self.ask(Command::Stop { path: None }).await
    }

    /// Waits until every VM has answered or the time is up, without starting the probe. A VM
    /// that did not answer has no time.
    pub async fn first_answers(
        &self,
        targets: &[Target],
        limit: Duration,
    ) -> Result<Vec<FirstAnswer>, ControlError> {
        let targets = targets.to_vec();
        let timeout_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        self.ask(Command::Await {
            targets,
            timeout_ms,
        })
        .await
    }

    /// Asks guests for their accounts.
    pub async fn collect(&self, targets: &[Target]) -> Result<Vec<Collected>, ControlError> {
        let targets = targets.to_vec();
        self.ask(Command::Collect { targets }).await
    }

    /// Lets guests read back what they acknowledged to have written.
    pub async fn check_disks(&self, targets: &[Target]) -> Result<Vec<CheckedDisk>, ControlError> {
        let targets = targets.to_vec();
        self.ask(Command::CheckDisks { targets }).await
    }

    /// Lets guests begin a new account.
    pub async fn reset(&self, targets: &[Target]) -> Result<(), ControlError> {
        let targets = targets.to_vec();
        self.ask(Command::Reset { targets }).await
    }

    /// Sets guests' memory dirtiers.
    pub async fn dirty(&self, targets: &[Target], dirty: Dirty) -> Result<(), ControlError> {
        let targets = targets.to_vec();
        self.ask(Command::Dirty { targets, dirty }).await
    }

    /// Ends the process and waits for it.
    pub async fn quit(mut self) -> Result<(), ControlError> {
        self.ask::<()>(Command::Quit).await?;
        if let Some(mut child) = self.child.take() {
            child.wait().await.map_err(ControlError::Reach)?;
        }
        Ok(())
    }

    async fn ask<T: DeserializeOwned>(&self, command: Command) -> Result<T, ControlError> {
        let (answer, outcome) = oneshot::channel();
        let id = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            if state.gone {
                return Err(ControlError::Gone);
            }
            state.last_id += 1;
            let id = state.last_id;
            state.waiting.insert(id, answer);
            id
        };
        let request = Request { id, command };
        let mut line = serde_json::to_vec(&request).map_err(ControlError::Content)?;
        line.push(b'\n');
        let mut output = self.output.lock().await;
        let sent = async {
            output.write_all(&line).await?;
            output.flush().await
        };
        sent.await.map_err(|_| ControlError::Gone)?;
        drop(output);
        match outcome.await.map_err(|_| ControlError::Gone)? {
            Outcome::Ok(value) => serde_json::from_value(value).map_err(ControlError::Content),
            Outcome::Error(sentence) => Err(ControlError::Refused(sentence)),
        }
    }
}

async fn read(state: Waiting, input: impl AsyncRead + Unpin) {
    let mut lines = BufReader::new(input).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(response) = serde_json::from_str::<Response>(&line) else {
            break;
        };
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = state.waiting.remove(&response.id) {
            let _ = waiting.send(response.outcome);
        }
    }
    let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
    state.gone = true;
    state.waiting.clear();
}
