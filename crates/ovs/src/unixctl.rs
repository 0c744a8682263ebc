//! The control socket of ovs-vswitchd (ovs-appctl(8)), kept open.
//!
//! JSON-RPC 1.0 on a unix socket, one request at a time: `{"method", "params", "id"}` out,
//! `{"result", "error", "id"}` back. Some things of Open vSwitch can be reached no other way, first
//! of all its table of tunnel neighbours.

use crate::error::{Error, Result};
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

/// ovs-vswitchd answers from its main loop; one that stays silent this long is stuck.
const PATIENCE: Duration = Duration::from_secs(5);

/// Longest answer that is taken, bytes.
const MOST: usize = 64 << 20;

/// A control socket. Opens when it is needed and again after a failure.
#[derive(Debug)]
pub struct Unixctl {
    path: PathBuf,
    stream: Mutex<Option<UnixStream>>,
}

#[derive(Deserialize)]
struct Answer {
    id: Option<u64>,
    result: Option<String>,
    error: Option<String>,
}

impl Unixctl {
    /// For this socket; does not open it yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            stream: Mutex::new(None),
        }
    }

    /// The socket.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Runs a command and gives its text. A connection that turns out to be dead, because
    /// ovs-vswitchd was restarted, is made anew once.
    pub async fn run(&self, command: &str, arguments: &[&str]) -> Result<String> {
        let mut slot = self.stream.lock().await;
        let kept = slot.take();
        let was_kept = kept.is_some();
        let first = self.once(kept, command, arguments).await;
        let (stream, answer) = match first {
            Err(_) if was_kept => self.once(None, command, arguments).await?,
            other => other?,
        };
        *slot = Some(stream);
        match (answer.result, answer.error) {
            (_, Some(error)) => Err(Error::ControlRefused {
                command: std::iter::once(command)
                    .chain(arguments.iter().copied())
                    .collect::<Vec<_>>()
                    .join(" "),
                answer: error.trim().to_owned(),
            }),
            (result, None) => Ok(result.unwrap_or_default()),
        }
    }

    async fn once(
        &self,
        stream: Option<UnixStream>,
        command: &str,
        arguments: &[&str],
    ) -> Result<(UnixStream, Answer)> {
        let failed = |why: String| Error::Control {
            path: self.path.clone(),
            why,
        };
        let exchange = async {
            let mut stream = match stream {
                Some(stream) => stream,
                None => UnixStream::connect(&self.path)
                    .await
                    .map_err(|error| error.to_string())?,
            };
            let request = json!({"method": command, "params": arguments, "id": 1}).to_string();
            stream
                .write_all(request.as_bytes())
                .await
                .map_err(|error| error.to_string())?;
            let mut got = Vec::new();
            loop {
                if stream
                    .read_buf(&mut got)
                    .await
                    .map_err(|error| error.to_string())?
                    == 0
                {
                    return Err("it closed the connection".to_owned());
                }
                let mut texts = serde_json::Deserializer::from_slice(&got).into_iter::<Answer>();
                match texts.next() {
                    Some(Ok(answer)) if answer.id == Some(1) => return Ok((stream, answer)),
                    Some(Ok(_)) => {
                        return Err("it answered something that was not asked".to_owned());
                    }
                    Some(Err(error)) if error.is_eof() && got.len() < MOST => {}
                    Some(Err(error)) => return Err(format!("it does not speak JSON-RPC: {error}")),
                    None => {}
                }
            }
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(done) => done.map_err(failed),
            Err(_) => Err(failed(format!("no answer within {} s", PATIENCE.as_secs()))),
        }
    }
}
