//! Each order to the part that carries it out.

use crate::desk::{Desk, Key, Move};
use crate::kept::domain_of;
use crate::vms::{Start, Vm};
use crate::{AgentError, alive, delays, flips, incoming, outgoing, survey};
use model::news::{Answer, News};
use model::order::Order;
use model::vm::VmState;
use model::{ClusterName, Member, MemberKind};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

impl Desk {
    /// Carries out an order.
    ///
    /// # Errors
    /// One plain sentence with the way out.
    pub async fn carry_out(&self, order: Order) -> Result<Answer, String> {
        match order {
            Order::Apply {
                nets,
                entries,
                removed,
                at,
                migration,
            } => {
                flips::apply(
                    self,
                    flips::Change {
                        nets,
                        entries,
                        removed,
                        at,
                        migration,
                    },
                )
                .await
            }
            Order::Replace { slice } => {
                let replaced = self.host.replace(slice).await;
                self.rows_changed();
                done(replaced)
            }
            Order::Link { net, member } => done(self.host.link(&net, &member).await),
            Order::Unlink { cluster, vm } => done(self.host.unlink(&cluster, &vm).await),
            Order::StartVm { cluster, member } => self.start(cluster, member).await,
            Order::StopVm { cluster, vm } => {
                let key = (cluster, vm);
                match self.vms.give_back(&key).await {
                    true => {
                        self.vms.images().keep_outside(&key);
                        done(self.host.unlink(&key.0, &key.1).await)
                    }
                    false => self.remove(&key).await,
                }
            }
            Order::Underlay { peers } => match &self.underlay {
                Some(underlay) => underlay.take(*peers).await,
                None => Err(no_part()),
            },
            Order::TurnKey { step } => match &self.underlay {
                Some(underlay) => underlay.turn(&step).await,
                None => Err(no_part()),
            },
            Order::ListSessions => match &self.underlay {
                Some(underlay) => Ok(Answer::Sessions {
                    sessions: underlay.sessions().await,
                }),
                None => Err(no_part()),
            },
            Order::FindDomains => {
                let found = self.vms.domains().list().await;
                let found = found.map(|domains| Answer::Domains { domains });
                found.map_err(|error| error.to_string())
            }
            Order::DescribeDomain { cluster, vm } => self.describe(&(cluster, vm)).await,
            Order::PrepareTarget {
                migration,
                net,
                member,
                source,
                domain,
            } => {
                let coming = incoming::Coming {
                    migration,
                    net,
                    member,
                    source,
                    domain,
                };
                self.prepare(coming).await
            }
            Order::Migrate {
                migration,
                cluster,
                vm,
                relay,
                target,
                locator,
                how,
            } => {
                let job = outgoing::Job {
                    held: self.abilities.prediction
                        && how.order != model::migration::FlipOrder::Redirect,
                    migration,
                    cluster,
                    vm,
                    relay,
                    target,
                    locator,
                    how,
                };
                self.send(job).await
            }
            Order::Arm {
                migration,
                vm,
                stop_at,
                sprint_ms,
            } => {
                tell(&self.outgoing, &(migration, vm), |reply| {
                    outgoing::Command::Arm {
                        stop_at,
                        sprint_ms,
                        reply,
                    }
                })
                .await
            }
            Order::Pace {
                migration,
                vm,
                slow,
            } => {
                tell(&self.outgoing, &(migration, vm), |reply| {
                    outgoing::Command::Pace { slow, reply }
                })
                .await
            }
            Order::Release { migration, vm } => {
                tell(&self.outgoing, &(migration, vm), outgoing::Command::Release).await
            }
            Order::Continue { migration, vm } => {
                tell(
                    &self.outgoing,
                    &(migration, vm),
                    outgoing::Command::Continue,
                )
                .await
            }
            Order::Gate { migration, vm } => {
                tell(&self.outgoing, &(migration, vm), outgoing::Command::Gate).await
            }
            Order::AbortSource { migration, vm } => {
                let key = (migration, vm);
                let known = forget(&self.outgoing, &key);
                match ask(known, outgoing::Command::Abort).await {
                    Some(result) => result,
                    None => self.stay(&key).await,
                }
            }
            Order::ReturnQueue {
                migration,
                vm,
                wait_ms,
            } => {
                tell(&self.incoming, &(migration, vm), |reply| {
                    incoming::Command::ReturnQueue(wait_ms, reply)
                })
                .await
            }
            Order::DiscardTarget {
                migration,
                cluster,
                vm,
            } => {
                let key = (migration, vm.clone());
                let known = tell(&self.incoming, &key, incoming::Command::Discard).await;
                if known.is_ok() {
                    forget(&self.incoming, &key);
                }
                match (known, self.vms.get(&(cluster.clone(), vm.clone()))) {
                    (Ok(answer), _) => Ok(answer),
                    (Err(_), Some(it)) if it.state().await == VmState::Running => {
                        Err(format!("'{vm}' runs on this host; it is not discarded"))
                    }
                    // The receiver is gone: what may be left is a process and a port.
                    (Err(_), _) => self.remove(&(cluster, vm)).await,
                }
            }
            Order::FinishSource {
                migration,
                cluster,
                vm,
            } => {
                let key = (migration, vm.clone());
                let _ = tell(&self.outgoing, &key, outgoing::Command::Finish).await;
                forget(&self.outgoing, &key);
                let key = (cluster, vm);
                // Nothing may make it resume on its way out.
                let left = self.vms.leave(&key).await;
                left.map_err(|error| error.to_string())?;
                self.vms.images().remove(&key);
                self.remove(&key).await
            }
            Order::FinishTarget {
                migration,
                cluster,
                vm,
            } => {
                let key = (migration, vm.clone());
                if let Some(commands) = forget(&self.incoming, &key) {
                    let _ = commands.send(incoming::Command::Finish).await;
                }
                let key = (cluster, vm);
                // Not every way to here has verified it, and its source goes next.
                if let Some(vm) = self.vms.get(&key) {
                    self.settled(&vm).await?;
                    vm.define().await.map_err(|error| error.to_string())?;
                }
                done(self.host.set_arrivals(&key, None).await)
            }
            Order::Verify {
                cluster,
                vm,
                wait_ms,
            } => self.verify(&(cluster, vm), wait_ms).await,
            Order::MeasureDelays { hosts } => Ok(Answer::Delays {
                one_way_ms: delays::measure(hosts).await,
                stall_ms: self.stall.lock().map_or(0.0, |waits| waits.longest_ms()),
            }),
            Order::ListVms => Ok(Answer::Vms {
                vms: self.vms.here().await,
            }),
            Order::Survey { survey } => Ok(Answer::Facts {
                facts: Box::new(survey::survey(self, *survey).await),
            }),
            Order::ReadFlows { asked } => self.read_flows(*asked).await,
            Order::Trace { probe } => self.trace(*probe).await,
            Order::ReadLinks { over_ms } => self.read_links(over_ms).await,
        }
    }

    /// An abort for a VM that an earlier agent of this host was sending.
    async fn stay(&self, key: &Move) -> Result<Answer, String> {
        let all = self.vms.all();
        let it = all.iter().find(|vm| {
            vm.record.member.name == key.1
                && vm.moving().is_none_or(|moving| moving.migration == key.0)
        });
        let vm = it.ok_or_else(|| unknown(key))?;
        self.host
            .set_arrivals(&vm.key(), None)
            .await
            .map_err(|error| error.to_string())?;
        vm.stay().await;
        Ok(Answer::Queue { packets: 0 })
    }

    /// VMs that an earlier agent of this host was sending: one that still runs here stays, one that was
    /// handed over is told, and waits for who knows.
    pub(crate) async fn after_restart(&self) {
        for vm in self.vms.all() {
            let Some(moving) = vm.moving() else { continue };
            if !moving.relinquished {
                vm.stay().await;
            }
            let (migration, vm) = (moving.migration, vm.record.member.name.clone());
            let reason = "the agent was restarted while it was sending".to_owned();
            let _ = self.news.send(match moving.relinquished {
                true => News::Failed {
                    migration,
                    vm,
                    reason,
                    in_doubt: true,
                },
                false => News::Interrupted {
                    migration,
                    vm,
                    reason,
                },
            });
        }
    }

    async fn start(&self, cluster: ClusterName, member: Member) -> Result<Answer, String> {
        let key = (cluster, member.name.clone());
        let ports = self.host.ports().await;
        let port = ports
            .get(&key)
            .ok_or_else(|| format!("'{}' has no port on this host; link it first", member.name))?;
        if domain_of(&member).is_some() {
            let attached = self.vms.attach(&port.net, &member, &port.ifname).await;
            let vm = attached.map_err(|error| error.to_string())?;
            return done(self.settle_tap(&vm).await);
        }
        let tap = self
            .host
            .open_tap(&key)
            .await
            .map_err(|error| error.to_string())?;
        done(
            self.vms
                .start(&port.net, &member, &port.ifname, tap, Start::Boot)
                .await,
        )
    }

    async fn remove(&self, key: &Key) -> Result<Answer, String> {
        self.vms.end(key).await;
        self.vms.images().remove_arriving(key);
        done(self.host.unlink(&key.0, &key.1).await)
    }

    async fn describe(&self, key: &Key) -> Result<Answer, String> {
        let vm = self
            .vms
            .get(key)
            .ok_or_else(|| format!("'{}' does not run on this host", key.1))?;
        let domain = vm.describe().await.map_err(|error| error.to_string())?;
        Ok(Answer::Domain {
            domain: Box::new(domain),
        })
    }

    /// A tap that somebody else made waits as long as our own.
    pub(crate) async fn settle_tap(&self, vm: &Vm) -> Result<(), AgentError> {
        match &vm.behind {
            Some(tap) => Ok(self.host.settle_tap(tap).await?),
            None => Ok(()),
        }
    }

    async fn prepare(&self, coming: incoming::Coming) -> Result<Answer, String> {
        let key = (coming.migration.clone(), coming.member.name.clone());
        let (relay, commands) = incoming::prepare(self, coming)
            .await
            .map_err(|error| error.to_string())?;
        if let Ok(mut all) = self.incoming.lock() {
            all.insert(key, commands);
        }
        Ok(Answer::Prepared { relay })
    }

    async fn send(&self, job: outgoing::Job) -> Result<Answer, String> {
        let vm = self
            .vms
            .get(&(job.cluster.clone(), job.vm.clone()))
            .ok_or_else(|| format!("'{}' does not run on this host", job.vm))?;
        if let Some(spec) = vm.spec() {
            let named = self.vms.images().name_outside(&vm.key(), spec);
            named.map_err(|error| error.to_string())?;
        }
        let key = (job.migration.clone(), job.vm.clone());
        let around = outgoing::Surroundings {
            host: self.host.clone(),
            clock: self.clock.clone(),
            news: self.news.clone(),
            tls: self.tls.clone(),
            catalogues: self.catalogues.clone(),
        };
        let commands = outgoing::begin(job, vm, around)
            .await
            .map_err(|error| error.to_string())?;
        if let Ok(mut all) = self.outgoing.lock() {
            all.insert(key, commands);
        }
        Ok(Answer::Done)
    }

    /// Whether a VM that has just been resumed lives.
    async fn verify(&self, key: &Key, wait_ms: f64) -> Result<Answer, String> {
        let vm = self
            .vms
            .get(key)
            .ok_or_else(|| format!("'{}' has no process on this host", key.1))?;
        let patience = Duration::from_secs_f64(wait_ms.clamp(1.0, 60_000.0) / 1000.0);
        alive::within(&self.host.tap_io(), &vm.record, patience).await?;
        self.settled(&vm).await
    }

    /// The source's images go after this: ours must be durable.
    async fn settled(&self, vm: &Vm) -> Result<Answer, String> {
        let MemberKind::Vm { spec } = &vm.record.member.kind else {
            return Ok(Answer::Done);
        };
        match self.vms.images().settle(&vm.key(), spec).await {
            Ok(()) => Ok(Answer::Done),
            Err(error) => Err(format!(
                "the images of '{}' could not be made durable on this host: {error}",
                vm.record.member.name
            )),
        }
    }
}

/// Gives a command to the half of a VM's migration that is here.
async fn tell<C>(
    halves: &Mutex<HashMap<Move, mpsc::Sender<C>>>,
    key: &Move,
    command: impl FnOnce(outgoing::Reply) -> C,
) -> Result<Answer, String> {
    let commands = halves.lock().ok().and_then(|all| all.get(key).cloned());
    ask(commands, command)
        .await
        .unwrap_or_else(|| Err(unknown(key)))
}

async fn ask<C>(
    commands: Option<mpsc::Sender<C>>,
    command: impl FnOnce(outgoing::Reply) -> C,
) -> Option<Result<Answer, String>> {
    let (reply, answer) = oneshot::channel();
    commands?.send(command(reply)).await.ok()?;
    answer.await.ok()
}

fn unknown((migration, vm): &Move) -> String {
    format!("migration {migration} of '{vm}' is not known on this host")
}

fn forget<C>(map: &Mutex<HashMap<Move, C>>, key: &Move) -> Option<C> {
    map.lock().ok()?.remove(key)
}

fn no_part() -> String {
    "this host has no part in a secure underlay; start its agent again".to_owned()
}

fn done<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<Answer, String> {
    result
        .map(|_| Answer::Done)
        .map_err(|error| error.to_string())
}
