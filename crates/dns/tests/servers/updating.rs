//! RFC 2136 with TSIG against Knot DNS.

use crate::Zone;
use crate::knot::{KEY, Knot, ZONE};
use dns::publish::{Answer, Expect, State, Told};
use dns::rfc2136::{Key, update};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(3);

fn config(knot: &Knot) -> String {
    signed_with(knot, KEY, &knot.key_file().display().to_string())
}

fn signed_with(knot: &Knot, key: &str, file: &str) -> String {
    format!(
        "zone = '{ZONE}'\n[rfc2136]\nservers = ['{}']\nkey = '{key}'\nkey_file = '{file}'",
        knot.address()
    )
}

#[tokio::test]
async fn a_name_is_published_changed_and_taken_away() {
    let knot = Knot::start();
    let mut zone = Zone::open(&config(&knot));
    zone.want("gate.shop.example", "203.0.113.5", 4);
    zone.want("v6.shop.example", "2001:db8::5", 1);
    let begun = Instant::now();
    let told = zone.run(SOON).await;
    println!("two names in one update: {:?}", begun.elapsed());
    assert_eq!(told.len(), 2, "{told:?}");
    assert_eq!(zone.answers, [Answer::Done]);
    assert_eq!(knot.ask("gate.shop.example", "A"), ["203.0.113.5"]);
    assert_eq!(knot.ask("v6.shop.example", "AAAA"), ["2001:db8::5"]);
    let marker = knot.ask("_transhume.gate.shop.example", "TXT");
    assert_eq!(marker, ["\"transhume owner=test epoch=4 serial=1\""]);

    zone.want("gate.shop.example", "198.51.100.9", 5);
    zone.run(SOON).await;
    assert_eq!(knot.ask("gate.shop.example", "A"), ["198.51.100.9"]);

    zone.publisher.only(
        &[crate::name("v6.shop.example")].into(),
        zone.begun.elapsed(),
    );
    let told = zone.run(SOON).await;
    assert!(matches!(&told[..], [Told::Withdrawn { .. }]), "{told:?}");
    assert!(knot.ask("gate.shop.example", "A").is_empty());
    assert!(knot.ask("_transhume.gate.shop.example", "TXT").is_empty());
}

#[tokio::test]
async fn a_name_of_somebody_else_stays_as_it_is() {
    let knot = Knot::start();
    let mut zone = Zone::open(&config(&knot));
    zone.want("theirs.shop.example", "203.0.113.5", 4);
    zone.want("ours.shop.example", "203.0.113.5", 4);
    zone.run(SOON).await;
    assert_eq!(knot.ask("theirs.shop.example", "A"), ["198.51.100.7"]);
    assert_eq!(knot.ask("ours.shop.example", "A"), ["203.0.113.5"]);
    assert!(zone.why().contains("in use"), "{}", zone.why());

    let mut other = Zone::owned(&config(&knot), "other");
    other.want("ours.shop.example", "198.51.100.9", 99);
    other.run(SOON).await;
    assert_eq!(knot.ask("ours.shop.example", "A"), ["203.0.113.5"]);
    assert!(other.why().contains("owner=test"), "{}", other.why());
}

#[tokio::test]
async fn text_of_others_beside_our_addresses_stays() {
    let knot = Knot::start();
    let mut zone = Zone::open(&config(&knot));
    zone.want("gate.shop.example", "203.0.113.5", 4);
    zone.run(SOON).await;
    let secret = crate::knot::SECRET;
    let script = format!(
        "server 127.0.0.1 {}\nzone {ZONE}\nkey hmac-sha256:{KEY} {secret}\nupdate add gate.{ZONE}. 60 TXT \"a note\"\nsend\n",
        knot.address().port()
    );
    let file = knot.folder().join("script");
    std::fs::write(&file, script).unwrap();
    let done = std::process::Command::new("knsupdate")
        .arg(&file)
        .status()
        .unwrap();
    assert!(done.success());
    zone.want("gate.shop.example", "198.51.100.9", 5);
    zone.run(SOON).await;
    assert_eq!(knot.ask("gate.shop.example", "A"), ["198.51.100.9"]);
    assert_eq!(knot.ask("gate.shop.example", "TXT"), ["\"a note\""]);
}

#[tokio::test]
async fn a_wrong_secret_an_unknown_key_and_no_key_are_each_named() {
    let knot = Knot::start();
    let wrong = knot.folder().join("wrong");
    std::fs::write(&wrong, "d3JvbmcgYnV0IGxvbmcgZW5vdWdoIHRvIGJlIG9uZQ==").unwrap();
    let cases = [
        (
            signed_with(&knot, KEY, &wrong.display().to_string()),
            "another secret",
        ),
        (
            signed_with(&knot, "nobody", &wrong.display().to_string()),
            "does not know our key",
        ),
        (
            format!(
                "zone = '{ZONE}'\n[rfc2136]\nservers = ['{}']",
                knot.address()
            ),
            "signature",
        ),
        (
            config(&knot).replace(ZONE, "other.example"),
            "the zone's own",
        ),
    ];
    for (config, says) in cases {
        let mut zone = Zone::open(&config);
        let at = if config.contains("other.example") {
            "a.other.example"
        } else {
            "a.shop.example"
        };
        zone.want(at, "203.0.113.5", 4);
        zone.run(Duration::ZERO).await;
        assert!(zone.why().contains(says), "{says}: {}", zone.why());
        assert!(knot.ask("a.shop.example", "A").is_empty());
    }
}

#[tokio::test]
async fn a_server_that_was_away_gets_only_the_newest() {
    let mut knot = Knot::start();
    let mut zone = Zone::open(&config(&knot));
    zone.want("gate.shop.example", "203.0.113.5", 1);
    zone.run(SOON).await;
    knot.stop();
    zone.want("gate.shop.example", "203.0.113.6", 2);
    zone.run(Duration::from_millis(600)).await;
    assert!(zone.why().contains("cannot be reached"), "{}", zone.why());
    assert_eq!(
        zone.publisher.views().next().unwrap().state,
        State::Retrying
    );
    zone.want("gate.shop.example", "203.0.113.7", 3);
    knot.resume();
    assert_eq!(knot.ask("gate.shop.example", "A"), ["203.0.113.5"]);
    zone.answers.clear();
    zone.run(Duration::from_secs(10)).await;
    assert_eq!(knot.ask("gate.shop.example", "A"), ["203.0.113.7"]);
    assert_eq!(
        zone.answers
            .iter()
            .filter(|answer| **answer == Answer::Done)
            .count(),
        1
    );
}

#[tokio::test]
async fn another_server_takes_over_where_the_first_does_not_answer() {
    let knot = Knot::start();
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = dead.local_addr().unwrap();
    drop(dead);
    let config = config(&knot).replace("servers = [", &format!("servers = ['{address}', "));
    let mut zone = Zone::open(&config);
    zone.want("gate.shop.example", "203.0.113.5", 1);
    let begun = Instant::now();
    zone.run(SOON).await;
    assert_eq!(knot.ask("gate.shop.example", "A"), ["203.0.113.5"]);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn an_update_that_arrives_late_is_refused_by_the_server_itself() {
    let knot = Knot::start();
    let mut zone = Zone::open(&config(&knot));
    zone.want("gate.shop.example", "203.0.113.1", 1);
    zone.run(SOON).await;
    zone.want("gate.shop.example", "203.0.113.2", 2);
    let job = zone.publisher.next(zone.begun.elapsed()).unwrap();
    let dns::publish::Work::Update(changes) = job.work.clone() else {
        panic!("{job:?}");
    };
    assert!(matches!(&changes[0].expect, Expect::Marked(marker) if marker.epoch == 1));
    let why = "lost".to_owned();
    let lost = Answer::Failed { why, unsure: true };
    zone.publisher
        .answered(job.ticket, lost, zone.begun.elapsed(), 0);
    zone.want("gate.shop.example", "203.0.113.3", 3);
    zone.run(SOON).await;
    assert_eq!(knot.ask("gate.shop.example", "A"), ["203.0.113.3"]);

    let key = Key::new(&crate::name(KEY), Default::default(), crate::knot::SECRET).unwrap();
    let unix_s = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let late = update(&crate::name(ZONE), &changes, Some(&key), 77, unix_s).unwrap();
    let mut stream = TcpStream::connect(knot.address()).unwrap();
    let length = u16::try_from(late.bytes.len()).unwrap().to_be_bytes();
    stream
        .write_all(&[&length[..], &late.bytes].concat())
        .unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(late.updated(&answer), Answer::Unmet);
    assert_eq!(knot.ask("gate.shop.example", "A"), ["203.0.113.3"]);
}
