use super::bed::{Bed, cluster, host_name, member, shop, vm, vm_name};
use api::Service;
use api::problem::Kind;
use model::vm::VmState;

#[tokio::test]
async fn a_cluster_is_brought_to_its_description() {
    let (bed, _hosts, [north, south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11), vm("b", "north", 12)])
        .await
        .unwrap();
    let shown = bed
        .shop(vec![vm("b", "north", 12), vm("c", "south", 13)])
        .await
        .unwrap();
    let names: Vec<&str> = shown
        .spec
        .members
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["b", "c"]);
    assert_eq!(shown.sites.len(), 2);
    assert_eq!(north.held(|held| held.vms.len()), 1);
    assert_eq!(south.held(|held| held.vms.len()), 1);
}

#[tokio::test]
async fn what_is_shown_can_be_applied_again_and_changes_nothing() {
    let (bed, _hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    let shown = bed
        .shop(vec![vm("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap();
    let before = bed.service.endpoints().await.unwrap();
    north.forget_orders();
    let again = bed.service.apply_cluster(shown.spec.clone()).await.unwrap();
    assert_eq!(again, shown);
    assert_eq!(bed.service.endpoints().await.unwrap(), before);
    assert_eq!(
        north.held(|held| held.orders.len()),
        1,
        "it was asked for its VMs"
    );
}

#[tokio::test]
async fn a_vm_that_has_ended_is_started_again() {
    let (bed, _hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11)]).await.unwrap();
    north.held.lock().unwrap().vms.clear();
    assert_eq!(bed.service.vms().await.unwrap()[0].state, VmState::Gone);
    bed.shop(vec![vm("a", "north", 11)]).await.unwrap();
    assert_eq!(bed.service.vms().await.unwrap()[0].state, VmState::Running);
}

#[tokio::test]
async fn a_member_does_not_change_under_its_own_name() {
    let (bed, _hosts, _agents) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11)]).await.unwrap();
    let problem = bed.shop(vec![vm("a", "north", 12)]).await.unwrap_err();
    assert_eq!(problem.kind(), Kind::Conflict);
    let problem = bed.shop(vec![vm("a", "south", 11)]).await.unwrap_err();
    assert!(problem.way_out.contains("transhume migrate"), "{problem}");
}

#[tokio::test]
async fn a_deleted_cluster_leaves_nothing() {
    let (bed, _hosts, agents) = Bed::with_three_hosts().await;
    bed.shop(vec![
        vm("a", "north", 11),
        vm("b", "south", 12),
        member("c", "office", 13),
    ])
    .await
    .unwrap();
    bed.service.delete_cluster(&shop()).await.unwrap();
    for agent in &agents {
        agent.held(|held| {
            assert!(held.rows.is_empty() && held.nets.is_empty());
            assert!(held.ports.is_empty() && held.vms.is_empty());
        });
    }
    assert_eq!(
        bed.service
            .delete_cluster(&shop())
            .await
            .unwrap_err()
            .kind(),
        Kind::NotFound
    );
}

#[tokio::test]
async fn sites_hosts_and_topology_are_shown() {
    let (bed, [north, ..], [agent, _south, _office]) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11), vm("b", "north", 12)])
        .await
        .unwrap();
    let sites = bed.service.sites().await.unwrap();
    let names: Vec<&str> = sites.iter().map(|site| site.name.as_str()).collect();
    assert_eq!(names, ["north", "office", "south"]);
    assert_eq!((sites[0].vms, sites[0].up), (2, true));
    assert_eq!(bed.service.topology(0).await.unwrap().networks.len(), 1);
    drop(agent);
    super::bed::until(|| !bed.service.hosts.is_connected(&north.name)).await;
    let sites = bed.service.sites().await.unwrap();
    assert_eq!(
        (sites[0].vms, sites[0].up),
        (2, false),
        "a host that is away is known still"
    );
}

#[tokio::test]
async fn a_cluster_that_is_being_moved_is_left_alone() {
    let (bed, _hosts, _agents) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11)]).await.unwrap();
    let id = model::MigrationId::new("m-0001").unwrap();
    bed.service
        .registry
        .reserve(&shop(), id.clone())
        .await
        .unwrap();
    assert_eq!(
        bed.service.cluster(&shop()).await.unwrap().migration,
        Some(id.clone())
    );
    for problem in [
        bed.service
            .unlink(&shop(), &vm_name("a"))
            .await
            .unwrap_err(),
        bed.service
            .link(&shop(), member("b", "south", 12))
            .await
            .unwrap_err(),
        bed.service.delete_cluster(&shop()).await.unwrap_err(),
        bed.service
            .update(&shop(), &vm_name("a"), &host_name("south"))
            .await
            .unwrap_err(),
        bed.service
            .apply_cluster(cluster("shop", vec![]))
            .await
            .unwrap_err(),
        bed.service
            .registry
            .reserve(&shop(), id.clone())
            .await
            .unwrap_err(),
    ] {
        assert_eq!(problem.kind(), Kind::Conflict, "{problem}");
        assert!(problem.detail.contains("m-0001"), "{problem}");
    }
    bed.service.registry.release(&shop());
    bed.service.unlink(&shop(), &vm_name("a")).await.unwrap();
}
