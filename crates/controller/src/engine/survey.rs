//! What hosts find when they are asked for a plan, and the plan that follows from it.
//!
//! What migrations reserve is nowhere kept by itself: it follows from the list of migrations that have not
//! ended, each with what its VMs need and where. So it is freed by their ends, whatever these are, and a
//! restarted controller knows it as soon as it knows them.

use super::{Engine, Mover, steps};
use crate::clock;
use api::Problem;
use migration::plan::{self, Around, BULK_SHARE, Candidate, Reserved, copy_rate};
use migration::{groups, switch};
use model::facts::{Asked, Facts, PathAsked, PathFound, Peer, Survey};
use model::migration::{Options, Plan, Switch};
use model::news::{Answer, Hello};
use model::order::Order;
use model::{Cluster, ClusterName, HostName, MigrationId, SiteName};
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Guests' dirty pages are counted for this long, s.
const WATCH_S: u32 = 1;
/// A path that was measured is believed for this long.
const BELIEVED: Duration = Duration::from_secs(300);

/// What paths carried when they were measured last.
pub(super) type Paths = Mutex<BTreeMap<(HostName, HostName), (Instant, PathFound)>>;

/// How a path's rate is found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Path {
    /// With a short stream.
    Measured,
    /// From what was measured lately, or is configured: just before a migration nothing else shall go
    /// over its link.
    AsKnown,
}

/// What a plan is made from.
pub(super) struct Looked {
    pub(super) cluster: Cluster,
    pub(super) from: SiteName,
    pub(super) movers: Vec<Mover>,
    delays: Vec<Option<f64>>,
    mtu: u16,
    facts: BTreeMap<HostName, Facts>,
}

impl Engine {
    /// What a migration would do.
    ///
    /// # Errors
    /// When the question makes no sense.
    pub async fn plan(
        self: &std::sync::Arc<Self>,
        cluster: &ClusterName,
        to: &SiteName,
        options: &Options,
    ) -> Result<Plan, Problem> {
        self.remember().await;
        let looked = self.look(cluster, to, options, Path::Measured).await?;
        Ok(self.plan_from(&looked, to, options, None))
    }

    /// Asks every host concerned.
    pub(super) async fn look(
        &self,
        cluster: &ClusterName,
        to: &SiteName,
        options: &Options,
        path: Path,
    ) -> Result<Looked, Problem> {
        let (cluster, from, movers) = self.movers(cluster, to).await?;
        let net = self.registry.net(&cluster.name).await;
        let mtu = net.map_or(1500, |net| net.mtu);
        let packet = mtu + cluster.encap.overhead(self.over_v6(&movers));
        let holders = self.registry.holders(&cluster.name).await;
        let others: Vec<Hello> = holders
            .iter()
            .filter_map(|host| self.hosts.info(host))
            .collect();
        let surveys = surveys(&cluster.name, &movers, &others, packet, options, path);
        let facts = surveys.into_iter().map(|(host, survey)| async move {
            let survey = Box::new(survey);
            match self.hosts.order(&host, Order::Survey { survey }).await {
                Ok(Answer::Facts { facts }) => Some((host, *facts)),
                // The plan says that this host does not tell.
                Ok(_) => None,
                Err(error) => {
                    tracing::warn!(%host, %error, "does not tell about its host");
                    None
                }
            }
        });
        let delays = movers
            .iter()
            .map(|mover| steps::one_way(&self.hosts, &mover.source.host, &mover.target));
        let (facts, delays) = futures::join!(
            futures::future::join_all(facts),
            futures::future::join_all(delays)
        );
        let mut facts: BTreeMap<_, _> = facts.into_iter().flatten().collect();
        self.remember_paths(&movers, &mut facts);
        Ok(Looked {
            cluster,
            from,
            movers,
            delays,
            mtu,
            facts,
        })
    }

    fn over_v6(&self, movers: &[Mover]) -> bool {
        movers.iter().any(|mover| mover.target.underlay.is_ipv6())
    }

    /// Keeps what was measured, and gives it where nothing was measured now.
    fn remember_paths(&self, movers: &[Mover], facts: &mut BTreeMap<HostName, Facts>) {
        let Ok(mut paths) = self.paths.lock() else {
            return;
        };
        for mover in movers {
            let between = (mover.source.host.clone(), mover.target.host.clone());
            let Some(facts) = facts.get_mut(&mover.source.host) else {
                continue;
            };
            match &facts.path {
                Some(found @ PathFound::Carries { .. }) => {
                    paths.insert(between, (Instant::now(), found.clone()));
                }
                left => {
                    let kept = paths.get(&between);
                    let kept = kept.filter(|(since, _)| since.elapsed() < BELIEVED);
                    let kept = kept.map(|(_, found)| found.clone());
                    facts.path = kept.or_else(|| left.clone());
                }
            }
        }
    }

    /// The plan that follows from what was found, and from what is reserved now by others than `by`.
    pub(super) fn plan_from(
        &self,
        looked: &Looked,
        to: &SiteName,
        options: &Options,
        by: Option<&MigrationId>,
    ) -> Plan {
        let mut reserved = self.reserved();
        reserved.retain(|one| Some(&one.by) != by);
        let candidates: Vec<_> = looked
            .movers
            .iter()
            .zip(&looked.delays)
            .map(|(mover, one_way_ms)| Candidate {
                member: &mover.member,
                source: &mover.source,
                target: &mover.target,
                one_way_ms: *one_way_ms,
                stall_ms: self.hosts.stall_ms(&mover.target.host).unwrap_or_default(),
                here: looked.facts.get(&mover.source.host),
                there: looked.facts.get(&mover.target.host),
            })
            .collect();
        let around = Around {
            cluster: &looked.cluster.name,
            encap: looked.cluster.encap,
            mtu: looked.mtu,
            from: &looked.from,
            to,
            wall_less_monotonic_ns: clock::wall_less_monotonic_ns(),
            now_s: i64::try_from(clock::unix_ms() / 1000).unwrap_or(i64::MAX),
            reserved: &reserved,
        };
        let order = groups::of(&groups::after(candidates.iter().map(|c| c.member)));
        let order = order.unwrap_or_default();
        let mut chosen = options.clone();
        if order.len() == 1 && switch::chosen(options, 1) == Switch::Together {
            chosen.stagger_ms = Some(0.0);
        }
        let mut plan = plan::make(&around, &candidates, &chosen);
        if !candidates.is_empty() {
            let known = switch::before(&candidates, options);
            plan.switches = switch::forecast(&order, options, known);
        }
        plan
    }

    /// What every migration that has not ended keeps at its target.
    fn reserved(&self) -> Vec<Reserved> {
        let Ok(all) = self.all.lock() else {
            return Vec::new();
        };
        let mut reserved = Vec::new();
        for known in all.values() {
            let Ok(seen) = known.seen.lock() else {
                continue;
            };
            if seen.state.is_final() {
                continue;
            }
            reserved.extend(seen.vms.iter().map(|vm| Reserved {
                host: vm.to.clone(),
                cluster: seen.cluster.clone(),
                vm: vm.vm.clone(),
                by: seen.id.clone(),
                needs: vm.needs,
            }));
        }
        reserved
    }
}

/// What each host is asked.
fn surveys(
    cluster: &ClusterName,
    movers: &[Mover],
    others: &[Hello],
    packet: u16,
    options: &Options,
    path: Path,
) -> BTreeMap<HostName, Survey> {
    let candidates: Vec<_> = movers
        .iter()
        .map(|mover| Candidate {
            member: &mover.member,
            source: &mover.source,
            target: &mover.target,
            one_way_ms: None,
            stall_ms: 0.0,
            here: None,
            there: None,
        })
        .collect();
    let known = movers.iter().any(|mover| {
        options.bandwidth_mbit > 0.0
            || mover.source.abilities.uplink_mbit > 0.0
            || mover.target.abilities.uplink_mbit > 0.0
    });
    // Without a word about the link, TCP finds out how much it carries.
    let most_rate = match known || candidates.iter().any(|c| c.source.abilities.accel == "tcg") {
        true => (copy_rate(&candidates, options) * BULK_SHARE) as u64,
        false => 0,
    };
    let mut surveys: BTreeMap<HostName, Survey> = BTreeMap::new();
    for mover in movers {
        let asked = Asked {
            cluster: cluster.clone(),
            member: mover.member.clone(),
        };
        let source = surveys.entry(mover.source.host.clone()).or_default();
        source.vms.push(asked.clone());
        source.watch_s = WATCH_S;
        if path == Path::Measured && source.path.is_none() && mover.target.relay_port != 0 {
            source.path = Some(PathAsked {
                host: mover.target.host.clone(),
                relay: SocketAddr::new(mover.target.relay_ip, mover.target.relay_port),
                most_rate,
            });
        }
        let target = surveys.entry(mover.target.host.clone()).or_default();
        target.vms.push(asked);
        target.packet = packet;
        let mut there: BTreeSet<_> = target.peers.iter().map(|peer| peer.host.clone()).collect();
        let all = others.iter().chain(std::iter::once(&mover.source));
        for other in all.filter(|other| other.host != mover.target.host) {
            if there.insert(other.host.clone()) {
                target.peers.push(Peer {
                    host: other.host.clone(),
                    responder: SocketAddr::new(other.underlay, other.delay_responder.port()),
                });
            }
        }
    }
    surveys
}
