//! At the target: what VMs that arrive may refer to, within a budget for each host that sends.
//!
//! One shelf a migration and source; it lives as long as one of its connections. A source can refer
//! to nothing of another source or another migration.

use delta::{Grant, Shelf};
use model::{HostName, MigrationId};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::Notify;

/// Most former versions of a connection, pages: the working set of a guest on hold, several times.
const MOST_FORMER: u32 = 4096;

/// A shelf that several connections share.
#[derive(Debug)]
pub struct Shared {
    migration: MigrationId,
    number: u64,
    pages: u32,
    /// Of the same budget, former versions of its connections.
    former: AtomicU32,
    /// What is on it.
    pub shelf: Mutex<Shelf>,
    /// Something was put on it.
    pub changed: Notify,
}

/// A connection's part; given back when dropped.
#[derive(Debug)]
pub struct Claim {
    /// The shelf.
    pub shared: Arc<Shared>,
    /// What the source is told.
    pub grant: Grant,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared
            .former
            .fetch_sub(self.grant.former_pages, Ordering::Relaxed);
    }
}

/// All shelves of a host.
#[derive(Debug)]
pub struct Shelves {
    /// Pages for each source.
    budget: u32,
    all: Mutex<HashMap<HostName, Vec<Weak<Shared>>>>,
}

impl Shelves {
    /// Keeps at most so much of each source, MiB.
    pub fn new(mib: u32) -> Self {
        Self {
            budget: mib.saturating_mul(256),
            all: Mutex::default(),
        }
    }

    /// One more connection of a migration. Three quarters of what is left for its source become a new
    /// migration's shelf; a connection gets half of what is left for former versions.
    pub fn claim(&self, source: &HostName, migration: &MigrationId) -> Option<Claim> {
        let mut all = self.all.lock().ok()?;
        all.retain(|_, shelves| {
            shelves.retain(|shelf| shelf.strong_count() > 0);
            !shelves.is_empty()
        });
        let shelves = all.entry(source.clone()).or_default();
        let alive: Vec<_> = shelves.iter().filter_map(Weak::upgrade).collect();
        let taken = |shared: &Arc<Shared>| shared.pages + shared.former.load(Ordering::Relaxed);
        let mut left = self.budget.saturating_sub(alive.iter().map(taken).sum());
        let known = alive.into_iter().find(|it| it.migration == *migration);
        let shared = known.unwrap_or_else(|| {
            let pages = left / 4 * 3;
            left -= pages;
            let shared = Arc::new(Shared {
                migration: migration.clone(),
                // Another one after this one's end must not be taken for it.
                number: RandomState::new().build_hasher().finish(),
                pages,
                former: AtomicU32::new(0),
                shelf: Mutex::new(Shelf::new(pages as usize)),
                changed: Notify::new(),
            });
            shelves.push(Arc::downgrade(&shared));
            shared
        });
        let former_pages = (left / 2).min(MOST_FORMER);
        shared.former.fetch_add(former_pages, Ordering::Relaxed);
        Some(Claim {
            grant: Grant {
                shelf: shared.number,
                shelf_pages: shared.pages,
                former_pages,
            },
            shared,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> (HostName, MigrationId) {
        (
            HostName::new("north-1").unwrap(),
            MigrationId::new("m-0001").unwrap(),
        )
    }

    #[test]
    fn connections_of_a_migration_share_a_shelf_within_the_budget() {
        let shelves = Shelves::new(256);
        let (host, migration) = names();
        let claims: Vec<_> = (0..20)
            .map(|_| shelves.claim(&host, &migration).unwrap())
            .collect();
        assert!(
            claims
                .iter()
                .all(|c| c.grant.shelf == claims[0].grant.shelf)
        );
        let former: u32 = claims.iter().map(|claim| claim.grant.former_pages).sum();
        assert_eq!(claims[0].grant.shelf_pages, 192 * 256);
        assert!(claims[0].grant.shelf_pages + former <= 256 * 256);
    }

    #[test]
    fn other_sources_and_other_migrations_have_other_shelves() {
        let shelves = Shelves::new(64);
        let (host, migration) = names();
        let first = shelves.claim(&host, &migration).unwrap();
        let later = MigrationId::new("m-0002").unwrap();
        let second = shelves.claim(&host, &later).unwrap();
        let elsewhere = shelves
            .claim(&HostName::new("north-2").unwrap(), &migration)
            .unwrap();
        assert_ne!(first.grant.shelf, second.grant.shelf);
        assert_ne!(first.grant.shelf, elsewhere.grant.shelf);
        assert!(second.grant.shelf_pages < first.grant.shelf_pages);
        assert_eq!(elsewhere.grant.shelf_pages, first.grant.shelf_pages);
    }

    #[test]
    fn what_ended_is_given_back_and_not_taken_for_what_follows() {
        let shelves = Shelves::new(64);
        let (host, migration) = names();
        let first = shelves.claim(&host, &migration).unwrap().grant;
        let second = shelves.claim(&host, &migration).unwrap().grant;
        assert_ne!(first.shelf, second.shelf);
        assert_eq!(first.shelf_pages, second.shelf_pages);
    }
}
