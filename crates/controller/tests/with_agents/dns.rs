//! Names in the DNS follow the directory, on a real server.

use super::bed::{Bed, member, shop, vm_name};
use super::knot::{KEY, Knot, ZONE};
use api::Service;
use api::view::{DnsPublish, DnsState};
use futures::StreamExt;
use model::HostName;
use model::event::What;
use std::time::{Duration, Instant};

/// Two zones of one server cannot be the same; so one test has endpoints, the others sites.
fn config(knot: &Knot, more: &str) -> &'static str {
    let text = format!(
        "[dns.sites]\nnorth = ['203.0.113.5']\nsouth = ['198.51.100.9', '2001:db8::9']\n\
         [[dns.zones]]\nzone = '{ZONE}'\n{more}\n\
         [dns.zones.rfc2136]\nservers = ['{}']\nkey = '{KEY}'\nkey_file = '{}'\n",
        knot.address(),
        knot.key_file().display()
    );
    // As long as the test, which is the process.
    text.leak()
}

async fn answers(knot: &Knot, name: &str, kind: &str, expected: &[&str]) {
    let begun = Instant::now();
    while knot.ask(name, kind) != expected {
        let there = knot.ask(name, kind);
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{name} {kind} is {there:?}, not {expected:?}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_name_leads_to_its_site_within_a_second_of_its_move() {
    let knot = Knot::start();
    let bed = Bed::with(config(&knot, "publish = 'site'\ntxt = true")).await;
    let north = bed.joined("north", "north", 1).await;
    let south = bed.joined("south", "south", 2).await;
    let _agents = [north.connect().await, south.connect().await];
    let mut events = bed.service.events(None, true).await.unwrap();
    bed.shop(vec![member("gate", "north", 9)]).await.unwrap();
    let name = format!("gate.shop.{ZONE}");
    answers(&knot, &name, "A", &["203.0.113.5"]).await;

    let begun = Instant::now();
    let to = HostName::new("south").unwrap();
    let (cluster, gate) = (shop(), vm_name("gate"));
    let placed = bed.service.update(&cluster, &gate, &to).await.unwrap();
    answers(&knot, &name, "A", &["198.51.100.9"]).await;
    let took = begun.elapsed();
    println!("from the order to the server's answer, with the orders to hosts: {took:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    answers(&knot, &name, "AAAA", &["2001:db8::9"]).await;
    let text = format!("\"locator=south epoch={}\"", placed.epoch.0);
    answers(&knot, &name, "TXT", &[&text]).await;

    let shown = bed.service.dns_records().await.unwrap();
    assert_eq!((shown.len(), shown[0].state), (1, DnsState::Published));
    assert_eq!(shown[0].published_epoch, Some(placed.epoch.0));
    println!(
        "from the directory's change to the acknowledgement: {:?} ms",
        shown[0].delay_ms
    );
    let mut told = 0;
    while told < 2 {
        let event = tokio::time::timeout(Duration::from_secs(5), events.next())
            .await
            .unwrap()
            .unwrap();
        if let What::Dns {
            name: of,
            published,
            ..
        } = event.what
        {
            assert!(published);
            assert_eq!(of, name);
            told += 1;
        }
    }

    bed.service.unlink(&cluster, &gate).await.unwrap();
    answers(&knot, &name, "A", &[]).await;
    answers(&knot, &name, "TXT", &[]).await;
    assert!(bed.service.dns_records().await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_starts_again_knows_what_it_has_published_and_publishes_what_it_missed() {
    let mut knot = Knot::start();
    let bed = Bed::with(config(&knot, "")).await;
    let north = bed.joined("north", "north", 1).await;
    let _agent = north.connect().await;
    bed.shop(vec![member("gate", "north", 9)]).await.unwrap();
    let name = format!("gate.shop.{ZONE}");
    answers(&knot, &name, "A", &["10.77.0.9"]).await;
    let first = bed.service.dns_records().await.unwrap();

    let bed = bed.restart().await;
    assert_eq!(
        bed.service.dns_records().await.unwrap(),
        first,
        "nothing is published again"
    );

    knot.stop();
    let mut north = north;
    north.controller = bed.agents;
    let _agent = north.connect().await;
    let more = vec![member("gate", "north", 9), member("till", "north", 10)];
    bed.shop(more).await.unwrap();
    let waits = Instant::now();
    loop {
        let shown = bed.service.dns_records().await.unwrap();
        let till = shown
            .iter()
            .find(|record| record.name.starts_with("till"))
            .cloned();
        if till.is_some_and(|till| {
            till.state == DnsState::Retrying && till.message.contains("cannot be reached")
        }) {
            break;
        }
        assert!(waits.elapsed() < Duration::from_secs(5));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let bed = bed.restart().await;
    knot.resume();
    bed.service
        .publish_dns(DnsPublish::default())
        .await
        .unwrap();
    answers(&knot, &format!("till.shop.{ZONE}"), "A", &["10.77.0.10"]).await;
    let unknown = DnsPublish {
        name: Some("nobody.example".into()),
    };
    let problem = bed.service.publish_dns(unknown).await.unwrap_err();
    assert_eq!(problem.status, 404);
}

#[tokio::test]
async fn without_the_table_nothing_is_published_and_whoever_asks_is_told() {
    let bed = Bed::new().await;
    let problem = bed.service.dns_records().await.unwrap_err();
    assert!(problem.way_out.contains("[dns]"), "{problem:?}");
}
