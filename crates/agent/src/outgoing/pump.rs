//! Bytes between the source's QEMU and the relay's connection.

use crate::AgentError;
use crate::relay::codec::Compressor;
use crate::relay::{Frame, Opening, dial, socket};
use migration::return_path::ReturnPath;
use migration::window::Windows;
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
            windows: Mutex::default(),
            began: Instant::now(),
        }
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
    /// `hold` the return path passes untouched.
    pub(super) async fn start(
        qemu: UnixStream,
        peer: &dial::Peer,
        opening: Opening,
        hold: bool,
    ) -> Result<Self, AgentError> {
        let (stream, tcp_fd) = peer.dial(opening, DIAL).await?;
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
                counters.clone(),
                peer_out.clone(),
            )),
            tokio::spawn(inwards(
                wire_in,
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

async fn outwards(
    mut qemu: OwnedReadHalf,
    mut wire: tokio::io::WriteHalf<TlsStream<TcpStream>>,
    mut frames: mpsc::Receiver<Frame>,
    counters: Arc<Counters>,
    peer: mpsc::Sender<Peer>,
) {
    let result: std::io::Result<()> = async {
        let began = counters.began;
        let mut compressor = Compressor::new()?;
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
                        continue;
                    }
                    if let Ok(mut windows) = counters.windows.lock() {
                        windows.heard(began.elapsed().as_secs_f64() * 1000.0);
                    }
                    let bytes = &buffer[..read];
                    let data = if counters.compress.load(Ordering::Relaxed) {
                        Frame::Data(compressor.compress(bytes)?)
                    } else {
                        Frame::Plain(bytes.to_vec())
                    };
                    counters.sent.fetch_add(read as u64, Ordering::Relaxed);
                    let written = data.write(&mut wire).await?;
                    counters.wire.fetch_add(written as u64, Ordering::Relaxed);
                }
            }
        }
    }
    .await;
    if let Err(error) = result {
        let _ = peer.send(Peer::Lost(error.to_string())).await;
    }
}

async fn inwards(
    mut wire: tokio::io::ReadHalf<TlsStream<TcpStream>>,
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
