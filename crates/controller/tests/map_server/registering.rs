//! What other xTRs register, and may not.

use crate::bed::{Bed, Xtr, locator, row, vm};
use lisp::{Eid, Locator};
use std::net::Ipv4Addr;
use std::time::Duration;

fn branch() -> Eid {
    Eid::new(7, Ipv4Addr::new(10, 2, 0, 0), 16)
}

#[tokio::test]
async fn a_registration_is_confirmed_served_and_still_there_after_a_restart() {
    let bed = Bed::new().await;
    let etr = Xtr::new(&bed, [3, 1]).await;
    let first = etr.signed(etr.registration(branch(), 1)).await;
    assert_eq!(etr.notify().await.nonce, 1);
    let second = etr.signed(etr.registration(branch(), 2)).await;
    assert_eq!(etr.notify().await.nonce, 2);
    // Saved twice a second.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let bed = bed.restart().await;
    let etr = etr.moved_to(&bed);
    let here = [Locator::new(etr.address, 1, 100)];
    assert_eq!(etr.ask(branch()).await.locators, here);
    // Nonces are known too: what was seen before the restart is not believed again.
    etr.raw(&first).await;
    assert!(etr.next().await.is_none());
    assert_eq!(bed.rejected("replayed"), 1);
    etr.raw(&second).await;
    assert_eq!(etr.notify().await.nonce, 2, "only its answer was lost");
    let shown = bed.lisp.mapping("[7]10.2.0.0/16").await.unwrap();
    assert_eq!(shown.source, api::view::LispSource::Registered);
}

#[tokio::test]
async fn an_endpoint_of_the_directory_cannot_be_registered() {
    let bed = Bed::new().await;
    bed.put(&row(11, 1, 5)).await;
    bed.until(|lisp| lisp.mappings_count() == 2).await;
    let etr = Xtr::new(&bed, [3, 2]).await;
    etr.signed(etr.registration(vm(11), 1)).await;
    etr.next().await;
    assert_eq!(bed.rejected("held"), 1);
    assert_eq!(etr.ask(vm(11)).await.locators, [locator(1)]);
    // What was registered before the endpoint was linked is replaced by it.
    etr.signed(etr.registration(vm(12), 2)).await;
    etr.notify().await;
    bed.put(&row(12, 1, 1)).await;
    bed.until(|lisp| lisp.mappings_count() == 4).await;
    assert_eq!(etr.ask(vm(12)).await.locators, [locator(1)]);
}

#[tokio::test]
async fn forged_foreign_and_malformed_messages_are_dropped_and_counted() {
    let bed = Bed::new().await;
    let etr = Xtr::new(&bed, [3, 3]).await;
    let mut forged = etr.registration(branch(), 1);
    forged.authentication.data = vec![7; 16].into();
    etr.send(forged).await;
    etr.signed(etr.registration(Eid::host(7, Ipv4Addr::new(172, 16, 0, 1)), 2))
        .await;
    etr.raw(&[0x10, 0, 0]).await;
    etr.raw(&vec![0x30; 20_000]).await;
    assert!(etr.next().await.is_none());
    for reason in ["unauthenticated", "no_site", "malformed", "oversized"] {
        assert_eq!(bed.rejected(reason), 1, "{reason}");
    }
    assert_eq!(bed.lisp.mappings_count(), 0);
}
