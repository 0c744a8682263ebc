//! A change of the directory is told at once, or at its moment.

use crate::bed::{Bed, Xtr, locator, row, vm};
use controller::clock;
use lisp::{MapRequestFlags, Message};
use std::time::{Duration, Instant};

/// A subscriber of an endpoint that has confirmed.
async fn subscriber(bed: &Bed, number: [u8; 2]) -> Xtr {
    let xtr = Xtr::new(bed, number).await;
    xtr.subscribe(vm(11), 100).await;
    let confirmed = xtr.notify().await;
    assert_eq!(confirmed.nonce, 100);
    xtr.acknowledge(confirmed).await;
    xtr
}

#[tokio::test]
async fn a_commit_reaches_subscribers_and_askers_within_milliseconds() {
    let bed = Bed::new().await;
    bed.put(&row(11, 1, 5)).await;
    bed.until(|lisp| lisp.mappings_count() == 2).await;
    let subscriber = subscriber(&bed, [2, 1]).await;
    let asker = Xtr::new(&bed, [2, 2]).await;
    asker.ask(vm(11)).await;
    let begun = Instant::now();
    bed.put(&row(11, 2, 6)).await;
    let told = subscriber.notify().await;
    let took = begun.elapsed();
    assert_eq!(told.nonce, 101);
    assert_eq!(told.records[0].locators, [locator(2)]);
    assert_eq!(told.records[0].map_version, 6);
    subscriber.acknowledge(told).await;
    let Some(Message::MapRequest(smr)) = asker.next().await else {
        panic!("no solicitation");
    };
    assert_eq!(smr.flags, MapRequestFlags::SMR);
    // A busy machine is allowed much; what is meant is a few.
    assert!(took < Duration::from_millis(500), "{took:?}");
    bed.until(|lisp| lisp.subscriptions() == (1, 0)).await;
}

#[tokio::test]
async fn a_change_that_is_planned_turns_at_its_moment_and_not_when_it_is_stored() {
    let bed = Bed::new().await;
    let (here, there) = (row(11, 1, 5), row(11, 2, 6));
    bed.put(&here).await;
    bed.until(|lisp| lisp.mappings_count() == 2).await;
    let subscriber = subscriber(&bed, [2, 3]).await;
    let at = clock::now().plus_ms(400.0);
    bed.turns.plan(&there.key(), &there.locator, at);
    bed.put(&there).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(subscriber.ask(vm(11)).await.locators, [locator(1)]);
    let told = subscriber.notify().await;
    assert!(clock::now() >= at, "before its moment");
    assert_eq!(told.records[0].locators, [locator(2)]);
}

#[tokio::test]
async fn a_planned_change_that_is_taken_back_is_never_told() {
    let bed = Bed::new().await;
    let (here, there) = (row(11, 1, 5), row(11, 2, 6));
    bed.put(&here).await;
    bed.until(|lisp| lisp.mappings_count() == 2).await;
    let subscriber = subscriber(&bed, [2, 4]).await;
    let at = clock::now().plus_ms(300.0);
    bed.turns.plan(&there.key(), &there.locator, at);
    bed.put(&there).await;
    bed.turns.forget(&here.key(), &here.locator);
    bed.put(&row(11, 1, 7)).await;
    assert!(subscriber.next().await.is_none());
    assert_eq!(subscriber.ask(vm(11)).await.map_version, 7);
}

#[tokio::test]
async fn an_announced_place_is_told_at_its_moment_and_confirmed_by_the_commit_in_silence() {
    let bed = Bed::new().await;
    let (here, there) = (row(11, 1, 5), row(11, 2, 6));
    bed.put(&here).await;
    bed.until(|lisp| lisp.mappings_count() == 2).await;
    let subscriber = subscriber(&bed, [2, 5]).await;
    let at = clock::now().plus_ms(200.0);
    bed.lisp.announce(&there.key(), &there.locator, at);
    let told = subscriber.notify().await;
    assert!(clock::now() >= at, "before its moment");
    assert_eq!(told.records[0].locators, [locator(2)]);
    subscriber.acknowledge(told).await;
    bed.put(&there).await;
    assert!(
        subscriber.next().await.is_none(),
        "the same again is no news"
    );
}

#[tokio::test]
async fn a_notification_that_is_lost_comes_again_until_it_is_acknowledged() {
    let bed = Bed::new().await;
    bed.put(&row(11, 1, 5)).await;
    bed.until(|lisp| lisp.mappings_count() == 2).await;
    let subscriber = subscriber(&bed, [2, 6]).await;
    bed.put(&row(11, 2, 6)).await;
    let lost = subscriber.notify().await;
    let again = subscriber.notify().await;
    assert_eq!(lost, again);
    assert_eq!(bed.lisp.subscriptions(), (1, 1));
    subscriber.acknowledge(again).await;
    bed.until(|lisp| lisp.subscriptions() == (1, 0)).await;
    assert!(subscriber.next().await.is_none());
}
