use super::agent::Reaction;
use super::bed::{Bed, cluster, host_name, member, shop, vm, vm_name};
use api::Service;
use api::problem::Kind;
use model::order::Order;

#[tokio::test]
async fn two_members_are_paired_and_each_host_knows_both() {
    let (bed, _hosts, [north, south, office]) = Bed::with_three_hosts().await;
    bed.shop(vec![]).await.unwrap();
    let placed = bed
        .service
        .link(&shop(), member("a", "north", 11))
        .await
        .unwrap();
    assert_eq!((placed.mtu, placed.locator.host.as_str()), (1450, "north"));
    bed.service
        .link(&shop(), member("b", "south", 12))
        .await
        .unwrap();
    for agent in [&north, &south] {
        let places = agent.held(|held| held.places());
        let names: Vec<&str> = places.iter().map(|(vm, ..)| vm.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert_eq!(agent.held(|held| held.nets[&shop()].mtu), 1450);
        assert_eq!(agent.held(|held| held.ports.len()), 1);
    }
    assert!(
        office.held(|held| held.rows.is_empty()),
        "a host without a member needs no rows"
    );
}

#[tokio::test]
async fn a_row_that_is_linked_while_a_host_takes_the_whole_truth_is_not_lost() {
    let (bed, _hosts, [_north, south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11)]).await.unwrap();
    south
        .react_with(|order| matches!(order, Order::Replace { .. }).then_some(Reaction::Dawdle(60)));
    let (cluster, service) = (shop(), bed.service.clone());
    let first = tokio::spawn(async move { service.link(&cluster, member("b", "south", 12)).await });
    south.until(|held| !held.ports.is_empty()).await;
    bed.service
        .link(&shop(), member("c", "north", 13))
        .await
        .unwrap();
    first.await.unwrap().unwrap();
    assert_eq!(south.held(|held| held.rows.len()), 3);
}

#[tokio::test]
async fn a_vm_is_started_on_its_port_and_made_reachable() {
    let (bed, _hosts, [north, south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap();
    assert_eq!(north.held(|held| held.vms.len()), 1);
    assert_eq!(south.held(|held| held.rows.len()), 2);
    let vms = bed.service.vms().await.unwrap();
    assert_eq!((vms.len(), vms[0].state), (1, model::vm::VmState::Running));
}

#[tokio::test]
async fn an_address_is_given_once_and_the_refusal_names_the_holder() {
    let (bed, _hosts, [_north, south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("a", "north", 11)]).await.unwrap();
    let mut twice = member("b", "south", 12);
    twice.addresses = member("a", "north", 11).addresses;
    let problem = bed.service.link(&shop(), twice).await.unwrap_err();
    assert_eq!(problem.kind(), Kind::Conflict);
    assert!(
        problem.detail.contains("10.77.0.11") && problem.detail.contains("'a'"),
        "{problem}"
    );
    assert!(!problem.way_out.is_empty());
    let mut twice = member("b", "south", 12);
    twice.mac = member("a", "north", 11).mac;
    assert!(
        bed.service
            .link(&shop(), twice)
            .await
            .unwrap_err()
            .detail
            .contains("'a'")
    );
    let again = bed
        .service
        .link(&shop(), member("a", "south", 13))
        .await
        .unwrap_err();
    assert!(again.detail.contains("'north'"), "{again}");
    assert!(south.held(|held| held.ports.is_empty() && held.rows.is_empty()));
}

#[tokio::test]
async fn two_clusters_may_have_the_same_addresses_and_get_networks_of_their_own() {
    let (bed, _hosts, _agents) = Bed::with_three_hosts().await;
    let first = bed.shop(vec![member("a", "north", 11)]).await.unwrap();
    let second = cluster("office", vec![member("a", "north", 11)]);
    let second = bed.service.apply_cluster(second).await.unwrap();
    assert_ne!(first.spec.vni, second.spec.vni);
    let mut third = cluster("third", vec![]);
    third.vni = first.spec.vni;
    let taken = bed.service.apply_cluster(third).await.unwrap_err();
    assert!(taken.detail.contains("'shop'"), "{taken}");
}

#[tokio::test]
async fn wrong_names_get_one_sentence_and_the_way_out() {
    let (bed, [north, ..], [agent, _south, _office]) = Bed::with_three_hosts().await;
    let unknown = bed
        .service
        .link(&shop(), member("a", "north", 11))
        .await
        .unwrap_err();
    assert_eq!(unknown.kind(), Kind::NotFound);
    bed.shop(vec![]).await.unwrap();
    let unknown = bed
        .service
        .link(&shop(), member("a", "east", 11))
        .await
        .unwrap_err();
    assert!(
        unknown.detail.contains("'east'") && unknown.way_out.contains("host list"),
        "{unknown}"
    );
    let mut group = member("a", "north", 11);
    group.mac.0[0] |= 1;
    assert_eq!(
        bed.service.link(&shop(), group).await.unwrap_err().kind(),
        Kind::Invalid
    );
    let missing = bed
        .service
        .unlink(&shop(), &vm_name("a"))
        .await
        .unwrap_err();
    assert_eq!(missing.kind(), Kind::NotFound);
    drop(agent);
    super::bed::until(|| !bed.service.hosts.is_connected(&north.name)).await;
    let away = bed
        .service
        .link(&shop(), member("a", "north", 11))
        .await
        .unwrap_err();
    assert_eq!(away.kind(), Kind::Unavailable);
    assert!(bed.service.endpoints().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_host_with_narrow_uplinks_is_refused_with_the_figures() {
    let bed = Bed::new().await;
    let mut narrow = bed.joined("narrow", "north", 9).await;
    narrow.hello.abilities.uplink_mtu = 1300;
    let _agent = narrow.connect().await;
    let problem = bed.shop(vec![member("a", "narrow", 11)]).await.unwrap_err();
    assert!(
        problem.detail.contains("1300") && problem.way_out.contains("1330"),
        "{problem}"
    );
    assert!(bed.service.clusters().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_linked_is_undone_when_a_later_step_fails() {
    let (bed, _hosts, [north, south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![member("z", "north", 20)]).await.unwrap();
    south.react_with(|order| {
        matches!(order, Order::StartVm { .. }).then_some(Reaction::Refuse("QEMU is not installed"))
    });
    let members = vec![
        member("z", "north", 20),
        member("a", "north", 11),
        vm("b", "north", 12),
        vm("c", "south", 13),
    ];
    let problem = bed.shop(members).await.unwrap_err();
    assert!(
        problem.detail.contains("QEMU is not installed"),
        "{problem}"
    );
    let names = |held: &super::agent::Held| held.ports.len() + held.vms.len();
    assert_eq!(north.held(names), 1, "only z is left");
    assert_eq!(south.held(names), 0);
    assert_eq!(north.held(|held| held.places().len()), 1);
    assert_eq!(bed.service.endpoints().await.unwrap().len(), 1);
    assert_eq!(
        bed.service
            .cluster(&shop())
            .await
            .unwrap()
            .spec
            .members
            .len(),
        1
    );
}

#[tokio::test]
async fn a_new_cluster_that_cannot_be_made_is_not_there() {
    let (bed, _hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    north.react_with(|order| {
        matches!(order, Order::Link { .. }).then_some(Reaction::Refuse("no more ports"))
    });
    assert!(bed.shop(vec![member("a", "north", 11)]).await.is_err());
    assert_eq!(
        bed.service.cluster(&shop()).await.unwrap_err().kind(),
        Kind::NotFound
    );
    north.behave();
    bed.shop(vec![member("a", "north", 11)]).await.unwrap();
}

#[tokio::test]
async fn undoing_goes_on_past_errors_and_tells_what_is_left() {
    let (bed, _hosts, [north, south, _office]) = Bed::with_three_hosts().await;
    north.react_with(|order| {
        matches!(order, Order::Unlink { .. }).then_some(Reaction::Refuse("the switch is stuck"))
    });
    south.react_with(|order| {
        matches!(order, Order::Link { .. }).then_some(Reaction::Refuse("no ports"))
    });
    let problem = bed
        .shop(vec![member("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap_err();
    assert!(problem.detail.contains("no ports"), "{problem}");
    assert!(
        problem.detail.contains("'a'") && problem.detail.contains("the switch is stuck"),
        "{problem}"
    );
    assert!(bed.service.endpoints().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_unlinked_member_is_forgotten_everywhere() {
    let (bed, _hosts, [north, south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap();
    bed.service.unlink(&shop(), &vm_name("a")).await.unwrap();
    assert!(
        north.held(|held| held.vms.is_empty() && held.ports.is_empty() && held.rows.is_empty())
    );
    assert!(
        north.held(|held| held.nets.is_empty()),
        "no member, no network"
    );
    assert_eq!(south.held(|held| held.places().len()), 1);
    bed.service
        .link(&shop(), vm("a", "office", 11))
        .await
        .unwrap();
    let epoch = |name: &str| south.held(|held| held.rows[&(shop(), vm_name(name))].epoch);
    assert!(
        epoch("a") > epoch("b"),
        "a second life starts above the first"
    );
}

#[tokio::test]
async fn a_member_that_cannot_be_ended_stays_as_it_is() {
    let (bed, _hosts, [north, south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap();
    north.react_with(|order| {
        matches!(order, Order::StopVm { .. }).then_some(Reaction::Refuse("QEMU does not end"))
    });
    assert!(bed.service.unlink(&shop(), &vm_name("a")).await.is_err());
    assert_eq!(bed.service.endpoints().await.unwrap().len(), 2);
    assert_eq!(south.held(|held| held.places().len()), 2);
}

#[tokio::test]
async fn what_was_on_a_host_that_is_away_ends_when_it_dials_in() {
    let (bed, [host, ..], [north, south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap();
    drop(north);
    super::bed::until(|| !bed.service.hosts.is_connected(&host.name)).await;
    bed.service.unlink(&shop(), &vm_name("a")).await.unwrap();
    assert_eq!(south.held(|held| held.places().len()), 1);
    let elsewhere = bed
        .service
        .link(&shop(), vm("a", "south", 11))
        .await
        .unwrap_err();
    assert!(
        elsewhere.detail.contains("'north'"),
        "its VM may still run there: {elsewhere}"
    );
    let north = host.connect().await;
    north
        .until(|held| held.vms.is_empty() && held.rows.is_empty())
        .await;
    for _ in 0..200 {
        if bed
            .service
            .link(&shop(), vm("a", "south", 11))
            .await
            .is_ok()
        {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(
        bed.service
            .registry
            .entry(&(shop(), vm_name("a")))
            .await
            .unwrap()
            .locator
            .host,
        host_name("south")
    );
}
