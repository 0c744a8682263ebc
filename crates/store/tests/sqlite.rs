//! The SQLite engine: the common suite, and what is particular to a file.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use store::{Durability, Revision, Sqlite, Store, StoreError, StoreExt, Txn, conformance};

#[tokio::test]
async fn sqlite_in_memory_is_a_store() {
    conformance::all(async || Arc::new(Sqlite::in_memory().unwrap()) as Arc<dyn Store>).await;
}

#[tokio::test]
async fn sqlite_in_a_file_is_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::sync::atomic::AtomicU32::new(0);
    conformance::all(async || {
        let number = number.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let durability = if number.is_multiple_of(2) {
            Durability::Process
        } else {
            Durability::Power
        };
        let path = folder.path().join(format!("{number}.db"));
        Arc::new(Sqlite::open_with(path, durability).unwrap()) as Arc<dyn Store>
    })
    .await;
}

#[tokio::test]
async fn a_reopened_file_goes_on_with_keys_revisions_and_watches() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Sqlite::open(&path).unwrap();
    store.txn(Txn::new().put("a", "1")).await.unwrap();
    let last = store.txn(Txn::new().put("b", "2")).await.unwrap();
    drop(store);
    let store = Sqlite::open(&path).unwrap();
    assert_eq!(store.list("").await.unwrap().revision, last);
    let mut watch = store.watch("", Revision(last.0 - 1)).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, last);
    assert_eq!(
        store.txn(Txn::new().put("c", "3")).await.unwrap(),
        Revision(last.0 + 1)
    );
}

/// Not a test by itself: the writer that the next test kills.
#[tokio::test]
#[ignore = "runs as the child of what_was_acknowledged_survives_kill_9"]
async fn child_that_writes_until_it_is_killed() {
    let path = std::env::var("STORE_TEST_FILE")
        .expect("this test is started by another one; do not run it by itself");
    let store = Sqlite::open(path).unwrap();
    for number in 0u64.. {
        let revision = store
            .txn(
                Txn::new()
                    .put_json("last", &number)
                    .unwrap()
                    .put("pair", number.to_string()),
            )
            .await
            .unwrap();
        println!("acked {} {number}", revision.0);
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "child_that_writes_until_it_is_killed",
            "--nocapture",
        ])
        .env("STORE_TEST_FILE", &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut acked = None;
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while acked.is_none_or(|(_, number)| number < 200) {
        let line = lines.next().expect("the child ended early").unwrap();
        if let Some((_, rest)) = line.split_once("acked ") {
            let (revision, number) = rest.split_once(' ').unwrap();
            acked = Some((
                revision.parse::<u64>().unwrap(),
                number.parse::<u64>().unwrap(),
            ));
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let (revision, number) = acked.unwrap();
    let store = Sqlite::open(&path).unwrap();
    let row = store.get_json::<u64>("last").await.unwrap().unwrap();
    assert!(
        row.value >= number && row.modified.0 >= revision,
        "{row:?} is older than what was acknowledged"
    );
    let pair = store.get("pair").await.unwrap().unwrap();
    assert_eq!(
        String::from_utf8(pair.value).unwrap(),
        row.value.to_string(),
        "half a transaction was kept"
    );
}

#[test]
fn a_file_that_is_in_use_is_refused_until_it_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let first = Sqlite::open(&path).unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
    drop(first);
    Sqlite::open(&path).unwrap();
}

#[test]
fn a_file_of_another_kind_or_version_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("letter.txt");
    std::fs::write(&path, "Dear Sir or Madam, ".repeat(100)).unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert!(
        matches!(error, StoreError::Open { .. }) && error.to_string().contains("letter.txt"),
        "{error}"
    );
    assert!(Sqlite::open(folder.path().join("no/such/folder.db")).is_err());

    let path = folder.path().join("future.db");
    drop(Sqlite::open(&path).unwrap());
    rusqlite::Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    let error = Sqlite::open(&path).unwrap_err();
    assert!(
        matches!(error, StoreError::TooNew { found: 99, .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_watch_that_is_too_slow_is_told_to_list_again() {
    let store = Sqlite::in_memory().unwrap();
    let start = store.list("").await.unwrap().revision;
    let mut watch = store.watch("", start).await.unwrap();
    store.txn(Txn::new().put("a", "1")).await.unwrap();
    let kept = store.txn(Txn::new().put("a", "2")).await.unwrap();
    store.compact(kept).unwrap();
    assert!(matches!(
        watch.next().await.unwrap_err(),
        StoreError::Compacted { .. }
    ));
    assert!(matches!(
        store.watch("", start).await.unwrap_err(),
        StoreError::Compacted { .. }
    ));
    let mut watch = store.watch("", kept).await.unwrap();
    let next = store.txn(Txn::new().put("a", "3")).await.unwrap();
    assert_eq!(watch.next().await.unwrap().revision, next);
}

#[tokio::test]
async fn the_log_is_cut_by_itself_and_the_newest_part_stays() {
    let store = Sqlite::in_memory().unwrap();
    let mut last = Revision(0);
    for number in 0..11_000u32 {
        last = store
            .txn(Txn::new().put("a", number.to_string()))
            .await
            .unwrap();
    }
    assert!(matches!(
        store.watch("", Revision(0)).await.unwrap_err(),
        StoreError::Compacted { .. }
    ));
    store.watch("", Revision(last.0 - 10_000)).await.unwrap();
}

#[tokio::test]
async fn a_watch_ends_when_the_store_is_closed() {
    let store = Sqlite::in_memory().unwrap();
    let mut watch = store.watch("", Revision(0)).await.unwrap();
    drop(store);
    assert!(matches!(
        watch.next().await.unwrap_err(),
        StoreError::Closed
    ));
}
