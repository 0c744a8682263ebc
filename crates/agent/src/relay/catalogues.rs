//! At the source: what each target has of a migration, shared by the connections that bring it.

use delta::{Catalogue, Grant, Sender};
use model::{HostName, MigrationId};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

type Key = (MigrationId, HostName, u64);

/// All catalogues of a host; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Catalogues(Arc<Mutex<HashMap<Key, Weak<Mutex<Catalogue>>>>>);

/// A connection's place in a catalogue; it leaves when dropped.
#[derive(Debug)]
pub struct Entry {
    catalogue: Arc<Mutex<Catalogue>>,
    /// Which of its connections.
    pub sender: Sender,
}

impl Catalogues {
    /// One more connection to this target, which granted this.
    pub fn join(&self, migration: &MigrationId, target: &HostName, grant: &Grant) -> Entry {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, catalogue| catalogue.strong_count() > 0);
        let key = (migration.clone(), target.clone(), grant.shelf);
        let known = all.get(&key).and_then(Weak::upgrade);
        let catalogue = known.unwrap_or_else(|| {
            let catalogue = Arc::new(Mutex::new(Catalogue::new(grant.shelf_pages as usize)));
            all.insert(key, Arc::downgrade(&catalogue));
            catalogue
        });
        let sender = catalogue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join();
        Entry { catalogue, sender }
    }
}

impl Entry {
    /// Works with the catalogue; nobody else does meanwhile.
    pub fn with<T>(&self, work: impl FnOnce(&mut Catalogue) -> T) -> T {
        // Whoever panicked with it left it whole: its calls change it at their end.
        work(
            &mut self
                .catalogue
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.with(|catalogue| catalogue.leave(self.sender));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_that_were_granted_the_same_shelf_share_a_catalogue() {
        let catalogues = Catalogues::default();
        let migration = MigrationId::new("m-0001").unwrap();
        let target = HostName::new("south-1").unwrap();
        let grant = |shelf| Grant {
            shelf,
            shelf_pages: 10,
            former_pages: 0,
        };
        let one = catalogues.join(&migration, &target, &grant(7));
        let two = catalogues.join(&migration, &target, &grant(7));
        let other = catalogues.join(&migration, &target, &grant(8));
        assert!(Arc::ptr_eq(&one.catalogue, &two.catalogue));
        assert!(!Arc::ptr_eq(&one.catalogue, &other.catalogue));
        assert_ne!(one.sender, two.sender);
    }
}
