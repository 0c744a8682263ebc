//! How long an update takes, and what it costs those who talk: a member that is present on two
//! hosts moves to and fro under a stream from a third.

use super::stage::{Stage, entry, member, net};
use super::stream::{Outcome, Stream};
use crate::error::{Error, Result};
use model::{Encap, Entry};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

/// Times and losses of updates.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Updating {
    /// Each update of the sender's switch, from the request until it is acknowledged, milliseconds.
    pub rule_switch_ms: Vec<f64>,
    /// How long after each request packets still went the old way, milliseconds: the switch
    /// revises what it has cached after it has acknowledged, and packets were on their way.
    pub old_way_ms: Vec<f64>,
    /// What became of the stream.
    pub stream: Outcome,
}

/// Moves a member `moves` times between the second and the third host, `pause` apart, while the
/// first sends a packet every millisecond. Both places have the member's port and addresses, so
/// that what is measured is the sender's switch alone: each packet is received wherever it goes.
pub async fn updating(
    stage: &Stage,
    moves: u32,
    pause: Duration,
    encap: Encap,
) -> Result<Updating> {
    let [sender, here, there] = stage.hosts.as_slice() else {
        return Err(Error::Config(
            "this measurement needs a stage of three hosts".to_owned(),
        ));
    };
    let net = net(200, encap, 1400)?;
    let client = member(&net, 1, &sender.config.host)?;
    let mover = member(&net, 2, &here.config.host)?;
    let client_row = entry(&net, &client, &sender.config, false, 1)?;
    let places = [&here.config, &there.config];
    stage.host(0)?.link_host(&net, &client).await?;
    for at in [1, 2] {
        stage.host(at)?.link_host(&net, &mover).await?;
        // Each of the two hosts believes that the member is its own.
        let own = entry(&net, &mover, places[at - 1], false, 1)?;
        stage
            .host(at)?
            .apply(vec![net.clone()], vec![client_row.clone(), own], Vec::new())
            .await?;
    }
    let mut epoch = 1;
    let row = |epoch: u64| -> Result<Entry> {
        let place = places[usize::from(epoch.is_multiple_of(2))];
        entry(&net, &mover, place, false, epoch)
    };
    let host = stage.host(0)?;
    host.apply(
        vec![net.clone()],
        vec![client_row.clone(), row(epoch)?],
        Vec::new(),
    )
    .await?;
    host.resolve(
        places
            .iter()
            .filter_map(|place| place.underlay_address(false)),
    )
    .await?;

    let address = |member: &model::Member| -> IpAddr { member.addresses[0].address };
    let from = SocketAddr::new(address(&client), 0);
    let to = SocketAddr::new(address(&mover), 7777);
    let sinks = [&here.netns, &there.netns];
    let stream =
        Stream::start_to_many((&sender.netns, from), &sinks, to, Duration::from_millis(1)).await?;
    let mut times = Updating::default();
    let mut requests = Vec::new();
    for _ in 0..moves {
        tokio::time::sleep(pause).await;
        epoch += 1;
        let prepared = host
            .prepare(Vec::new(), vec![row(epoch)?], Vec::new())
            .await;
        let begun = Instant::now();
        requests.push((begun, usize::from((epoch - 1).is_multiple_of(2))));
        host.commit_prepared(prepared).await?;
        times
            .rule_switch_ms
            .push(begun.elapsed().as_secs_f64() * 1e3);
    }
    tokio::time::sleep(pause).await;
    let (outcome, arrivals) = stream.stop_and_tell().await?;
    times.stream = outcome;
    for (at, &(begun, old)) in requests.iter().enumerate() {
        let next = requests.get(at + 1).map(|(next, _)| *next);
        let old_way = arrivals
            .iter()
            .filter(|arrival| arrival.receiver == old && arrival.at > begun)
            .take_while(|arrival| next.is_none_or(|next| arrival.at < next))
            .last();
        let late = old_way.map_or(0.0, |arrival| {
            arrival.at.duration_since(begun).as_secs_f64() * 1e3
        });
        times.old_way_ms.push(late);
    }
    for (at, member) in [(0, &client), (1, &mover), (2, &mover)] {
        stage.host(at)?.unlink(&net.cluster, &member.name).await?;
    }
    Ok(times)
}
