//! Bonds: an uplink dies, and the members go on talking.

use crate::support::World;
use model::Encap;
use ovs::BondMode;
use ovs::bench::failover;
use ovs::bench::stage::{Plan, Wiring};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_bond_survives_the_death_of_each_uplink() {
    for bond in [BondMode::ActiveBackup, BondMode::BalanceSlb] {
        let world = World::empty(
            Plan {
                uplinks: 2,
                bond,
                ..Plan::default()
            },
            Encap::Vxlan,
        )
        .await;
        for uplink in [0, 1] {
            let cost = failover(&world.stage, uplink, Encap::Vxlan).await.unwrap();
            // A stream that stayed cut would have lost 1500.
            assert!(cost.outward.lost < 200, "{bond:?} {uplink} {cost:?}");
            assert!(cost.inward.lost < 200, "{bond:?} {uplink} {cost:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn balance_tcp_negotiates_lacp_and_survives_the_death_of_an_uplink() {
    let plan = Plan {
        wiring: Wiring::Direct,
        uplinks: 2,
        bond: BondMode::BalanceTcp,
        ..Plan::default()
    };
    let world = World::linked(plan, Encap::Vxlan).await;
    for at in 0..2 {
        let mut shown = String::new();
        for _ in 0..200 {
            shown = world
                .appctl(at)
                .run("bond/show", &["icbond0"])
                .await
                .unwrap();
            if shown.contains("lacp_status: negotiated") {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert!(shown.contains("lacp_status: negotiated"), "{shown}");
        assert!(shown.contains("bond_mode: balance-tcp"), "{shown}");
        assert_eq!(shown.matches(": enabled").count(), 2, "{shown}");
    }
    world.assert_all_reach_all().await;
    let far = &world.stage.hosts[1].netlink;
    let link = far.need_link("eth0").await.unwrap();
    far.down(link.index).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.assert_all_reach_all().await;
}
