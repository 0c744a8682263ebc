//! Things that go wrong, and come back without anybody's help.

use crate::stage::{Stage, inner, name, outer, peer, sh, up};
use crate::traffic::{Datagrams, Stream};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};
use tokio::time::sleep;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_made_anew_under_load_and_nothing_is_lost() {
    let stage = Stage::new(2);
    let mut hosts = Vec::new();
    for host in 1..=2 {
        stage.inner_device(host);
        let mut config = stage.config(host);
        config.rekey = Duration::from_secs(2);
        hosts.push(ipsec::Ipsec::start(config).await.unwrap());
    }
    hosts[0].set(vec![peer(2)], None).await.unwrap();
    hosts[1].set(vec![peer(1)], None).await.unwrap();
    up(&hosts[0], &name(2)).await;
    let (from, to) = (stage.netns(1), stage.netns(2));
    let datagrams = Datagrams::start(&from, inner(1), &to, inner(2), vec![7; 600]);
    let mut fresh = 0;
    let mut last = 0;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(9) {
        // New keys begin with a count of zero.
        let bytes = hosts[0].status().await.unwrap()[0].bytes_out;
        fresh += usize::from(bytes < last);
        last = bytes;
        sleep(Duration::from_millis(100)).await;
    }
    let echoes = datagrams.end().await;
    assert!(fresh >= 2, "keys were made anew {fresh} times");
    assert!(echoes.sent > 1000 && echoes.lost() == 0, "{echoes:?}");
    for host in hosts {
        host.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_that_gets_another_address_keeps_its_connections() {
    let stage = Stage::new(2);
    let (one, two) = stage.pair().await;
    // Whoever called first may move, and so may the other one.
    for (host, there, seen_by, index) in [(1, 2, &two, 1), (2, 1, &one, 2)] {
        let stream = Stream::start(&stage.netns(1), &stage.netns(2), inner(2));
        wait_for(|| stream.delivered() > 100_000).await;
        let ns = stage.ns(host);
        sh(&format!(
            "ip netns exec {ns} sysctl -qw net.ipv4.conf.eth0.promote_secondaries=1
             ip -n {ns} addr add 10.9.0.{index}1/24 dev eth0
             ip -n {ns} addr del {}/24 dev eth0",
            outer(host)
        ));
        let before = stream.delivered();
        let begun = Instant::now();
        wait_for(|| stream.delivered() > before + 200_000).await;
        eprintln!(
            "host {host} moved: {:?} until 200 kB more had come",
            begun.elapsed()
        );
        let endpoint = seen_by.status().await.unwrap()[0].endpoint.unwrap();
        assert_eq!(endpoint.ip().to_string(), format!("10.9.0.{index}1"));
        assert!(begun.elapsed() < Duration::from_secs(8));
        stream.end().await;
        let _ = there;
    }
    one.end().await;
    two.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_charon_that_is_killed_comes_back_under_a_connection() {
    let stage = Stage::new(2);
    let (one, two) = stage.pair().await;
    let stream = Stream::start(&stage.netns(1), &stage.netns(2), inner(2));
    for host in [&one, &two] {
        wait_for(|| stream.delivered() > 50_000).await;
        let first = host.pid().await.unwrap();
        let (from, to) = (stage.netns(1), stage.netns(2));
        let datagrams = Datagrams::start(&from, inner(1), &to, inner(2), vec![1; 100]);
        sleep(Duration::from_millis(100)).await;
        kill(Pid::from_raw(first), Signal::SIGKILL).unwrap();
        let begun = Instant::now();
        sleep(Duration::from_millis(100)).await;
        let before = stream.delivered();
        wait_for(|| stream.delivered() > before + 50_000).await;
        let gap = datagrams.end().await.gap;
        eprintln!(
            "packets {gap:?}, the connection {:?} after the kill",
            begun.elapsed()
        );
        assert!(gap < Duration::from_secs(3));
        assert!(begun.elapsed() < Duration::from_secs(8));
        assert_ne!(host.pid().await.unwrap(), first);
    }
    stream.end().await;
    one.end().await;
    two.end().await;
    stage.nothing_is_left(1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_removed_is_cut_off_within_a_second_and_others_do_not_notice() {
    let stage = Stage::new(3);
    let (one, two, three) = (
        stage.start(1).await,
        stage.start(2).await,
        stage.start(3).await,
    );
    one.set(vec![peer(2), peer(3)], None).await.unwrap();
    two.set(vec![peer(1)], None).await.unwrap();
    three.set(vec![peer(1)], None).await.unwrap();
    up(&one, &name(2)).await;
    up(&one, &name(3)).await;
    let ways = [2, 3].map(|host| {
        Datagrams::start(
            &stage.netns(1),
            inner(1),
            &stage.netns(host),
            inner(host),
            vec![1; 100],
        )
    });
    sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    one.set(vec![peer(2)], None).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(1));
    sleep(Duration::from_secs(1).saturating_sub(begun.elapsed())).await;
    let cut = ways[1].heard();
    // It goes on to call, since nobody told it; in vain.
    sleep(Duration::from_secs(4)).await;
    assert_eq!(ways[1].heard(), cut);
    let [kept, gone] = ways;
    assert!(gone.end().await.gap > Duration::from_secs(4));
    let kept = kept.end().await;
    assert!(
        kept.lost() == 0 && kept.gap < Duration::from_secs(1),
        "{kept:?}"
    );
    assert_eq!(one.status().await.unwrap().len(), 1);
    // And it comes back when it is a peer again.
    one.set(vec![peer(2), peer(3)], None).await.unwrap();
    up(&one, &name(3)).await;
    for host in [one, two, three] {
        host.end().await;
    }
}

/// Waits until something is so, for at most half a minute.
async fn wait_for(is: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it did not come");
        sleep(Duration::from_millis(5)).await;
    }
}
