//! The target's half of a disk's way: what arrives is written through QEMU into the image.

use crate::AgentError;
use crate::relay::Frame;
use crate::relay::codec::Expander;
use migration::replica::{Body, Inbox, Record, Records, Verdict};
use nbd::{ClientHandshake, Kind, Replies, Reply, Request, errno};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio_rustls::server::TlsStream;

/// Writes in QEMU's hands at once.
const DEPTH: usize = 16;
/// Confirmations are told this often.
const CONFIRM: Duration = Duration::from_millis(3);

/// How far a disk is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    applied: u64,
    /// All of it is in the image.
    pub(crate) finished: bool,
    /// Why it will never be.
    pub(crate) failed: Option<String>,
}

/// One disk that is being received; ends when it is dropped.
pub(crate) struct Sink {
    progress: watch::Receiver<Progress>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Sink {
    /// Connects to QEMU's export and takes connections of the source's agent.
    pub(crate) async fn open(
        socket: &Path,
        disk: &str,
        connections: mpsc::Receiver<TlsStream<TcpStream>>,
    ) -> Result<Self, AgentError> {
        let mut image = UnixStream::connect(socket).await?;
        let mut handshake = ClientHandshake::new(disk);
        let mut buffer = vec![0; 4096];
        loop {
            let read = image.read(&mut buffer).await?;
            let info = handshake
                .feed(&buffer[..read])
                .map_err(|error| AgentError::plain(error.to_string()))?;
            image.write_all(&handshake.output()).await?;
            match info {
                Some(info) if info.is_writable() && info.writes_zeroes() => break,
                Some(_) => {
                    return Err(AgentError::plain(format!(
                        "QEMU's export of disk '{disk}' cannot be written"
                    )));
                }
                None if read == 0 => {
                    return Err(AgentError::plain("QEMU closed its NBD server"));
                }
                None => {}
            }
        }
        let (records, inbox) = mpsc::channel(16);
        let (tell, progress) = watch::channel(Progress::default());
        let (from, to) = image.into_split();
        let writer = Writer {
            to,
            replies: Replies::default(),
            inbox: Inbox::default(),
            waiting: None,
            tell,
        };
        let accept = accept(connections, records, progress.clone());
        let tasks = [tokio::spawn(writer.run(from, inbox)), tokio::spawn(accept)];
        Ok(Self { progress, tasks })
    }

    /// How far it is, now and later.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

struct Writer {
    to: OwnedWriteHalf,
    replies: Replies,
    inbox: Inbox,
    /// Overlaps what is being written.
    waiting: Option<Record>,
    tell: watch::Sender<Progress>,
}

impl Writer {
    async fn run(mut self, mut from: OwnedReadHalf, mut records: mpsc::Receiver<Record>) {
        let mut buffer = vec![0; 16 << 10];
        let why = loop {
            let room = self.waiting.is_none() && self.inbox.writing() < DEPTH;
            let result = tokio::select! {
                biased;
                read = from.read(&mut buffer) => match read {
                    Ok(0) => Err("QEMU closed its NBD server".to_owned()),
                    Ok(read) => self.heard(&buffer[..read]).await,
                    Err(error) => Err(error.to_string()),
                },
                record = records.recv(), if room => match record {
                    Some(record) => self.take(record).await,
                    None => return,
                },
            };
            if let Err(why) = result {
                break why;
            }
            let (applied, finished) = (self.inbox.applied(), self.inbox.is_finished());
            self.tell.send_if_modified(|progress| {
                let changed = progress.applied != applied || progress.finished != finished;
                (progress.applied, progress.finished) = (applied, finished);
                changed
            });
        };
        self.tell.send_if_modified(|progress| {
            let news = !progress.finished;
            if news {
                progress.failed = Some(why);
            }
            news
        });
    }

    async fn heard(&mut self, bytes: &[u8]) -> Result<(), String> {
        self.replies.feed(bytes);
        while let Some(Reply { cookie, error, .. }) =
            self.replies.take().map_err(|error| error.to_string())?
        {
            match error {
                0 => self.inbox.finished(cookie),
                errno::NO_SPACE => {
                    return Err(
                        "the storage of this host is full; free some space and migrate again"
                            .into(),
                    );
                }
                code => {
                    return Err(format!(
                        "the image of this host cannot be written (error {code})"
                    ));
                }
            }
        }
        if let Some(record) = self.waiting.take() {
            self.take(record).await?;
        }
        Ok(())
    }

    async fn take(&mut self, record: Record) -> Result<(), String> {
        match self
            .inbox
            .offer(&record)
            .map_err(|error| error.to_string())?
        {
            Verdict::Known => return Ok(()),
            Verdict::Wait => {
                self.waiting = Some(record);
                return Ok(());
            }
            Verdict::Write => {}
        }
        let kind = match record.body {
            Body::Data(data) => Kind::Write(data.to_vec()),
            Body::Zeroes { length, may_trim } => Kind::Zeroes { length, may_trim },
            Body::End => return Ok(()),
        };
        self.replies.expect(record.number, 0);
        let request = Request {
            cookie: record.number,
            offset: record.offset,
            kind,
        };
        let written = self.to.write_all(&request.encode()).await;
        written.map_err(|error| error.to_string())
    }
}

/// The last connection is the one that counts.
async fn accept(
    mut connections: mpsc::Receiver<TlsStream<TcpStream>>,
    records: mpsc::Sender<Record>,
    progress: watch::Receiver<Progress>,
) {
    let queued = Arc::new(Mutex::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    while let Some(stream) = connections.recv().await {
        tasks.shutdown().await;
        let it = converse(stream, records.clone(), queued.clone(), progress.clone());
        tasks.spawn(it);
    }
}

async fn converse(
    stream: TlsStream<TcpStream>,
    records: mpsc::Sender<Record>,
    queued: Arc<Mutex<u64>>,
    mut progress: watch::Receiver<Progress>,
) {
    let (mut from, mut to) = tokio::io::split(stream);
    let queued_now = || *queued.lock().unwrap_or_else(PoisonError::into_inner);
    if Frame::Applied(queued_now()).write(&mut to).await.is_err() {
        return;
    }
    let receive = async {
        let mut expander = Expander::new().map_err(|error| error.to_string())?;
        let mut found = Records::default();
        loop {
            let bytes = match Frame::read(&mut from).await.map_err(|e| e.to_string())? {
                Frame::Data(bytes) => expander.expand(&bytes).map_err(|e| e.to_string())?,
                Frame::Plain(bytes) => bytes,
                _ => return Err::<(), _>("unexpected frame".to_owned()),
            };
            for record in found.feed(&bytes).map_err(|error| error.to_string())? {
                if record.number <= queued_now() {
                    continue;
                }
                let place = records.reserve().await.map_err(|error| error.to_string())?;
                *queued.lock().unwrap_or_else(PoisonError::into_inner) = record.number;
                place.send(record);
            }
        }
    };
    let confirm = async {
        while progress.changed().await.is_ok() {
            let now = progress.borrow_and_update().clone();
            let frame = match now.failed {
                Some(why) => Frame::Discarded(why),
                None => Frame::Applied(now.applied),
            };
            if frame.write(&mut to).await.is_err() {
                return;
            }
            if !now.finished {
                tokio::time::sleep(CONFIRM).await;
            }
        }
    };
    tokio::select! {
        result = receive => if let Err(why) = result {
            tracing::debug!(%why, "a disk's connection ended");
        },
        () = confirm => {}
    }
}
