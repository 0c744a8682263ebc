//! The guests' own account: `GET /stats`, `POST /reset`, `POST /dirty` of the lab's guest; in [`disk`] what it says of its disk.
//!
//! A small blocking HTTP client, for these requests only: HTTP/1.0 (RFC 1945), so the answer ends
//! with the connection, and a bound on time and size. A guest's clock stands still while its VM is
//! stopped, so the gaps in its account hold only what it lived through.

mod disk;

pub use disk::{Disk, DiskCheck, FilesCheck, disk_check, disk_rate};

use crate::probe::Target;
use serde::{Deserialize, Serialize};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Longest time for one request, connecting included, unless it waits for a disk.
const LIMIT: Duration = Duration::from_secs(5);

/// Largest answer, bytes.
const MAX_ANSWER: u64 = 1 << 20;

/// Why a guest gave no account.
#[derive(Debug, thiserror::Error)]
pub enum GuestError {
    /// No connection, or it broke, or it took too long.
    #[error(
        "'{name}' does not answer HTTP at {address}: {source}; check that it runs and is reachable from here"
    )]
    Io {
        /// The VM.
        name: String,
        /// Where it was asked.
        address: std::net::SocketAddr,
        /// The cause.
        source: std::io::Error,
    },
    /// It refused the request.
    #[error("'{name}' refused {request}: {answer}")]
    Refused {
        /// The VM.
        name: String,
        /// The request.
        request: String,
        /// Status line and body.
        answer: String,
    },
    /// The answer is not what a guest of this version says.
    #[error("'{name}' gave an account that cannot be read: {source}; rebuild the guest image")]
    Content {
        /// The VM.
        name: String,
        /// The cause.
        source: serde_json::Error,
    },
}

/// A guest's account (`GET /stats`). Unknown fields are ignored, missing ones are 0.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Its name.
    pub name: String,
    /// Time since it booted, ms; stands still while the VM is stopped.
    pub uptime_ms: u64,
    /// Its Unix time, ms.
    pub unix_ms: u64,
    /// Number of resets of the account, from 1.
    pub epoch: u64,
    /// Time since the last reset, ms.
    pub epoch_ms: u64,
    /// Its UDP streams to other guests.
    pub udp: Vec<UdpPeer>,
    /// Its TCP sessions with other guests.
    pub tcp: Vec<TcpPeer>,
    /// What it echoed for others.
    pub echo: serde_json::Value,
    /// Its memory dirtier.
    pub dirty: serde_json::Value,
    /// Its disk, if it writes to one.
    pub disk: Option<Disk>,
}

/// A guest's UDP stream to another guest.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UdpPeer {
    /// The other guest's address.
    pub peer: String,
    /// Whether it ever answered.
    pub answered: bool,
    /// Datagrams sent.
    pub sent: u64,
    /// Datagrams answered.
    pub received: u64,
    /// Unanswered for at least a second.
    pub lost: u64,
    /// Unanswered and younger.
    pub in_flight: u64,
    /// Replies that had come before.
    pub duplicated: u64,
    /// Replies that were overtaken.
    pub reordered: u64,
    /// Longest time without a reply, ms of the guest's clock.
    pub longest_gap_ms: f64,
}

/// A guest's TCP session with another guest.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TcpPeer {
    /// The other guest's address.
    pub peer: String,
    /// Whether it is established now.
    pub open: bool,
    /// Connections opened since the last reset.
    pub connects: u64,
    /// Connections that broke.
    pub lost: u64,
    /// Records echoed.
    pub records: u64,
    /// Echoes that were not what was sent.
    pub bad_records: u64,
    /// Longest time without an echo, ms of the guest's clock.
    pub longest_stall_ms: f64,
}

/// New settings of the memory dirtier; what is none stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Dirty {
    /// Area that is dirtied, MiB.
    pub mb: Option<u32>,
    /// 4 KiB pages written each second.
    pub pages: Option<u32>,
    /// Incompressible data.
    pub random: Option<bool>,
}

impl Dirty {
    fn query(&self) -> String {
        let words = [
            self.mb.map(|mb| format!("mb={mb}")),
            self.pages.map(|pages| format!("pages={pages}")),
            self.random
                .map(|random| format!("random={}", u8::from(random))),
        ];
        words.into_iter().flatten().collect::<Vec<_>>().join("&")
    }
}

/// A guest's account.
pub fn stats(target: &Target) -> Result<Stats, GuestError> {
    read(target, &request(target, "GET /stats")?)
}

fn read<T: serde::de::DeserializeOwned>(target: &Target, body: &str) -> Result<T, GuestError> {
    serde_json::from_str(body).map_err(|source| GuestError::Content {
        name: target.name.clone(),
        source,
    })
}

/// Begins a new account.
pub fn reset(target: &Target) -> Result<(), GuestError> {
    request(target, "POST /reset").map(drop)
}

/// Sets the memory dirtier.
pub fn dirty(target: &Target, dirty: Dirty) -> Result<(), GuestError> {
    request(target, &format!("POST /dirty?{}", dirty.query())).map(drop)
}

/// Sends one request, for example `GET /stats`, and returns the body of a 2xx answer.
pub fn request(target: &Target, request: &str) -> Result<String, GuestError> {
    exchange_with(target, request, LIMIT)
}

fn exchange_with(target: &Target, request: &str, limit: Duration) -> Result<String, GuestError> {
    let address = target.http();
    let answer = exchange(address, request, limit).map_err(|source| GuestError::Io {
        name: target.name.clone(),
        address,
        source,
    })?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or("");
    let good = status.starts_with("HTTP/1.") && status.split(' ').nth(1).is_some_and(is_success);
    if good {
        Ok(body.to_owned())
    } else {
        Err(GuestError::Refused {
            name: target.name.clone(),
            request: request.to_owned(),
            answer: format!("{status} {}", body.trim()),
        })
    }
}

fn is_success(code: &str) -> bool {
    code.len() == 3 && code.starts_with('2')
}

fn exchange(
    address: std::net::SocketAddr,
    request: &str,
    limit: Duration,
) -> std::io::Result<String> {
    let end = Instant::now() + limit;
    let mut stream = TcpStream::connect_timeout(&address, LIMIT)?;
    stream.set_write_timeout(Some(LIMIT))?;
    stream.write_all(format!("{request} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while (answer.len() as u64) < MAX_ANSWER {
        let left = end.saturating_duration_since(Instant::now());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(&mut buffer)? {
            0 => break,
            n => answer.extend_from_slice(&buffer[..n]),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_settings_that_are_given_are_sent() {
        let dirty = Dirty {
            pages: Some(500),
            random: Some(true),
            mb: None,
        };
        assert_eq!(dirty.query(), "pages=500&random=1");
    }

    #[test]
    fn an_account_with_unknown_and_missing_fields_is_read() {
        let text = r#"{"name":"a","new":1,"udp":[{"peer":"10.0.0.2","sent":5,"lost":1}]}"#;
        let stats: Stats = serde_json::from_str(text).unwrap();
        assert_eq!((stats.udp[0].sent, stats.udp[0].lost), (5, 1));
    }
}
