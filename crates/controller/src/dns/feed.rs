//! Follows the directory: each change of a row is a wish for its names at once, or at the moment that was planned for it.

use super::{Names, now, project};
use crate::{clock, lock};
use control::Key;
use dns::DnsName;
use model::{Entry, Nanos};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use store::{Change, Revision, StoreError};

const ENTRIES: &str = "directory/entry/";

/// How long to wait before the store is asked again when it has failed.
const AGAIN: Duration = Duration::from_millis(200);

/// The directory as names have it.
#[derive(Default)]
pub(super) struct Followed {
    revision: Revision,
    rows: BTreeMap<Key, Entry>,
    /// Rows that are not due yet.
    ahead: BTreeMap<Key, (Nanos, Entry)>,
    /// Whose each name is, for each zone in their order.
    owners: Vec<BTreeMap<DnsName, Key>>,
}

impl Names {
    /// Reads the whole directory; names that no row wants any more are taken away.
    pub(super) async fn read(&self, followed: &mut Followed) -> Result<(), StoreError> {
        let listing = self.inner.store.list(ENTRIES).await?;
        followed.revision = listing.revision;
        followed.owners = vec![BTreeMap::new(); self.inner.zones.len()];
        followed.rows.clear();
        let ahead = std::mem::take(&mut followed.ahead);
        let now_ns = clock::now();
        for item in &listing.items {
            match serde_json::from_slice::<Entry>(&item.value) {
                Ok(row) => match ahead.get(&row.key()) {
                    // Its moment is known already, and said only once.
                    Some((at, same)) if *same == row => {
                        followed.ahead.insert(row.key(), (*at, row));
                    }
                    _ => self.place(followed, row, now_ns),
                },
                Err(error) => tracing::warn!(%error, key = item.key, "a row that cannot be read"),
            }
        }
        let keys: BTreeSet<Key> = followed.rows.keys().cloned().collect();
        self.wish(followed, &keys).await;
        for (desk, owners) in self.inner.zones.iter().zip(&followed.owners) {
            let mut wanted: BTreeSet<DnsName> = owners.keys().cloned().collect();
            let ahead = followed.ahead.values();
            wanted.extend(ahead.filter_map(|(_, row)| project::name(&desk.zone, row)));
            lock(&desk.publisher).only(&wanted, now());
            desk.wake.notify_one();
        }
        Ok(())
    }

    /// Follows the directory for ever.
    pub(super) async fn follow(self, mut followed: Followed) {
        loop {
            let failed = match self.inner.store.watch(ENTRIES, followed.revision).await {
                Ok(mut watch) => loop {
                    tokio::select! {
                        batch = watch.next() => match batch {
                            Ok(batch) => {
                                followed.revision = batch.revision;
                                self.take(&mut followed, batch.changes).await;
                            }
                            Err(error) => break error,
                        },
                        () = until(&followed) => self.due(&mut followed).await,
                    }
                },
                Err(error) => error,
            };
            tracing::warn!(error = %failed, "dynamic DNS reads the directory anew");
            tokio::time::sleep(AGAIN).await;
            if let Err(error) = self.read(&mut followed).await {
                tracing::warn!(%error, "dynamic DNS cannot read the directory");
            }
        }
    }

    async fn take(&self, followed: &mut Followed, changes: Vec<Change>) {
        let now_ns = clock::now();
        let mut concerned = BTreeSet::new();
        for change in changes {
            let Some(name) = change.key().strip_prefix(ENTRIES) else {
                continue;
            };
            match &change {
                Change::Delete { .. } => {
                    let same = |(cluster, vm): &&Key| format!("{cluster}/{vm}") == name;
                    if let Some(key) = followed.rows.keys().find(same).cloned() {
                        followed.rows.remove(&key);
                        followed.ahead.remove(&key);
                        concerned.insert(key);
                    }
                }
                Change::Put { value, .. } => match serde_json::from_slice::<Entry>(value) {
                    Ok(row) => {
                        concerned.insert(row.key());
                        self.place(followed, row, now_ns);
                    }
                    Err(error) => tracing::warn!(%error, name, "a row that cannot be read"),
                },
            }
        }
        self.wish(followed, &concerned).await;
    }

    /// Takes a row that has come, for now or for its moment; it takes the place of one that waits.
    fn place(&self, followed: &mut Followed, row: Entry, now: Nanos) {
        let key = row.key();
        followed.ahead.remove(&key);
        match self.inner.turns.due(&row, now) {
            Some(at) => drop(followed.ahead.insert(key, (at, row))),
            None => drop(followed.rows.insert(key, row)),
        }
    }

    /// Takes the rows whose moment has come.
    async fn due(&self, followed: &mut Followed) {
        let now = clock::now();
        let ahead = std::mem::take(&mut followed.ahead);
        let (due, ahead): (BTreeMap<_, _>, _) =
            ahead.into_iter().partition(|(_, (at, _))| *at <= now);
        followed.ahead = ahead;
        let keys: BTreeSet<Key> = due.keys().cloned().collect();
        let rows = due.into_iter().map(|(key, (_, row))| (key, row));
        followed.rows.extend(rows);
        self.wish(followed, &keys).await;
    }

    /// Tells the zones what these rows want.
    async fn wish(&self, followed: &mut Followed, keys: &BTreeSet<Key>) {
        for key in keys {
            let row = followed.rows.get(key);
            let site = match row {
                Some(row) => self.inner.registry.site_of(&row.locator.host).await,
                None => None,
            };
            for (desk, owners) in self.inner.zones.iter().zip(&mut followed.owners) {
                let wanted = row.and_then(|row| {
                    project::wanted(&desk.zone, &self.inner.sites, row, site.as_ref())
                });
                let Some(wanted) = wanted else {
                    // The row is gone, or leads outside now: so does the name.
                    let mine = owners.extract_if(.., |_, owner| owner == key);
                    for (name, _) in mine.collect::<Vec<_>>() {
                        lock(&desk.publisher).withdraw(&name, 0, now());
                    }
                    desk.wake.notify_one();
                    continue;
                };
                let owner = owners
                    .entry(wanted.name.clone())
                    .or_insert_with(|| key.clone());
                if owner != key {
                    let (cluster, vm) = owner;
                    tracing::warn!(name = %wanted.name, member = %key.1, cluster = %key.0,
                        "the name is that of member '{vm}' of cluster '{cluster}' already: put {{cluster}} and {{member}} into \
                         `names` with a dot between them");
                    continue;
                }
                if wanted.content.is_empty() {
                    tracing::warn!(name = %wanted.name, ?site, "the name has no address here, and is taken away");
                }
                let taken =
                    lock(&desk.publisher).want(&wanted.name, wanted.content, wanted.epoch, now());
                if taken {
                    desk.wake.notify_one();
                }
            }
        }
    }
}

/// Waits until the first row that is ahead is due.
async fn until(followed: &Followed) {
    match followed.ahead.values().map(|(at, _)| *at).min() {
        None => std::future::pending().await,
        Some(at) => {
            let left_ms = at.ms_since(clock::now()).max(0.0);
            tokio::time::sleep(Duration::from_secs_f64(left_ms / 1000.0)).await;
        }
    }
}
