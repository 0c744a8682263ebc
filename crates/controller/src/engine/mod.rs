//! Migrations: drives `migration::gang` with real hosts.
//!
//! | module | job |
//! |---|---|
//! | here | the list of migrations, plans, begin and cancel, news to the migration it is for |
//! | [`queue`] | those that wait for room, and who goes next; limits |
//! | [`steer`] | cancel, pause, resume, roll back |
//! | [`run`] | one migration: events in, commands out, what people see of it |
//! | [`journal`] | what happened, written down before anything is done about it |
//! | [`steps`] | what each command of the gang takes |
//! | [`forecast`] | the link, the gap and the sprint that it reckons with |
//! | [`again`] | attempts made again, and the pace of a pause |
//! | [`play`] | what is tried until it succeeds: the scripts of `migration::script` |
//! | [`record`] | phases and figures |
//! | [`survey`] | what hosts find for a plan, the plan, and what is reserved |
//! | [`recover`] | what an earlier life of the controller left under way |

mod again;
mod forecast;
pub mod journal;
mod play;
mod queue;
mod record;
mod recover;
mod run;
mod steer;
mod steps;
mod survey;

use crate::{Events, Hosts, Registry, problems};
use api::Problem;
use model::limits::Limits;
use model::migration::{Kind, Migration, Options, Plan, Predicted, Progress, State, VmMove};
use model::news::{Answer, Hello, News};
use model::order::Order;
use model::{Cluster, ClusterName, HostName, Member, MemberKind, MigrationId, SiteName};
use queue::{Queue, Ready};
use run::Input;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use store::{Store, StoreExt};
use tokio::sync::{OnceCell, mpsc};
use tokio::task::JoinSet;

/// Where migrations are kept in the store.
const PREFIX: &str = "migrations/";

/// Plans and carries out migrations.
pub struct Engine {
    hosts: Hosts,
    registry: Registry,
    events: Events,
    store: Arc<dyn Store>,
    all: Mutex<BTreeMap<MigrationId, Known>>,
    remembered: OnceCell<()>,
    beginning: tokio::sync::Mutex<()>,
    paths: survey::Paths,
    queue: Arc<Queue>,
    /// What is under way ends with the engine; its journal tells the next one.
    runs: Mutex<JoinSet<()>>,
}

struct Known {
    seen: Arc<Mutex<Migration>>,
    input: Option<mpsc::UnboundedSender<Input>>,
}

/// One VM of a gang and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct Mover {
    member: Member,
    source: Hello,
    target: Hello,
}

impl Engine {
    /// The engine over all of it. Migrations of earlier lives are listed; one that had not ended is
    /// brought to an end, one that waited waits again. `limits` hold until a user sets others.
    pub fn new(
        hosts: Hosts,
        registry: Registry,
        events: Events,
        store: Arc<dyn Store>,
        limits: Limits,
    ) -> Arc<Self> {
        let engine = Arc::new(Self {
            hosts,
            registry,
            events,
            store,
            all: Mutex::default(),
            remembered: OnceCell::new(),
            beginning: tokio::sync::Mutex::default(),
            paths: survey::Paths::default(),
            queue: Arc::new(Queue::new(limits)),
            runs: Mutex::default(),
        });
        let (it, mut news) = (Arc::downgrade(&engine), engine.hosts.subscribe());
        let first = engine.clone();
        tokio::spawn(async move { first.remember().await });
        engine.keep_queue();
        tokio::spawn(async move {
            while let Some((host, news)) = news.recv().await {
                let Some(engine) = it.upgrade() else { return };
                engine.route(host, news);
            }
        });
        engine
    }

    /// Reads the migrations of earlier lives, once, and brings those to an end that had none.
    async fn remember(self: &Arc<Self>) {
        self.remembered
            .get_or_init(|| async {
                self.remember_limits().await;
                for (cluster, id, seen) in self.read_kept().await {
                    let was = crate::lock(&seen).clone();
                    let request = self.request_of(&was);
                    if was.state == State::Queued {
                        self.queue.with(|admission| {
                            admission.wait(request);
                            admission.pause(&id, was.paused);
                        });
                        continue;
                    }
                    let given = Some(was.given_mbit).filter(|mbit| *mbit > 0.0);
                    self.queue.with(|admission| admission.runs(request, given));
                    if let Err(problem) = self.registry.reserve(&cluster, id).await {
                        tracing::error!(%problem, "a cluster on its way could not be reserved");
                    }
                    tokio::spawn(self.clone().recover(seen));
                }
            })
            .await;
    }

    async fn read_kept(&self) -> Vec<(ClusterName, MigrationId, Arc<Mutex<Migration>>)> {
        let mut left = Vec::new();
        let kept = match self.store.list_json::<Migration>(PREFIX).await {
            Ok((kept, _)) => kept,
            Err(error) => {
                tracing::error!(%error, "earlier migrations cannot be read");
                return left;
            }
        };
        let Ok(mut all) = self.all.lock() else {
            return left;
        };
        for row in kept {
            let migration = row.value;
            let seen = Arc::new(Mutex::new(migration.clone()));
            if !migration.state.is_final() {
                left.push((
                    migration.cluster.clone(),
                    migration.id.clone(),
                    seen.clone(),
                ));
            }
            all.insert(migration.id, Known { seen, input: None });
        }
        left
    }

    fn route(&self, host: HostName, news: News) {
        let id = match &news {
            News::Flipped { migration, .. }
            | News::Progress { migration, .. }
            | News::Held { migration, .. }
            | News::Mirrored { migration, .. }
            | News::WontConverge { migration, .. }
            | News::PreSwitchover { migration, .. }
            | News::Stopped { migration, .. }
            | News::Resumed { migration, .. }
            | News::Sent { migration, .. }
            | News::DidNotStop { migration, .. }
            | News::Interrupted { migration, .. }
            | News::Failed { migration, .. } => migration,
            News::VmGone { .. } => return,
        };
        let input = self
            .all
            .lock()
            .ok()
            .and_then(|all| all.get(id).and_then(|known| known.input.clone()));
        if let Some(input) = input {
            let _ = input.send(Input::News(host, news));
        }
    }

    /// The VMs of a cluster that are not at the target yet, and where each would go.
    async fn movers(
        &self,
        name: &ClusterName,
        to: &SiteName,
    ) -> Result<(Cluster, SiteName, Vec<Mover>), Problem> {
        let cluster = self.registry.cluster(name).await.ok_or_else(|| {
            Problem::not_found(
                format!("There is no cluster '{name}'."),
                "List the clusters with `transhume cluster list`.",
            )
        })?;
        let mut targets: Vec<Hello> = self
            .hosts
            .connected()
            .iter()
            .filter_map(|host| self.hosts.info(host))
            .filter(|hello| hello.site == *to)
            .collect();
        if targets.is_empty() {
            return Err(Problem::unavailable(
                format!("No host of site '{to}' is connected."),
                "Look at `transhume host list`; start an agent there or choose another site.",
            ));
        }
        let (mut from, mut movers) = (None, Vec::new());
        for member in &cluster.members {
            if !matches!(member.kind, MemberKind::Vm { .. }) {
                continue;
            }
            let key = (name.clone(), member.name.clone());
            let Some(entry) = self.registry.entry(&key).await else {
                continue;
            };
            let source = self.hosts.info(&entry.locator.host).ok_or_else(|| {
                Problem::unavailable(
                    format!(
                        "The host '{}' of '{}' is not connected.",
                        entry.locator.host, member.name
                    ),
                    "Start its agent; the VM itself runs on.",
                )
            })?;
            if source.site == *to {
                continue;
            }
            targets.sort_by_key(|hello| std::cmp::Reverse(hello.abilities.free_mib));
            let Some(target) = targets.first_mut() else {
                continue;
            };
            from.get_or_insert(source.site.clone());
            movers.push(Mover {
                member: member.clone(),
                source,
                target: target.clone(),
            });
            if let MemberKind::Vm { spec } = &member.kind {
                target.abilities.free_mib = target
                    .abilities
                    .free_mib
                    .saturating_sub(u64::from(spec.memory_mib));
            }
        }
        match from {
            Some(from) => Ok((cluster, from, movers)),
            None => Err(Problem::refused(
                format!("Every VM of cluster '{name}' is at '{to}' already."),
                "Choose another target with --to.",
            )),
        }
    }

    /// Begins one, or takes it into the queue, and returns at once.
    ///
    /// # Errors
    /// When the question makes no sense, a precheck fails, or the cluster is on its way already.
    pub async fn migrate(
        self: &Arc<Self>,
        cluster: &ClusterName,
        to: &SiteName,
        options: &Options,
    ) -> Result<Migration, Problem> {
        self.remember().await;
        self.refuse_second(cluster)?;
        let looked = self
            .look(cluster, to, options, survey::Path::AsKnown)
            .await?;
        // From the plan until the migration is in the list nobody else may plan: what it reserves counts.
        let _one_at_a_time = self.beginning.lock().await;
        let plan = self.plan_from(&looked, to, options, None);
        refuse(&plan)?;
        self.refuse_second(&looked.cluster.name)?;
        let id = self.next_id()?;
        let survey::Looked {
            cluster,
            from,
            movers,
            ..
        } = looked;
        let migration = Migration {
            id: id.clone(),
            cluster: cluster.name.clone(),
            from: from.clone(),
            to: to.clone(),
            kind: Kind::Live,
            options: options.clone(),
            state: State::Queued,
            message: "waiting for room".into(),
            vms: movers.iter().map(|mover| begun(mover, &plan)).collect(),
            phases: Vec::new(),
            started_unix_ms: crate::clock::unix_ms(),
            total_ms: 0.0,
            predicted: Some(plan.predicted()),
            paused: false,
            given_mbit: 0.0,
        };
        let ready = Ready {
            cluster,
            from,
            movers,
            plan,
        };
        self.enqueue(migration, ready).await?;
        let begun = self.get(&id).await?;
        if begun.state == State::Aborted {
            return Err(Problem::conflict(
                problems::sentence(&begun.message),
                "Try again, or look at the cluster first.",
            ));
        }
        Ok(begun)
    }

    fn next_id(&self) -> Result<MigrationId, Problem> {
        let number = |id: &MigrationId| id.as_str().strip_prefix("m-")?.parse::<u64>().ok();
        let last = self
            .all
            .lock()
            .ok()
            .and_then(|all| all.keys().filter_map(number).max());
        MigrationId::new(format!("m-{:04}", last.unwrap_or(0) + 1))
            .map_err(|error| Problem::internal(error.to_string()))
    }

    fn refuse_second(&self, cluster: &ClusterName) -> Result<(), Problem> {
        let Ok(all) = self.all.lock() else {
            return Ok(());
        };
        for known in all.values() {
            if let Ok(seen) = known.seen.lock()
                && seen.cluster == *cluster
                && !seen.state.is_final()
            {
                return Err(Problem::conflict(
                    format!("Cluster '{cluster}' is on its way already, as {}.", seen.id),
                    format!("Watch it with `transhume migration watch {}`.", seen.id),
                ));
            }
        }
        Ok(())
    }

    /// Every one that is known, oldest first.
    ///
    /// # Errors
    /// None at present; the signature is the API's.
    pub async fn list(self: &Arc<Self>) -> Result<Vec<Migration>, Problem> {
        self.remember().await;
        let all = self.all.lock().map(|all| {
            all.values()
                .filter_map(|known| known.seen.lock().ok().map(|seen| seen.clone()))
                .collect()
        });
        Ok(all.unwrap_or_default())
    }

    /// One of them.
    ///
    /// # Errors
    /// When there is none of this identity.
    pub async fn get(self: &Arc<Self>, id: &MigrationId) -> Result<Migration, Problem> {
        self.remember().await;
        let found = self.all.lock().ok().and_then(|all| {
            all.get(id)
                .and_then(|known| known.seen.lock().ok().map(|seen| seen.clone()))
        });
        found.ok_or_else(|| {
            Problem::not_found(
                format!("There is no migration '{id}'."),
                "List them with `transhume migration list`.",
            )
        })
    }
}

/// A plan that fails is no migration.
fn refuse(plan: &Plan) -> Result<(), Problem> {
    match plan.refusal() {
        None => Ok(()),
        Some(why) => Err(Problem::refused(
            format!("'{}' cannot go to '{}': {why}.", plan.cluster, plan.to),
            "See the whole plan with `transhume plan`.",
        )),
    }
}

fn begun(mover: &Mover, plan: &Plan) -> VmMove {
    let foreseen = plan.vms.iter().find(|vm| vm.vm == mover.member.name);
    VmMove {
        vm: mover.member.name.clone(),
        from: mover.source.host.clone(),
        to: mover.target.host.clone(),
        needs: foreseen.map(|vm| vm.needs).unwrap_or_default(),
        predicted: foreseen.map(|vm| Predicted {
            bytes: vm.bytes + vm.disk_bytes,
            total_ms: vm.ready_ms,
            gap_ms: vm.gap_ms,
        }),
        progress: Progress::default(),
        figures: model::migration::Figures::default(),
    }
}

/// A state as people say it.
pub(crate) fn state_word(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Preparing => "preparing",
        State::PreCopy => "in pre-copy",
        State::Hold => "on hold",
        State::Armed => "armed",
        State::Switchover => "switching over",
        State::Verify => "being verified",
        State::CleanUp => "cleaning up",
        State::Arrived => "arrived",
        State::Aborting => "going back",
        State::Aborted => "aborted",
        State::Failed => "failed",
    }
}

/// Orders that are answered by `Done` or nothing of interest.
pub(crate) async fn order(hosts: &Hosts, host: &HostName, order: Order) -> Result<Answer, String> {
    hosts
        .order(host, order)
        .await
        .map_err(|error| error.to_string())
}
