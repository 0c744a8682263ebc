//! What happened in a migration, written down before anything is done about it.

use migration::gang::Event;
use model::MigrationId;
use std::sync::Arc;
use store::{Store, StoreError, StoreExt, Txn};

const PREFIX: &str = "journal/";

/// One migration's journal.
pub struct Journal {
    store: Arc<dyn Store>,
    prefix: String,
    next: u64,
}

impl Journal {
    /// The journal of a migration, with nothing added by this value yet.
    pub fn of(store: Arc<dyn Store>, id: &MigrationId) -> Self {
        Self {
            store,
            prefix: format!("{PREFIX}{id}/"),
            next: 0,
        }
    }

    /// Adds an event.
    ///
    /// # Errors
    /// The store's.
    pub async fn add(&mut self, event: &Event) -> Result<(), StoreError> {
        // Keys sort as numbers do.
        let key = format!("{}{:010}", self.prefix, self.next);
        self.store.put_json(&key, event).await?;
        self.next += 1;
        Ok(())
    }

    /// All events, in their order.
    ///
    /// # Errors
    /// The store's.
    pub async fn read(&self) -> Result<Vec<Event>, StoreError> {
        let (rows, _) = self.store.list_json::<Event>(&self.prefix).await?;
        Ok(rows.into_iter().map(|row| row.value).collect())
    }

    /// The migration has ended and is written down as it ended.
    ///
    /// # Errors
    /// The store's.
    pub async fn forget(&self) -> Result<(), StoreError> {
        let all = Txn::new().delete_prefix(self.prefix.as_str());
        self.store.txn(all).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::VmName;

    #[tokio::test]
    async fn events_come_back_in_their_order_and_one_migrations_are_not_anothers() {
        let store: Arc<dyn Store> = Arc::new(store::Sqlite::in_memory().unwrap());
        let id = |text| MigrationId::new(text).unwrap();
        let vm = || VmName::new("vm-1").unwrap();
        let mut journal = Journal::of(store.clone(), &id("m-0001"));
        let events = [
            Event::Prepared(vm()),
            Event::Held {
                vm: vm(),
                burst_bytes: 7,
            },
            Event::Hitch {
                vm: vm(),
                why: "the relay broke".to_owned(),
            },
            Event::Again(vm()),
            Event::Cleared(vm()),
            Event::Pause,
            Event::Resume,
            Event::Paced(vm()),
            Event::Closed("no".to_owned()),
            Event::NotScheduled("no".to_owned()),
            Event::Cancel,
        ];
        for event in &events {
            journal.add(event).await.unwrap();
        }
        let other = Journal::of(store.clone(), &id("m-00012"));
        assert_eq!(other.read().await.unwrap(), []);
        assert_eq!(journal.read().await.unwrap(), events);
        journal.forget().await.unwrap();
        assert_eq!(journal.read().await.unwrap(), []);
    }
}
