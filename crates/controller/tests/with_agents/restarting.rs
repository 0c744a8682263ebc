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

#[tokio::test]
async fn other_machines_reach_the_api_over_tls_with_the_token() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let token = "0123456789abcdef0123456789abcdef";
    std::fs::write(at.join("token"), token).unwrap();
    let config = |rest: &str| -> controller::ControllerConfig {
        toml::from_str(&format!(
            "state = '{0}/state'\nsocket = '{0}/api.sock'\nlisten = '127.0.0.1:0'\n{rest}",
            at.display()
        ))
        .unwrap()
    };
    let everywhere = config("api_listen = '0.0.0.0:0'");
    let Err(refused) = controller::Controller::open(everywhere).await else {
        panic!("TCP without a token");
    };
    assert!(refused.to_string().contains("api_token_file"), "{refused}");
    let file = format!(
        "api_listen = '127.0.0.1:0'\napi_token_file = '{}/token'",
        at.display()
    );
    let controller = controller::Controller::open(config(&file)).await.unwrap();
    let url = format!("https://{}", controller.api_address().unwrap());
    let serving = tokio::spawn(controller.serve());
    let ca = std::fs::read(at.join("state/authority/ca.pem")).unwrap();
    let client = api::Client::tls(&url, &ca, token).unwrap();
    assert!(client.clusters().await.unwrap().is_empty());
    let stranger = api::Client::tls(&url, &ca, &token.replace('0', "1")).unwrap();
    assert!(stranger.clusters().await.is_err());
    serving.abort();
}
