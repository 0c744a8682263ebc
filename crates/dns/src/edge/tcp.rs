//! Servers that take RFC 2136 updates, over TCP (RFC 7766): no limit of size, no forged senders, and a server that is down
//! is seen at once. The connection is kept while it is used.

use super::secret::{self, SecretError};
use crate::DnsName;
use crate::config::Rfc2136;
use crate::publish::{Answer, Job, Work};
use crate::rfc2136::{self, Key, Request, Unsayable};
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection that was not used for so long is not used again: servers close idle ones after some seconds.
const IDLE: Duration = Duration::from_secs(2);

/// A zone's servers.
pub struct Servers {
    zone: DnsName,
    config: Rfc2136,
    open: Option<Open>,
    ids: u64,
    /// Its keys differ from run to run: ids of messages cannot be guessed.
    random: RandomState,
}

struct Open {
    stream: TcpStream,
    to: SocketAddr,
    used: Instant,
}

impl Servers {
    pub(super) fn open(zone: &DnsName, config: &Rfc2136) -> Result<Self, SecretError> {
        let servers = Self {
            zone: zone.clone(),
            config: config.clone(),
            open: None,
            ids: 0,
            random: RandomState::new(),
        };
        servers.key()?;
        Ok(servers)
    }

    pub(super) fn hang_up(&mut self) {
        self.open = None;
    }

    pub(super) fn count(&self) -> usize {
        self.config.servers.len()
    }

    fn key(&self) -> Result<Option<Key>, SecretError> {
        let (Some(name), Some(path)) = (&self.config.key, &self.config.key_file) else {
            return Ok(None);
        };
        let secret = secret::read(path)?;
        let key =
            Key::new(name, self.config.algorithm, &secret).map_err(|cause| SecretError::Key {
                path: path.clone(),
                cause,
            })?;
        Ok(Some(key))
    }

    pub(super) async fn carry(&mut self, job: &Job) -> Answer {
        let Some(&server) = self.config.servers.get(job.server % self.count().max(1)) else {
            return failed("the zone has no server".to_owned(), false);
        };
        let key = match self.key() {
            Ok(key) => key,
            Err(error) => return failed(error.to_string(), false),
        };
        match &job.work {
            Work::Update(changes) => {
                let (id, unix_s) = self.stamp();
                let request = rfc2136::update(&self.zone, changes, key.as_ref(), id, unix_s);
                match self.exchange(server, request).await {
                    Ok((request, bytes)) => request.updated(&bytes),
                    Err(answer) => answer,
                }
            }
            Work::Ask(names) => {
                let mut markers = BTreeMap::new();
                for name in names {
                    let (id, unix_s) = self.stamp();
                    let request = rfc2136::question(name, key.as_ref(), id, unix_s);
                    let marker = match self.exchange(server, request).await {
                        Ok((request, bytes)) => request.marker(&bytes),
                        Err(answer) => Err(answer),
                    };
                    match marker {
                        Ok(marker) => drop(markers.insert(name.clone(), marker)),
                        Err(answer) => return answer,
                    }
                }
                Answer::Markers(markers)
            }
        }
    }

    /// An id for a message, and the time, s since the Unix epoch.
    fn stamp(&mut self) -> (u16, u64) {
        self.ids += 1;
        let [low, high, ..] = self.random.hash_one(self.ids).to_ne_bytes();
        let time = SystemTime::now().duration_since(UNIX_EPOCH);
        (
            u16::from_ne_bytes([low, high]),
            time.unwrap_or_default().as_secs(),
        )
    }

    async fn exchange(
        &mut self,
        server: SocketAddr,
        request: Result<Request, Unsayable>,
    ) -> Result<(Request, Vec<u8>), Answer> {
        let request = request.map_err(|error| failed(error.to_string(), false))?;
        let patience = Duration::from_millis(self.config.patience_ms);
        let kept = self.open.take();
        let kept = kept.filter(|open| {
            open.to == server && open.used.elapsed() < IDLE && is_quiet(&open.stream)
        });
        let mut stream = match kept {
            Some(open) => open.stream,
            None => connect(server, patience).await?,
        };
        match timeout(patience, converse(&mut stream, &request.bytes)).await {
            Ok(Ok(bytes)) => {
                self.open = Some(Open {
                    stream,
                    to: server,
                    used: Instant::now(),
                });
                Ok((request, bytes))
            }
            Ok(Err(error)) => Err(failed(
                format!("the server {server} breaks off: {error}"),
                true,
            )),
            Err(_) => Err(failed(
                format!(
                    "the server {server} does not answer within {} ms",
                    patience.as_millis()
                ),
                true,
            )),
        }
    }
}

async fn connect(server: SocketAddr, patience: Duration) -> Result<TcpStream, Answer> {
    let why = match timeout(patience, TcpStream::connect(server)).await {
        Ok(Ok(stream)) => {
            // Without it only the update is later; nothing is lost.
            let _ = stream.set_nodelay(true);
            return Ok(stream);
        }
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("no answer within {} ms", patience.as_millis()),
    };
    let what = format!(
        "the server {server} cannot be reached over TCP: {why}; see that it runs and lets us through"
    );
    Err(failed(what, false))
}

async fn converse(stream: &mut TcpStream, message: &[u8]) -> io::Result<Vec<u8>> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidInput)?;
    let mut framed = Vec::with_capacity(message.len() + 2);
    framed.extend_from_slice(&length.to_be_bytes());
    framed.extend_from_slice(message);
    stream.write_all(&framed).await?;
    let length = stream.read_u16().await?;
    let mut answer = vec![0; usize::from(length)];
    stream.read_exact(&mut answer).await?;
    Ok(answer)
}

/// True for a connection that the other side has not closed, and that nothing unasked has come over.
fn is_quiet(stream: &TcpStream) -> bool {
    let mut byte = [0];
    matches!(stream.try_read(&mut byte), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

fn failed(why: String, unsure: bool) -> Answer {
    Answer::Failed { why, unsure }
}
