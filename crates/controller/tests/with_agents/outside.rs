use super::bed::{Bed, member, shop};
use api::Service;
use model::Locator;
use std::net::IpAddr;
use std::time::Duration;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[tokio::test]
async fn an_address_outside_is_a_row_for_the_hosts_of_its_network_until_it_is_gone() {
    let (bed, _hosts, [north, _south, office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11), member("b", "office", 12)])
        .await
        .unwrap();
    let vni = bed.service.clusters().await.unwrap()[0].spec.vni;
    let registry = &bed.service.registry;
    let locators = || {
        [&north, &office].map(|agent| {
            agent.held(|held| {
                let rows = held.rows.values();
                let outside = rows.filter(|row| row.locator.is_outside());
                outside
                    .map(|row| (row.ips[0], row.locator.address))
                    .collect::<Vec<_>>()
            })
        })
    };
    let become_of = async |expected: Vec<(IpAddr, IpAddr)>| {
        for _ in 0..100 {
            if locators().iter().all(|seen| *seen == expected) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(locators(), [expected.clone(), expected]);
    };
    let (far, one, two) = (ip("10.77.0.200"), ip("203.0.113.1"), ip("203.0.113.2"));
    registry
        .reach_outside([(vni, far, Some(Locator::outside(one)))])
        .await
        .unwrap();
    become_of(vec![(far, one)]).await;
    registry
        .reach_outside([(vni, far, Some(Locator::outside(two)))])
        .await
        .unwrap();
    become_of(vec![(far, two)]).await;
    assert_eq!(
        registry.outside().await.into_values().collect::<Vec<_>>(),
        [Locator::outside(two)]
    );
    let shown = bed.service.endpoints().await.unwrap();
    assert!(
        shown
            .iter()
            .any(|endpoint| endpoint.site.as_str() == "lisp")
    );

    registry
        .reach_outside([(vni + 1, far, None)])
        .await
        .unwrap();
    become_of(vec![(far, two)]).await;
    registry.reach_outside([(vni, far, None)]).await.unwrap();
    become_of(Vec::new()).await;
}

#[tokio::test]
async fn a_members_address_is_not_given_away_and_a_cluster_with_rows_outside_can_be_deleted() {
    let (bed, _hosts, _agents) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11)]).await.unwrap();
    let vni = bed.service.clusters().await.unwrap()[0].spec.vni;
    let registry = &bed.service.registry;
    let own = bed.service.endpoints().await.unwrap()[0].entry.ips[0];
    let at = Some(Locator::outside(ip("203.0.113.1")));
    registry
        .reach_outside([(vni, own, at.clone()), (vni, ip("10.77.0.201"), at)])
        .await
        .unwrap();
    assert_eq!(registry.outside().await.len(), 1);
    bed.service.delete_cluster(&shop()).await.unwrap();
    assert!(registry.outside().await.is_empty());
}
