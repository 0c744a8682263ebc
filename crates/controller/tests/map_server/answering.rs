//! What the directory has is served.

use crate::bed::{Bed, VNI, Xtr, locator, row, vm};
use lisp::record::Action;
use lisp::{Eid, Mac};

#[tokio::test]
async fn an_endpoint_is_found_by_its_address_and_its_mac_at_its_host() {
    let bed = Bed::new().await;
    bed.put(&row(11, 1, 5)).await;
    let itr = Xtr::new(&bed, [1, 1]).await;
    bed.until(|lisp| lisp.mappings_count() == 2).await;
    for eid in [vm(11), Eid::host(VNI, Mac([0x52, 0x54, 0, 0x77, 0, 11]))] {
        let record = itr.ask(eid).await;
        assert_eq!(record.eid(), Some(eid));
        assert_eq!(record.locators, [locator(1)]);
        assert_eq!((record.map_version, record.ttl), (5, 15));
    }
    // The same address in another instance is another endpoint, and what is only good on the link is
    // nobody's.
    for nobody in ["[8]10.77.0.11", "[7]fe80::1"] {
        let record = itr.ask(nobody.parse().unwrap()).await;
        assert_eq!(
            (record.locators.len(), record.action),
            (0, Action::NativelyForward)
        );
    }
}

#[tokio::test]
async fn an_endpoint_that_is_unlinked_is_gone_and_its_askers_know() {
    let bed = Bed::new().await;
    bed.put(&row(11, 1, 5)).await;
    bed.until(|lisp| lisp.mappings_count() == 2).await;
    let itr = Xtr::new(&bed, [1, 2]).await;
    itr.ask(vm(11)).await;
    let gone = store::Txn::new().delete("directory/entry/shop/shop-11");
    bed.store.txn(gone).await.unwrap();
    let Some(lisp::Message::MapRequest(smr)) = itr.next().await else {
        panic!("no solicitation");
    };
    assert_eq!(smr.source_eid, vm(11).to_address());
    assert_eq!(itr.ask(vm(11)).await.locators, []);
    assert_eq!(bed.lisp.mappings_count(), 0);
}

#[tokio::test]
async fn what_the_directory_has_is_there_from_the_first_answer_on_after_a_restart() {
    let bed = Bed::new().await;
    bed.put(&row(11, 2, 9)).await;
    let bed = bed.restart().await;
    let itr = Xtr::new(&bed, [1, 3]).await;
    assert_eq!(itr.ask(vm(11)).await.locators, [locator(2)]);
}
