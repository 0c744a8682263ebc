//! The connection to the controller: join once, dial, reconnect, frames.

use crate::clock::local_now;
use crate::desk::Desk;
use crate::telling::Telling;
use crate::{AgentConfig, AgentError};
use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use identity::enrol::{Enrol, Enrolled};
use identity::{CONTROLLER, Credentials, JoinToken, tls};
use model::cluster::Cidr;
use model::news::{News, Up};
use model::order::{Down, MAX_FRAME, PROTOCOL};
use rustls_pki_types::ServerName;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

type Frames = Framed<TlsStream<TcpStream>, LengthDelimitedCodec>;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const SILENCE: Duration = Duration::from_secs(5);

async fn dial(config: &AgentConfig, tls: Arc<rustls::ClientConfig>) -> Result<Frames, AgentError> {
    let dialled = tokio::time::timeout(
        Duration::from_secs(5),
        TcpStream::connect(config.controller),
    );
    let tcp = dialled.await.map_err(|_| {
        AgentError::plain(format!(
            "the controller at {} does not answer",
            config.controller
        ))
    })??;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(CONTROLLER).map_err(|_| AgentError::plain("no server name"))?;
    let stream = TlsConnector::from(tls).connect(name, tcp).await?;
    let codec = LengthDelimitedCodec::builder()
        .max_frame_length(MAX_FRAME)
        .new_codec();
    Ok(Framed::new(stream, codec))
}

fn json<T: serde::Serialize>(frame: &T) -> Result<Bytes, AgentError> {
    Ok(serde_json::to_vec(frame)
        .map_err(std::io::Error::from)?
        .into())
}

/// The host's credentials: kept ones, or new ones for the join token. Waits for a controller that
/// is away.
///
/// # Errors
/// When the controller refuses the token, or there is none.
pub async fn join(config: &AgentConfig) -> Result<Credentials, AgentError> {
    let folder = config.state.join("identity");
    if let Some(own) = Credentials::load(&folder)? {
        return Ok(own);
    }
    let file = config.token_file.as_ref().ok_or_else(|| {
        AgentError::plain(
            "this host has not joined yet; set `token_file` to a file with a join token",
        )
    })?;
    let text = std::fs::read_to_string(file).map_err(|error| {
        AgentError::plain(format!("the join token in {}: {error}", file.display()))
    })?;
    let token = JoinToken::parse(&text)?;
    let (key, csr) = Credentials::request(config.host.as_str())?;
    let mut pause = FIRST_PAUSE;
    loop {
        match enrol(config, &token, &csr).await {
            Ok(Enrolled::Certificate {
                certificate,
                authority,
                inner,
            }) => {
                let own = Credentials {
                    certificate,
                    key: key.serialize_pem(),
                    authority,
                };
                keep_inner(config, inner)?;
                own.save(&folder)?;
                tracing::info!(host = %config.host, "joined");
                return Ok(own);
            }
            Ok(Enrolled::Refused(why)) => return Err(AgentError::plain(why)),
            Err(error) => tracing::warn!(%error, "the controller cannot be reached; trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// The host's address in the secure underlay, as the controller gave it; none where there is none.
///
/// # Errors
/// The file is there and cannot be read.
pub fn inner(config: &AgentConfig) -> Result<Option<Cidr>, AgentError> {
    let path = config.state.join("identity/inner");
    match std::fs::read_to_string(&path) {
        Ok(text) => text.trim().parse().map(Some).map_err(|_| {
            AgentError::plain(format!(
                "{} holds no address; remove it, and the controller gives it again",
                path.display()
            ))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn keep_inner(config: &AgentConfig, inner: Option<Cidr>) -> Result<(), AgentError> {
    let folder = config.state.join("identity");
    std::fs::create_dir_all(&folder)?;
    let path = folder.join("inner");
    match inner {
        Some(inner) => Ok(std::fs::write(path, inner.to_string())?),
        None => match std::fs::remove_file(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        },
    }
}

async fn enrol(config: &AgentConfig, token: &JoinToken, csr: &str) -> Result<Enrolled, AgentError> {
    let mut frames = dial(config, tls::joining(&token.fingerprint)?).await?;
    let request = Enrol {
        host: config.host.clone(),
        secret: token.secret.clone(),
        csr: csr.to_owned(),
    };
    frames.send(json(&request)?).await?;
    let answer = frames
        .next()
        .await
        .ok_or_else(|| AgentError::plain("the controller hung up"))??;
    Ok(serde_json::from_slice(&answer).map_err(std::io::Error::from)?)
}

/// Serves the controller for ever: dials, reconnects with growing pauses. The data plane does not
/// depend on it.
///
/// # Errors
/// When the host's own credentials are not valid.
pub async fn serve(
    config: Arc<AgentConfig>,
    own: Credentials,
    desk: Desk,
) -> Result<(), AgentError> {
    let tls = tls::client(&own)?;
    let mut news = desk
        .take_news()
        .ok_or_else(|| AgentError::plain("the desk already has a session"))?;
    let mut pause = FIRST_PAUSE;
    let mut telling = Telling::new(crate::clock::wall_now().unsigned_abs());
    loop {
        match dial(&config, tls.clone()).await {
            Ok(frames) => {
                desk.clock.forget();
                let began = std::time::Instant::now();
                match converse(frames, &desk, &mut news, &mut telling).await {
                    Err(error @ AgentError::Anew) => return Err(error),
                    Ok(()) => tracing::warn!("the controller hung up"),
                    Err(error) => tracing::warn!(%error, "the controller is lost"),
                }
                if began.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
            }
            Err(error) => tracing::warn!(%error, "the controller cannot be reached"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn converse(
    mut frames: Frames,
    desk: &Desk,
    news: &mut mpsc::UnboundedReceiver<News>,
    telling: &mut Telling,
) -> Result<(), AgentError> {
    frames
        .send(json(&Up::Hello(Box::new(desk.hello().await)))?)
        .await?;
    for news in telling.again() {
        frames.send(json(&news)?).await?;
    }
    let (answers, mut answered) = mpsc::unbounded_channel::<Up>();
    let mut tick = tokio::time::interval(Duration::from_millis(250));
    let mut ticks = 0u32;
    let mut heard = tokio::time::Instant::now();
    loop {
        tokio::select! {
            frame = frames.next() => {
                let Some(frame) = frame else { return Ok(()) };
                heard = tokio::time::Instant::now();
                match serde_json::from_slice(&frame?).map_err(std::io::Error::from)? {
                    Down::Welcome { protocol, .. } if protocol != PROTOCOL => {
                        return Err(AgentError::plain(format!(
                            "the controller speaks protocol {protocol}, this agent {PROTOCOL}; install the same version"
                        )));
                    }
                    Down::Welcome { inner, .. } if inner != desk.inner() => {
                        keep_inner(&desk.config, inner)?;
                        return Err(AgentError::Anew);
                    }
                    Down::Welcome { .. } => tracing::info!("the controller welcomes this host"),
                    Down::Clock { asked, now } => {
                        desk.clock.exchange(asked, now, local_now());
                        telling.answered(asked);
                    }
                    Down::Order { id, order } => {
                        let (desk, answers) = (desk.clone(), answers.clone());
                        tokio::spawn(async move {
                            let result = desk.carry_out(*order).await;
                            let _ = answers.send(Up::Answer { id, result });
                        });
                    }
                }
            }
            Some(up) = answered.recv() => frames.send(json(&up)?).await?,
            Some(item) = news.recv() => frames.send(json(&telling.tell(item))?).await?,
            _ = tick.tick() => {
                ticks += 1;
                // Often at first, so that the clock is known soon.
                if ticks < 12 || ticks.is_multiple_of(4) {
                    let asked = local_now();
                    telling.asks(asked);
                    frames.send(json(&Up::Clock { asked })?).await?;
                }
                if heard.elapsed() > SILENCE {
                    return Err(AgentError::plain("the controller has been silent for 5 s"));
                }
            }
        }
    }
}
