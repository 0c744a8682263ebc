//! Changes of rules, now or at their moment.
//!
//! A change that is ordered for a moment is worked out at once and only sent when it is due. Two
//! ends of a move are special between order and moment: the target must take what comes out of
//! tunnels before the first peer flips, and the source must go on delivering until its guest stops.
//! Both is an override of *arrivals*; the switchover's halves and the commit take it back.

use crate::desk::{Desk, Key};
use control::projection::Arrivals;
use model::news::{Answer, News};
use model::order::Gone;
use model::{Entry, MigrationId, Nanos, Net};

/// Rows to take.
pub struct Change {
    /// Networks that are new or changed.
    pub nets: Vec<Net>,
    /// Rows that are new or changed.
    pub entries: Vec<Entry>,
    /// Rows that are gone.
    pub removed: Vec<Gone>,
    /// When.
    pub at: Option<Nanos>,
    /// What for.
    pub migration: Option<MigrationId>,
}

/// Carries out a change, or schedules it.
///
/// # Errors
/// One sentence, when the switch refuses; for a scheduled change when it cannot be prepared.
pub async fn apply(desk: &Desk, change: Change) -> Result<Answer, String> {
    let Change {
        nets,
        entries,
        removed,
        at,
        migration,
    } = change;
    let due = at.filter(|at| *at > desk.clock.now());
    let (Some(due), Some(migration)) = (due, migration) else {
        desk.host
            .apply(nets, entries, removed)
            .await
            .map_err(|error| error.to_string())?;
        desk.rows_changed();
        return Ok(Answer::Done);
    };
    let ports = desk.host.ports().await;
    let keys: Vec<Key> = entries.iter().map(Entry::key).collect();
    for key in keys.iter().filter(|key| ports.contains_key(*key)) {
        desk.host
            .set_arrivals(key, Some(Arrivals::Deliver))
            .await
            .map_err(|error| error.to_string())?;
    }
    let prepared = desk.host.prepare(nets, entries, removed).await;
    let desk = desk.clone();
    tokio::spawn(async move {
        desk.clock.sleep_until(due).await;
        if let Err(error) = desk.host.commit_prepared(prepared).await {
            tracing::error!(%error, %migration, "a flip was refused by the switch");
            return;
        }
        let acked = desk.clock.now();
        desk.rows_changed();
        for (_, vm) in keys {
            let _ = desk.news.send(News::Flipped {
                migration: migration.clone(),
                vm,
                due,
                acked,
            });
        }
    });
    Ok(Answer::Scheduled)
}
