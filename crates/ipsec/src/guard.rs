//! Keeps packets for peers from other ways while their tunnel is not there.
//!
//! charon's routes come and go with its tunnels. Without them the host's own packets for a peer would follow
//! the main table to wherever it leads, in clear, and a TCP connection would hang for seconds on a
//! neighbour that never answers. An unreachable route behind charon's says at once what is so.

use crate::config::TABLE;
use crate::error::Result;
use daemon::Host;
use ipnet::IpNet;
use std::collections::BTreeSet;

/// Behind charon's own, which have none.
const METRIC: &str = "9999";

/// The routes that are there.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    nets: BTreeSet<IpNet>,
}

impl Guard {
    /// Makes it these nets.
    pub(crate) async fn set(&mut self, host: &Host, nets: BTreeSet<IpNet>) -> Result<()> {
        for net in nets.difference(&self.nets) {
            route(host, "replace", net).await?;
        }
        for net in self.nets.difference(&nets) {
            // One that somebody else has removed is removed.
            let _ = route(host, "delete", net).await;
        }
        self.nets = nets;
        Ok(())
    }
}

async fn route(host: &Host, what: &str, net: &IpNet) -> daemon::Result<String> {
    let family = match net {
        IpNet::V4(_) => "-4",
        IpNet::V6(_) => "-6",
    };
    let (net, table) = (net.to_string(), TABLE.to_string());
    let words = [
        family,
        "route",
        what,
        "unreachable",
        &net,
        "table",
        &table,
        "metric",
        METRIC,
    ];
    host.run("ip", &words).await
}
