//! Migrations that an earlier life of the controller left under way.
//!
//! Agents go on without a controller, so each VM is looked for first. One that runs at the target stays
//! there and its source is removed; any other is taken back. Both wait for the hosts concerned.

use super::run::{Input, wait};
use super::steps::Steps;
use super::{Engine, Mover, state_word};
use migration::script::End;
use model::migration::{Migration, State, VmMove};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use store::StoreExt;
use tokio::sync::mpsc;

/// A host that is away is looked for this often.
const PAUSE: Duration = Duration::from_millis(500);

impl Engine {
    /// Brings one migration to an end, VM by VM.
    pub(super) async fn recover(self: Arc<Self>, seen: Arc<Mutex<Migration>>) {
        let Some(migration) = seen.lock().ok().map(|seen| seen.clone()) else {
            return;
        };
        let was = state_word(migration.state);
        tracing::warn!(migration = %migration.id, "was {was} when the controller ended; looking for its VMs");
        let mut movers = Vec::new();
        for vm in &migration.vms {
            match self.mover_of(&migration, vm).await {
                Some(mover) => movers.push(mover),
                None => {
                    tracing::error!(migration = %migration.id, vm = %vm.vm, "is no member any more")
                }
            }
        }
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
        let steps = Steps::new(
            self.hosts.clone(),
            self.registry.clone(),
            &migration,
            &movers,
            input,
        );
        steps.measure().await;
        let (mut arrived, mut gone) = (0, Vec::new());
        for vm in steps.names() {
            match steps.settle(&vm).await {
                Some(End::Finished | End::RunsThere) => arrived += 1,
                Some(End::Gone) => gone.push(vm.to_string()),
                Some(End::TakenBack | End::NotThere) | None => {}
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
        let ended = seen.lock().ok().map(|mut seen| {
            seen.state = state;
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
        }
        self.events.emit(model::event::What::Ended {
            migration: migration.id,
            arrived: state == State::Arrived,
            message,
        });
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
