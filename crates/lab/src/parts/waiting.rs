//! Waiting for processes of the box, and noticing when one has ended instead.

use super::PartError;
use crate::boxed::BoxHandle;
use std::future::Future;
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two looks.
const PERIOD: Duration = Duration::from_millis(20);

/// Looks between two questions whether the process still runs.
const ROUNDS: u32 = 10;

/// Lines of a log that an error carries.
const LINES: usize = 4;

/// Calls to the box block; this keeps them off the runtime.
pub(crate) async fn apart<T, E>(
    handle: &BoxHandle,
    call: impl FnOnce(&BoxHandle) -> Result<T, E> + Send + 'static,
) -> Result<T, PartError>
where
    T: Send + 'static,
    E: Into<PartError> + Send + 'static,
{
    let handle = handle.clone();
    let done = tokio::task::spawn_blocking(move || call(&handle)).await;
    done.map_err(|_| PartError::Interrupted)?
        .map_err(Into::into)
}

/// Looks until there is something to see; an error when the process ends or the time runs out.
pub(crate) async fn until<T, F: Future<Output = Option<T>>>(
    handle: &BoxHandle,
    name: &str,
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T, PartError> {
    let begun = Instant::now();
    let mut round = 0;
    loop {
        if let Some(seen) = look().await {
            return Ok(seen);
        }
        round += 1;
        if round % ROUNDS == 0 {
            alive(handle, name).await?;
        }
        if begun.elapsed() > limit {
            return Err(PartError::Slow {
                what: what.to_owned(),
                seconds: limit.as_secs(),
                said: last_lines(&handle.folder().log(name)),
            });
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// An error when the process has ended.
pub(crate) async fn alive(handle: &BoxHandle, name: &str) -> Result<(), PartError> {
    let status = apart(handle, BoxHandle::status).await?;
    let ended = status.processes.into_iter().find(|p| p.name == name);
    match ended.and_then(|process| process.end) {
        None => Ok(()),
        Some(end) => Err(PartError::Ended {
            name: name.to_owned(),
            end,
            said: last_lines(&handle.folder().log(name)),
        }),
    }
}

fn last_lines(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text
        .lines()
        .filter(|line| !line.trim().is_empty())
        .collect();
    match lines.len() {
        0 => "it said nothing".to_owned(),
        all => lines[all.saturating_sub(LINES)..].join("\n  "),
    }
}
