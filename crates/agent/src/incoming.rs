//! The target half of one VM's migration.
//!
//! The VM is built from the same description as at the source, waits with its memory empty, and
//! stays paused when all of it has arrived. It runs when three things are true: QEMU has loaded the
//! stream, its disks are whole, and the source has sent [`Frame::Stopped`]. One task decides; whoever asks it to discard
//! the VM before that can be sure that it never ran.

use crate::desk::Desk;
use crate::disks::arrival::Arrival;
use crate::kept::domain_of;
use crate::relay::expand::{Expand, Origin};
use crate::relay::{Frame, Opening};
use crate::vms::{Keeper, Key, Start, Vm};
use crate::{AgentError, precedence};
use model::libvirt::Description;
use model::news::{Answer, News};
use model::{Connection, HostName, Member, MigrationId, Net};
use qmp::MigrationStatus;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio_rustls::server::TlsStream;

/// The source has this long to dial.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a QEMU that sees no folder of ours reads its stream from.
const STREAM: &str = "transhume-in";

/// What the controller wants of a VM that is being received.
pub enum Command {
    /// Send back what waited, after this many ms more.
    ReturnQueue(f64, oneshot::Sender<Result<Answer, String>>),
    /// It does not come.
    Discard(oneshot::Sender<Result<Answer, String>>),
    /// It is here for good.
    Finish,
}

/// A VM that comes.
#[derive(Debug)]
pub struct Coming {
    /// The migration.
    pub migration: MigrationId,
    /// Its network.
    pub net: Net,
    /// The VM.
    pub member: Member,
    /// Who will send it.
    pub source: HostName,
    /// What libvirt must know of it, where it is a domain.
    pub domain: Option<Box<Description>>,
}

/// Makes ready to receive a VM; gives the address that the source dials and the channel for
/// commands.
///
/// # Errors
/// When the port or QEMU cannot be made ready; nothing is left of it.
pub async fn prepare(
    desk: &Desk,
    coming: Coming,
) -> Result<(SocketAddr, mpsc::Sender<Command>), AgentError> {
    let key: Key = (coming.net.cluster.clone(), coming.member.name.clone());
    let port = desk.host.link_vm(&coming.net, &coming.member).await?;
    match ready(desk, coming, &port.ifname).await {
        Ok(commands) => Ok((
            SocketAddr::new(desk.config.management, desk.config.relay_port),
            commands,
        )),
        Err(error) => {
            desk.vms.end(&key).await;
            desk.vms.images().remove_arriving(&key);
            let _ = desk.host.unlink(&key.0, &key.1).await;
            Err(error)
        }
    }
}

async fn ready(
    desk: &Desk,
    coming: Coming,
    ifname: &str,
) -> Result<mpsc::Sender<Command>, AgentError> {
    let Coming {
        migration,
        net,
        member,
        source,
        domain,
    } = coming;
    let vm = match domain_of(&member) {
        Some(_) => {
            let waits = desk
                .vms
                .await_domain(&net, &member, ifname, domain.as_deref());
            let vm = waits.await?;
            desk.settle_tap(&vm).await?;
            vm
        }
        None => {
            let tap = desk.host.tap_io().open_tap(ifname).await?;
            desk.vms
                .start(&net, &member, ifname, tap, Start::Incoming)
                .await?
        }
    };
    vm.qmp
        .set_capabilities(&[
            ("events", true),
            ("return-path", true),
            ("switchover-ack", desk.abilities.prediction),
        ])
        .await?;
    // Every peer knows the VM's place from the directory. An announcement would tell nobody anything, and
    // its way through a guest that has just been resumed would delay the first reply.
    vm.qmp
        .set_parameters(serde_json::json!({ "announce-rounds": 0 }))
        .await?;
    let opening = Opening {
        migration: migration.clone(),
        cluster: net.cluster.clone(),
        vm: member.name.clone(),
        disk: None,
    };
    let disks = Arrival::open(&vm, &desk.expectations, &opening, &source).await?;
    let qemu = listen(&vm).await?;
    let arrives = desk.expectations.expect(&opening, source.clone());
    // Before any peer can flip: an abort must be able to give back whatever waits here.
    let capture = desk.host.tap_io().capture(ifname, member.mac).await?;
    let (commands, inbox) = mpsc::channel(8);
    let receiver = Receiver {
        desk: desk.clone(),
        migration: migration.clone(),
        vm,
        qemu: Some(qemu),
        disks,
        source,
        capture: Some(capture),
    };
    tokio::spawn(receiver.run(arrives, opening, inbox));
    Ok(commands)
}

/// How QEMU takes its stream.
enum Listens {
    /// At a socket in the VM's folder.
    Socket(PathBuf),
    /// From the other end of this: libvirt's QEMU may see no folder of ours.
    Pair(UnixStream),
}

impl Listens {
    async fn connect(self) -> std::io::Result<UnixStream> {
        match self {
            Self::Socket(path) => UnixStream::connect(path).await,
            Self::Pair(stream) => Ok(stream),
        }
    }
}

async fn listen(vm: &Vm) -> Result<Listens, AgentError> {
    if let Keeper::Agent = vm.keeper {
        let socket = vm.path("in");
        let uri = format!("unix:{}", socket.display());
        vm.qmp.migrate_incoming(&uri).await?;
        return Ok(Listens::Socket(socket));
    }
    let (ours, theirs) = UnixStream::pair()?;
    let theirs = theirs.into_std()?;
    // A descriptor of a socket shares how it is read with all others: QEMU's own choice stands.
    vm.qmp.getfd(STREAM, theirs).await?;
    vm.qmp.migrate_incoming(&format!("fd:{STREAM}")).await?;
    Ok(Listens::Pair(ours))
}

struct Receiver {
    desk: Desk,
    migration: MigrationId,
    vm: Arc<Vm>,
    qemu: Option<Listens>,
    disks: Arrival,
    source: HostName,
    capture: Option<ovs::Capture>,
}

/// What the reading task found.
enum Wire {
    Stopped,
    Packets(Vec<Vec<u8>>),
    Connections(Vec<Connection>),
    Broken(String),
}

impl Receiver {
    async fn run(
        mut self,
        arrives: oneshot::Receiver<TlsStream<TcpStream>>,
        opening: Opening,
        mut inbox: mpsc::Receiver<Command>,
    ) {
        let desk = self.desk.clone();
        let stream = tokio::select! {
            stream = tokio::time::timeout(PATIENCE, arrives) => match stream {
                Ok(Ok(stream)) => stream,
                _ => {
                    desk.expectations.forget(&opening);
                    return self.interrupted("the source did not dial within 60 s").await;
                }
            },
            command = inbox.recv() => {
                desk.expectations.forget(&opening);
                return self.discard("the controller called it off", command).await;
            }
        };
        let listens = self.qemu.take();
        let connected = match listens {
            Some(listens) => listens.connect().await,
            None => Err(std::io::ErrorKind::NotConnected.into()),
        };
        let qemu = match connected {
            Ok(qemu) => qemu,
            Err(error) => {
                return self
                    .discard(&format!("QEMU does not listen: {error}"), None)
                    .await;
            }
        };
        let events = self.vm.qmp.events();
        let (from_qemu, to_qemu) = qemu.into_split();
        let (wire_in, mut wire_out) = tokio::io::split(stream);
        let (found, wire) = mpsc::channel(64);
        let (frames, mut frames_out) = mpsc::channel::<Frame>(64);
        let origin = Origin {
            source: self.source.clone(),
            migration: self.migration.clone(),
            shelves: desk.shelves.clone(),
        };
        let tasks = [
            tokio::spawn(inwards(wire_in, to_qemu, found, origin, frames.clone())),
            tokio::spawn(return_path(from_qemu, frames.clone())),
            tokio::spawn(async move {
                while let Some(frame) = frames_out.recv().await {
                    if frame.write(&mut wire_out).await.is_err() {
                        return;
                    }
                }
            }),
        ];
        self.receive(events, wire, frames, inbox).await;
        for task in tasks {
            task.abort();
        }
    }

    async fn receive(
        mut self,
        mut events: broadcast::Receiver<qmp::Event>,
        mut wire: mpsc::Receiver<Wire>,
        frames: mpsc::Sender<Frame>,
        mut inbox: mpsc::Receiver<Command>,
    ) {
        let (mut loaded, mut may_run, mut whole, mut runs) = (false, false, false, false);
        let mut connected = true;
        loop {
            tokio::select! {
                biased;
                event = events.recv() => match event {
                    Ok(event) if event.migration_status() == Some(MigrationStatus::Completed) => loaded = true,
                    Ok(event) if event.migration_status() == Some(MigrationStatus::Failed) => {
                        let why = format!("QEMU could not load it: {}", self.vm.last_words());
                        let _ = frames.send(Frame::Discarded(why.clone())).await;
                        return self.fail_late(&why, frames).await;
                    }
                    Ok(event) if event.name == "RESUME" && runs => self.resumed(&event).await,
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) if runs => return,
                    Err(broadcast::error::RecvError::Closed) => {
                        let why = format!("QEMU ended: {}", self.vm.last_words());
                        return self.fail_late(&why, frames).await;
                    }
                },
                found = wire.recv(), if connected => match found {
                    Some(Wire::Stopped) => may_run = true,
                    Some(Wire::Packets(packets)) => {
                        let ifname = &self.vm.record.ifname;
                        if let Err(error) = self.desk.host.tap_io().inject(ifname, &packets).await {
                            tracing::warn!(%error, "packets from the source's queue were not replayed");
                        }
                    }
                    Some(Wire::Connections(connections)) => self.carry(connections),
                    Some(Wire::Broken(why)) if !(runs || loaded && may_run) => {
                        return self.interrupted(&format!("the relay broke: {why}")).await;
                    }
                    Some(Wire::Broken(_)) => {}
                    None => connected = false,
                },
                disks = self.disks.whole(), if !whole => {
                    let closed = match disks {
                        Ok(()) => self.disks.close(&self.vm).await,
                        Err(why) => Err(why),
                    };
                    match closed {
                        Ok(()) => whole = true,
                        Err(why) => return self.fail_late(&why, frames).await,
                    }
                },
                command = inbox.recv() => match command {
                    Some(Command::ReturnQueue(wait_ms, reply)) => {
                        let _ = reply.send(self.give_back(wait_ms, &frames).await);
                    }
                    Some(Command::Discard(reply)) if runs => {
                        let _ = reply.send(Err(format!("'{}' runs here", self.vm.record.member.name)));
                    }
                    Some(Command::Finish) => return,
                    // Whoever forgets this task does not thereby end a VM that runs.
                    None if runs => return,
                    other => return self.discard("the controller called it off", other).await,
                },
            }
            if loaded && may_run && whole && !runs {
                if let Err(error) = self.desk.vms.images().arrived(&self.vm.key()) {
                    let why = format!("its images cannot be taken over: {error}");
                    return self.fail_late(&why, frames).await;
                }
                runs = true;
                if let Err(error) = self.run_now().await {
                    tracing::error!(%error, "the VM is here and QEMU refuses to run it");
                }
                let vm = self.vm.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(precedence::FIRST_STEPS).await;
                    vm.guest_is_ordinary().await;
                    if let Err(error) = vm.define().await {
                        tracing::warn!(%error, "it is tried again when the migration ends");
                    }
                });
                self.capture = None;
                let _ = frames.send(Frame::Running).await;
            }
        }
    }

    /// Lets the VM's connections go on here. Nothing waits for it: most of them come long before the VM.
    fn carry(&self, connections: Vec<Connection>) {
        let (host, key) = (self.desk.host.clone(), self.vm.key());
        tokio::spawn(async move {
            if let Err(error) = host.carry(&key, &connections).await {
                tracing::warn!(%error, vm = %key.1, connections = connections.len(), "connections may end here");
            }
        });
    }

    /// QEMU reports `completed` a moment before it can run the VM.
    async fn run_now(&self) -> Result<(), qmp::QmpError> {
        self.vm.run().await
    }

    async fn resumed(&self, event: &qmp::Event) {
        let stats = self.desk.host.tap_io().stats(&self.vm.record.ifname).await;
        let _ = self.desk.news.send(News::Resumed {
            migration: self.migration.clone(),
            vm: self.vm.record.member.name.clone(),
            at: self.desk.clock.at_wall(event.timestamp),
            queue_drops: stats.map(|stats| stats.dropped).unwrap_or_default(),
        });
    }

    async fn give_back(
        &self,
        wait_ms: f64,
        frames: &mpsc::Sender<Frame>,
    ) -> Result<Answer, String> {
        tokio::time::sleep(Duration::from_secs_f64(wait_ms.clamp(0.0, 5000.0) / 1000.0)).await;
        let packets = self
            .capture
            .as_ref()
            .map(ovs::Capture::take)
            .unwrap_or_default();
        let count = packets.len() as u64;
        for part in packets.chunks(256) {
            let frame = Frame::Packets(part.to_vec());
            frames
                .send(frame)
                .await
                .map_err(|_| "the relay is gone".to_owned())?;
        }
        frames
            .send(Frame::PacketsEnd)
            .await
            .map_err(|_| "the relay is gone".to_owned())?;
        Ok(Answer::Queue { packets: count })
    }

    async fn fail_late(self, why: &str, frames: mpsc::Sender<Frame>) {
        let _ = frames.send(Frame::Discarded(why.to_owned())).await;
        // The frame is on its way before the connection ends with this task.
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.discard(why, None).await;
    }

    async fn remove(&self) {
        let key = self.vm.key();
        self.desk.vms.end(&key).await;
        self.desk.vms.images().remove_arriving(&key);
        if let Err(error) = self.desk.host.unlink(&key.0, &key.1).await {
            tracing::warn!(%error, vm = %key.1, "the port of a VM that did not come could not be removed");
        }
    }

    /// The stream broke before the stop was told: nothing of the VM ran here, and it may come anew.
    async fn interrupted(self, why: &str) {
        self.remove().await;
        let _ = self.desk.news.send(News::Interrupted {
            migration: self.migration.clone(),
            vm: self.vm.record.member.name.clone(),
            reason: why.to_owned(),
        });
    }

    async fn discard(self, why: &str, command: Option<Command>) {
        let key = self.vm.key();
        self.remove().await;
        match command {
            Some(Command::Discard(reply)) => {
                let _ = reply.send(Ok(Answer::Done));
            }
            Some(Command::ReturnQueue(_, reply)) => {
                let _ = reply.send(Err(why.to_owned()));
            }
            _ => {
                let _ = self.desk.news.send(News::Failed {
                    migration: self.migration.clone(),
                    vm: key.1,
                    reason: why.to_owned(),
                    in_doubt: false,
                });
            }
        }
    }
}

async fn inwards(
    mut wire: tokio::io::ReadHalf<TlsStream<TcpStream>>,
    mut qemu: tokio::net::unix::OwnedWriteHalf,
    found: mpsc::Sender<Wire>,
    origin: Origin,
    back: mpsc::Sender<Frame>,
) {
    let mut expand = match Expand::new(origin) {
        Ok(expand) => expand,
        Err(error) => {
            let _ = found.send(Wire::Broken(error.to_string())).await;
            return;
        }
    };
    loop {
        let taken = match Frame::read(&mut wire).await {
            Ok(frame) => expand.take(frame, &back).await,
            Err(error) => Err(error.to_string()),
        };
        let broken = match taken {
            // QEMU has read all it wants, or failed, when this fails; its events tell which.
            Ok(Ok(bytes)) => {
                let _ = qemu.write_all(&bytes).await;
                continue;
            }
            Ok(Err(Frame::Stopped)) => {
                let _ = found.send(Wire::Stopped).await;
                continue;
            }
            Ok(Err(Frame::Packets(packets))) => {
                let _ = found.send(Wire::Packets(packets)).await;
                continue;
            }
            Ok(Err(Frame::Connections(connections))) => {
                let _ = found.send(Wire::Connections(connections)).await;
                continue;
            }
            Ok(Err(_)) => "unexpected frame".to_owned(),
            Err(why) => why,
        };
        let _ = found.send(Wire::Broken(broken)).await;
        return;
    }
}

async fn return_path(mut qemu: tokio::net::unix::OwnedReadHalf, frames: mpsc::Sender<Frame>) {
    let mut buffer = vec![0; 4096];
    while let Ok(read) = qemu.read(&mut buffer).await {
        if read == 0
            || frames
                .send(Frame::Return(buffer[..read].to_vec()))
                .await
                .is_err()
        {
            return;
        }
    }
}
