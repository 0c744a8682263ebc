//! What the death of an uplink costs those who talk.

use super::stage::{Stage, entry, member, net, wan_port};
use super::stream::{Outcome, Stream};
use crate::error::{Error, Result};
use model::Encap;
use std::net::SocketAddr;
use std::time::Duration;

/// What an uplink's death cost, per direction.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Failover {
    /// From the host whose uplink died.
    pub outward: Outcome,
    /// To it.
    pub inward: Outcome,
}

/// Takes an uplink of the first host away at its far end, under a stream of one packet a
/// millisecond in each direction, and gives it back after. The stage's hosts have two uplinks.
pub async fn failover(stage: &Stage, uplink: usize, encap: Encap) -> Result<Failover> {
    let [one, two, ..] = stage.hosts.as_slice() else {
        return Err(Error::Config(
            "this measurement needs a stage of two hosts".to_owned(),
        ));
    };
    let net = net(210, encap, 1400)?;
    let near = member(&net, 1, &one.config.host)?;
    let far = member(&net, 2, &two.config.host)?;
    let rows = vec![
        entry(&net, &near, &one.config, false, 1)?,
        entry(&net, &far, &two.config, false, 1)?,
    ];
    for (at, member) in [(0, &near), (1, &far)] {
        let host = stage.host(at)?;
        host.link_host(&net, member).await?;
        host.apply(vec![net.clone()], rows.clone(), Vec::new())
            .await?;
    }
    let address = |member: &model::Member, port| SocketAddr::new(member.addresses[0].address, port);
    let every = Duration::from_millis(1);
    let outward = Stream::start(
        (&one.netns, address(&near, 0)),
        (&two.netns, address(&far, 7001)),
        every,
    )
    .await?;
    let inward = Stream::start(
        (&two.netns, address(&far, 0)),
        (&one.netns, address(&near, 7002)),
        every,
    )
    .await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let port = stage.wan_netlink.need_link(&wan_port(0, uplink)).await?;
    stage.wan_netlink.down(port.index).await?;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let result = Failover {
        outward: outward.stop().await?,
        inward: inward.stop().await?,
    };
    stage.wan_netlink.up(port.index).await?;
    for (at, member) in [(0, &near), (1, &far)] {
        stage.host(at)?.unlink(&net.cluster, &member.name).await?;
    }
    Ok(result)
}
