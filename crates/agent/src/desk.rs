//! Everything the agent works with. What is done with it on an order is in [`crate::orders`].

use crate::clock::Clock;
use crate::domains::Domains;
use crate::flows::Readings;
use crate::gateway::Gateways;
use crate::relay::catalogues::Catalogues;
use crate::relay::listener::{self, Expectations};
use crate::relay::shelves::Shelves;
use crate::stall::{self, Waits};
use crate::survey::{self, Known, tunnels};
use crate::underlay::{self, Underlay};
use crate::vms::Vms;
use crate::{AgentConfig, AgentError, delays, incoming, outgoing, selftest, session};
use identity::{Credentials, tls};
use model::cluster::Cidr;
use model::news::{Abilities, Hello, News};
use model::order::PROTOCOL;
use model::{MigrationId, VmName};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

pub use crate::vms::Key;
pub use ovs::Host;

pub(crate) type Move = (MigrationId, VmName);

/// Everything the agent works with. Clones are the same desk.
#[derive(Clone)]
pub struct Desk(Arc<Inner>);

/// What is on the desk.
pub struct Inner {
    /// Configuration.
    pub config: Arc<AgentConfig>,
    /// The host's switch.
    pub host: Host,
    /// QEMU processes.
    pub vms: Vms,
    /// The controller's clock.
    pub clock: Arc<Clock>,
    /// Where news goes.
    pub news: mpsc::UnboundedSender<News>,
    /// Relay connections that are expected.
    pub expectations: Expectations,
    /// Pages that VMs on their way here may refer to.
    pub shelves: Arc<Shelves>,
    pub(crate) catalogues: Catalogues,
    /// The way to endpoints outside; none where the host has no part in it.
    pub(crate) gateways: Option<Gateways>,
    /// Its address in the secure underlay, where it has one.
    inner: Option<Cidr>,
    /// Its part of that.
    pub(crate) underlay: Option<Underlay>,
    /// What the host can do.
    pub abilities: Abilities,
    /// What surveys keep.
    pub known: Known,
    /// What an ordinary thread waits for a CPU here.
    pub(crate) stall: Arc<Mutex<Waits>>,
    pub(crate) readings: Readings,
    pub(crate) tls: Arc<rustls::ClientConfig>,
    pub(crate) inbox: Mutex<Option<mpsc::UnboundedReceiver<News>>>,
    pub(crate) outgoing: Mutex<HashMap<Move, mpsc::Sender<outgoing::Command>>>,
    pub(crate) incoming: Mutex<HashMap<Move, mpsc::Sender<incoming::Command>>>,
}

impl Deref for Desk {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Desk {
    /// Sets the host up, adopts what runs, and listens for other agents.
    ///
    /// # Errors
    /// When something of it cannot be done.
    pub async fn open(config: Arc<AgentConfig>, own: &Credentials) -> Result<Self, AgentError> {
        let daemons = ovs::Daemons::start(&ovs::Netns::current()?, &config.ovs.rundir).await?;
        let inner = session::inner(&config)?;
        // Before the switch: the device must be there when it becomes a port.
        let underlay = match inner {
            Some(inner) => Some(Underlay::open(&config, inner).await?),
            None => None,
        };
        let host = Host::set_up(ovs::HostConfig {
            secured: inner.map(|inner| underlay::secured(&config, inner)),
            ..config.ovs.clone()
        })
        .await?;
        if let Some(underlay) = &underlay {
            underlay.attach(host.clone(), &config, own).await?;
        }
        tokio::spawn(async move { daemons.keep().await });
        let vms = Vms::open(
            config.state.join("vms"),
            config.qemu.clone(),
            config.vm_nice,
            Domains::new(config.libvirt.clone()),
        )
        .await?;
        let expectations = Expectations::default();
        listener::listen(
            SocketAddr::new(config.management, config.relay_port),
            own,
            expectations.clone(),
        )
        .await?;
        let responder =
            tokio::net::UdpSocket::bind(SocketAddr::new(config.management, config.delay_port))
                .await?;
        match host.config().locator() {
            Some(locator) if locator == config.management => {
                tokio::spawn(tunnels::respond(responder));
            }
            locator => {
                tokio::spawn(delays::respond(Arc::new(responder)));
                tunnels::listen(locator, config.delay_port).await;
            }
        }
        let gateways = match config.ovs.underlay.first() {
            Some(underlay) if config.lisp => {
                let name = config.host.clone();
                Some(Gateways::open(host.clone(), name, underlay.address).await?)
            }
            _ => None,
        };
        let abilities = abilities(&config, &vms, &host).await;
        let (news, inbox) = mpsc::unbounded_channel();
        let desk = Self(Arc::new(Inner {
            tls: tls::client(own)?,
            shelves: Arc::new(Shelves::new(config.page_store_mib)),
            catalogues: Catalogues::default(),
            gateways,
            inner,
            underlay,
            config,
            host,
            vms,
            clock: Arc::new(Clock::default()),
            news,
            expectations,
            abilities,
            known: Known::new(own),
            stall: stall::measure()?,
            readings: Readings::default(),
            inbox: Mutex::new(Some(inbox)),
            outgoing: Mutex::default(),
            incoming: Mutex::default(),
        }));
        let inner = Arc::downgrade(&desk.0);
        desk.expectations.let_measure(move || {
            let desk = Self(inner.upgrade()?);
            let busy = desk.moving() > 0;
            busy.then(|| format!("a migration runs on '{}'", desk.config.host))
        });
        desk.after_restart().await;
        Ok(desk)
    }

    /// The host holds other rows of the directory than before.
    pub(crate) fn rows_changed(&self) {
        if let Some(gateways) = &self.gateways {
            gateways.refresh();
        }
    }

    /// The host's address in the secure underlay, with the underlay's prefix.
    pub(crate) fn inner(&self) -> Option<Cidr> {
        self.inner
    }

    /// The news, for the session; once.
    pub fn take_news(&self) -> Option<mpsc::UnboundedReceiver<News>> {
        self.inbox.lock().ok()?.take()
    }

    /// The first frame of a session.
    pub async fn hello(&self) -> Hello {
        let config = &self.config;
        let secured = match &self.underlay {
            Some(underlay) => Some(underlay.part().await),
            None => None,
        };
        // What the other hosts' questions reach: nothing of ours is to cross the WAN in clear.
        let asked_at = match &secured {
            Some(part) => part.inner,
            None => config.management,
        };
        Hello {
            protocol: PROTOCOL,
            host: config.host.clone(),
            site: config.site.clone(),
            underlay: self.host.config().locator().unwrap_or(config.management),
            relay_ip: config.management,
            relay_port: config.relay_port,
            delay_responder: SocketAddr::new(asked_at, config.delay_port),
            secured,
            abilities: Abilities {
                free_mib: survey::free_mib(),
                ..self.abilities.clone()
            },
            entries: self.host.entries().await,
            vms: self.vms.here().await,
        }
    }

    /// VMs that are being sent or received here now.
    pub fn moving(&self) -> u32 {
        let count = |n: Option<usize>| n.unwrap_or(0) as u32;
        let out = self.outgoing.lock().ok().map(|all| {
            let under_way = all.values().filter(|commands| !commands.is_closed());
            under_way.count()
        });
        let come = self.incoming.lock().ok().map(|all| {
            let under_way = all.values().filter(|commands| !commands.is_closed());
            under_way.count()
        });
        count(out) + count(come)
    }

    /// TLS towards other agents.
    pub fn tls(&self) -> Arc<rustls::ClientConfig> {
        self.tls.clone()
    }
}

async fn abilities(config: &AgentConfig, vms: &Vms, host: &Host) -> Abilities {
    let tested = selftest::run(vms.qemu(), vms.accel(), &config.state).await;
    Abilities {
        qemu: tested.version,
        accel: vms.accel().to_owned(),
        prediction: tested.holds,
        prediction_note: tested.note,
        free_mib: survey::free_mib(),
        cpus: std::thread::available_parallelism().map_or(1, |n| n.get() as u32),
        uplink_mtu: host.tunnels_carry(),
        uplink_mbit: config.uplink_mbit,
    }
}
