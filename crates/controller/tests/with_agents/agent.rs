//! An agent without a switch.

use bytes::Bytes;
use control::Key;
use futures::{SinkExt, StreamExt};
use identity::Credentials;
use identity::enrol::{Enrol, Enrolled};
use identity::token::JoinToken;
use model::news::{Abilities, Answer, Hello, News, Up, VmHere};
use model::order::{Down, MAX_FRAME, Order, PROTOCOL};
use model::vm::VmState;
use model::{ClusterName, Entry, Epoch, HostName, Nanos, Net, SiteName};
use rustls::pki_types::ServerName;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::codec::{Framed, LengthDelimitedCodec};

pub(crate) type Frames = Framed<TlsStream<TcpStream>, LengthDelimitedCodec>;

/// What an agent says instead of doing an order.
pub(crate) type Refusal = Box<dyn Fn(&Order) -> Option<Reaction> + Send>;

pub(crate) enum Reaction {
    Refuse(&'static str),
    HangUp,
    /// Do it, but not before this long, ms.
    Dawdle(u64),
    /// Answer this.
    Say(Answer),
}

/// What an agent holds; outlives its connections.
#[derive(Default)]
pub(crate) struct Held {
    pub(crate) nets: BTreeMap<ClusterName, Net>,
    pub(crate) rows: BTreeMap<Key, Entry>,
    pub(crate) gone: BTreeMap<Key, Epoch>,
    pub(crate) ports: BTreeSet<Key>,
    pub(crate) vms: BTreeMap<Key, VmState>,
    pub(crate) orders: Vec<Order>,
    pub(crate) welcomes: usize,
    pub(crate) clock: Option<(i64, Nanos)>,
    pub(crate) refusal: Option<Refusal>,
}

pub(crate) struct Host {
    pub(crate) name: HostName,
    pub(crate) hello: Hello,
    pub(crate) credentials: Credentials,
    pub(crate) controller: SocketAddr,
    pub(crate) held: Arc<Mutex<Held>>,
}

/// A connected agent; hangs up when dropped.
pub(crate) struct Agent {
    pub(crate) held: Arc<Mutex<Held>>,
    say: mpsc::UnboundedSender<Up>,
    task: tokio::task::JoinHandle<()>,
}

pub(crate) fn hello(host: &str, site: &str, underlay: &str) -> Hello {
    let underlay: IpAddr = underlay.parse().unwrap();
    Hello {
        protocol: PROTOCOL,
        host: HostName::new(host).unwrap(),
        site: SiteName::new(site).unwrap(),
        underlay,
        relay_ip: underlay,
        relay_port: 6640,
        delay_responder: SocketAddr::new(underlay, 6641),
        secured: None,
        abilities: Abilities {
            qemu: "10.0.2".into(),
            accel: "tcg".into(),
            prediction: true,
            prediction_note: String::new(),
            free_mib: 4096,
            cpus: 2,
            uplink_mtu: 1500,
            uplink_mbit: 200.0,
        },
        entries: vec![],
        vms: vec![],
    }
}

fn codec() -> LengthDelimitedCodec {
    LengthDelimitedCodec::builder()
        .max_frame_length(MAX_FRAME)
        .new_codec()
}

async fn dial(controller: SocketAddr, tls: Arc<rustls::ClientConfig>) -> std::io::Result<Frames> {
    let stream = TcpStream::connect(controller).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from(identity::CONTROLLER).unwrap();
    let stream = TlsConnector::from(tls).connect(name, stream).await?;
    Ok(Framed::new(stream, codec()))
}

/// Asks to join.
pub(crate) async fn enrol(
    controller: SocketAddr,
    host: &str,
    token: &str,
) -> Result<Credentials, String> {
    let token = JoinToken::parse(token).unwrap();
    let tls = identity::tls::joining(&token.fingerprint).unwrap();
    let mut frames = dial(controller, tls)
        .await
        .map_err(|error| error.to_string())?;
    let (key, csr) = Credentials::request(host).unwrap();
    let request = Enrol {
        host: HostName::new(host).unwrap(),
        secret: token.secret,
        csr,
    };
    frames
        .send(Bytes::from(serde_json::to_vec(&request).unwrap()))
        .await
        .map_err(|error| error.to_string())?;
    let answer = frames
        .next()
        .await
        .ok_or("hung up")?
        .map_err(|error| error.to_string())?;
    match serde_json::from_slice(&answer).unwrap() {
        Enrolled::Certificate {
            certificate,
            authority,
            ..
        } => Ok(Credentials {
            certificate,
            key: key.serialize_pem(),
            authority,
        }),
        Enrolled::Refused(why) => Err(why),
    }
}

impl Host {
    /// A connection on which nothing was said yet.
    pub(crate) async fn dial(&self) -> Frames {
        dial(
            self.controller,
            identity::tls::client(&self.credentials).unwrap(),
        )
        .await
        .unwrap()
    }

    /// Dials in and waits for the whole truth.
    pub(crate) async fn connect(&self) -> Agent {
        let mut frames = self.dial().await;
        let mut hello = self.hello.clone();
        let seen = {
            let held = self.held.lock().unwrap();
            hello.entries = held.rows.values().cloned().collect();
            hello.vms = vms(&held);
            held.replaced()
        };
        send(&mut frames, &Up::Hello(Box::new(hello)))
            .await
            .unwrap();
        let (say, said) = mpsc::unbounded_channel();
        let task = tokio::spawn(talk(frames, self.held.clone(), said));
        let agent = Agent {
            held: self.held.clone(),
            say,
            task,
        };
        agent.until(move |held| held.replaced() > seen).await;
        agent
    }
}

impl Held {
    fn replaced(&self) -> usize {
        self.orders
            .iter()
            .filter(|order| matches!(order, Order::Replace { .. }))
            .count()
    }

    /// What an agent answers of a migration; what happens then is the test's to tell.
    fn migrate(&mut self, order: &Order) -> Result<Answer, String> {
        match order {
            Order::PrepareTarget { net, member, .. } => {
                let key = (net.cluster.clone(), member.name.clone());
                self.vms.insert(key, VmState::Incoming);
                let relay = SocketAddr::from(([192, 0, 2, 2], 7000));
                Ok(Answer::Prepared { relay })
            }
            Order::DiscardTarget { cluster, vm, .. } => {
                self.vms.remove(&(cluster.clone(), vm.clone()));
                Ok(Answer::Done)
            }
            Order::Arm { stop_at, .. } => Ok(Answer::Armed {
                stop_at: *stop_at,
                burst_bytes: 0,
            }),
            Order::ReturnQueue { .. } | Order::AbortSource { .. } => {
                Ok(Answer::Queue { packets: 0 })
            }
            Order::Migrate { .. }
            | Order::Pace { .. }
            | Order::Release { .. }
            | Order::Gate { .. }
            | Order::Verify { .. }
            | Order::FinishTarget { .. }
            | Order::FinishSource { .. } => Ok(Answer::Done),
            other => Err(format!("this agent cannot {other:?}")),
        }
    }

    /// Rows as people read them: member, host, epoch.
    pub(crate) fn places(&self) -> Vec<(String, String, u64)> {
        let rows = self.rows.values();
        rows.map(|row| {
            (
                row.vm.to_string(),
                row.locator.host.to_string(),
                row.epoch.0,
            )
        })
        .collect()
    }

    fn take(&mut self, order: &Order) -> Result<Answer, String> {
        match order {
            Order::Replace { slice } => {
                self.gone.clear();
                self.nets = slice
                    .nets
                    .iter()
                    .map(|net| (net.cluster.clone(), net.clone()))
                    .collect();
                self.rows = slice
                    .entries
                    .iter()
                    .map(|row| (row.key(), row.clone()))
                    .collect();
            }
            Order::Apply {
                nets,
                entries,
                removed,
                at,
                ..
            } => {
                self.nets
                    .extend(nets.iter().map(|net| (net.cluster.clone(), net.clone())));
                for row in entries {
                    let newest = self.rows.get(&row.key()).map(|held| held.epoch);
                    if newest.max(self.gone.get(&row.key()).copied()) < Some(row.epoch) {
                        self.rows.insert(row.key(), row.clone());
                    }
                }
                for gone in removed {
                    let key = (gone.cluster.clone(), gone.vm.clone());
                    if self
                        .rows
                        .get(&key)
                        .is_some_and(|row| row.epoch <= gone.epoch)
                    {
                        self.rows.remove(&key);
                    }
                    self.gone.insert(key, gone.epoch);
                }
                if at.is_some() {
                    return Ok(Answer::Scheduled);
                }
            }
            Order::Link { net, member } => {
                self.ports
                    .insert((net.cluster.clone(), member.name.clone()));
            }
            Order::Unlink { cluster, vm } => {
                self.ports.remove(&(cluster.clone(), vm.clone()));
            }
            Order::StartVm { cluster, member } => {
                let key = (cluster.clone(), member.name.clone());
                if !self.ports.contains(&key) {
                    return Err(format!("VM '{}' has no port: link it first", member.name));
                }
                self.vms.insert(key, VmState::Running);
            }
            Order::StopVm { cluster, vm } => {
                let key = (cluster.clone(), vm.clone());
                self.ports.remove(&key);
                self.vms.remove(&key);
            }
            Order::Underlay { .. } => {}
            Order::ListVms => return Ok(Answer::Vms { vms: vms(self) }),
            Order::MeasureDelays { hosts } => {
                let one_way_ms = hosts.iter().map(|(host, _)| (host.clone(), 1.0)).collect();
                return Ok(Answer::Delays {
                    one_way_ms,
                    stall_ms: 0.0,
                });
            }
            other => return self.migrate(other),
        }
        Ok(Answer::Done)
    }
}

fn vms(held: &Held) -> Vec<VmHere> {
    let vms = held.vms.iter();
    vms.map(|((cluster, vm), state)| VmHere {
        cluster: cluster.clone(),
        vm: vm.clone(),
        state: *state,
    })
    .collect()
}

/// A row without the controller's mark.
pub(crate) fn plain(row: &Entry) -> Entry {
    Entry {
        seal: None,
        ..row.clone()
    }
}

pub(crate) async fn send(frames: &mut Frames, up: &Up) -> std::io::Result<()> {
    frames
        .send(Bytes::from(serde_json::to_vec(up).unwrap()))
        .await
}

/// Orders are carried out as the real agent does it: each as a task, so in no certain order.
async fn talk(mut frames: Frames, held: Arc<Mutex<Held>>, mut said: mpsc::UnboundedReceiver<Up>) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    let (answers, mut answered) = mpsc::unbounded_channel();
    let mut ended = JoinSet::new();
    loop {
        let up = tokio::select! {
            frame = frames.next() => {
                let Some(Ok(frame)) = frame else { return };
                match serde_json::from_slice(&frame).unwrap() {
                    Down::Welcome { .. } => held.lock().unwrap().welcomes += 1,
                    Down::Clock { asked, now } => held.lock().unwrap().clock = Some((asked, now)),
                    Down::Order { id, order } => {
                        let (held, answers) = (held.clone(), answers.clone());
                        ended.spawn(async move {
                            for _ in 0..id % 4 {
                                tokio::task::yield_now().await;
                            }
                            let reaction = reaction(&held, &order);
                            if let Some(Reaction::Dawdle(ms)) = reaction {
                                tokio::time::sleep(Duration::from_millis(ms)).await;
                            }
                            let _ = answers.send(react(&held, id, *order, reaction));
                        });
                    }
                }
                continue;
            }
            answer = answered.recv() => match answer.flatten() {
                Some(up) => up,
                None => return,
            },
            up = said.recv() => match up {
                Some(up) => up,
                None => return,
            },
            _ = tick.tick() => Up::Clock { asked: 42 },
        };
        if send(&mut frames, &up).await.is_err() {
            return;
        }
    }
}

fn reaction(held: &Mutex<Held>, order: &Order) -> Option<Reaction> {
    let held = held.lock().unwrap();
    held.refusal.as_ref().and_then(|refusal| refusal(order))
}

/// The answer to an order; none to hang up.
fn react(held: &Mutex<Held>, id: u64, order: Order, reaction: Option<Reaction>) -> Option<Up> {
    let mut held = held.lock().unwrap();
    let result = match reaction {
        Some(Reaction::HangUp) => return None,
        Some(Reaction::Refuse(why)) => Err(why.to_owned()),
        Some(Reaction::Say(answer)) => Ok(answer),
        Some(Reaction::Dawdle(_)) | None => held.take(&order),
    };
    // Pings would drown the rest.
    if !matches!(&order, Order::MeasureDelays { hosts } if hosts.is_empty()) {
        held.orders.push(order);
    }
    Some(Up::Answer { id, result })
}

/// All agents' news has numbers that grow.
static TOLD: AtomicU64 = AtomicU64::new(1);

impl Agent {
    pub(crate) fn tell(&self, news: News) {
        let up = Up::News {
            life: 1,
            number: TOLD.fetch_add(1, Ordering::Relaxed),
            news: Box::new(news),
        };
        self.say.send(up).unwrap();
    }

    /// Refuses, or hangs up on, some orders from now on.
    pub(crate) fn react_with(&self, refusal: impl Fn(&Order) -> Option<Reaction> + Send + 'static) {
        self.held.lock().unwrap().refusal = Some(Box::new(refusal));
    }

    pub(crate) fn behave(&self) {
        self.held.lock().unwrap().refusal = None;
    }

    pub(crate) fn held<T>(&self, look: impl FnOnce(&Held) -> T) -> T {
        look(&self.held.lock().unwrap())
    }

    pub(crate) fn forget_orders(&self) {
        self.held.lock().unwrap().orders.clear();
    }

    /// Waits until something holds.
    pub(crate) async fn until(&self, condition: impl Fn(&Held) -> bool) {
        let held = self.held.clone();
        super::bed::until(move || condition(&held.lock().unwrap())).await;
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.task.abort();
    }
}
