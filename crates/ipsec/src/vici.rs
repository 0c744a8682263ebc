//! A conversation with charon over VICI (strongSwan's `vici/README.md`), one command at a time.
//!
//! The library answers nothing, and reads for ever, when the other end is gone; so its stream is told
//! nothing of an end ([`Watched`]), and who waits for an answer hears of it here.

use crate::error::{Error, Result};
use crate::messages::Outcome;
use futures::TryStreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::path::Path;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// charon answers at once; a busy host gets this long.
const ANSWER: Duration = Duration::from_secs(5);

/// One connection to charon.
pub(crate) struct Session {
    client: rsvici::Client,
    closed: CancellationToken,
}

impl Session {
    pub(crate) async fn connect(path: &Path) -> Result<Self> {
        let stream = UnixStream::connect(path)
            .await
            .map_err(|cause| Error::File {
                path: path.to_owned(),
                cause,
            })?;
        let closed = CancellationToken::new();
        let client = rsvici::Client::new(Watched {
            stream,
            closed: closed.clone(),
        });
        Ok(Self { client, closed })
    }

    /// Sends a command whose answer says only whether it was done.
    pub(crate) async fn tell<T: Serialize>(&mut self, command: &str, message: T) -> Result<()> {
        let outcome: Outcome = self.ask(command, message).await?;
        if outcome.success {
            return Ok(());
        }
        Err(Error::Vici {
            command: command.to_owned(),
            why: outcome.errmsg.unwrap_or_else(|| "no reason given".into()),
        })
    }

    /// Sends a command and gives its answer.
    pub(crate) async fn ask<T: Serialize, U: DeserializeOwned>(
        &mut self,
        command: &str,
        message: T,
    ) -> Result<U> {
        let answer = self.client.request(command, message);
        answered(command, &self.closed, answer).await
    }

    /// Sends a command that is answered by a row of events, and gives those.
    pub(crate) async fn list<T: Serialize, U: DeserializeOwned>(
        &mut self,
        command: &str,
        event: &str,
        message: T,
    ) -> Result<Vec<U>> {
        let rows = pin!(self.client.stream_request(command, event, message));
        answered(command, &self.closed, rows.try_collect()).await
    }
}

async fn answered<T>(
    command: &str,
    closed: &CancellationToken,
    answer: impl Future<Output = std::result::Result<T, rsvici::Error>>,
) -> Result<T> {
    let silent = |why: String| Error::Silent {
        command: command.to_owned(),
        why,
    };
    tokio::select! {
        () = closed.cancelled() => Err(silent("it closed its socket".into())),
        answer = timeout(ANSWER, answer) => match answer {
            Err(_) => Err(silent(format!("nothing came within {} s", ANSWER.as_secs()))),
            Ok(Err(why)) if why.is_closed() => Err(silent(why.to_string())),
            Ok(answer) => answer.map_err(|why| Error::Vici {
                command: command.to_owned(),
                why: why.to_string(),
            }),
        },
    }
}

/// A stream that never ends for who reads it, and says aside when it has.
struct Watched {
    stream: UnixStream,
    closed: CancellationToken,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.closed.is_cancelled() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) if buffer.filled().len() > before => Poll::Ready(Ok(())),
            Poll::Ready(_) => {
                self.closed.cancel();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, data)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
