//! Follows the directory: each change of it is a change of mappings at once, or at the moment that was
//! planned for it.

use super::{Lisp, rows};
use crate::{clock, lock};
use control::Key;
use lisp::Eid;
use model::{ClusterName, Entry, Nanos, Net};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use store::{Batch, Change, Revision, StoreError};
use tokio::sync::mpsc::UnboundedReceiver;

const DIRECTORY: &str = "directory/";
const NETS: &str = "directory/net/";
const ENTRIES: &str = "directory/entry/";

/// How long to wait before the store is asked again when it has failed.
const AGAIN: Duration = Duration::from_millis(200);

/// Something that is to be told at a moment.
pub(super) struct Announcement {
    pub(super) key: Key,
    pub(super) locator: model::Locator,
    pub(super) at: Nanos,
}

/// The directory as mappings have it.
#[derive(Default)]
pub(super) struct Followed {
    revision: Revision,
    nets: BTreeMap<ClusterName, Net>,
    rows: BTreeMap<Key, Entry>,
    /// What is held for each row.
    held: BTreeMap<Key, Vec<Eid>>,
    /// Rows that are not due yet.
    ahead: BTreeMap<Key, (Nanos, Entry)>,
}

impl Lisp {
    /// Reads the whole directory; what is held for rows that are no longer there is given up.
    pub(super) async fn read(&self, followed: &mut Followed) -> Result<(), StoreError> {
        let listing = self.inner.store.list(DIRECTORY).await?;
        let there: BTreeSet<&str> = listing.items.iter().map(|row| row.key.as_str()).collect();
        let row_key = |(cluster, vm): &Key| format!("{ENTRIES}{cluster}/{vm}");
        let known = followed.rows.keys().map(row_key);
        let mut changes: Vec<Change> = known
            .filter(|key| !there.contains(key.as_str()))
            .map(|key| Change::Delete { key })
            .collect();
        changes.extend(listing.items.iter().map(|row| Change::Put {
            key: row.key.clone(),
            value: row.value.clone(),
        }));
        followed.revision = listing.revision;
        self.take(followed, changes).await;
        Ok(())
    }

    /// Follows the directory for ever.
    pub(super) async fn follow(
        self,
        mut followed: Followed,
        mut announced: UnboundedReceiver<Announcement>,
    ) {
        loop {
            let failed = match self.inner.store.watch(DIRECTORY, followed.revision).await {
                Ok(mut watch) => loop {
                    tokio::select! {
                        batch = watch.next() => match batch {
                            Ok(Batch { revision, changes }) => {
                                followed.revision = revision;
                                self.take(&mut followed, changes).await;
                            }
                            Err(error) => break error,
                        },
                        Some(news) = announced.recv() => self.announced(&mut followed, news).await,
                        () = until(&followed) => self.due(&mut followed).await,
                    }
                },
                Err(error) => error,
            };
            tracing::warn!(error = %failed, "the Map-Server reads the directory anew");
            tokio::time::sleep(AGAIN).await;
            if let Err(error) = self.read(&mut followed).await {
                tracing::warn!(%error, "the Map-Server cannot read the directory");
            }
        }
    }

    async fn announced(&self, followed: &mut Followed, news: Announcement) {
        if let Some(row) = followed.rows.get(&news.key) {
            let locator = news.locator;
            let row = Entry {
                locator,
                ..row.clone()
            };
            followed.ahead.insert(news.key, (news.at, row));
            self.due(followed).await;
        }
    }

    /// Takes changes of the directory in.
    async fn take(&self, followed: &mut Followed, changes: Vec<Change>) {
        let mut concerned = BTreeSet::new();
        for change in &changes {
            let Some(cluster) = change.key().strip_prefix(NETS) else {
                continue;
            };
            let net = match change {
                Change::Put { value, .. } => serde_json::from_slice::<Net>(value).ok(),
                Change::Delete { .. } => None,
            };
            match net {
                Some(net) => drop(followed.nets.insert(net.cluster.clone(), net)),
                None => followed.nets.retain(|name, _| name.as_str() != cluster),
            }
            let of = followed
                .rows
                .keys()
                .filter(|(of, _)| of.as_str() == cluster);
            concerned.extend(of.cloned());
        }
        let now = clock::now();
        for change in changes {
            let Some(name) = change.key().strip_prefix(ENTRIES) else {
                continue;
            };
            match change {
                Change::Delete { ref key } => {
                    let _ = key;
                    let same = |(cluster, vm): &&Key| format!("{cluster}/{vm}") == name;
                    if let Some(key) = followed.rows.keys().find(same).cloned() {
                        followed.rows.remove(&key);
                        followed.ahead.remove(&key);
                        concerned.insert(key);
                    }
                }
                Change::Put { ref value, .. } => match serde_json::from_slice::<Entry>(value) {
                    Ok(row) => {
                        let key = row.key();
                        followed.ahead.remove(&key);
                        match self.inner.turns.due(&row, now) {
                            Some(at) => drop(followed.ahead.insert(key, (at, row))),
                            None => {
                                followed.rows.insert(key.clone(), row);
                                concerned.insert(key);
                            }
                        }
                    }
                    Err(error) => tracing::warn!(%error, name, "a row that cannot be read"),
                },
            }
        }
        self.show(followed, concerned).await;
    }

    /// Turns the mappings whose moment has come.
    async fn due(&self, followed: &mut Followed) {
        let now = clock::now();
        let ahead = std::mem::take(&mut followed.ahead);
        let (due, ahead) = ahead.into_iter().partition(|(_, (at, _))| *at <= now);
        followed.ahead = ahead;
        let due: BTreeMap<Key, (Nanos, Entry)> = due;
        let keys = due.keys().cloned().collect();
        followed
            .rows
            .extend(due.into_iter().map(|(key, (_, row))| (key, row)));
        self.show(followed, keys).await;
    }

    /// Makes mappings of rows, and tells whom a change concerns.
    async fn show(&self, followed: &mut Followed, keys: BTreeSet<Key>) {
        if keys.is_empty() {
            return;
        }
        let described = self.inner.described.lock().await;
        let outcome = self.with_server(|server, now, outcome| {
            let mut directory = lock(&self.inner.directory);
            for key in keys {
                let row = followed.rows.get(&key);
                let net = followed.nets.get(&key.0);
                let wanted = row
                    .zip(net)
                    .filter(|(row, _)| !row.locator.is_outside())
                    .map(|(row, net)| rows::identifiers(row, net.vni));
                let wanted = wanted.unwrap_or_default();
                for gone in followed.held.remove(&key).unwrap_or_default() {
                    if wanted.contains(&gone) {
                        continue;
                    }
                    directory.remove(&gone);
                    match described.mappings.get(&gone) {
                        Some(spec) => drop(super::asked::hold(server, gone, spec, now, outcome)),
                        None => server.release(gone, now, outcome),
                    }
                }
                for &eid in &wanted {
                    let Some(row) = row else { continue };
                    let record = rows::mapping(row, eid, self.inner.ttl_minutes);
                    match server.hold(&record, now, outcome) {
                        Ok(()) => drop(directory.insert(eid)),
                        Err(error) => tracing::error!(%eid, %error, "an endpoint without mapping"),
                    }
                }
                followed.held.insert(key, wanted);
            }
        });
        drop(described);
        self.inner.wires.send(&outcome, None).await;
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
