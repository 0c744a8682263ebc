//! Who is let into the secure underlay, and who is not.

use super::agent::{Agent, Host, send};
use super::bed::{Bed, host_name, until};
use api::Service;
use futures::StreamExt;
use identity::{Authority, Credentials};
use model::news::Up;
use model::order::{Down, Order};
use model::underlay::{Part, Peers};
use std::net::{IpAddr, SocketAddr};

const WIREGUARD: &str = "underlay.default = 'wireguard'\n";

/// A part as an agent brings it: the address is the `number`-th, the key made of one sign.
fn part(number: u8, sign: char) -> Part {
    Part {
        inner: IpAddr::from([100, 64, 0, number]),
        outer: SocketAddr::from(([192, 0, 2, number], 51820)),
        keys: vec![format!("{}=", sign.to_string().repeat(43))],
        roams: false,
        ipsec: false,
    }
}

async fn joined(bed: &Bed, name: &str, number: u8, sign: char) -> Host {
    let mut host = bed.joined(name, name, number).await;
    let part = part(number, sign);
    host.hello.underlay = part.inner;
    host.hello.secured = Some(part);
    host
}

/// Says hello and gives what is answered first; nothing where the controller hangs up.
async fn greeted(host: &Host) -> Option<Down> {
    let mut frames = host.dial().await;
    let hello = Up::Hello(Box::new(host.hello.clone()));
    send(&mut frames, &hello).await.ok()?;
    let frame = frames.next().await?.ok()?;
    serde_json::from_slice(&frame).ok()
}

/// What an agent was told last of the others.
fn peers(agent: &Agent) -> Option<Peers> {
    agent.held(|held| {
        let mut told = held.orders.iter().rev().filter_map(|order| match order {
            Order::Underlay { peers } => Some((**peers).clone()),
            _ => None,
        });
        told.next()
    })
}

fn names(agent: &Agent) -> Vec<String> {
    let told = peers(agent).map(|told| told.peers).unwrap_or_default();
    told.iter().map(|peer| peer.host.to_string()).collect()
}

#[tokio::test]
async fn hosts_are_told_of_each_other_and_of_nobody_who_was_removed() {
    let bed = Bed::with(WIREGUARD).await;
    let (north, south) = (
        joined(&bed, "north", 1, 'a').await,
        joined(&bed, "south", 2, 'b').await,
    );
    let (at_north, at_south) = (north.connect().await, south.connect().await);
    until(|| names(&at_north) == ["south"] && names(&at_south) == ["north"]).await;
    bed.service.remove_host(&south.name, false).await.unwrap();
    until(|| names(&at_north).is_empty()).await;
    assert!(!bed.service.hosts.is_connected(&south.name));
    // Its key and certificate, whoever has them now, open nothing; the other host notices nothing.
    assert!(greeted(&south).await.is_none());
    assert!(bed.service.hosts.is_connected(&north.name));
    let hosts = bed.service.hosts().await.unwrap();
    assert_eq!(hosts.len(), 1);
}

#[tokio::test]
async fn a_host_that_joins_anew_has_made_its_former_certificate_worthless() {
    let bed = Bed::with(WIREGUARD).await;
    let stolen = joined(&bed, "north", 1, 'a').await;
    let north = joined(&bed, "north", 1, 'a').await;
    assert!(greeted(&stolen).await.is_none());
    let _north = north.connect().await;
    assert!(bed.service.hosts.is_connected(&north.name));
}

#[tokio::test]
async fn a_certificate_that_has_ended_is_refused() {
    let bed = Bed::with(WIREGUARD).await;
    let mut host = joined(&bed, "north", 1, 'a').await;
    let authority = Authority::open(&bed.state().join("authority")).unwrap();
    let (key, request) = Credentials::request("north").unwrap();
    host.credentials = Credentials {
        certificate: authority
            .sign_until("north", &request, Some(1_000_000_000))
            .unwrap(),
        key: key.serialize_pem(),
        authority: authority.certificate().to_owned(),
    };
    assert!(greeted(&host).await.is_none());
    assert!(bed.service.hosts.connected().is_empty());
}

#[tokio::test]
async fn what_is_another_hosts_is_not_given_to_who_claims_it() {
    let bed = Bed::with(WIREGUARD).await;
    let north = joined(&bed, "north", 1, 'a').await;
    let mut thief = joined(&bed, "south", 2, 'b').await;
    let at_north = north.connect().await;
    let own = thief.hello.secured.clone().unwrap();
    let theirs = north.hello.secured.clone().unwrap();
    for claimed in [
        Part {
            inner: theirs.inner,
            ..own.clone()
        },
        Part {
            keys: theirs.keys.clone(),
            ..own.clone()
        },
        Part {
            outer: theirs.outer,
            ..own.clone()
        },
    ] {
        thief.hello.secured = Some(claimed);
        assert!(greeted(&thief).await.is_none());
    }
    thief.hello.secured = Some(own);
    thief.hello.underlay = north.hello.underlay;
    assert!(greeted(&thief).await.is_none(), "nor its locator");
    assert!(names(&at_north).is_empty(), "nobody else has heard of it");
    assert!(bed.service.hosts.is_connected(&north.name));
}

#[tokio::test]
async fn a_host_whose_tunnels_run_in_the_open_learns_its_address_and_is_let_go() {
    let bed = Bed::with(WIREGUARD).await;
    let host = bed.joined("north", "north", 1).await;
    let heard = greeted(&host).await;
    let Some(Down::Welcome {
        inner: Some(inner), ..
    }) = heard
    else {
        panic!("it is not told: {heard:?}");
    };
    assert_eq!(inner.to_string(), "100.64.0.1/10");
    until(|| !bed.service.hosts.is_connected(&host_name("north"))).await;
}
