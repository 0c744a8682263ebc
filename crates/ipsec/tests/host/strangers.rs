//! Who is refused.

use crate::stage::{Stage, certified, inner, name, peer, up};
use crate::traffic::Datagrams;
use identity::Authority;
use ipsec::{Credentials, Ipsec, Refusal, State};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// Host 3 calls host 1, which knows it, as `id` with these credentials, while hosts 1 and 2 talk. Gives what
/// host 1 noted.
async fn refused(
    stage: &Stage,
    id: &str,
    credentials: Credentials,
    revoked: Option<String>,
) -> Refusal {
    let (one, two) = (stage.start(1).await, stage.start(2).await);
    let mut known = vec![peer(2), peer(3)];
    // Host 1 does not call it, so that host 3 is who begins.
    known[1].outer = "10.9.0.200".parse().unwrap();
    one.set(known, revoked).await.unwrap();
    two.set(vec![peer(1)], None).await.unwrap();
    up(&one, &name(2)).await;
    let datagrams = Datagrams::start(
        &stage.netns(1),
        inner(1),
        &stage.netns(2),
        inner(2),
        vec![1; 100],
    );

    stage.inner_device(3);
    let mut config = stage.config(3);
    config.id = id.to_owned();
    config.credentials = credentials;
    let three = Ipsec::start(config).await.unwrap();
    three.set(vec![peer(1)], None).await.unwrap();
    let begun = Instant::now();
    let refusal = loop {
        if let Some(refusal) = one.refusals().first() {
            break refusal.clone();
        }
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "nothing was noted"
        );
        sleep(Duration::from_millis(20)).await;
    };
    // Again and again, always in vain.
    sleep(Duration::from_secs(2)).await;
    assert_ne!(three.status().await.unwrap()[0].state, State::Up);
    assert_ne!(one.status().await.unwrap()[1].state, State::Up);
    let echoes = datagrams.end().await;
    assert!(echoes.sent > 500 && echoes.lost() == 0, "{echoes:?}");
    for host in [one, two, three] {
        host.end().await;
    }
    for host in 1..=3 {
        stage.nothing_is_left(host);
    }
    refusal
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_of_another_authority_is_refused() {
    let stage = Stage::new(3);
    let other = Authority::open(&stage.folder.path().join("other")).unwrap();
    let refusal = refused(&stage, &name(3), certified(&other, &name(3), None), None).await;
    eprintln!("{refusal:?}");
    assert!(
        refusal.by_us && refusal.peer.as_deref() == Some("host-3"),
        "{refusal:?}"
    );
    assert!(refusal.endpoint.unwrap().starts_with("10.9.0.3:"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_has_ended_is_refused() {
    let stage = Stage::new(3);
    let ended = certified(&stage.authority, &name(3), Some(1_600_000_000));
    let refusal = refused(&stage, &name(3), ended, None).await;
    eprintln!("{refusal:?}");
    assert!(
        refusal.by_us && refusal.why.contains("certificate invalid"),
        "{refusal:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_good_certificate_is_no_ticket_for_another_name() {
    let stage = Stage::new(3);
    let refusal = refused(&stage, &name(2), stage.credentials(&name(3)), None).await;
    eprintln!("{refusal:?}");
    assert!(refusal.by_us, "{refusal:?}");
    // Nor for a name that nobody knows.
    drop(stage);
    let stage = Stage::new(3);
    let refusal = refused(&stage, "host-9", stage.credentials("host-9"), None).await;
    eprintln!("{refusal:?}");
    assert_eq!(refusal.peer.as_deref(), Some("host-9"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_certificate_is_refused_and_whoever_has_it_cut_off() {
    let stage = Stage::new(3);
    let stolen = stage.credentials(&name(3));
    let serial = identity::ca::serial(&stolen.certificate).unwrap();
    let list = stage
        .authority
        .revoked(&[serial], 1, 1_700_000_000)
        .unwrap();
    // Before it calls.
    let refusal = refused(&stage, &name(3), stolen.clone(), Some(list.clone())).await;
    assert!(
        refusal.by_us && refusal.why.contains("certificate was revoked"),
        "{refusal:?}"
    );
    drop(stage);

    // While it is connected.
    let stage = Stage::new(3);
    {
        let (one, two) = (stage.start(1).await, stage.start(2).await);
        stage.inner_device(3);
        let mut config = stage.config(3);
        let stolen = stage.credentials(&name(3));
        let serial = identity::ca::serial(&stolen.certificate).unwrap();
        config.credentials = stolen;
        let three = Ipsec::start(config).await.unwrap();
        one.set(vec![peer(2), peer(3)], None).await.unwrap();
        two.set(vec![peer(1)], None).await.unwrap();
        three.set(vec![peer(1)], None).await.unwrap();
        up(&one, &name(2)).await;
        up(&one, &name(3)).await;
        let ways = [2, 3].map(|host| {
            let to = stage.netns(host);
            Datagrams::start(&stage.netns(1), inner(1), &to, inner(host), vec![1; 100])
        });
        sleep(Duration::from_millis(500)).await;
        let list = stage
            .authority
            .revoked(std::slice::from_ref(&serial), 1, 1_700_000_000)
            .unwrap();
        let begun = Instant::now();
        one.set(vec![peer(2), peer(3)], Some(list)).await.unwrap();
        sleep(Duration::from_secs(1).saturating_sub(begun.elapsed())).await;
        let cut = ways[1].heard();
        sleep(Duration::from_secs(4)).await;
        assert!(cut > 0 && ways[1].heard() == cut);
        assert!(one.refusals().iter().any(|one| one.why.contains("revoked")));
        let [kept, gone] = ways;
        gone.end().await;
        let kept = kept.end().await;
        assert!(kept.lost() == 0, "{kept:?}");
        for host in [one, two, three] {
            host.end().await;
        }
    }
}
