//! Sites and mappings that are set by hand.

use crate::bed::{Bed, Xtr, row, site, site_name, vm};
use api::problem::Kind;
use api::view::{LispLocator, LispMappingSpec, LispSource};
use lisp::Locator;
use model::SiteName;
use std::net::Ipv4Addr;

fn to(last: u8) -> LispMappingSpec {
    LispMappingSpec {
        ttl_minutes: 30,
        locators: vec![LispLocator {
            address: [192, 0, 2, last].into(),
            priority: 1,
            weight: 100,
        }],
    }
}

#[tokio::test]
async fn a_site_can_be_changed_without_its_secret_which_is_never_shown() {
    let bed = Bed::new().await;
    let mut changed = site();
    changed.keys.clear();
    changed.prefixes = vec!["[7]10.3.0.0/16".into()];
    bed.lisp.put_site(&site_name(), changed).await.unwrap();
    let shown = serde_json::to_string(&bed.lisp.sites().await).unwrap();
    assert!(
        shown.contains("10.3.0.0/16") && !shown.contains("of the branch"),
        "{shown}"
    );
    let etr = Xtr::new(&bed, [4, 1]).await;
    let eid = "[7]10.3.0.0/24".parse().unwrap();
    etr.signed(etr.registration(eid, 1)).await;
    assert_eq!(etr.notify().await.nonce, 1);
    // Without the site it is gone at once.
    bed.lisp.remove_site(&site_name()).await.unwrap();
    assert_eq!(bed.lisp.mappings_count(), 0);
    let problem = bed.lisp.remove_site(&site_name()).await.unwrap_err();
    assert_eq!(problem.kind(), Kind::NotFound);
}

#[tokio::test]
async fn sites_that_contradict_each_other_or_themselves_are_refused() {
    let bed = Bed::new().await;
    let other = SiteName::new("other").unwrap();
    let put = |change: fn(&mut api::view::LispSiteSpec)| {
        let mut spec = site();
        change(&mut spec);
        bed.lisp.put_site(&other, spec)
    };
    assert_eq!(put(|_| {}).await.unwrap_err().kind(), Kind::Conflict);
    let same_prefix = put(|spec| spec.id = 10).await.unwrap_err();
    assert!(
        same_prefix.detail.contains("site 'branch'"),
        "{same_prefix:?}"
    );
    let no_key = put(|spec| {
        spec.id = 10;
        spec.keys.clear();
    });
    assert_eq!(no_key.await.unwrap_err().kind(), Kind::Invalid);
    let no_prefix = put(|spec| {
        spec.id = 10;
        spec.prefixes = vec!["10.0.0".into()];
    });
    assert_eq!(no_prefix.await.unwrap_err().kind(), Kind::Invalid);
    assert_eq!(bed.lisp.sites().await.len(), 1);
}

#[tokio::test]
async fn a_mapping_set_by_hand_is_served_told_kept_and_removed() {
    let bed = Bed::new().await;
    let itr = Xtr::new(&bed, [4, 2]).await;
    let eid = "[7]10.9.0.0/24";
    itr.subscribe(eid.parse().unwrap(), 5).await;
    let nothing = itr.notify().await;
    itr.acknowledge(nothing).await;
    bed.lisp.put_mapping(eid, to(1)).await.unwrap();
    let told = itr.notify().await;
    assert_eq!(told.records[0].eid(), Some(eid.parse().unwrap()));
    assert_eq!((told.nonce, told.records[0].ttl), (6, 30));
    let bed = bed.restart().await;
    let itr = itr.moved_to(&bed);
    let here = [Locator::new(Ipv4Addr::new(192, 0, 2, 1), 1, 100)];
    assert_eq!(itr.ask("[7]10.9.0.7".parse().unwrap()).await.locators, here);
    assert_eq!(bed.lisp.mappings(None).await.unwrap().len(), 1);
    bed.lisp.remove_mapping(eid).await.unwrap();
    let problem = bed.lisp.mapping(eid).await.unwrap_err();
    assert_eq!(problem.kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_mapping_of_an_endpoint_is_the_directorys_alone() {
    let bed = Bed::new().await;
    let eid = vm(11).to_string();
    bed.lisp.put_mapping(&eid, to(9)).await.unwrap();
    bed.put(&row(11, 1, 5)).await;
    bed.until(|lisp| lisp.mappings_count() == 2).await;
    let shown = bed.lisp.mapping(&eid).await.unwrap();
    assert_eq!((shown.source, shown.version), (LispSource::Directory, 5));
    let problem = bed.lisp.put_mapping(&eid, to(9)).await.unwrap_err();
    assert_eq!(problem.kind(), Kind::Conflict);
    // When the endpoint is unlinked, what was set by hand before holds again.
    let gone = store::Txn::new().delete("directory/entry/shop/shop-11");
    bed.store.txn(gone).await.unwrap();
    bed.until(|lisp| lisp.mappings_count() == 1).await;
    let shown = bed.lisp.mapping(&eid).await.unwrap();
    assert_eq!(shown.source, LispSource::Static);
}

#[tokio::test]
async fn a_site_can_have_another_number_and_keeps_its_prefixes() {
    let bed = Bed::new().await;
    let mut renumbered = site();
    renumbered.id = 12;
    bed.lisp.put_site(&site_name(), renumbered).await.unwrap();
    let mut etr = Xtr::new(&bed, [4, 3]).await;
    etr.id.site_id = 12;
    let eid = "[7]10.3.0.0/24".parse().unwrap();
    etr.signed(etr.registration(eid, 1)).await;
    assert_eq!(etr.notify().await.nonce, 1);
    assert_eq!(bed.lisp.sites().await[0].id, 12);
}
