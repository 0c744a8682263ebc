//! Those that wait for room, and what decides that they may go: `migration::admission` with the hosts, the
//! clock and the store.

use super::survey::Path;
use super::{Engine, Known, Mover, PREFIX, begun, run, steps};
use crate::problems;
use api::Problem;
use api::problem::Kind as ProblemKind;
use migration::admission::{Admission, Admitted, Now, Request};
use model::event::What;
use model::limits::Limits;
use model::migration::{FlipOrder, Migration, Plan, State};
use model::{Cluster, MigrationId, SiteName};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::{StoreExt, Txn};
use tokio::sync::{Notify, mpsc};

/// Where limits that were set by a user are kept.
const LIMITS: &str = "limits";
/// Agents dial in and windows open without a word: those that wait are looked at this often.
const LOOK: Duration = Duration::from_secs(1);

/// The queue, as runs and the engine share it.
pub(crate) struct Queue {
    admission: Mutex<Admission>,
    /// The limits of the configuration file.
    configured: Limits,
    changed: Notify,
}

/// A gang and where each of its VMs goes.
pub(super) struct Ready {
    pub(super) cluster: Cluster,
    pub(super) from: SiteName,
    pub(super) movers: Vec<Mover>,
    pub(super) plan: Plan,
}

impl Queue {
    pub(super) fn new(configured: Limits) -> Self {
        Self {
            admission: Mutex::new(Admission::new(configured.clone())),
            configured,
            changed: Notify::new(),
        }
    }

    pub(super) fn with<T>(&self, what: impl FnOnce(&mut Admission) -> T) -> T {
        what(&mut crate::lock(&self.admission))
    }

    /// One has ended: its room is free.
    pub(crate) fn left(&self, id: &MigrationId) {
        self.with(|admission| admission.leave(id));
        self.changed.notify_one();
    }

    /// When the first of its windows closes, ms since the Unix epoch, [`u64::MAX`] for never; none when one
    /// is closed already.
    pub(crate) fn closes(&self, id: &MigrationId) -> Option<u64> {
        self.with(|admission| {
            let calendar = admission.calendar(admission.request(id)?);
            calendar.closes(crate::clock::unix_ms())
        })
    }
}

impl Engine {
    /// Looks after those that wait for as long as the engine lives.
    pub(super) fn keep_queue(self: &Arc<Self>) {
        let (engine, queue) = (Arc::downgrade(self), self.queue.clone());
        tokio::spawn(async move {
            loop {
                let _ = tokio::time::timeout(LOOK, queue.changed.notified()).await;
                let Some(engine) = engine.upgrade() else {
                    return;
                };
                if queue.with(|admission| admission.queue().next().is_some()) {
                    let _one_at_a_time = engine.beginning.lock().await;
                    engine.admit(None).await;
                }
            }
        });
    }

    /// What a migration needs room for.
    pub(super) fn request_of(&self, migration: &Migration) -> Request {
        let hosts = migration.vms.iter().flat_map(|vm| [&vm.from, &vm.to]);
        let known = |host| {
            let info = self.hosts.info(host);
            info.map_or(0.0, |hello| hello.abilities.uplink_mbit)
        };
        Request {
            id: migration.id.clone(),
            cluster: migration.cluster.clone(),
            from: migration.from.clone(),
            to: migration.to.clone(),
            uplinks: hosts.map(|host| (host.clone(), known(host))).collect(),
            most_mbit: migration.options.bandwidth_mbit,
            priority: migration.options.priority,
            window: migration.options.window,
        }
    }

    fn now(&self) -> Now {
        let away = self.queue.with(|admission| {
            let hosts = admission.queue().flat_map(|request| request.uplinks.keys());
            hosts
                .filter(|host| !self.hosts.is_connected(host))
                .cloned()
                .collect()
        });
        Now {
            unix_ms: crate::clock::unix_ms(),
            away,
        }
    }

    /// Lets those go that may, and tells the others what they wait for. Called with `beginning` locked.
    /// `ready`: the gang of one that has just been looked at.
    pub(super) async fn admit(&self, mut ready: Option<(MigrationId, Ready)>) {
        let now = self.now();
        let (late, admitted) = self.queue.with(|admission| {
            let mbit = |host: &_| Some(self.hosts.info(host)?.abilities.uplink_mbit);
            admission.learn(mbit);
            (admission.too_late(now.unix_ms), admission.admit(&now))
        });
        for id in late {
            self.queue.with(|admission| admission.leave(&id));
            self.end_queued(&id, "its window was over before there was room for it")
                .await;
        }
        for one in admitted {
            let mine = ready.take_if(|(id, _)| *id == one.id);
            self.begin(one, mine.map(|(_, ready)| ready)).await;
        }
        let lacks: Vec<_> = self.queue.with(|admission| {
            let ids = admission.queue().map(|request| request.id.clone());
            let lacks = ids.filter_map(|id| Some((id.clone(), admission.lacks(&id, &now)?)));
            lacks.collect()
        });
        for (id, lack) in lacks {
            self.tell_waiting(&id, lack.to_string());
        }
    }

    fn seen(&self, id: &MigrationId) -> Option<Arc<Mutex<Migration>>> {
        let all = self.all.lock().ok()?;
        all.get(id).map(|known| known.seen.clone())
    }

    fn tell_waiting(&self, id: &MigrationId, why: String) {
        let Some(seen) = self.seen(id) else { return };
        let mut seen = crate::lock(&seen);
        if seen.message == why {
            return;
        }
        seen.message = why.clone();
        tracing::info!(migration = %id, "{why}");
        self.events.emit(What::Phase {
            migration: id.clone(),
            vm: None,
            phase: "queued".to_owned(),
            message: why,
        });
    }

    async fn begin(&self, admitted: Admitted, ready: Option<Ready>) {
        let Admitted { id, mbit } = admitted;
        let Some(seen) = self.seen(&id) else {
            return self.queue.left(&id);
        };
        let ready = match ready {
            Some(ready) => Ok(ready),
            None => {
                let asked = crate::lock(&seen).clone();
                self.look_again(&asked).await
            }
        };
        let reserved = match ready {
            Ok(ready) => {
                let reserved = self.registry.reserve(&ready.cluster.name, id.clone());
                reserved.await.map(|()| ready)
            }
            Err(problem) => Err(problem),
        };
        let ready = match reserved {
            Ok(ready) => ready,
            Err(problem) if problem.kind() == ProblemKind::Unavailable => {
                // A host has just gone: it is waited for.
                let again = self.request_of(&crate::lock(&seen).clone());
                self.queue.with(|admission| {
                    admission.leave(&id);
                    admission.wait(again);
                });
                return;
            }
            Err(problem) => {
                self.queue.left(&id);
                return self.end_queued(&id, &problem.to_string()).await;
            }
        };
        let (input, inbox) = mpsc::unbounded_channel();
        let migration = {
            let mut seen = crate::lock(&seen);
            seen.state = State::Preparing;
            seen.message = "the targets are made ready".into();
            seen.from = ready.from;
            seen.vms = ready
                .movers
                .iter()
                .map(|mover| begun(mover, &ready.plan))
                .collect();
            seen.predicted = Some(ready.plan.predicted());
            seen.options.order = order_of(&ready.movers, seen.options.order);
            seen.given_mbit = mbit.unwrap_or(0.0);
            seen.started_unix_ms = crate::clock::unix_ms();
            seen.clone()
        };
        if let Ok(mut all) = self.all.lock()
            && let Some(known) = all.get_mut(&id)
        {
            known.input = Some(input.clone());
        }
        let steps = steps::Steps::new(
            self.hosts.clone(),
            self.registry.clone(),
            &migration,
            &ready.movers,
            input,
        );
        let run = run::Run::new(
            steps,
            self.events.clone(),
            self.store.clone(),
            seen,
            self.queue.clone(),
        );
        let mut runs = crate::lock(&self.runs);
        while runs.try_join_next().is_some() {}
        runs.spawn(run.run(inbox));
    }

    /// The gang of one that has waited, as it is now, if its plan still holds.
    async fn look_again(&self, migration: &Migration) -> Result<Ready, Problem> {
        let (to, options) = (&migration.to, &migration.options);
        let looked = self
            .look(&migration.cluster, to, options, Path::AsKnown)
            .await?;
        // What it has reserved itself does not stand in its way.
        let plan = self.plan_from(&looked, to, options, Some(&migration.id));
        super::refuse(&plan)?;
        Ok(Ready {
            cluster: looked.cluster,
            from: looked.from,
            movers: looked.movers,
            plan,
        })
    }

    /// One that never began has ended.
    pub(super) async fn end_queued(&self, id: &MigrationId, why: &str) {
        let Some(seen) = self.seen(id) else { return };
        let ended = {
            let mut seen = crate::lock(&seen);
            seen.state = State::Aborted;
            seen.paused = false;
            seen.message = format!("it never began, every VM runs as before: {why}");
            seen.clone()
        };
        self.save(&ended).await;
        self.events.emit(What::Ended {
            migration: id.clone(),
            arrived: false,
            message: ended.message,
        });
    }

    /// Takes one into the queue, and lets it go at once if there is room. Called with `beginning` locked.
    pub(super) async fn enqueue(&self, migration: Migration, ready: Ready) -> Result<(), Problem> {
        let id = migration.id.clone();
        let request = self.request_of(&migration);
        let key = format!("{PREFIX}{id}");
        let kept = self.store.put_json(&key, &migration).await;
        kept.map_err(|error| problems::store(&error))?;
        if let Ok(mut all) = self.all.lock() {
            let seen = Arc::new(Mutex::new(migration));
            all.insert(id.clone(), Known { seen, input: None });
        }
        self.queue.with(|admission| admission.wait(request));
        self.admit(Some((id, ready))).await;
        Ok(())
    }

    pub(super) async fn save(&self, migration: &Migration) {
        let key = format!("{PREFIX}{}", migration.id);
        if let Err(error) = self.store.put_json(&key, migration).await {
            tracing::error!(%error, migration = %migration.id, "the migration could not be saved");
        }
    }

    /// The limits that hold.
    ///
    /// # Errors
    /// None at present; the signature is the API's.
    pub async fn limits(self: &Arc<Self>) -> Result<Limits, Problem> {
        self.remember().await;
        Ok(self.queue.with(|admission| admission.limits().clone()))
    }

    /// Other limits from now on, also after a restart; none goes back to those of the configuration file.
    /// What runs goes on.
    ///
    /// # Errors
    /// When nothing could keep to them, or they cannot be kept.
    pub async fn set_limits(self: &Arc<Self>, limits: Option<Limits>) -> Result<Limits, Problem> {
        self.remember().await;
        if let Some(limits) = &limits {
            let checked = limits.check();
            checked.map_err(|error| {
                Problem::invalid(
                    problems::sentence(&error.to_string()),
                    "Nothing was changed.",
                )
            })?;
        }
        let kept = match &limits {
            Some(limits) => self.store.put_json(LIMITS, limits).await.map(drop),
            None => self.store.txn(Txn::new().delete(LIMITS)).await.map(drop),
        };
        kept.map_err(|error| problems::store(&error))?;
        let limits = limits.unwrap_or_else(|| self.queue.configured.clone());
        self.queue
            .with(|admission| admission.set_limits(limits.clone()));
        let inputs: Vec<_> = self.all.lock().map_or_else(
            |_| Vec::new(),
            |all| all.values().filter_map(|it| it.input.clone()).collect(),
        );
        for input in inputs {
            let _ = input.send(run::Input::Windows);
        }
        self.queue.changed.notify_one();
        Ok(limits)
    }

    /// The limits that an earlier life kept.
    pub(super) async fn remember_limits(&self) {
        match self.store.get_json::<Limits>(LIMITS).await {
            Ok(Some(row)) => self.queue.with(|admission| admission.set_limits(row.value)),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "the limits cannot be read"),
        }
    }
}

/// A gang of which one QEMU cannot be held goes with the redirect.
fn order_of(movers: &[Mover], order: FlipOrder) -> FlipOrder {
    let held = |m: &Mover| m.source.abilities.prediction && m.target.abilities.prediction;
    match order {
        FlipOrder::BeforeStop if !movers.iter().all(held) => FlipOrder::Redirect,
        order => order,
    }
}
