//! The target's end: one listener a host. A connection is handed to the VM that expects it, if the
//! peer's certificate carries the name of the host that was announced as its source.

use super::{Frame, Opening, socket};
use identity::{Credentials, tls};
use model::HostName;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A peer has this long for TLS and its first frame.
const PATIENCE: Duration = Duration::from_secs(10);

struct Expected {
    source: HostName,
    hand_over: HandOver,
}

enum HandOver {
    /// The one connection.
    Once(oneshot::Sender<TlsStream<TcpStream>>),
    /// Every connection that is made, while somebody listens.
    Each(mpsc::Sender<TlsStream<TcpStream>>),
}

/// Why no path may be measured now; none when it may.
type Busy = Arc<dyn Fn() -> Option<String> + Send + Sync>;

/// Connections that are expected.
#[derive(Clone, Default)]
pub struct Expectations(Arc<Mutex<HashMap<Opening, Expected>>>, Measuring);

/// Who else may dial: another host that measures the path, one at a time.
#[derive(Clone, Default)]
struct Measuring {
    busy: Arc<Mutex<Option<Busy>>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Expectations {
    /// Expects one connection from `source`.
    pub fn expect(
        &self,
        opening: &Opening,
        source: HostName,
    ) -> oneshot::Receiver<TlsStream<TcpStream>> {
        let (hand_over, arrives) = oneshot::channel();
        if let Ok(mut all) = self.0.lock() {
            let hand_over = HandOver::Once(hand_over);
            all.insert(opening.clone(), Expected { source, hand_over });
        }
        arrives
    }

    /// Expects connections from `source` until [`Expectations::forget`]: one that breaks may be made again.
    pub fn keep(
        &self,
        opening: &Opening,
        source: HostName,
    ) -> mpsc::Receiver<TlsStream<TcpStream>> {
        let (hand_over, arrive) = mpsc::channel(1);
        if let Ok(mut all) = self.0.lock() {
            let hand_over = HandOver::Each(hand_over);
            all.insert(opening.clone(), Expected { source, hand_over });
        }
        arrive
    }

    /// No longer expects it.
    pub fn forget(&self, opening: &Opening) {
        if let Ok(mut all) = self.0.lock() {
            all.remove(opening);
        }
    }

    /// Lets other hosts measure the path to here, unless `busy` has a reason against it.
    pub fn let_measure(&self, busy: impl Fn() -> Option<String> + Send + Sync + 'static) {
        if let Ok(mut reason) = self.1.busy.lock() {
            *reason = Some(Arc::new(busy));
        }
    }

    fn take(&self, opening: &Opening) -> Option<Expected> {
        let mut all = self.0.lock().ok()?;
        let again = match all.get(opening)? {
            Expected {
                source,
                hand_over: HandOver::Each(hand_over),
            } => Expected {
                source: source.clone(),
                hand_over: HandOver::Each(hand_over.clone()),
            },
            _ => return all.remove(opening),
        };
        Some(again)
    }
}

/// Accepts until the task is dropped.
///
/// # Errors
/// When the address cannot be bound or the credentials are not valid.
pub async fn listen(
    address: SocketAddr,
    own: &Credentials,
    expectations: Expectations,
) -> Result<(), crate::AgentError> {
    let listener = TcpListener::bind(address).await?;
    let acceptor = TlsAcceptor::from(tls::server(own, false)?);
    tokio::spawn(async move {
        loop {
            match listener.accept().await {
                Ok((stream, from)) => {
                    let (acceptor, expectations) = (acceptor.clone(), expectations.clone());
                    tokio::spawn(async move {
                        let done =
                            tokio::time::timeout(PATIENCE, admit(acceptor, stream, expectations));
                        if !matches!(done.await, Ok(Ok(()))) {
                            tracing::warn!(%from, "a relay connection was not admitted");
                        }
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "the relay's listener could not accept");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    });
    Ok(())
}

async fn admit(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    expectations: Expectations,
) -> Result<(), crate::AgentError> {
    socket::prepare(&stream)?;
    let mut stream = acceptor.accept(stream).await?;
    let first = Frame::read(&mut stream)
        .await
        .map_err(|e| crate::AgentError::plain(e.to_string()))?;
    if first == Frame::Measure {
        return expectations.1.measure(&mut stream).await;
    }
    let Frame::Open(opening) = first else {
        return Err(crate::AgentError::plain(
            "the first frame of a relay connection opens it",
        ));
    };
    let expected = expectations.take(&opening).ok_or_else(|| {
        crate::AgentError::plain(format!("'{}' is not expected here", opening.vm))
    })?;
    tls::require_name(
        stream.get_ref().1.peer_certificates(),
        expected.source.as_str(),
    )?;
    match expected.hand_over {
        HandOver::Once(to) => drop(to.send(stream)),
        HandOver::Each(to) => drop(to.send(stream).await),
    }
    Ok(())
}

impl Measuring {
    async fn measure(&self, stream: &mut TlsStream<TcpStream>) -> Result<(), crate::AgentError> {
        let turn = self.turn.try_lock();
        let busy = self.busy.lock().ok().and_then(|busy| busy.clone());
        let refusal = match (busy, &turn) {
            (_, Err(_)) => Some("another host measures its path to there".to_owned()),
            (None, _) => Some("the host is not ready yet".to_owned()),
            (Some(busy), _) => busy(),
        };
        crate::survey::path::receive(stream, refusal).await
    }
}
