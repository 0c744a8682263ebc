//! Bytes between the source's QEMU and the relay's connection.

use super::packing::Packing;
use crate::AgentError;
use crate::relay::catalogues::{Catalogues, Entry};
use crate::relay::{Frame, Opening, dial, socket};
use migration::return_path::ReturnPath;
use migration::window::Windows;
use model::migration::Ways;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio_rustls::client::TlsStream;

/// Read from QEMU at once; larger blocks compress better, smaller ones wait less.
const CHUNK: usize = 32 << 10;

/// What has come of a page is sent without the rest when that takes longer.
const PART_OF_A_PAGE: Duration = Duration::from_millis(1);

/// The target must have answered by then.
const DIAL: Duration = Duration::from_secs(10);

/// What the other end said.
#[derive(Debug)]
pub(super) enum Peer {
    /// The VM runs there.
    Running,
    /// It did not start and never will.
    Discarded(String),
    /// Packets that waited there.
    Packets(Vec<Vec<u8>>),
    /// No more packets.
    PacketsEnd,
    /// The connection is gone.
    Lost(String),
}

/// Bytes so far.
#[derive(Debug)]
pub(super) struct Counters {
    /// From QEMU.
    pub(super) sent: AtomicU64,
    /// To the WAN for them.
    pub(super) wire: AtomicU64,
    /// Whether QEMU's bytes are compressed from now on.
    pub(super) compress: AtomicBool,
    /// Blocks that the target has read, and must have read until it waits for no other VM's pages.
    read: AtomicU64,
    alone_after: AtomicU64,
    ways: Mutex<Ways>,
    /// When QEMU's windows begin.
    windows: Mutex<Windows>,
    began: Instant,
}

impl Counters {
    fn new() -> Self {
        Self {
            sent: AtomicU64::new(0),
            wire: AtomicU64::new(0),
            compress: AtomicBool::new(false),
            read: AtomicU64::new(0),
            alone_after: AtomicU64::new(u64::MAX),
            ways: Mutex::default(),
            windows: Mutex::default(),
            began: Instant::now(),
        }
    }

    /// True when this VM's last bytes cannot be held up by another VM's.
    pub(super) fn stands_alone(&self) -> bool {
        self.read.load(Ordering::Relaxed) >= self.alone_after.load(Ordering::Relaxed)
    }

    /// Where QEMU's bytes went.
    pub(super) fn ways(&self) -> Ways {
        self.ways.lock().map(|ways| *ways).unwrap_or_default()
    }

    /// How many ms from now QEMU's next window begins, `in_ms` from now or later.
    pub(super) fn window_in(&self, in_ms: f64) -> Option<f64> {
        let now = self.began.elapsed().as_secs_f64() * 1000.0;
        let windows = self.windows.lock().ok()?;
        Some(windows.next(now + in_ms)? - now)
    }
}

/// The moving parts, as the driver sees them.
pub(super) struct Pump {
    /// Frames of the driver's own, in order with QEMU's bytes.
    pub(super) frames: mpsc::Sender<Frame>,
    /// What the other end says.
    pub(super) peer: mpsc::Receiver<Peer>,
    /// Bytes so far.
    pub(super) counters: Arc<Counters>,
    return_path: Arc<Mutex<ReturnPath>>,
    to_qemu: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    tcp: OwnedFd,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Pump {
    /// Dials the target and begins to move bytes of `qemu`, our end of its socket pair. Without
    /// `hold` the return path passes untouched. With `catalogues` the target is asked to take blocks.
    pub(super) async fn start(
        qemu: UnixStream,
        peer: &dial::Peer,
        opening: Opening,
        hold: bool,
        catalogues: Option<&Catalogues>,
    ) -> Result<Self, AgentError> {
        let migration = opening.migration.clone();
        let (mut stream, tcp_fd) = peer.dial(opening, DIAL).await?;
        let (packing, entry) = match catalogues {
            None => (Packing::plain()?, None),
            Some(catalogues) => {
                let grant = ask(&mut stream, peer).await?;
                let entry = Arc::new(catalogues.join(&migration, &peer.name, &grant));
                let packing = Packing::blocks(entry.clone(), grant.former_pages)?;
                (packing, Some(entry))
            }
        };
        let (from_qemu, to_qemu) = qemu.into_split();
        let (wire_in, wire_out) = tokio::io::split(stream);
        let mut return_path = ReturnPath::default();
        if !hold {
            return_path.release();
        }
        let (return_path, to_qemu) = (
            Arc::new(Mutex::new(return_path)),
            Arc::new(tokio::sync::Mutex::new(to_qemu)),
        );
        let counters = Arc::new(Counters::new());
        let (frames, frames_in) = mpsc::channel(64);
        let (peer_out, peer_in) = mpsc::channel(1024);
        let tasks = vec![
            tokio::spawn(outwards(
                from_qemu,
                wire_out,
                frames_in,
                packing,
                counters.clone(),
                peer_out.clone(),
            )),
            tokio::spawn(inwards(
                wire_in,
                (counters.clone(), entry),
                return_path.clone(),
                to_qemu.clone(),
                peer_out,
            )),
        ];
        Ok(Self {
            frames,
            peer: peer_in,
            counters,
            return_path,
            to_qemu,
            tcp: tcp_fd,
            tasks,
        })
    }

    /// Limits the connection's rate, bytes a second, or lifts the limit.
    pub(super) fn pace(&self, rate: Option<u64>) {
        if let Err(error) = socket::pace(&self.tcp, rate) {
            tracing::warn!(%error, "the relay's rate could not be set");
        }
    }

    /// Hands QEMU the acknowledgement. False when the target has not given it yet.
    pub(super) async fn release(&self) -> bool {
        let Some(bytes) = self.return_path.lock().ok().map(|mut path| path.release()) else {
            return false;
        };
        !bytes.is_empty() && self.to_qemu.lock().await.write_all(&bytes).await.is_ok()
    }

    /// True when the acknowledgement is here.
    pub(super) fn holds(&self) -> bool {
        self.return_path.lock().is_ok_and(|path| path.is_held())
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Asks the target what it keeps, that blocks may refer to.
async fn ask(
    stream: &mut TlsStream<TcpStream>,
    peer: &dial::Peer,
) -> Result<delta::Grant, AgentError> {
    let answer = async {
        Frame::Offer
            .write(stream)
            .await
            .map_err(|e| e.to_string())?;
        Frame::read(stream).await.map_err(|e| e.to_string())
    };
    let why = match tokio::time::timeout(DIAL, answer).await {
        Ok(Ok(Frame::Grant(grant))) => return Ok(grant),
        Ok(Ok(_)) => "it answers something else".to_owned(),
        Ok(Err(why)) => why,
        Err(_) => format!("no answer within {} s", DIAL.as_secs()),
    };
    Err(AgentError::plain(format!(
        "'{}' does not say what it keeps of pages: {why}; migrate with --no-deltas",
        peer.name
    )))
}

async fn outwards(
    mut qemu: OwnedReadHalf,
    mut wire: tokio::io::WriteHalf<TlsStream<TcpStream>>,
    mut frames: mpsc::Receiver<Frame>,
    mut packing: Packing,
    counters: Arc<Counters>,
    peer: mpsc::Sender<Peer>,
) {
    let result: std::io::Result<()> = async {
        let began = counters.began;
        let mut buffer = vec![0; CHUNK];
        let mut qemu_open = true;
        loop {
            tokio::select! {
                biased;
                frame = frames.recv() => match frame {
                    Some(frame) => {
                        frame.write(&mut wire).await?;
                    }
                    None => return Ok(()),
                },
                read = qemu.read(&mut buffer), if qemu_open => {
                    let read = read?;
                    if read == 0 {
                        qemu_open = false;
                        send(packing.flush()?, &mut wire, &packing, &counters).await?;
                        continue;
                    }
                    if let Ok(mut windows) = counters.windows.lock() {
                        windows.heard(began.elapsed().as_secs_f64() * 1000.0);
                    }
                    let hold = counters.compress.load(Ordering::Relaxed);
                    let packed = packing.take(&buffer[..read], hold)?;
                    counters.sent.fetch_add(read as u64, Ordering::Relaxed);
                    send(packed, &mut wire, &packing, &counters).await?;
                }
                () = tokio::time::sleep(PART_OF_A_PAGE), if packing.waits() => {
                    send(packing.flush()?, &mut wire, &packing, &counters).await?;
                }
            }
        }
    }
    .await;
    if let Err(error) = result {
        let _ = peer.send(Peer::Lost(error.to_string())).await;
    }
}

async fn send(
    packed: Vec<Frame>,
    wire: &mut tokio::io::WriteHalf<TlsStream<TcpStream>>,
    packing: &Packing,
    counters: &Counters,
) -> std::io::Result<()> {
    for frame in packed {
        let written = frame.write(wire).await?;
        counters.wire.fetch_add(written as u64, Ordering::Relaxed);
    }
    if let Some(blocks) = packing.stands_alone_after() {
        counters.alone_after.store(blocks, Ordering::Relaxed);
    }
    if let Ok(mut ways) = counters.ways.lock() {
        *ways = packing.ways();
    }
    Ok(())
}

async fn inwards(
    mut wire: tokio::io::ReadHalf<TlsStream<TcpStream>>,
    (counters, entry): (Arc<Counters>, Option<Arc<Entry>>),
    return_path: Arc<Mutex<ReturnPath>>,
    to_qemu: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    peer: mpsc::Sender<Peer>,
) {
    loop {
        let news = match Frame::read(&mut wire).await {
            Ok(Frame::Return(bytes)) => {
                let passed = return_path.lock().ok().map(|mut path| path.feed(&bytes));
                match passed {
                    Some(Ok(bytes)) => {
                        if !bytes.is_empty()
                            && to_qemu.lock().await.write_all(&bytes).await.is_err()
                        {
                            Peer::Lost("QEMU closed its side".into())
                        } else {
                            continue;
                        }
                    }
                    Some(Err(error)) => Peer::Lost(error.to_string()),
                    None => Peer::Lost("the return path is lost".into()),
                }
            }
            Ok(Frame::Read(blocks)) => {
                counters.read.store(blocks, Ordering::Relaxed);
                if let Some(entry) = &entry {
                    entry.with(|catalogue| catalogue.has_read(entry.sender, blocks));
                }
                continue;
            }
            Ok(Frame::Running) => Peer::Running,
            Ok(Frame::Discarded(why)) => Peer::Discarded(why),
            Ok(Frame::Packets(packets)) => Peer::Packets(packets),
            Ok(Frame::PacketsEnd) => Peer::PacketsEnd,
            Ok(other) => Peer::Lost(
                format!("unexpected frame {other:?}")
                    .chars()
                    .take(80)
                    .collect(),
            ),
            Err(error) => Peer::Lost(error.to_string()),
        };
        let end = matches!(news, Peer::Lost(_));
        if peer.send(news).await.is_err() || end {
            return;
        }
    }
}
