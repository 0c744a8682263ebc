//! `lab up`: everything, in the order in which one needs the other.
//!
//! ```text
//! box, network, WAN ─▶ controller ─▶ agents (all at once) ─▶ cluster (all VMs at once) ─▶ answers
//!                          probe, to see the first answers, comes up meanwhile
//! ```

use crate::compare::{AWAY, libvirtd};
use crate::folder::Folder;
use crate::net::{DEFAULT_MTU, DEFAULT_SITES, Plan};
use crate::parts::{self, PartError, Plane};
use crate::shop::{CLIENT_SITE, DiskLoad, Guest, HOME, Load, STREAM_MS, Shop, Size, TALK_MS};
use crate::testbed::{self, Options, Testbed};
use crate::wan::Shaping;
use api::Client;
use measure::probe::Target;
use model::Encap;
use model::underlay::Method;
use ovs::config::BondMode;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest time for all VMs to boot and answer.
const ANSWERS: Duration = Duration::from_secs(120);

/// How a lab comes up.
#[derive(Debug, Clone, PartialEq)]
pub struct UpOptions {
    /// The lab folder; see [`Folder::locate`].
    pub folder: Option<PathBuf>,
    /// What every access of the WAN does.
    pub shaping: Shaping,
    /// VMs of the cluster.
    pub vms: u8,
    /// What they do to their memory.
    pub load: Load,
    /// Interval of the UDP streams among them, ms; 0 is none.
    pub talk_ms: u32,
    /// Interval of the client's UDP stream with each VM, ms.
    pub stream_ms: u32,
    /// How the cluster's frames travel.
    pub encap: Encap,
    /// How the uplinks of a site share the load.
    pub bond: BondMode,
    /// The VMs' disks, if they have any; the lab chooses where their image is.
    pub disk: Option<DiskLoad>,
    /// Whether a libvirtd runs at north and south, which their agents know.
    pub libvirt: bool,
    /// How the client is joined to the cluster.
    pub plane: Plane,
    /// What the tunnels between sites run in.
    pub underlay: Method,
    /// How large each VM is.
    pub size: Size,
    /// Folder of the guest; see [`Guest::find`].
    pub guest: Option<PathBuf>,
    /// The binary that the lab's processes are; the running one when `None`.
    pub exe: Option<PathBuf>,
}

impl Default for UpOptions {
    fn default() -> Self {
        Self {
            folder: None,
            shaping: Shaping::default(),
            vms: 4,
            load: Load::USUAL,
            talk_ms: TALK_MS,
            stream_ms: STREAM_MS,
            encap: Encap::default(),
            bond: BondMode::default(),
            disk: None,
            libvirt: false,
            plane: Plane::default(),
            underlay: Method::None,
            size: Size::USUAL,
            guest: None,
            exe: None,
        }
    }
}

/// Something that a lab on its way up has done.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// What, in words.
    pub what: String,
    /// When, ms after the begin.
    pub at_ms: f64,
}

/// A complete lab.
#[derive(Clone)]
pub struct Standing {
    /// Box, network, WAN.
    pub testbed: Testbed,
    /// The controller's API.
    pub client: Client,
    /// The cluster as it was described.
    pub shop: Shop,
    /// What a probe talks to.
    pub targets: Vec<Target>,
    /// Interval of the client's UDP stream with each VM, ms.
    pub stream_ms: u32,
    /// From the begin until the last VM had answered, ms.
    pub up_ms: f64,
}

/// Brings a whole lab up. When anything fails, or the caller is interrupted (SIGINT, SIGTERM), what
/// was made is gone again.
///
/// # Errors
/// What stood in the way, with the way out.
pub async fn up(
    options: &UpOptions,
    tell: &mut (dyn FnMut(Step) + Send),
) -> Result<Standing, PartError> {
    let begun = Instant::now();
    let mut shop = Shop {
        vms: options.vms,
        load: options.load,
        talk_ms: options.talk_ms,
        disk: options.disk.clone(),
        encap: options.encap,
        client: !options.plane.is_lisp(),
        size: options.size,
        guest: Guest::find(options.guest.as_deref())?,
    };
    if options.plane.is_lisp() && options.underlay != Method::None {
        return Err(PartError::LispInside);
    }
    let testbed = ground(options).await?;
    let mut made = |what: String| {
        tell(Step {
            what,
            at_ms: begun.elapsed().as_secs_f64() * 1e3,
        });
    };
    made(format!(
        "sites {} and the WAN",
        sites(&testbed).as_slice().join(", ")
    ));
    if let Some(disk) = &mut shop.disk {
        disk.image = testbed.folder().path().join("disk.raw");
        let load = disk.clone();
        let image = tokio::task::spawn_blocking(move || {
            crate::disk::make(&load.image, load.size_mib, load.fill_mib)
        });
        if let Err(error) = image.await.map_err(|_| PartError::Interrupted)? {
            let _ = end(testbed.folder()).await;
            return Err(error.into());
        }
        made("the disks' image".to_owned());
    }
    let furnished = tokio::select! {
        done = furnish(&testbed, &shop, options, begun, &mut made) => done,
        () = interrupted() => Err(PartError::Interrupted),
    };
    if furnished.is_err() {
        // The first error is the one to tell.
        let _ = end(testbed.folder()).await;
    }
    furnished
}

/// Box, network and WAN. Not interrupted: it takes a moment only, and cleans up by itself.
async fn ground(options: &UpOptions) -> Result<Testbed, PartError> {
    let options = options.clone();
    let plan = plan(options.underlay)?;
    let made = tokio::task::spawn_blocking(move || {
        Testbed::up(&Options {
            folder: options.folder.as_deref(),
            shaping: options.shaping,
            exe: options.exe,
            plan,
            ..Options::default()
        })
    });
    Ok(made.await.map_err(|_| PartError::Interrupted)??)
}

/// Room on the uplinks for what protection adds, so that members have an Ethernet's MTU with and without.
fn plan(underlay: Method) -> Result<Plan, PartError> {
    let room = match underlay {
        Method::None => 0,
        _ => agent::underlay::OVERHEAD,
    };
    let made = Plan::new(DEFAULT_SITES, CLIENT_SITE, DEFAULT_MTU + room);
    Ok(made?)
}

async fn furnish(
    testbed: &Testbed,
    shop: &Shop,
    options: &UpOptions,
    begun: Instant,
    made: &mut (dyn FnMut(String) + Send),
) -> Result<Standing, PartError> {
    let (handle, plan) = (testbed.boxed(), testbed.plan());
    let client =
        parts::start_controller(handle, plan, options.plane.is_lisp(), options.underlay).await?;
    made(format!("controller at {}", plan.controller_site));
    if options.libvirt {
        for site in [HOME, AWAY].iter().filter_map(|name| plan.site(name)) {
            libvirtd::start(handle, plan, site).await?;
        }
        made(format!("libvirtd at {HOME} and {AWAY}"));
    }
    let agents = parts::AgentOptions {
        uplink_mbit: options.shaping.rate_mbit,
        bond: options.bond,
        libvirt: options.libvirt,
        lisp: options.plane.is_lisp(),
        underlay: options.underlay,
    };
    let (agents, probe) = tokio::join!(
        parts::start_agents(handle, plan, &client, agents),
        parts::start_probe(handle)
    );
    agents?;
    let probe = probe?;
    made(format!("{} agents with their switches", plan.sites.len()));
    client.apply_cluster(&shop.describe()?).await?;
    match options.underlay {
        Method::None => made(
            "underlay: none. What the VMs say crosses the WAN in clear, as only a lab may"
                .to_owned(),
        ),
        method => made(format!("underlay: {method}, between all sites")),
    }
    made(format!(
        "cluster shop: {} at {HOME}, its client at {CLIENT_SITE}",
        vms(shop.vms)
    ));
    if options.plane.is_lisp() {
        parts::start_router(handle, plan, &client, options.plane).await?;
        made(format!("LISP router at {CLIENT_SITE}"));
    }
    let targets = shop.targets();
    all_answer(&probe, &targets).await?;
    let up_ms = begun.elapsed().as_secs_f64() * 1e3;
    made(format!("{} answer at {CLIENT_SITE}", vms(shop.vms)));
    parts::end_probe(handle, probe).await?;
    Ok(Standing {
        testbed: testbed.clone(),
        client,
        shop: shop.clone(),
        targets,
        stream_ms: options.stream_ms,
        up_ms,
    })
}

/// Waits until every VM has answered the probe.
pub(crate) async fn all_answer(
    probe: &measure::control::Client,
    targets: &[Target],
) -> Result<(), PartError> {
    let answers = probe.first_answers(targets, ANSWERS).await?;
    let silent: Vec<&str> = answers
        .iter()
        .filter(|answer| answer.unix_ns.is_none())
        .map(|answer| answer.name.as_str())
        .collect();
    if silent.is_empty() {
        return Ok(());
    }
    Err(PartError::Slow {
        what: format!("{} did not answer from {CLIENT_SITE}", silent.join(", ")),
        seconds: ANSWERS.as_secs(),
        said: "start again, and look at sites/*/vms/*/serial.log in the lab folder meanwhile"
            .to_owned(),
    })
}

impl Standing {
    /// Ends it all and removes the folder.
    ///
    /// # Errors
    /// Something would not end.
    pub async fn down(self) -> Result<(), PartError> {
        end(self.testbed.folder()).await
    }
}

/// Ends whatever stands in a folder.
pub(crate) async fn end(folder: &Folder) -> Result<(), PartError> {
    let path = folder.path().to_owned();
    let ended = tokio::task::spawn_blocking(move || testbed::down(Some(&path)));
    ended.await.map_err(|_| PartError::Interrupted)??;
    Ok(())
}

/// Returns when the process is told to end.
pub(crate) async fn interrupted() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        Ok(()) = tokio::signal::ctrl_c() => {}
    }
}

fn sites(testbed: &Testbed) -> Vec<String> {
    let sites = testbed.plan().sites.iter();
    sites.map(|site| site.name.clone()).collect()
}

fn vms(count: u8) -> String {
    match count {
        1 => "1 VM".to_owned(),
        _ => format!("{count} VMs"),
    }
}
