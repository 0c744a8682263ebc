//! What every engine must do, as one suite.
//!
//! An engine's tests call [`all`] with a function that makes an empty store. A violation panics
//! with the sentence that was broken, as tests do. What is particular to an engine (files, locks,
//! connections) belongs to the engine's own tests.

use crate::{Batch, Change, Compare, Revision, Store, StoreError, StoreExt, Txn};
use std::sync::Arc;

/// Runs the whole suite; `fresh` makes an empty store each time.
pub async fn all<F: AsyncFn() -> Arc<dyn Store>>(fresh: F) {
    a_key_that_was_put_is_found(&*fresh().await).await;
    revisions_grow_by_one_for_each_transaction_that_changes_something(&*fresh().await).await;
    a_list_holds_the_prefix_and_nothing_else_in_byte_order(&*fresh().await).await;
    a_failed_condition_changes_nothing_and_is_named(&*fresh().await).await;
    every_kind_of_condition_holds_and_fails(&*fresh().await).await;
    a_remade_key_is_a_new_key(&*fresh().await).await;
    bad_keys_and_values_are_refused(&*fresh().await).await;
    a_watch_tells_past_and_future_in_order_and_only_its_prefix(&*fresh().await).await;
    a_watch_from_the_future_is_refused(&*fresh().await).await;
    of_many_writers_with_one_condition_exactly_one_wins(fresh().await).await;
    json_survives_and_foreign_bytes_are_an_error(&*fresh().await).await;
}

/// Puts and reads back.
pub async fn a_key_that_was_put_is_found(store: &dyn Store) {
    assert_eq!(store.get("a").await.unwrap(), None);
    let revision = store
        .txn(Txn::new().put("a", "1").put("b", ""))
        .await
        .unwrap();
    let found = store.get("a").await.unwrap().unwrap();
    assert_eq!(
        (found.key.as_str(), found.value.as_slice()),
        ("a", &b"1"[..])
    );
    assert_eq!((found.created, found.modified), (revision, revision));
    assert_eq!(store.get("b").await.unwrap().unwrap().value, b"");
    store.txn(Txn::new().delete("a")).await.unwrap();
    assert_eq!(store.get("a").await.unwrap(), None);
}

/// One transaction, one revision, however many keys; none when nothing changes.
pub async fn revisions_grow_by_one_for_each_transaction_that_changes_something(store: &dyn Store) {
    let start = store.list("").await.unwrap().revision;
    let first = store
        .txn(Txn::new().put("a", "1").put("b", "2").put("c", "3"))
        .await
        .unwrap();
    assert_eq!(first, Revision(start.0 + 1));
    assert_eq!(store.txn(Txn::new()).await.unwrap(), first);
    assert_eq!(
        store
            .txn(Txn::new().delete("none").delete_prefix("none/"))
            .await
            .unwrap(),
        first
    );
    assert_eq!(
        store.txn(Txn::new().put("a", "1")).await.unwrap(),
        Revision(start.0 + 2)
    );
    assert_eq!(
        store.txn(Txn::new().delete_prefix("")).await.unwrap(),
        Revision(start.0 + 3)
    );
    let end = store.list("").await.unwrap();
    assert_eq!((end.revision, end.items.len()), (Revision(start.0 + 3), 0));
}

/// Prefixes cut at bytes; neighbours with a similar name stay out.
pub async fn a_list_holds_the_prefix_and_nothing_else_in_byte_order(store: &dyn Store) {
    let names = [
        "net/b",
        "net/a",
        "net",
        "net0",
        "ne",
        "nf",
        "net/a/é",
        "net/\u{10ffff}",
    ];
    let put = names
        .iter()
        .fold(Txn::new(), |txn, name| txn.put(*name, *name));
    store.txn(put).await.unwrap();
    let keys =
        |items: Vec<crate::KeyValue>| items.into_iter().map(|item| item.key).collect::<Vec<_>>();
    let listed = keys(store.list("net/").await.unwrap().items);
    assert_eq!(listed, ["net/a", "net/a/é", "net/b", "net/\u{10ffff}"]);
    assert_eq!(store.list("").await.unwrap().items.len(), names.len());
    assert_eq!(store.list("net/c").await.unwrap().items.len(), 0);
    store.txn(Txn::new().delete_prefix("net/")).await.unwrap();
    assert_eq!(
        keys(store.list("").await.unwrap().items),
        ["ne", "net", "net0", "nf"]
    );
}

/// All or nothing.
pub async fn a_failed_condition_changes_nothing_and_is_named(store: &dyn Store) {
    let revision = store.txn(Txn::new().put("a", "1")).await.unwrap();
    let error = store
        .txn(
            Txn::new()
                .when(Compare::Exists("a".into()))
                .when(Compare::Missing("a".into()))
                .put("b", "2")
                .delete("a"),
        )
        .await
        .unwrap_err();
    match error {
        StoreError::Conflict { wanted, found } => {
            assert_eq!(wanted, Compare::Missing("a".into()));
            assert_eq!(found, Some(revision));
        }
        other => panic!("a failed condition must be a conflict, not: {other}"),
    }
    let listing = store.list("").await.unwrap();
    assert_eq!((listing.revision, listing.items.len()), (revision, 1));
}

/// Each condition, both ways.
pub async fn every_kind_of_condition_holds_and_fails(store: &dyn Store) {
    let at = store.txn(Txn::new().put("a", "1")).await.unwrap();
    let cases = [
        (Compare::Exists("a".into()), true),
        (Compare::Exists("b".into()), false),
        (Compare::Missing("a".into()), false),
        (Compare::Missing("b".into()), true),
        (Compare::ModifiedAt("a".into(), at), true),
        (Compare::ModifiedAt("a".into(), Revision(at.0 + 1)), false),
        (Compare::ModifiedAt("b".into(), at), false),
        (Compare::Value("a".into(), b"1".to_vec()), true),
        (Compare::Value("a".into(), b"2".to_vec()), false),
        (Compare::Value("b".into(), b"".to_vec()), false),
    ];
    for (compare, holds) in cases {
        let result = store.txn(Txn::new().when(compare.clone())).await;
        assert_eq!(result.is_ok(), holds, "{compare:?}");
    }
}

/// Nobody mistakes a new key for the old one of that name.
pub async fn a_remade_key_is_a_new_key(store: &dyn Store) {
    let first = store.txn(Txn::new().put("a", "1")).await.unwrap();
    let second = store.txn(Txn::new().put("a", "2")).await.unwrap();
    let found = store.get("a").await.unwrap().unwrap();
    assert_eq!((found.created, found.modified), (first, second));
    store.txn(Txn::new().delete("a")).await.unwrap();
    let remade = store.txn(Txn::new().put("a", "3")).await.unwrap();
    assert_eq!(store.get("a").await.unwrap().unwrap().created, remade);
}

/// Limits are the same everywhere, so that an engine can be exchanged.
pub async fn bad_keys_and_values_are_refused(store: &dyn Store) {
    let refused = [
        Txn::new().put("", "1"),
        Txn::new().put("k".repeat(crate::MAX_KEY + 1), "1"),
        Txn::new().put("a", vec![0; crate::MAX_VALUE + 1]),
        Txn::new().put("a", "1").put("a", "2"),
        Txn::new().delete(""),
        Txn::new().when(Compare::Missing(String::new())),
    ];
    for txn in refused {
        store.txn(txn).await.unwrap_err();
    }
    assert_eq!(store.list("").await.unwrap().items.len(), 0);
    store
        .txn(Txn::new().put("k".repeat(crate::MAX_KEY), vec![0xff; crate::MAX_VALUE]))
        .await
        .unwrap();
}

/// Watches miss nothing and tell each transaction once.
pub async fn a_watch_tells_past_and_future_in_order_and_only_its_prefix(store: &dyn Store) {
    let start = store.list("").await.unwrap().revision;
    let put = |key: &str, value: &str| Change::Put {
        key: key.into(),
        value: value.into(),
    };
    let first = store
        .txn(Txn::new().put("x/b", "1").put("y/a", "1").put("x/a", "1"))
        .await
        .unwrap();
    store.txn(Txn::new().put("y/b", "2")).await.unwrap();
    let mut whole = store.watch("x/", start).await.unwrap();
    let mut late = store.watch("x/", first).await.unwrap();
    let expected = Batch {
        revision: first,
        changes: vec![put("x/b", "1"), put("x/a", "1")],
    };
    assert_eq!(whole.next().await.unwrap(), expected);

    let writes = async {
        tokio::task::yield_now().await;
        store.txn(Txn::new().put("y/c", "3")).await.unwrap();
        store
            .txn(Txn::new().put("x/c", "3").delete("x/a"))
            .await
            .unwrap();
        store.txn(Txn::new().delete_prefix("x/")).await.unwrap()
    };
    let reads = async { (whole.next().await.unwrap(), whole.next().await.unwrap()) };
    let (last, (third, fourth)) = tokio::join!(writes, reads);
    assert_eq!(
        third.changes,
        [put("x/c", "3"), Change::Delete { key: "x/a".into() }]
    );
    let gone = [
        Change::Delete { key: "x/b".into() },
        Change::Delete { key: "x/c".into() },
    ];
    assert_eq!(
        (fourth.revision, fourth.changes.as_slice()),
        (last, gone.as_slice())
    );
    assert_eq!(late.next().await.unwrap(), third);
    assert_eq!(late.next().await.unwrap(), fourth);
}

/// A revision of another store must not wait for ever.
pub async fn a_watch_from_the_future_is_refused(store: &dyn Store) {
    let latest = store.txn(Txn::new().put("a", "1")).await.unwrap();
    store.watch("", latest).await.unwrap();
    let error = store.watch("", Revision(latest.0 + 1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Ahead { .. }), "{error}");
}

/// Compare-and-swap under contention.
pub async fn of_many_writers_with_one_condition_exactly_one_wins(store: Arc<dyn Store>) {
    let mut writers = tokio::task::JoinSet::new();
    for number in 0..16u32 {
        let store = store.clone();
        writers.spawn(async move {
            store
                .swap_json("leader", None, &number)
                .await
                .map(|_| number)
        });
    }
    let mut winners = Vec::new();
    while let Some(joined) = writers.join_next().await {
        match joined.unwrap() {
            Ok(number) => winners.push(number),
            Err(StoreError::Conflict { .. }) => {}
            Err(other) => panic!("a loser must see a conflict, not: {other}"),
        }
    }
    let kept = store.get_json::<u32>("leader").await.unwrap().unwrap();
    assert_eq!(winners, [kept.value]);
}

/// The helpers that callers use.
pub async fn json_survives_and_foreign_bytes_are_an_error(store: &dyn Store) {
    store.put_json("j/1", &vec!["a", "b"]).await.unwrap();
    let at = store
        .swap_json(
            "j/1",
            Some(store.list("").await.unwrap().revision),
            &vec!["c"],
        )
        .await
        .unwrap();
    let (rows, revision) = store.list_json::<Vec<String>>("j/").await.unwrap();
    assert_eq!(
        (rows.len(), rows[0].value.as_slice(), rows[0].modified),
        (1, &["c".to_owned()][..], at)
    );
    assert_eq!(revision, at);
    store.txn(Txn::new().put("j/2", vec![0xff])).await.unwrap();
    let error = store.list_json::<Vec<String>>("j/").await.unwrap_err();
    assert!(error.to_string().contains("j/2"), "{error}");
}
