//! A host with a certificate: hello, then frames until it ends.

use super::PeerError;
use super::port::Door;
use crate::clock;
use crate::hosts::{Connection, Outbox};
use futures::StreamExt;
use model::news::{Answer, Hello, News, Up};
use model::order::{Down, MAX_FRAME, Order, PROTOCOL};
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::codec::{FramedRead, LengthDelimitedCodec};

/// Agents ask for the clock every second; one that is silent for this long is gone.
const SILENCE: Duration = Duration::from_secs(5);
/// How often the way to an agent and back is measured when nothing else does.
const PING: Duration = Duration::from_secs(2);

type Stream = TlsStream<TcpStream>;
type Frames = FramedRead<ReadHalf<Stream>, LengthDelimitedCodec>;

/// A host that has said who it is, and may.
pub(super) struct Greeted {
    hello: Hello,
    frames: Frames,
    writer: WriteHalf<Stream>,
}

/// Waits for the hello and checks that the certificate carries its name.
pub(super) async fn greet(
    stream: Stream,
    certificates: &[CertificateDer<'_>],
    door: &Door,
) -> Result<Greeted, PeerError> {
    let (reader, writer) = tokio::io::split(stream);
    let codec = LengthDelimitedCodec::builder()
        .max_frame_length(MAX_FRAME)
        .new_codec();
    let mut frames = FramedRead::new(reader, codec);
    let frame = frames.next().await.ok_or(PeerError::Closed)??;
    let Up::Hello(hello) = serde_json::from_slice(&frame)? else {
        return Err(PeerError::NoHello);
    };
    identity::tls::require_name(Some(certificates), hello.host.as_str())?;
    if let Some(own) = certificates.first() {
        door.admission.known(&hello.host, own).await?;
    }
    Ok(Greeted {
        hello: *hello,
        frames,
        writer,
    })
}

/// Talks with a host until its connection ends.
pub(super) async fn hold(greeted: Greeted, door: &Door) -> Result<(), PeerError> {
    let Greeted {
        mut hello,
        mut frames,
        writer,
    } = greeted;
    let host = hello.host.clone();
    let spoken = hello.protocol;
    let reported = std::mem::take(&mut hello.entries);
    let connection = Arc::new(Connection::new(hello, Outbox::new(writer)));
    if spoken != PROTOCOL {
        tracing::warn!(%host, spoken, ours = PROTOCOL, "speaks another protocol; run the same version on both");
        // It learns ours from the welcome.
        let _ = connection.outbox().push(&Down::Welcome {
            protocol: PROTOCOL,
            inner: None,
        });
        return Err(PeerError::Protocol(spoken));
    }
    if door.hosts.is_alive(&host) {
        return Err(PeerError::Twice(host));
    }
    door.registry.host_up(&connection, reported).await?;
    tracing::info!(%host, "connected");
    let ended = tokio::select! {
        ended = listen(&mut frames, &connection, door) => ended,
        _ = connection.outbox().run() => PeerError::Stuck,
        () = connection.ended() => PeerError::Replaced,
        () = ping(&connection) => PeerError::Closed,
    };
    door.registry.host_down(&connection);
    tracing::info!(%host, why = %ended, "disconnected");
    Err(ended)
}

async fn listen(frames: &mut Frames, connection: &Arc<Connection>, door: &Door) -> PeerError {
    loop {
        let frame = match tokio::time::timeout(SILENCE, frames.next()).await {
            Err(_) => return PeerError::Silent(SILENCE.as_secs()),
            Ok(None) => return PeerError::Closed,
            Ok(Some(Err(error))) => return error.into(),
            Ok(Some(Ok(frame))) => frame,
        };
        connection.is_heard();
        match serde_json::from_slice(&frame) {
            Ok(Up::Answer { id, result }) => connection.answered(id, result),
            Ok(Up::Clock { asked }) => {
                let answer = Down::Clock {
                    asked,
                    now: clock::now(),
                };
                if connection.outbox().push(&answer).is_err() {
                    return PeerError::Stuck;
                }
            }
            Ok(Up::News { life, number, .. })
                if !door.hosts.is_new(connection.host(), life, number) => {}
            Ok(Up::News { news, .. }) => {
                if let News::VmGone { cluster, vm } = &*news {
                    tracing::warn!(host = %connection.host(), %cluster, %vm, "a VM's process ended by itself");
                }
                door.hosts.tell(connection.host(), *news);
            }
            // It has said so already.
            Ok(Up::Hello(_)) => {}
            Err(error) => return error.into(),
        }
    }
}

/// Measures the round trip of the smallest order there is, and hears of the host's load.
async fn ping(connection: &Arc<Connection>) {
    loop {
        match connection.send(Order::MeasureDelays { hosts: Vec::new() }) {
            Ok(waiting) => {
                if let Ok(Answer::Delays { stall_ms, .. }) = waiting.answer().await {
                    connection.set_stall_ms(stall_ms);
                }
            }
            Err(_) => std::future::pending().await,
        }
        tokio::time::sleep(PING).await;
    }
}
