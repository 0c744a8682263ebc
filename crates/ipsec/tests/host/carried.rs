//! What the tunnels carry, and for whom.

use crate::stage::{Stage, inner};
use crate::traffic::{Datagrams, Wire};
use std::time::Duration;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hosts_talk_and_nobody_reads_it_on_the_way() {
    let stage = Stage::new(2);
    let (one, two) = stage.pair().await;
    let wire = Wire::watch(&stage.netns(0));
    let mark = b"what nobody else may read".to_vec();
    let (from, to) = (stage.netns(1), stage.netns(2));
    let datagrams = Datagrams::start(&from, inner(1), &to, inner(2), mark.clone());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let echoes = datagrams.end().await;
    let seen = wire.end();
    assert!(echoes.sent > 100 && echoes.lost() == 0, "{echoes:?}");
    assert!(seen.esp as u64 >= 2 * echoes.sent);
    assert!(!seen.holds(&mark));

    let status = &one.status().await.unwrap()[0];
    assert!(
        status.bytes_in > 10_000 && status.bytes_out > 10_000,
        "{status:?}"
    );
    assert_eq!(status.endpoint.unwrap().to_string(), "10.9.0.2:4500");
    one.end().await;
    two.end().await;
    stage.nothing_is_left(1);
    stage.nothing_is_left(2);
}
