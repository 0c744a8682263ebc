use super::bed::{Bed, host_name, member, shop, vm, vm_name};
use api::Service;

#[tokio::test]
async fn a_controller_that_starts_again_knows_what_it_knew() {
    let (bed, hosts, agents) = Bed::with_three_hosts().await;
    bed.shop(vec![vm("a", "north", 11), member("b", "south", 12)])
        .await
        .unwrap();
    bed.service
        .update(&shop(), &vm_name("b"), &host_name("office"))
        .await
        .unwrap();
    bed.service
        .link(&shop(), member("c", "north", 13))
        .await
        .unwrap();
    bed.service.unlink(&shop(), &vm_name("c")).await.unwrap();
    let rows = bed.service.endpoints().await.unwrap();
    let clusters = bed.service.clusters().await.unwrap();
    drop(agents);
    let bed = bed.restart().await;
    assert_eq!(bed.service.endpoints().await.unwrap(), rows);
    assert_eq!(bed.service.clusters().await.unwrap(), clusters);
    assert_eq!(bed.service.hosts().await.unwrap().len(), 3);
    assert!(
        bed.service
            .hosts()
            .await
            .unwrap()
            .iter()
            .all(|host| !host.up)
    );

    let [mut north, ..] = hosts;
    north.controller = bed.agents;
    let agent = north.connect().await;
    assert_eq!(agent.held(|held| held.rows.len()), 2);
    let placed = bed
        .service
        .link(&shop(), member("d", "north", 14))
        .await
        .unwrap();
    let newest = rows.iter().map(|row| row.entry.epoch).max().unwrap();
    assert!(placed.epoch.0 > 0 && newest.0 > 0);
    assert_eq!(bed.service.endpoints().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_second_controller_on_the_same_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = |name: &str| -> controller::ControllerConfig {
        toml::from_str(&format!(
            "state = '{0}/state'\nsocket = '{0}/{name}.sock'\nlisten = '127.0.0.1:0'",
            folder.path().display()
        ))
        .unwrap()
    };
    let _first = controller::Controller::open(config("a")).await.unwrap();
    let Err(error) = controller::Controller::open(config("b")).await else {
        panic!("two controllers on one store");
    };
    assert!(error.to_string().contains("in use"), "{error}");
}
