//! openvpn's management interface (`management-notes.txt` of its sources): one question a connection.

use crate::error::{Error, Result};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::time::timeout;

/// openvpn answers between packets; a busy host gets this long.
const ANSWER: Duration = Duration::from_secs(3);

/// Whether the other side is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Nobody has come, or openvpn does not run.
    Down,
    /// Somebody is proving who it is.
    Connecting,
    /// Frames pass.
    Up,
}

/// How it is with a bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Whether the other side is there.
    pub state: State,
    /// Where it is.
    pub endpoint: Option<SocketAddr>,
    /// Bytes from the network to the bridge, encrypted, since openvpn was started.
    pub bytes_in: u64,
    /// Bytes from the bridge to the network, encrypted, since openvpn was started.
    pub bytes_out: u64,
}

impl Status {
    pub(crate) const DOWN: Self = Self {
        state: State::Down,
        endpoint: None,
        bytes_in: 0,
        bytes_out: 0,
    };
}

/// Asks how it is.
pub(crate) async fn status(socket: &Path) -> Result<Status> {
    timeout(ANSWER, ask(socket))
        .await
        .map_err(|_| Error::Silent(format!("nothing came within {} s", ANSWER.as_secs())))?
        .map_err(|cause| Error::Silent(cause.to_string()))
}

async fn ask(socket: &Path) -> std::io::Result<Status> {
    let (read, mut write) = UnixStream::connect(socket).await?.into_split();
    let mut lines = BufReader::new(read).lines();
    let mut all = Vec::new();
    for question in ["state\n", "status\n"] {
        write.write_all(question.as_bytes()).await?;
        answer(&mut lines, &mut all).await?;
    }
    Ok(parse(&all))
}

/// Reads up to the end of one answer. Lines that begin with `>` are news, not part of it.
async fn answer(
    lines: &mut Lines<BufReader<OwnedReadHalf>>,
    all: &mut Vec<String>,
) -> std::io::Result<()> {
    while let Some(line) = lines.next_line().await? {
        if line == "END" {
            return Ok(());
        }
        if !line.starts_with('>') {
            all.push(line);
        }
    }
    Err(std::io::ErrorKind::UnexpectedEof.into())
}

fn parse(lines: &[String]) -> Status {
    let mut status = Status::DOWN;
    for line in lines {
        let fields: Vec<&str> = line.split(',').collect();
        match fields[..] {
            ["TCP/UDP read bytes", bytes] => status.bytes_in = bytes.parse().unwrap_or(0),
            ["TCP/UDP write bytes", bytes] => status.bytes_out = bytes.parse().unwrap_or(0),
            // Time, state, why, own address, the other side's, its port.
            [time, state, _, _, host, port, ..] if time.parse::<u64>().is_ok() => {
                status.state = match state {
                    "CONNECTED" => State::Up,
                    "AUTH" | "GET_CONFIG" | "ASSIGN_IP" | "ADD_ROUTES" => State::Connecting,
                    _ => State::Down,
                };
                let address = host.parse().ok().zip(port.parse().ok());
                status.endpoint = address.map(|(host, port)| SocketAddr::new(host, port));
            }
            _ => {}
        }
    }
    status
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_and_counters_are_read_from_openvpns_answers() {
        let lines = [
            "1795390000,CONNECTED,SUCCESS,,10.9.0.2,1194,,",
            "OpenVPN STATISTICS",
            "Updated,2026-11-22 23:00:00",
            "TUN/TAP read bytes,100",
            "TCP/UDP read bytes,4711",
            "TCP/UDP write bytes,815",
        ];
        let status = parse(&lines.map(str::to_owned));
        assert_eq!(status.state, State::Up);
        assert_eq!(status.endpoint, Some("10.9.0.2:1194".parse().unwrap()));
        assert_eq!((status.bytes_in, status.bytes_out), (4711, 815));
    }

    #[test]
    fn what_is_no_answer_is_nobody() {
        let lines = ["", ",", "x,CONNECTED,a,b,c,d", "TCP/UDP read bytes,many"];
        assert_eq!(parse(&lines.map(str::to_owned)), Status::DOWN);
    }
}
