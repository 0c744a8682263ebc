//! Migrations that an earlier life of the controller left under way.
//!
//! The journal tells which VMs were never let go: they are taken back at once. Agents go on without a
//! controller, so any other is looked for first: one that runs at the target stays there and its source
//! is removed; the rest is taken back. Both wait for the hosts concerned.

use super::journal::Journal;
use super::play::Ends;
use super::run::{Input, wait};
use super::steps::Steps;
use super::{Engine, Mover, state_word};
use migration::gang::{Event, Gang};
use migration::script::{End, Script};
use model::VmName;
use model::migration::{Migration, State, VmMove};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::StoreExt;
use tokio::sync::mpsc;

/// A host that is away is looked for this often.
const PAUSE: Duration = Duration::from_millis(500);

/// A journal is believed where the state that was saved bears it out. A controller without a journal may
/// have begun the migration.
fn can_go_by(events: &[Event], saved: State) -> bool {
    match saved {
        State::Queued | State::Preparing => true,
        State::PreCopy | State::Hold => !events.is_empty(),
        _ => false,
    }
}

/// Brings VMs to their ends, one after another.
async fn settle<'a>(
    steps: &Steps,
    gang: Option<&Gang>,
    vms: Vec<&'a VmMove>,
    ends: &mut Vec<(&'a VmName, End)>,
) {
    for vm in vms {
        let between = Ends {
            source: &vm.from,
            target: &vm.to,
        };
        let script = gang.map_or_else(Script::settle, |gang| gang.settle(&vm.vm));
        ends.push((&vm.vm, steps.between(between, &vm.vm, script).await));
    }
}

impl Engine {
    /// Brings one migration to an end, VM by VM.
    pub(super) async fn recover(self: Arc<Self>, seen: Arc<Mutex<Migration>>) {
        let Some(migration) = seen.lock().ok().map(|seen| seen.clone()) else {
            return;
        };
        let was = state_word(migration.state);
        tracing::warn!(migration = %migration.id, "was {was} when the controller ended; looking for its VMs");
        let gang = self.gang_of(&migration).await;
        // One that was never let go needs no word of its target, which may be away for long.
        let (waits, at_once): (Vec<_>, Vec<_>) = migration
            .vms
            .iter()
            .partition(|vm| gang.as_ref().is_none_or(|gang| gang.may_have_gone(&vm.vm)));
        // Steps are awaited here; what they report besides is what they wait for.
        let (input, mut inbox) = mpsc::unbounded_channel();
        let watched = seen.clone();
        tokio::spawn(async move {
            while let Some(said) = inbox.recv().await {
                if let Input::Waiting(why) = said {
                    wait(&watched, why);
                }
            }
        });
        let steps_of = |movers: &[Mover]| {
            Steps::new(
                self.hosts.clone(),
                self.registry.clone(),
                &migration,
                movers,
                input.clone(),
            )
        };
        let mut ends = Vec::new();
        settle(&steps_of(&[]), gang.as_ref(), at_once, &mut ends).await;
        let mut movers = Vec::new();
        for vm in &waits {
            match self.mover_of(&migration, vm).await {
                Some(mover) => movers.push(mover),
                None => {
                    tracing::error!(migration = %migration.id, vm = %vm.vm, "is no member any more")
                }
            }
        }
        let steps = steps_of(&movers);
        steps.measure().await;
        settle(&steps, gang.as_ref(), waits, &mut ends).await;
        let (mut arrived, mut gone) = (0, Vec::new());
        for (vm, end) in ends {
            match end {
                End::Finished | End::RunsThere => arrived += 1,
                End::Gone => gone.push(vm.to_string()),
                End::TakenBack | End::NotThere | End::Unclear => {}
            }
        }
        let (state, message) = match arrived {
            _ if !gone.is_empty() => (
                State::Failed,
                format!(
                    "the controller was restarted; {} has ended at the source by itself, {arrived} of {} VMs run at the target: look at its log, and start it again",
                    gone.join(", "),
                    migration.vms.len()
                ),
            ),
            0 => (
                State::Aborted,
                "the controller was restarted; every VM runs at the source as before".to_owned(),
            ),
            n if n == migration.vms.len() => (
                State::Arrived,
                "the controller was restarted; every VM runs at the target".to_owned(),
            ),
            n => (
                State::Failed,
                format!(
                    "the controller was restarted; {n} of {} VMs run at the target, the rest at the source: move the rest again",
                    migration.vms.len()
                ),
            ),
        };
        self.registry.release(&migration.cluster);
        self.queue.left(&migration.id);
        let ended = seen.lock().ok().map(|mut seen| {
            seen.state = state;
            seen.paused = false;
            seen.message = message.clone();
            seen.clone()
        });
        if let Some(ended) = ended
            && let Err(error) = self
                .store
                .put_json(&format!("{}{}", super::PREFIX, ended.id), &ended)
                .await
        {
            tracing::error!(%error, "the end of a migration could not be saved");
        } else if let Err(error) = Journal::of(self.store.clone(), &migration.id)
            .forget()
            .await
        {
            tracing::warn!(%error, migration = %migration.id, "its journal is left behind");
        }
        self.events.emit(model::event::What::Ended {
            migration: migration.id,
            arrived: state == State::Arrived,
            message,
        });
    }

    /// The gang as the journal has it; none when there is no journal to go by.
    async fn gang_of(&self, migration: &Migration) -> Option<Gang> {
        let journal = Journal::of(self.store.clone(), &migration.id);
        let events = match journal.read().await {
            Ok(events) => events,
            Err(error) => {
                tracing::error!(%error, migration = %migration.id, "the journal cannot be read");
                return None;
            }
        };
        if !can_go_by(&events, migration.state) {
            return None;
        }
        let names = migration.vms.iter().map(|vm| vm.vm.clone());
        let options = (migration.options.order, migration.options.rehearse);
        Some(Gang::replay(names, options, events))
    }

    async fn mover_of(&self, migration: &Migration, vm: &VmMove) -> Option<Mover> {
        let cluster = self.registry.cluster(&migration.cluster).await?;
        let member = cluster
            .members
            .into_iter()
            .find(|member| member.name == vm.vm)?;
        loop {
            if let (Some(source), Some(target)) =
                (self.hosts.info(&vm.from), self.hosts.info(&vm.to))
            {
                return Some(Mover {
                    member,
                    source,
                    target,
                });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_that_is_missing_or_behind_is_not_believed() {
        let some = [Event::Cancel];
        assert!(can_go_by(&[], State::Preparing));
        assert!(can_go_by(&some, State::PreCopy));
        assert!(!can_go_by(&[], State::PreCopy));
        assert!(!can_go_by(&some, State::Armed));
        assert!(!can_go_by(&some, State::Switchover));
        assert!(!can_go_by(&some, State::Aborting));
    }
}
