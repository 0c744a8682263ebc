//! What a user does with a migration that is there: cancel, pause, resume, roll back.

use super::run::Input;
use super::{Engine, state_word};
use api::Problem;
use model::MigrationId;
use model::migration::{Migration, Options};
use std::sync::Arc;
use tokio::sync::oneshot;

impl Engine {
    /// Asks a run something; none when it does not run, or has just ended.
    async fn ask<T>(
        &self,
        id: &MigrationId,
        question: impl FnOnce(oneshot::Sender<T>) -> Input,
    ) -> Option<T> {
        let input = {
            let all = self.all.lock().ok()?;
            all.get(id)?.input.clone()?
        };
        let (reply, answer) = oneshot::channel();
        input.send(question(reply)).ok()?;
        answer.await.ok()
    }

    fn is_queued(&self, id: &MigrationId) -> bool {
        self.queue.with(|admission| admission.is_waiting(id))
    }

    /// Asks one to go back to its source; one that waits leaves the queue.
    ///
    /// # Errors
    /// When it is past the point of return, or over.
    pub async fn cancel(self: &Arc<Self>, id: &MigrationId) -> Result<Migration, Problem> {
        self.get(id).await?;
        {
            let _one_at_a_time = self.beginning.lock().await;
            if self.is_queued(id) {
                self.queue.left(id);
                self.end_queued(id, "cancelled").await;
                return self.get(id).await;
            }
        }
        let seen = self.get(id).await?;
        if self.ask(id, Input::Cancel).await.unwrap_or(false) {
            return self.get(id).await;
        }
        Err(Problem::conflict(
            format!(
                "Migration {id} is {} and cannot be cancelled.",
                state_word(seen.state)
            ),
            "When it has ended, go back with `transhume migration rollback`.",
        ))
    }

    /// Lets one go no further, or on again. One that waits keeps its place; one on its way goes on at a
    /// trickle and does not switch over.
    ///
    /// # Errors
    /// When it is armed or further, or over; or, for a resume, when it is not paused.
    pub async fn pause(
        self: &Arc<Self>,
        id: &MigrationId,
        paused: bool,
    ) -> Result<Migration, Problem> {
        self.get(id).await?;
        {
            let _one_at_a_time = self.beginning.lock().await;
            if self.is_queued(id) {
                let was = self.get(id).await?;
                if was.paused == paused && !paused {
                    return Err(not_paused(&was));
                }
                self.queue.with(|admission| admission.pause(id, paused));
                let all = self.all.lock().ok();
                let seen = all.and_then(|all| all.get(id).map(|known| known.seen.clone()));
                if let Some(seen) = seen {
                    let now = {
                        let mut seen = crate::lock(&seen);
                        seen.paused = paused;
                        seen.clone()
                    };
                    self.save(&now).await;
                }
                self.admit(None).await;
                return self.get(id).await;
            }
        }
        let seen = self.get(id).await?;
        if !paused && !seen.paused {
            return Err(not_paused(&seen));
        }
        let taken = match paused {
            true => self.ask(id, Input::Pause).await,
            false => self.ask(id, Input::Resume).await,
        };
        match taken {
            Some(Ok(())) => self.get(id).await,
            Some(Err(why)) => Err(Problem::conflict(
                format!("Migration {id} cannot be paused: {why}."),
                "It goes on; when it has ended, go back with `transhume migration rollback`.",
            )),
            None => Err(Problem::conflict(
                format!("Migration {id} is {}.", state_word(seen.state)),
                "Nothing was changed.",
            )),
        }
    }

    /// Puts a cluster back where a migration took it from.
    ///
    /// # Errors
    /// When it is past the point of return and not over, or nothing of it is away from its source.
    pub async fn rollback(self: &Arc<Self>, id: &MigrationId) -> Result<Migration, Problem> {
        let seen = self.get(id).await?;
        if !seen.state.is_final() {
            return self.cancel(id).await;
        }
        let options = Options {
            rehearse: false,
            window: None,
            ..seen.options
        };
        self.migrate(&seen.cluster, &seen.from, &options).await
    }
}

fn not_paused(seen: &Migration) -> Problem {
    Problem::conflict(
        format!(
            "Migration {} is {} and is not paused.",
            seen.id,
            state_word(seen.state)
        ),
        format!("Watch it with `transhume migration watch {}`.", seen.id),
    )
}
