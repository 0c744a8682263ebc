use super::agent::{Frames, enrol, send};
use super::bed::{Bed, host_name};
use futures::StreamExt;
use model::news::Up;
use model::order::{Down, PROTOCOL};

#[tokio::test]
async fn a_host_joins_with_a_token_and_dials_in() {
    let bed = Bed::new().await;
    let host = bed.joined("h1", "north", 1).await;
    let agent = host.connect().await;
    assert!(bed.service.hosts.is_connected(&host.name));
    agent.until(|held| held.welcomes == 1).await;
    let hosts = api::Service::hosts(&*bed.service).await.unwrap();
    assert_eq!((hosts[0].name.as_str(), hosts[0].up), ("h1", true));
}

#[tokio::test]
async fn a_token_that_nobody_made_admits_nobody() {
    let bed = Bed::new().await;
    let good = bed.token().await;
    let wrong = format!("{}{}", &good[..good.len() - 4], "0000");
    let why = enrol(bed.agents, "h1", &wrong).await.unwrap_err();
    assert!(why.contains("transhume host join-token"), "{why}");
}

#[tokio::test]
async fn a_token_is_good_for_one_host() {
    let bed = Bed::new().await;
    let token = bed.token().await;
    enrol(bed.agents, "h1", &token).await.unwrap();
    assert!(
        enrol(bed.agents, "h2", &token)
            .await
            .unwrap_err()
            .contains("used already")
    );
}

#[tokio::test]
async fn a_token_for_another_controller_meets_no_trust() {
    let (bed, other) = (Bed::new().await, Bed::new().await);
    let token = other.token().await;
    assert!(enrol(bed.agents, "h1", &token).await.is_err());
}

#[tokio::test]
async fn nobody_gets_the_controllers_own_name() {
    let bed = Bed::new().await;
    let why = enrol(bed.agents, "controller", &bed.token().await)
        .await
        .unwrap_err();
    assert!(why.contains("the controller's own"), "{why}");
}

#[tokio::test]
async fn the_name_of_a_connected_host_is_not_given_away() {
    let bed = Bed::new().await;
    let host = bed.joined("h1", "north", 1).await;
    let agent = host.connect().await;
    let token = bed.token().await;
    assert!(
        enrol(bed.agents, "h1", &token)
            .await
            .unwrap_err()
            .contains("connected already")
    );
    drop(agent);
    super::bed::until(|| !bed.service.hosts.is_connected(&host_name("h1"))).await;
    enrol(bed.agents, "h1", &token).await.unwrap();
}

#[tokio::test]
async fn a_certificate_of_another_hosts_name_is_refused() {
    let bed = Bed::new().await;
    let mut host = bed.joined("h1", "north", 1).await;
    host.hello.host = host_name("h2");
    let mut frames = host.dial().await;
    send(&mut frames, &Up::Hello(Box::new(host.hello.clone())))
        .await
        .unwrap();
    assert!(next(&mut frames).await.is_none());
    assert!(bed.service.hosts.connected().is_empty());
}

#[tokio::test]
async fn an_agent_of_another_protocol_is_told_ours_and_let_go() {
    let bed = Bed::new().await;
    let mut host = bed.joined("h1", "north", 1).await;
    host.hello.protocol = PROTOCOL + 1;
    let mut frames = host.dial().await;
    send(&mut frames, &Up::Hello(Box::new(host.hello.clone())))
        .await
        .unwrap();
    assert!(matches!(
        next(&mut frames).await,
        Some(Down::Welcome {
            protocol: PROTOCOL,
            inner: None
        })
    ));
    assert!(next(&mut frames).await.is_none());
    assert!(bed.service.hosts.connected().is_empty());
}

#[tokio::test]
async fn a_host_that_begins_with_something_else_than_a_hello_is_let_go() {
    let bed = Bed::new().await;
    let host = bed.joined("h1", "north", 1).await;
    let mut frames = host.dial().await;
    send(&mut frames, &Up::Clock { asked: 1 }).await.unwrap();
    assert!(next(&mut frames).await.is_none());
}

async fn next(frames: &mut Frames) -> Option<Down> {
    let frame = frames.next().await?.ok()?;
    Some(serde_json::from_slice(&frame).unwrap())
}
