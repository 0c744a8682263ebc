//! Strangers: one request to join, one answer, and the connection is over.

use super::PeerError;
use super::port::Door;
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use identity::CONTROLLER;
use identity::enrol::{Enrol, Enrolled};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

/// Largest request, bytes: a name, a secret and a certificate request of some hundred bytes.
const LARGEST: usize = 16 << 10;

pub(super) async fn answer(stream: TlsStream<TcpStream>, door: &Door) -> Result<(), PeerError> {
    let codec = LengthDelimitedCodec::builder()
        .max_frame_length(LARGEST)
        .new_codec();
    let mut frames = Framed::new(stream, codec);
    let frame = frames.next().await.ok_or(PeerError::Closed)??;
    let enrol: Enrol = serde_json::from_slice(&frame)?;
    let host = enrol.host.clone();
    let answer = decide(enrol, door).await;
    match &answer {
        Enrolled::Certificate { .. } => tracing::info!(%host, "has joined"),
        Enrolled::Refused(why) => tracing::warn!(%host, why, "was not admitted"),
    }
    frames
        .send(Bytes::from(serde_json::to_vec(&answer)?))
        .await?;
    frames.get_mut().shutdown().await?;
    Ok(())
}

async fn decide(enrol: Enrol, door: &Door) -> Enrolled {
    let host = &enrol.host;
    // A certificate in the controller's own name would let its holder pose as the controller.
    if host.as_str() == CONTROLLER {
        return Enrolled::Refused(format!(
            "the name '{CONTROLLER}' is the controller's own; give the host another one"
        ));
    }
    if host.is_reserved() {
        return Enrolled::Refused(format!(
            "the name '{host}' stands for what is on no host; give the host another one"
        ));
    }
    if door.hosts.is_connected(host) {
        return Enrolled::Refused(format!(
            "a host '{host}' is connected already; give this one another name, or end the other's agent"
        ));
    }
    match door
        .admission
        .admit(host.as_str(), &enrol.secret, &enrol.csr)
        .await
    {
        Ok(certificate) => match door.registry.underlay().admit(host).await {
            Ok(inner) => Enrolled::Certificate {
                certificate,
                authority: door.admission.authority().to_owned(),
                inner,
            },
            Err(error) => Enrolled::Refused(error.to_string()),
        },
        Err(error) => Enrolled::Refused(error.to_string()),
    }
}
