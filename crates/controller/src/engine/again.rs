//! Attempts that are made again, and the pace of a migration that is paused.

use super::order;
use super::steps::{AGAIN, Steps};
use crate::OrderError;
use migration::gang::Event;
use migration::script::{End, Script};
use model::VmName;
use model::order::Order;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The paces that are to be told: of each VM the newest only.
#[derive(Default)]
pub(super) struct Paces {
    newest: Mutex<BTreeMap<VmName, u64>>,
    /// Whether the gang may still be paused and resumed.
    steady: AtomicBool,
    paused: AtomicBool,
}

impl Paces {
    /// What the gang says by now.
    pub(super) fn now(&self, steady: bool, paused: bool) {
        self.steady.store(steady, Ordering::Relaxed);
        self.paused.store(paused, Ordering::Relaxed);
    }

    fn begin(&self, vm: &VmName) -> u64 {
        let mut newest = crate::lock(&self.newest);
        let number = newest.entry(vm.clone()).or_default();
        *number += 1;
        *number
    }

    fn is_wanted(&self, vm: &VmName, number: u64, slow: bool) -> bool {
        self.steady.load(Ordering::Relaxed)
            && self.paused.load(Ordering::Relaxed) == slow
            && crate::lock(&self.newest).get(vm) == Some(&number)
    }
}

/// Whether an order that failed may succeed by itself some time later.
pub(super) fn may_pass(error: &OrderError) -> bool {
    error.is_away() || matches!(error, OrderError::TimedOut { .. })
}

impl Steps {
    /// An attempt of a VM came to nothing for a reason that may pass.
    pub(super) fn hitch(&self, vm: &VmName, why: String) {
        let vm = vm.clone();
        self.say(Event::Hitch { vm, why });
    }

    pub(super) async fn wait(&self, vm: VmName, ms: u64) {
        tokio::time::sleep(Duration::from_millis(ms)).await;
        self.say(Event::Again(vm));
    }

    pub(super) async fn clear(&self, vm: VmName, sending: bool) {
        let Some(end) = self.to_the_end(&vm, Script::clear(sending)).await else {
            return;
        };
        self.say(match end {
            End::TakenBack => Event::Cleared(vm),
            End::Gone => Event::Gone(vm),
            _ => Event::NotCleared(vm),
        });
    }

    /// Tells a source its pace until it takes it, or that is not wanted any more.
    pub(super) async fn pace(&self, vm: VmName, slow: bool) {
        let Some(mover) = self.movers.get(&vm) else {
            return;
        };
        let number = self.paces.begin(&vm);
        loop {
            let pace = Order::Pace {
                migration: self.id.clone(),
                vm: vm.clone(),
                slow,
            };
            let told = order(&self.hosts, &mover.source.host, pace).await;
            match told {
                Ok(_) if slow => return,
                Ok(_) => return self.say(Event::Paced(vm)),
                Err(why) => {
                    tracing::warn!(migration = %self.id, %vm, %why, "its pace is not changed")
                }
            }
            tokio::time::sleep(AGAIN).await;
            if !self.paces.is_wanted(&vm, number, slow) {
                return;
            }
        }
    }
}
