use super::agent::Reaction;
use super::bed::{Bed, host_name, member, shop, vm, vm_name};
use api::Service;
use api::problem::Kind;
use model::Locator;
use model::news::Answer;
use model::order::Order;
use std::collections::BTreeMap;

fn south() -> Locator {
    Locator {
        host: host_name("south"),
        address: "192.0.2.2".parse().unwrap(),
    }
}

#[tokio::test]
async fn an_update_makes_the_port_and_tells_every_host_of_the_cluster() {
    let (bed, _hosts, [north, south, office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11), member("b", "office", 12)])
        .await
        .unwrap();
    let placed = bed
        .service
        .update(&shop(), &vm_name("a"), &host_name("south"))
        .await
        .unwrap();
    for agent in [&north, &south, &office] {
        let row = agent.held(|held| held.rows[&(shop(), vm_name("a"))].clone());
        assert_eq!(
            (row.locator.host.as_str(), row.epoch),
            ("south", placed.epoch)
        );
    }
    assert_eq!(south.held(|held| held.ports.len()), 1);
    bed.service.unlink(&shop(), &vm_name("a")).await.unwrap();
    assert!(
        north.held(|held| held.ports.is_empty()),
        "the port at the old place goes as well"
    );
    assert!(south.held(|held| held.ports.is_empty()));
}

#[tokio::test]
async fn an_update_that_a_switch_does_not_take_is_taken_back() {
    let (bed, _hosts, [north, _south, office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11), member("b", "office", 12)])
        .await
        .unwrap();
    office.react_with(|order| {
        let leads_south = |row: &model::Entry| row.locator.host.as_str() == "south";
        let refused =
            matches!(order, Order::Apply { entries, .. } if entries.iter().any(leads_south));
        refused.then_some(Reaction::Refuse("the switch is stuck"))
    });
    let problem = bed
        .service
        .update(&shop(), &vm_name("a"), &host_name("south"))
        .await
        .unwrap_err();
    assert!(problem.detail.contains("the switch is stuck"), "{problem}");
    for agent in [&north, &office] {
        let row = agent.held(|held| held.rows[&(shop(), vm_name("a"))].clone());
        assert_eq!(row.locator.host.as_str(), "north");
    }
}

#[tokio::test]
async fn a_vm_is_not_placed_by_hand_where_it_is_not() {
    let (bed, _hosts, _agents) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11)]).await.unwrap();
    let problem = bed
        .service
        .update(&shop(), &vm_name("a"), &host_name("south"))
        .await
        .unwrap_err();
    assert_eq!(problem.kind(), Kind::Refused);
    assert!(
        problem
            .way_out
            .contains("transhume migrate shop --to south"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_commit_with_moments_tells_the_hosts_named_and_settling_tells_the_rest() {
    let (bed, _hosts, [north, target, office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11), member("b", "office", 12)])
        .await
        .unwrap();
    bed.service
        .registry
        .admit(&shop(), &host_name("south"))
        .await
        .unwrap();
    assert_eq!(target.held(|held| held.rows.len()), 2);
    let key = (shop(), vm_name("a"));
    let moment = bed.service.hosts.now().plus_ms(50.0);
    let at = BTreeMap::from([(host_name("office"), moment)]);
    let done = bed
        .service
        .registry
        .commit(&key, south(), Some(at), None)
        .await
        .unwrap();
    assert_eq!(
        done.told,
        BTreeMap::from([(host_name("office"), Ok(Answer::Scheduled))])
    );
    let asked = office.held(|held| {
        held.orders
            .iter()
            .any(|order| matches!(order, Order::Apply { at, .. } if *at == Some(moment)))
    });
    assert!(asked);
    let epoch =
        |agent: &super::agent::Agent| agent.held(|held| held.rows[&(shop(), vm_name("a"))].epoch);
    assert!(epoch(&north) < done.epoch());
    bed.service.registry.settle(&key).await.unwrap();
    assert_eq!(
        (epoch(&north), epoch(&target)),
        (done.epoch(), done.epoch())
    );
    bed.service
        .registry
        .dismiss(&shop(), &host_name("north"))
        .await;
    assert!(north.held(|held| held.rows.is_empty()));
}

#[tokio::test]
async fn a_target_that_was_admitted_hears_of_every_change() {
    let (bed, _hosts, [_north, target, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11)]).await.unwrap();
    bed.service
        .registry
        .admit(&shop(), &host_name("south"))
        .await
        .unwrap();
    bed.service
        .link(&shop(), member("b", "office", 12))
        .await
        .unwrap();
    assert_eq!(target.held(|held| held.rows.len()), 2);
    bed.service
        .registry
        .dismiss(&shop(), &host_name("south"))
        .await;
    assert!(target.held(|held| held.rows.is_empty() && held.nets.is_empty()));
}

#[tokio::test]
async fn nothing_makes_a_flip_early() {
    let (bed, [host, ..], [north, _south, office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11), member("b", "office", 12)])
        .await
        .unwrap();
    let key = (shop(), vm_name("a"));
    let before = bed.service.registry.entry(&key).await.unwrap();
    let moment = bed.service.hosts.now().plus_ms(60_000.0);
    let at = ["north", "office"].map(|name| (host_name(name), moment));
    let registry = &bed.service.registry;
    registry.admit(&shop(), &host_name("north")).await.unwrap();
    let done = registry.commit(&key, south(), Some(at.into()), None).await;
    let done = done.unwrap();
    let asked = |agent: &super::agent::Agent| {
        agent.held(|held| {
            let waits = |order: &&Order| matches!(order, Order::Apply { at: Some(at), .. } if *at == moment);
            held.orders.iter().filter(waits).count()
        })
    };
    // The first member of another cluster on a host comes with the whole truth.
    let other = super::bed::cluster("other", vec![member("x", "office", 13)]);
    bed.service.apply_cluster(other).await.unwrap();
    office.until(|held| held.nets.len() == 2).await;
    assert_eq!(asked(&office), 2, "the order is given again with it");
    drop(north);
    super::bed::until(|| !bed.service.hosts.is_connected(&host.name)).await;
    let north = host.connect().await;
    north.until(|held| held.rows.len() == 2).await;
    let row = |agent: &super::agent::Agent| agent.held(|held| held.rows.get(&key).cloned());
    // These agents take a row at once, whatever its moment: look at what the whole truth said.
    for agent in [&north, &office] {
        let said = agent.held(|held| {
            let mut whole = held.orders.iter().rev().filter_map(|order| match order {
                Order::Replace { slice } => Some(slice.clone()),
                _ => None,
            });
            whole.next().unwrap()
        });
        let of_it = said.entries.iter().filter(|row| row.key() == key);
        let said: Vec<_> = of_it.map(super::agent::plain).collect();
        assert_eq!(said, std::slice::from_ref(&before));
        assert!(row(agent).is_some_and(|row| row.epoch <= done.epoch()));
    }
    registry
        .commit(&key, before.locator.clone(), None, None)
        .await
        .unwrap();
    assert!(
        row(&north).unwrap().epoch > done.epoch(),
        "going back is for everybody at once"
    );
}
