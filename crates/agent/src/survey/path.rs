//! What a path between two relays carries: a short, bounded stream through the same port, with the same
//! certificates, as a VM would take. Never faster than the migration would go, so that it fills no queue
//! that others wait in, and never while a migration runs at either end.

use crate::desk::Desk;
use crate::relay::{Frame, socket};
use model::facts::{PathAsked, PathFound};
use rustls_pki_types::ServerName;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Most that is sent, bytes.
const MOST: u64 = 12 << 20;
/// Longest that is sent.
const LASTS: Duration = Duration::from_millis(600);
/// A frame's payload, bytes.
const CHUNK: usize = 32 << 10;
/// The whole of it takes no longer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first part of the time does not count: TCP learns what the path carries.
const LEARNING: f64 = 0.4;
/// From this share of the rate that was allowed on, the path carried all that was tried.
const ALL: f64 = 0.9;

/// What the receiving end saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measured {
    /// So much arrived.
    Arrived {
        /// Bytes a second, when TCP had learned.
        rate: f64,
        /// Bytes.
        bytes: u64,
        /// From the first to the last, ms.
        ms: f64,
    },
    /// It does not take part now; why.
    Refused(String),
}

/// Measures the path that is asked for.
pub async fn measure(desk: &Desk, asked: Option<&PathAsked>) -> Option<PathFound> {
    let asked = asked?;
    if desk.moving() > 0 {
        let why = format!("a migration runs on '{}'", desk.config.host);
        return Some(PathFound::Left(why));
    }
    let tried = tokio::time::timeout(PATIENCE, send(desk, asked)).await;
    Some(match tried {
        Err(_) => PathFound::Left(format!(
            "the relay of '{}' did not answer within 5 s",
            asked.host
        )),
        Ok(Err(error)) => PathFound::Left(format!(
            "the relay of '{}' at {} cannot be reached: {error}",
            asked.host, asked.relay
        )),
        Ok(Ok(Measured::Refused(why))) => PathFound::Left(why),
        Ok(Ok(Measured::Arrived { rate, bytes, ms })) => {
            let all = asked.most_rate > 0 && rate >= ALL * asked.most_rate as f64;
            PathFound::Carries {
                rate,
                at_least: all || bytes >= MOST,
                bytes,
                ms,
            }
        }
    })
}

async fn send(desk: &Desk, asked: &PathAsked) -> std::io::Result<Measured> {
    let broken = |error: crate::relay::frame::FrameError| std::io::Error::other(error.to_string());
    let tcp = TcpStream::connect(asked.relay).await?;
    socket::prepare(&tcp)?;
    socket::pace(&tcp, (asked.most_rate > 0).then_some(asked.most_rate))?;
    let name = ServerName::try_from(asked.host.as_str().to_owned())
        .map_err(|error| std::io::Error::other(error.to_string()))?;
    let mut stream = TlsConnector::from(desk.tls()).connect(name, tcp).await?;
    Frame::Measure.write(&mut stream).await?;
    match Frame::read(&mut stream).await.map_err(broken)? {
        Frame::Measure => {}
        Frame::Measured(refused) => return Ok(refused),
        _ => return Err(std::io::ErrorKind::InvalidData.into()),
    }
    let chunk = Frame::Plain(vec![0x5a; CHUNK]);
    let (begun, mut sent) = (Instant::now(), 0);
    while sent < MOST && begun.elapsed() < LASTS {
        chunk.write(&mut stream).await?;
        sent += CHUNK as u64;
    }
    Frame::PacketsEnd.write(&mut stream).await?;
    match Frame::read(&mut stream).await.map_err(broken)? {
        Frame::Measured(measured) => Ok(measured),
        _ => Err(std::io::ErrorKind::InvalidData.into()),
    }
}

/// The other end: counts what arrives, within the same bounds, or refuses with this sentence.
///
/// # Errors
/// When the connection fails, or more comes than was agreed.
pub async fn receive(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    refusal: Option<String>,
) -> Result<(), crate::AgentError> {
    let plain =
        |error: crate::relay::frame::FrameError| crate::AgentError::plain(error.to_string());
    if let Some(why) = refusal {
        Frame::Measured(Measured::Refused(why))
            .write(stream)
            .await?;
        return Ok(());
    }
    Frame::Measure.write(stream).await?;
    let mut arrivals: Vec<(Instant, u64)> = Vec::new();
    let mut bytes = 0u64;
    loop {
        match Frame::read(stream).await.map_err(plain)? {
            Frame::Plain(chunk) if bytes <= MOST => {
                bytes += chunk.len() as u64;
                arrivals.push((Instant::now(), bytes));
            }
            Frame::PacketsEnd => break,
            _ => {
                return Err(crate::AgentError::plain(
                    "a path that is measured carries a bounded stream and nothing else",
                ));
            }
        }
    }
    Frame::Measured(judge(&arrivals)).write(stream).await?;
    Ok(())
}

fn judge(arrivals: &[(Instant, u64)]) -> Measured {
    let (Some((first, _)), Some((last, bytes))) = (arrivals.first(), arrivals.last()) else {
        return Measured::Refused("nothing arrived".into());
    };
    let whole = last.duration_since(*first);
    let learned = *first + whole.mul_f64(LEARNING);
    let since = arrivals.iter().find(|(at, _)| *at >= learned);
    let (since, before) = since.copied().unwrap_or((*first, 0));
    let seconds = last.duration_since(since).as_secs_f64().max(1e-4);
    Measured::Arrived {
        rate: bytes.saturating_sub(before) as f64 / seconds,
        bytes: *bytes,
        ms: whole.as_secs_f64() * 1000.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_while_tcp_learned_does_not_count() {
        let begin = Instant::now();
        let slow = (0..40u64).map(|ms| (begin + Duration::from_millis(ms), ms));
        let fast =
            (40..=100u64).map(|ms| (begin + Duration::from_millis(ms), 40 + (ms - 40) * 20_000));
        let arrivals: Vec<_> = slow.chain(fast).collect();
        let Measured::Arrived { rate, .. } = judge(&arrivals) else {
            panic!("it arrived");
        };
        assert!((rate - 20e6).abs() < 1e5, "{rate}");
        assert!(matches!(judge(&[]), Measured::Refused(_)));
    }

    #[tokio::test]
    async fn who_sends_anything_else_or_too_much_is_cut_off() {
        let (mut here, mut there) = tokio::io::duplex(1 << 20);
        let task = tokio::spawn(async move { receive(&mut there, None).await });
        assert_eq!(Frame::read(&mut here).await.unwrap(), Frame::Measure);
        Frame::Stopped.write(&mut here).await.unwrap();
        assert!(task.await.unwrap().is_err());

        let (mut here, mut there) = tokio::io::duplex(1 << 20);
        let task = tokio::spawn(async move { receive(&mut there, None).await });
        Frame::read(&mut here).await.unwrap();
        let chunk = Frame::Plain(vec![0; 4 << 20]);
        for _ in 0..8 {
            if chunk.write(&mut here).await.is_err() {
                break;
            }
        }
        assert!(task.await.unwrap().is_err());
    }
}
