//! Security rules: told to every host as part of the member's row, kept, and moved with it.

use super::bed::{Bed, member, shop, vm, vm_name};
use api::Service;
use api::problem::Kind;
use model::{Epoch, Member, SecurityRule};

fn rules(texts: &[&str]) -> Vec<SecurityRule> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn secured(texts: &[&str]) -> Member {
    Member {
        security: rules(texts),
        ..vm("a", "north", 11)
    }
}

#[tokio::test]
async fn rules_are_in_the_row_that_every_host_has() {
    let (bed, _hosts, agents) = Bed::with_three_hosts().await;
    let web = ["ingress tcp 80 from any", "egress any to members"];
    bed.shop(vec![secured(&web), vm("b", "south", 12)])
        .await
        .unwrap();
    for agent in &agents[..2] {
        agent.held(|held| {
            let row = &held.rows[&(shop(), vm_name("a"))];
            assert_eq!(row.security, rules(&web));
        });
    }
    let shown = bed.service.security(&shop(), &vm_name("a")).await.unwrap();
    assert_eq!(shown, rules(&web));
    let open = bed.service.security(&shop(), &vm_name("b")).await.unwrap();
    assert!(open.is_empty());
}

#[tokio::test]
async fn rules_are_replaced_while_the_member_runs_and_outlive_the_controller() {
    let (bed, hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11)]).await.unwrap();
    let row = |held: &super::agent::Held| held.rows[&(shop(), vm_name("a"))].clone();
    let before = north.held(row);
    let ssh = rules(&["ingress tcp 22 from 10.77.0.0/24"]);
    let taken = bed
        .service
        .secure(&shop(), &vm_name("a"), ssh.clone())
        .await;
    assert_eq!(taken.unwrap(), ssh);
    let after = north.held(row);
    assert_eq!(after.security, ssh);
    assert!(after.epoch > before.epoch && after.locator == before.locator);
    drop(north);
    let bed = bed.restart().await;
    drop(hosts);
    let kept = bed.service.security(&shop(), &vm_name("a")).await.unwrap();
    assert_eq!(kept, ssh);
    let shown = bed.service.cluster(&shop()).await.unwrap();
    assert_eq!(shown.spec.members[0].security, ssh);
}

#[tokio::test]
async fn a_description_with_other_rules_changes_the_rules_and_nothing_else() {
    let (bed, _hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![secured(&["ingress tcp 80 from any"])])
        .await
        .unwrap();
    bed.shop(vec![secured(&["ingress tcp 443 from any"])])
        .await
        .unwrap();
    north.held(|held| {
        let row = &held.rows[&(shop(), vm_name("a"))];
        assert_eq!(row.security, rules(&["ingress tcp 443 from any"]));
        assert_eq!(held.vms.len(), 1);
    });
    bed.shop(vec![secured(&[])]).await.unwrap();
    north.held(|held| assert!(held.rows[&(shop(), vm_name("a"))].security.is_empty()));
}

#[tokio::test]
async fn rules_that_cannot_be_meant_are_refused_and_change_nothing() {
    let (bed, _hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap();
    let wrong = rules(&["ingress any from member zebra"]);
    let refused = bed
        .service
        .secure(&shop(), &vm_name("a"), wrong.clone())
        .await
        .unwrap_err();
    assert_eq!(refused.kind(), Kind::Invalid);
    assert!(refused.detail.contains("no member 'zebra'"), "{refused}");
    let refused = bed
        .shop(vec![Member {
            security: wrong,
            ..vm("a", "north", 11)
        }])
        .await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Invalid);
    let nobody = bed
        .service
        .secure(&shop(), &vm_name("zebra"), Vec::new())
        .await;
    assert_eq!(nobody.unwrap_err().kind(), Kind::NotFound);
    north.held(|held| {
        assert!(held.rows[&(shop(), vm_name("a"))].security.is_empty());
        assert!(held.rows.values().all(|row| row.epoch < Epoch(9)));
    });
}
