//! Client and server over a real unix socket.

mod support;

use api::client::{Error, Wanted};
use api::problem::Kind;
use futures::StreamExt;
use model::migration::{FlipOrder, Options, State};
use support::{Served, events, host_member, migration, name, plan, spec};

fn problem(error: Error) -> api::Problem {
    match error {
        Error::Problem(problem) => problem,
        other => panic!("expected a problem, not: {other}"),
    }
}

#[tokio::test]
async fn everything_that_can_be_asked_comes_back_as_the_service_said_it() {
    let served = Served::start().await;
    let client = &served.client;
    assert_eq!(client.about().await.unwrap().name, "transhume");
    assert_eq!(client.sites().await.unwrap()[0].hosts, [name("north-1")]);
    assert!(client.site(&name("north")).await.unwrap().up);
    assert_eq!(client.hosts().await.unwrap()[0].abilities.qemu, "10.0.2");
    assert_eq!(client.host(&name("north-1")).await.unwrap().vms, 2);
    assert_eq!(client.clusters().await.unwrap()[0].spec, spec());
    assert_eq!(client.cluster(&name("shop")).await.unwrap().mtu, 1450);
    assert_eq!(client.vms().await.unwrap()[0].memory_mib, 128);
    assert_eq!(client.endpoints().await.unwrap()[0].entry.epoch.0, 3);
    assert_eq!(
        client.migrations().await.unwrap(),
        [migration(State::PreCopy)]
    );
    assert_eq!(
        client.migration(&name("m-0001")).await.unwrap(),
        migration(State::Arrived)
    );
    assert_eq!(
        client.cancel(&name("m-0001")).await.unwrap().state,
        State::Aborting
    );
    assert_eq!(
        client.rollback(&name("m-0001")).await.unwrap().state,
        State::Preparing
    );
    assert_eq!(client.join_token().await.unwrap().token, "secret");
    client.unlink(&name("shop"), &name("shop-1")).await.unwrap();
    client.delete_cluster(&name("shop")).await.unwrap();
}

#[tokio::test]
async fn security_rules_cross_in_words_and_what_is_no_rule_is_refused() {
    let served = Served::start().await;
    let (shop, member) = (name("shop"), name("shop-1"));
    let client = &served.client;
    let shown = client.security(&shop, &member).await.unwrap();
    assert_eq!(shown, [name("ingress tcp 80 from 10.77.0.0/24")]);
    let rules = [name("ingress icmp from members"), name("egress any to any")];
    let taken = client.secure(&shop, &member, &rules).await.unwrap();
    assert_eq!(taken, rules);
    let mut spec = serde_json::to_value(support::spec()).unwrap();
    spec["members"][0]["security"] = serde_json::json!(["ingress tcp 80 to any"]);
    let refused = client.apply_cluster_text(&shop, &spec).await.unwrap_err();
    let said = problem(refused).detail;
    assert!(
        said.contains("'ingress tcp 80 to any' is not a rule"),
        "{said}"
    );
    spec["members"][0]["security"] = serde_json::json!(["ingress tcp from member zebra"]);
    let refused = client.apply_cluster_text(&shop, &spec).await.unwrap_err();
    let said = problem(refused).detail;
    assert!(said.contains("no member 'zebra'"), "{said}");
    spec["members"][0]["security"] = serde_json::json!([]);
    client.apply_cluster_text(&shop, &spec).await.unwrap();
}

#[tokio::test]
async fn the_topology_puts_members_under_their_hosts_and_networks_beside_them() {
    let served = Served::start().await;
    let topology = served.client.topology(0).await.unwrap();
    let members = &topology.sites[0].hosts[0].members;
    assert_eq!(members.len(), 2);
    assert!(members[0].vm.is_some() && members[1].vm.is_none());
    assert_eq!(topology.networks[0].hosts, [name("north-1")]);
}

#[tokio::test]
async fn a_cluster_arrives_as_it_was_sent_and_what_is_shown_can_be_applied_again() {
    let served = Served::start().await;
    let shown = served.client.apply_cluster(&spec()).await.unwrap();
    assert_eq!(shown.spec, spec());
    let again = serde_json::to_value(&shown).unwrap();
    served
        .client
        .apply_cluster_text(&name("shop"), &again)
        .await
        .unwrap();
    assert_eq!(*served.fake.applied.lock().unwrap(), [spec(), spec()]);
}

#[tokio::test]
async fn a_member_and_a_journey_arrive_as_they_were_sent() {
    let served = Served::start().await;
    let placed = served
        .client
        .link(&name("shop"), &host_member())
        .await
        .unwrap();
    assert_eq!(placed.member, name("gate"));
    assert_eq!(*served.fake.linked.lock().unwrap(), [host_member()]);
    let options = Options {
        order: FlipOrder::AfterResume,
        max_gap_ms: 80.0,
        ..Options::default()
    };
    let (shop, south) = (name("shop"), name("south"));
    assert_eq!(
        served
            .client
            .plan(&shop, &south, options.clone())
            .await
            .unwrap(),
        plan()
    );
    served
        .client
        .migrate(&shop, &south, options.clone())
        .await
        .unwrap();
    let expected = (shop, south, options);
    assert_eq!(
        *served.fake.journeys.lock().unwrap(),
        [expected.clone(), expected]
    );
}

#[tokio::test]
async fn a_problem_reaches_the_client_word_for_word() {
    let served = Served::start().await;
    let missing = problem(served.client.cluster(&name("shpo")).await.unwrap_err());
    assert_eq!(missing.kind(), Kind::NotFound);
    assert_eq!(
        missing.to_string(),
        "There is no cluster 'shpo'. See the clusters with `transhume cluster list`."
    );
    let options = Options::default();
    let refused = served
        .client
        .migrate(&name("shop"), &name("north"), options)
        .await
        .unwrap_err();
    assert_eq!(problem(refused).kind(), Kind::Refused);
    let site = problem(served.client.site(&name("mars")).await.unwrap_err());
    assert_eq!(site.detail, "There is no site 'mars'.");
}

#[tokio::test]
async fn placing_by_hand_is_refused_where_the_service_does_not_offer_it() {
    let served = Served::start().await;
    let error = served
        .client
        .update(&name("shop"), &name("gate"), &name("south-1"))
        .await;
    assert_eq!(problem(error.unwrap_err()).kind(), Kind::Refused);
}

#[tokio::test]
async fn a_fault_in_the_service_is_an_internal_error_and_the_server_goes_on() {
    let served = Served::start().await;
    let error = served
        .client
        .unlink(&name("shop"), &name("boom"))
        .await
        .unwrap_err();
    assert_eq!(problem(error).kind(), Kind::Internal);
    assert!(served.client.about().await.is_ok());
}

#[tokio::test]
async fn an_address_given_twice_and_impossible_options_never_reach_the_service() {
    let served = Served::start().await;
    let mut twice = spec();
    twice.members[1].addresses = twice.members[0].addresses.clone();
    let error = problem(served.client.apply_cluster(&twice).await.unwrap_err());
    assert!(error.detail.contains("same address 10.77.0.1"), "{error}");
    let options = Options {
        max_gap_ms: -1.0,
        ..Options::default()
    };
    let error = served
        .client
        .migrate(&name("shop"), &name("south"), options)
        .await
        .unwrap_err();
    assert_eq!(problem(error).kind(), Kind::Invalid);
    assert!(served.fake.applied.lock().unwrap().is_empty());
    assert!(served.fake.journeys.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_misspelt_key_is_named() {
    let served = Served::start().await;
    let mut text = serde_json::to_value(spec()).unwrap();
    text["members"][1]["adresses"] = serde_json::json!([]);
    let error = served
        .client
        .apply_cluster_text(&name("shop"), &text)
        .await
        .unwrap_err();
    assert!(problem(error).detail.contains("'members[1].adresses'"));
}

#[tokio::test]
async fn events_that_were_kept_come_in_order_and_the_stream_ends_when_asked_to() {
    let served = Served::start().await;
    let wanted = Wanted {
        from: Some(2),
        migration: None,
        follow: false,
    };
    let stream = served.client.events(&wanted).await.unwrap();
    let got: Vec<_> = stream.map(Result::unwrap).collect().await;
    assert_eq!(got, events()[1..]);
}

#[tokio::test]
async fn a_follower_of_one_migration_gets_only_its_events() {
    let served = Served::start().await;
    let wanted = Wanted {
        from: Some(1),
        migration: Some(name("m-0001")),
        follow: true,
    };
    let stream = served.client.events(&wanted).await.unwrap();
    let got: Vec<u64> = stream
        .take(3)
        .map(|event| event.unwrap().seq)
        .collect()
        .await;
    assert_eq!(got, [4, 5, 7]);
    let unknown = Wanted {
        migration: Some(name("m-9999")),
        ..wanted
    };
    let error = served
        .client
        .events(&unknown)
        .await
        .err()
        .expect("no such migration");
    assert_eq!(problem(error).kind(), Kind::NotFound);
}

#[tokio::test]
async fn a_stream_that_should_go_on_ends_with_an_error_when_the_controller_goes() {
    let served = Served::start().await;
    let wanted = Wanted {
        from: Some(7),
        migration: None,
        follow: true,
    };
    let mut stream = served.client.events(&wanted).await.unwrap();
    assert!(stream.next().await.unwrap().is_ok());
    drop(served);
    assert!(matches!(
        stream.next().await,
        Some(Err(Error::Broken { .. }))
    ));
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn nobody_at_the_socket_is_told_apart_from_a_problem() {
    let client = api::Client::unix("/nonexistent/api.sock");
    let error = client.sites().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }));
    assert!(
        error
            .to_string()
            .starts_with("no controller answers at unix:/nonexistent/api.sock")
    );
}
