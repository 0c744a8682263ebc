use super::agent::Reaction;
use super::bed::{Bed, host_name, shop, until, vm_name};
use controller::OrderError;
use controller::hosts::HostChange;
use model::Nanos;
use model::news::{Answer, News, Up};
use model::order::Order;

#[tokio::test]
async fn an_order_is_answered_and_an_agents_refusal_comes_back_as_its_sentence() {
    let (bed, _hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    let hosts = &bed.service.hosts;
    let answer = hosts.order(&host_name("north"), Order::ListVms).await;
    assert_eq!(answer, Ok(Answer::Vms { vms: vec![] }));
    north.react_with(|_| Some(Reaction::Refuse("no room: stop another VM first")));
    let refused = hosts
        .order(&host_name("north"), Order::ListVms)
        .await
        .unwrap_err();
    assert!(
        matches!(&refused, OrderError::Refused { sentence, .. } if sentence.starts_with("no room"))
    );
}

#[tokio::test]
async fn an_order_for_a_host_that_is_away_is_not_sent() {
    let bed = Bed::new().await;
    let answer = bed
        .service
        .hosts
        .order(&host_name("north"), Order::ListVms)
        .await;
    assert_eq!(
        answer,
        Err(OrderError::NotConnected {
            host: host_name("north")
        })
    );
}

#[tokio::test]
async fn an_order_whose_connection_ends_is_lost() {
    let (bed, _hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    north.react_with(|order| matches!(order, Order::ListVms).then_some(Reaction::HangUp));
    let answer = bed
        .service
        .hosts
        .order(&host_name("north"), Order::ListVms)
        .await;
    assert_eq!(
        answer,
        Err(OrderError::Lost {
            host: host_name("north")
        })
    );
    until(|| !bed.service.hosts.is_connected(&host_name("north"))).await;
}

#[tokio::test]
async fn a_second_agent_of_a_name_is_refused_while_the_first_is_there() {
    let (bed, [host, ..], [older, _south, _office]) = Bed::with_three_hosts().await;
    let mut second = host.dial().await;
    let hello = Up::Hello(Box::new(host.hello.clone()));
    super::agent::send(&mut second, &hello).await.unwrap();
    let heard = futures::StreamExt::next(&mut second).await;
    assert!(!matches!(heard, Some(Ok(_))), "it hears nothing: {heard:?}");
    assert!(bed.service.hosts.is_connected(&host.name));
    drop(older);
    until(|| !bed.service.hosts.is_connected(&host.name)).await;
    let newer = host.connect().await;
    newer.forget_orders();
    assert!(
        bed.service
            .hosts
            .order(&host.name, Order::ListVms)
            .await
            .is_ok()
    );
    assert!(bed.service.hosts.is_connected(&host.name));
}

#[tokio::test]
async fn the_clock_is_answered_with_what_was_asked_and_the_controllers_moment() {
    let (bed, _hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    let before = bed.service.hosts.now();
    north
        .until(move |held| {
            held.clock
                .is_some_and(|(asked, now)| asked == 42 && now > before)
        })
        .await;
    assert!(bed.service.hosts.now() > north.held(|held| held.clock.unwrap().1));
    assert!(
        bed.service.hosts.unix_ns(Nanos(0)) < bed.service.hosts.unix_ns(bed.service.hosts.now())
    );
}

#[tokio::test]
async fn the_way_to_a_host_is_measured_without_any_order() {
    let (bed, _hosts, _agents) = Bed::with_three_hosts().await;
    until(|| {
        bed.service
            .hosts
            .control_delay_ms(&host_name("south"))
            .is_some()
    })
    .await;
}

#[tokio::test]
async fn news_reach_everybody_who_listens() {
    let (bed, _hosts, [north, _south, _office]) = Bed::with_three_hosts().await;
    let (mut lossless, mut others) = (bed.service.hosts.subscribe(), bed.service.hosts.news());
    let news = News::VmGone {
        cluster: shop(),
        vm: vm_name("a"),
    };
    north.tell(news.clone());
    assert_eq!(
        lossless.recv().await,
        Some((host_name("north"), news.clone()))
    );
    assert_eq!(others.recv().await.unwrap(), (host_name("north"), news));
}

#[tokio::test]
async fn hosts_that_come_and_go_are_told_and_become_events() {
    let bed = Bed::new().await;
    let mut changes = bed.service.hosts.changes();
    let host = bed.joined("north", "north", 1).await;
    let agent = host.connect().await;
    assert_eq!(
        changes.recv().await.unwrap(),
        HostChange::Up(host_name("north"))
    );
    drop(agent);
    assert_eq!(
        changes.recv().await.unwrap(),
        HostChange::Down(host_name("north"))
    );
    let events: Vec<_> = {
        use futures::StreamExt;
        bed.service
            .events
            .stream(Some(0), false)
            .map(|event| event.seq)
            .collect()
            .await
    };
    assert!(events.len() >= 2);
}
