//! The source's half of a disk's way: an NBD server that takes the mirror's writes at once, and the
//! connection that carries them to the target's agent.

use crate::relay::codec::Compressor;
use crate::relay::dial::Peer;
use crate::relay::{Frame, Opening, socket};
use migration::replica::{Body, Outbox};
use nbd::{Export, Kind, Reply, Requests, ServerHandshake, errno};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::client::TlsStream;

/// What is kept for the target before the mirror has to wait, bytes.
const ROOM: u64 = 8 << 20;
/// Sent in one frame at most, bytes, or one record.
const BATCH: usize = 128 << 10;
/// A connection whose records are not confirmed for this long is made anew.
const STALL: Duration = Duration::from_secs(10);
/// Without the target for this long the disk is given up.
const PATIENCE: Duration = Duration::from_secs(150);
/// Waits between attempts to reach the target.
const AGAIN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

struct Shared {
    outbox: Mutex<Outbox>,
    /// Something to send.
    more: Notify,
    /// Room for a further write.
    room: Notify,
    wire: AtomicU64,
    taken: AtomicU64,
    socket: Mutex<Option<OwnedFd>>,
    rate: Mutex<Option<u64>>,
    failed: watch::Sender<Option<String>>,
}

impl Shared {
    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_rate(&self) {
        let rate = *self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(socket) = &*self.socket.lock().unwrap_or_else(PoisonError::into_inner)
            && let Err(error) = socket::pace(socket, rate)
        {
            tracing::warn!(%error, "the rate of a disk could not be set");
        }
    }
}

/// One disk on its way; ends when it is dropped.
pub(crate) struct Outlet {
    shared: Arc<Shared>,
    tasks: [tokio::task::JoinHandle<()>; 2],
}

impl Outlet {
    /// Listens for the mirror on a unix socket and dials the target.
    pub(crate) fn open(
        path: &Path,
        export: Export,
        peer: Peer,
        opening: Opening,
        rate: u64,
    ) -> std::io::Result<Self> {
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)?;
        let shared = Arc::new(Shared {
            outbox: Mutex::new(Outbox::new(ROOM)),
            more: Notify::new(),
            room: Notify::new(),
            wire: AtomicU64::new(0),
            taken: AtomicU64::new(0),
            socket: Mutex::default(),
            rate: Mutex::new(Some(rate)),
            failed: watch::channel(None).0,
        });
        let tasks = [
            tokio::spawn(serve(listener, export, shared.clone())),
            tokio::spawn(carry(peer, opening, shared.clone())),
        ];
        Ok(Self { shared, tasks })
    }

    /// Bytes that the mirror wrote, and what crossed the WAN for them.
    pub(crate) fn counted(&self) -> (u64, u64) {
        let counter = |it: &AtomicU64| it.load(Ordering::Relaxed);
        (counter(&self.shared.taken), counter(&self.shared.wire))
    }

    /// Limits the connection's rate, bytes a second, or lifts the limit.
    pub(crate) fn pace(&self, rate: Option<u64>) {
        *self
            .shared
            .rate
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = rate;
        self.shared.set_rate();
    }

    /// The mirror is whole and has ended; tells the target.
    pub(crate) fn end(&self) {
        self.shared.outbox().push(0, Body::End);
        self.shared.more.notify_one();
    }

    /// Why it was given up, when it was.
    pub(crate) fn failed(&self) -> watch::Receiver<Option<String>> {
        self.shared.failed.subscribe()
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn serve(listener: UnixListener, export: Export, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                if let Err(error) = talk(stream, &export, &shared).await {
                    tracing::warn!(%error, disk = %export.name, "the mirror's connection ended");
                }
            }
            Err(error) => {
                tracing::warn!(%error, "a mirror could not be accepted");
                tokio::time::sleep(AGAIN.0).await;
            }
        }
    }
}

/// One connection of the mirror's.
async fn talk(mut stream: UnixStream, export: &Export, shared: &Shared) -> std::io::Result<()> {
    let invalid = |error: nbd::NbdError| std::io::Error::other(error);
    let mut handshake = ServerHandshake::new(vec![export.clone()]);
    let mut buffer = vec![0; 256 << 10];
    loop {
        stream.write_all(&handshake.output()).await?;
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        let chosen = handshake.feed(&buffer[..read]);
        if !matches!(chosen, Ok(None)) {
            stream.write_all(&handshake.output()).await?;
            chosen.map_err(invalid)?;
            break;
        }
    }
    let mut requests = Requests::default();
    requests.feed(&handshake.leftover());
    loop {
        while let Some(request) = requests.take().map_err(invalid)? {
            while !shared.outbox().has_room() {
                shared.room.notified().await;
            }
            let beyond = |length: u64| request.offset.saturating_add(length) > export.size;
            let error = match request.kind {
                Kind::Write(data) if beyond(data.len() as u64) => errno::INVALID,
                Kind::Write(data) => {
                    let length = data.len() as u64;
                    let mut outbox = shared.outbox();
                    for (offset, body) in Body::pieces(request.offset, &data) {
                        outbox.push(offset, body);
                    }
                    shared.taken.fetch_add(length, Ordering::Relaxed);
                    0
                }
                Kind::Zeroes { length, .. } | Kind::Trim(length) if beyond(length.into()) => {
                    errno::INVALID
                }
                Kind::Zeroes { length, may_trim } => {
                    let body = Body::Zeroes { length, may_trim };
                    shared.outbox().push(request.offset, body);
                    0
                }
                // The source reads zeroes where it was trimmed; so shall the target.
                Kind::Trim(length) => {
                    let may_trim = true;
                    let body = Body::Zeroes { length, may_trim };
                    shared.outbox().push(request.offset, body);
                    0
                }
                // The source's image is the one that counts until the target runs, and that one is
                // made durable before the source's goes.
                Kind::Flush => 0,
                Kind::Disconnect => return Ok(()),
                Kind::Read(_) | Kind::Other(_) => errno::NOT_SUPPORTED,
            };
            shared.more.notify_one();
            let reply = Reply {
                cookie: request.cookie,
                error,
                data: Vec::new(),
            };
            stream.write_all(&reply.encode()).await?;
        }
        let read = stream.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        requests.feed(&buffer[..read]);
    }
}

async fn carry(peer: Peer, opening: Opening, shared: Arc<Shared>) {
    let (mut since, mut wait) = (Instant::now(), AGAIN.0);
    loop {
        let why = match connect(&peer, &opening, &shared).await {
            Ok(stream) => {
                wait = AGAIN.0;
                let why = converse(stream, &shared).await;
                if shared.outbox().is_finished() {
                    return;
                }
                since = Instant::now();
                why
            }
            Err(error) => error,
        };
        if let Fault::Fatal(why) = &why {
            shared.failed.send_replace(Some(why.clone()));
            return;
        }
        if since.elapsed() > PATIENCE {
            let why = format!("{why}, and that for {} s", PATIENCE.as_secs());
            shared.failed.send_replace(Some(why));
            return;
        }
        tracing::warn!(%why, vm = %opening.vm, "the disk's connection is made again");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(AGAIN.1);
    }
}

#[derive(Debug)]
enum Fault {
    /// Worth another attempt.
    Passing(String),
    /// Not.
    Fatal(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Passing(why) | Self::Fatal(why) => f.write_str(why),
        }
    }
}

fn passing(error: impl std::fmt::Display) -> Fault {
    Fault::Passing(error.to_string())
}

async fn connect(
    peer: &Peer,
    opening: &Opening,
    shared: &Shared,
) -> Result<TlsStream<TcpStream>, Fault> {
    let dial = peer.dial(opening.clone(), Duration::from_secs(5));
    let (mut stream, socket) = dial.await.map_err(passing)?;
    let first = tokio::time::timeout(Duration::from_secs(5), Frame::read(&mut stream));
    match first.await.map_err(passing)?.map_err(passing)? {
        Frame::Applied(received) => {
            let again = shared.outbox().reconnected(received);
            again.map_err(|error| Fault::Fatal(error.to_string()))?;
        }
        Frame::Discarded(why) => return Err(Fault::Fatal(why)),
        _ => return Err(Fault::Passing("unexpected frame".into())),
    }
    *shared.socket.lock().unwrap_or_else(PoisonError::into_inner) = Some(socket);
    shared.set_rate();
    Ok(stream)
}

async fn converse(stream: TlsStream<TcpStream>, shared: &Shared) -> Fault {
    let (from, to) = tokio::io::split(stream);
    let confirmed = Mutex::new(Instant::now());
    tokio::select! {
        fault = send(to, shared) => fault,
        fault = listen(from, shared, &confirmed) => fault,
        fault = watch_stall(shared, &confirmed) => fault,
    }
}

async fn send(mut to: WriteHalf<TlsStream<TcpStream>>, shared: &Shared) -> Fault {
    let mut compressor = match Compressor::new() {
        Ok(compressor) => compressor,
        Err(error) => return Fault::Fatal(error.to_string()),
    };
    loop {
        let mut batch = Vec::new();
        {
            let mut outbox = shared.outbox();
            while batch.len() < BATCH
                && let Some(record) = outbox.hand_out()
            {
                record.encode(&mut batch);
            }
        }
        if batch.is_empty() {
            shared.more.notified().await;
            continue;
        }
        let data = if is_random(&batch) {
            Frame::Plain(batch)
        } else {
            match compressor.compress(&batch) {
                Ok(bytes) => Frame::Data(bytes),
                Err(error) => return Fault::Fatal(error.to_string()),
            }
        };
        match data.write(&mut to).await {
            Ok(written) => {
                shared.wire.fetch_add(written as u64, Ordering::Relaxed);
            }
            Err(error) => return passing(error),
        }
    }
}

/// Whether bytes look like what no compressor makes smaller: trying costs more CPU than all else that is
/// done with them. Looks at every sixteenth byte; in random ones all values are about as frequent.
fn is_random(bytes: &[u8]) -> bool {
    let mut counts = [0u32; 256];
    let mut all = 0u32;
    for byte in bytes.iter().step_by(16) {
        counts[usize::from(*byte)] += 1;
        all += 1;
    }
    let squares: u64 = counts.iter().map(|n| u64::from(*n).pow(2)).sum();
    let expected = u64::from(all).pow(2) / 256 + u64::from(all);
    all >= 1024 && squares * 10 < expected * 13
}

async fn listen(
    mut from: ReadHalf<TlsStream<TcpStream>>,
    shared: &Shared,
    confirmed: &Mutex<Instant>,
) -> Fault {
    loop {
        match Frame::read(&mut from).await {
            Ok(Frame::Applied(number)) => {
                *confirmed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                if let Err(error) = shared.outbox().applied(number) {
                    return Fault::Fatal(error.to_string());
                }
                shared.room.notify_one();
            }
            Ok(Frame::Discarded(why)) => return Fault::Fatal(why),
            Ok(_) => return Fault::Passing("unexpected frame".into()),
            Err(error) => return passing(error),
        }
    }
}

async fn watch_stall(shared: &Shared, confirmed: &Mutex<Instant>) -> Fault {
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut confirmed = confirmed.lock().unwrap_or_else(PoisonError::into_inner);
        if !shared.outbox().is_unconfirmed() {
            *confirmed = Instant::now();
        } else if confirmed.elapsed() > STALL {
            return Fault::Passing(format!("nothing was confirmed for {} s", STALL.as_secs()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_random;

    #[test]
    fn random_bytes_are_told_from_text_and_zeroes() {
        let mut state = 7u64;
        let random: Vec<u8> = std::iter::repeat_with(|| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .take(64 << 10)
        .collect();
        assert!(is_random(&random));
        assert!(!is_random(&vec![0; 64 << 10]));
        let text = "every write that the guest acknowledged is there ".repeat(2000);
        assert!(!is_random(text.as_bytes()));
        let half: Vec<u8> = random[..32 << 10]
            .iter()
            .copied()
            .chain(vec![0; 32 << 10])
            .collect();
        assert!(!is_random(&half));
    }
}
