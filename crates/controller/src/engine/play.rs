//! Plays the scripts of [`migration::script`]: each step as orders to hosts and changes of the
//! directory.

use super::order;
use super::steps::{AGAIN, Steps};
use migration::gang::Event;
use migration::script::{Do, End, Heard, Script, Side};
use model::news::{Answer, VmHere};
use model::order::Order;
use model::vm::VmState;
use model::{HostName, VmName};
use std::time::Duration;

/// A target that is away is looked for this often.
const DISCARD_TRIES: usize = 600;
/// A packet that a peer sent on the old way has come after its delay and this, ms. A busy host holds packets up
/// for 30 ms; on the way back a longer gap is better than a lost packet.
const LATE_MS: f64 = 50.0;

/// Where a VM comes from and where it goes.
#[derive(Clone, Copy)]
pub(super) struct Ends<'a> {
    pub(super) source: &'a HostName,
    pub(super) target: &'a HostName,
}

impl Steps {
    /// Plays a script for the gang, and says how it ended.
    pub(super) async fn play(&self, vm: VmName, script: Script) {
        let Some(end) = self.to_the_end(&vm, script).await else {
            return;
        };
        let resolved = |vm, runs_at_target| Event::Resolved { vm, runs_at_target };
        self.say(match end {
            End::TakenBack => Event::TakenBack(vm),
            End::RunsThere => resolved(vm, true),
            End::NotThere | End::Unclear => resolved(vm, false),
            End::Finished => Event::Finished(vm),
            End::Gone => Event::Gone(vm),
        });
    }

    pub(super) async fn to_the_end(&self, vm: &VmName, script: Script) -> Option<End> {
        let mover = self.movers.get(vm)?;
        let ends = Ends {
            source: &mover.source.host,
            target: &mover.target.host,
        };
        Some(self.between(ends, vm, script).await)
    }

    /// Plays a script of a VM between two hosts, of which the target may never have been heard of.
    pub(super) async fn between(&self, ends: Ends<'_>, vm: &VmName, mut script: Script) -> End {
        let mut heard = Heard::Begin;
        loop {
            let step = script.next(heard);
            if let Do::End(end) = step {
                return end;
            }
            heard = self.act(step, vm, ends).await;
        }
    }

    async fn act(&self, step: Do, vm: &VmName, ends: Ends<'_>) -> Heard {
        let done = match step {
            Do::RunsThere => return self.is_at(Side::Target, vm, ends).await,
            Do::LivesHere => return self.is_at(Side::Source, vm, ends).await,
            Do::Place(side) => self.place(vm, side).await,
            Do::ReturnQueue => self.return_queue(vm, ends).await,
            Do::DiscardSomeTime => {
                self.discard_some_time(vm, ends);
                Ok(())
            }
            Do::Pause => {
                tokio::time::sleep(AGAIN).await;
                Ok(())
            }
            Do::Gate | Do::Discard | Do::Resume | Do::Keep | Do::Remove | Do::End(_) => {
                self.order_for(step, vm, ends).await
            }
        };
        match done {
            Ok(()) => Heard::Done,
            Err(why) => {
                tracing::warn!(migration = %self.id, %vm, ?step, %why, "not done");
                if matches!(step, Do::Resume | Do::Keep | Do::Remove) {
                    self.waits(format!(
                        "'{vm}': {why}; it is tried again until it succeeds"
                    ));
                }
                Heard::Failed
            }
        }
    }

    async fn place(&self, vm: &VmName, side: Side) -> Result<(), String> {
        let mover = self.movers.get(vm);
        let mover = mover.ok_or_else(|| "its hosts have not dialled in yet".to_owned())?;
        let locator = match side {
            Side::Source => self.here(mover),
            Side::Target => self.there(mover),
        };
        self.commit(vm, locator, None).await
    }

    async fn order_for(&self, step: Do, vm: &VmName, ends: Ends<'_>) -> Result<(), String> {
        let (migration, cluster, vm) = (self.id.clone(), self.cluster.clone(), vm.clone());
        let Ends { source, target } = ends;
        let (host, what) = match step {
            Do::Gate => (source, Order::Gate { migration, vm }),
            Do::Resume => (source, Order::AbortSource { migration, vm }),
            Do::Discard => (target, self.discard(&vm)),
            Do::Keep => {
                let keep = Order::FinishTarget {
                    migration,
                    cluster,
                    vm,
                };
                (target, keep)
            }
            Do::Remove => {
                let remove = Order::FinishSource {
                    migration,
                    cluster,
                    vm,
                };
                (source, remove)
            }
            _ => return Ok(()),
        };
        order(&self.hosts, host, what).await.map(drop)
    }

    fn discard(&self, vm: &VmName) -> Order {
        Order::DiscardTarget {
            migration: self.id.clone(),
            cluster: self.cluster.clone(),
            vm: vm.clone(),
        }
    }

    /// At the target: does it run? At the source: has it a process?
    async fn is_at(&self, side: Side, vm: &VmName, ends: Ends<'_>) -> Heard {
        let host = match side {
            Side::Source => ends.source,
            Side::Target => ends.target,
        };
        let is_it = |here: &VmHere| {
            here.cluster == self.cluster
                && here.vm == *vm
                && (side == Side::Source || here.state == VmState::Running)
        };
        match order(&self.hosts, host, Order::ListVms).await {
            Ok(Answer::Vms { vms }) if vms.iter().any(is_it) => Heard::Yes,
            Ok(Answer::Vms { .. }) => Heard::No,
            Ok(_) => Heard::Failed,
            Err(why) => {
                tracing::warn!(migration = %self.id, %vm, %host, %why, "cannot be asked where it is");
                self.waits(format!(
                    "'{vm}' is looked for on '{host}' before anything else is done with it: {why}"
                ));
                Heard::Failed
            }
        }
    }

    async fn return_queue(&self, vm: &VmName, ends: Ends<'_>) -> Result<(), String> {
        let Ends { source, target } = ends;
        let peers = self.peers().await;
        let farthest = peers
            .iter()
            .map(|peer| self.delay(peer, target))
            .fold(0.0, f64::max);
        let wait_ms = farthest.max(self.delay(target, source)) + LATE_MS;
        let give = Order::ReturnQueue {
            migration: self.id.clone(),
            vm: vm.clone(),
            wait_ms,
        };
        let given = order(&self.hosts, target, give).await.map(drop);
        // The frames are on their way before the connection ends.
        tokio::time::sleep(Duration::from_secs_f64((wait_ms + 10.0) / 1000.0)).await;
        given
    }

    /// Removes what was prepared at the target, now or when it is back.
    fn discard_some_time(&self, vm: &VmName, ends: Ends<'_>) {
        let (hosts, target) = (self.hosts.clone(), ends.target.clone());
        let discard = self.discard(vm);
        tokio::spawn(async move {
            for _ in 0..DISCARD_TRIES {
                if order(&hosts, &target, discard.clone()).await.is_ok() {
                    return;
                }
                tokio::time::sleep(AGAIN).await;
            }
        });
    }
}
