//! The routes of peers that are ours, in strongSwan's table.
//!
//! In user space charon's own routes come and go with its tunnels. Without them the host's own packets for a
//! peer would follow the main table to wherever it leads, in clear, and a TCP connection would hang for
//! seconds on a neighbour that never answers. An unreachable route behind charon's says at once what is
//! so. In the kernel the routes lead into the tunnels' device, which drops what has no tunnel.

use crate::config::{DEVICE, TABLE};
use daemon::{Host, Result};
use ipnet::IpNet;
use std::collections::BTreeSet;
use std::net::IpAddr;

/// Behind charon's own, which have none.
const METRIC: &str = "9999";

/// The routes that are there.
#[derive(Debug)]
pub(crate) struct Guard {
    nets: BTreeSet<IpNet>,
    /// Whose packets go into the device; nobody's in user space.
    into: Option<IpAddr>,
}

impl Guard {
    /// Without routes. With an inner address they lead into the tunnels' device.
    pub(crate) fn new(into: Option<IpAddr>) -> Self {
        Self {
            nets: BTreeSet::new(),
            into,
        }
    }

    /// Makes it these nets; routes that stay are not touched.
    pub(crate) async fn set(&mut self, host: &Host, nets: BTreeSet<IpNet>) -> Result<()> {
        for net in nets.difference(&self.nets) {
            self.route(host, "replace", net).await?;
        }
        for net in self.nets.difference(&nets) {
            // One that somebody else has removed is removed.
            let _ = self.route(host, "delete", net).await;
        }
        self.nets = nets;
        Ok(())
    }

    async fn route(&self, host: &Host, what: &str, net: &IpNet) -> Result<String> {
        let family = match net {
            IpNet::V4(_) => "-4",
            IpNet::V6(_) => "-6",
        };
        let (net, table) = (net.to_string(), TABLE.to_string());
        let source = self.into.map(|inner| inner.to_string());
        let mut words = vec![family, "route", what];
        match &source {
            None => words.extend(["unreachable", &net]),
            Some(source) => words.extend([&net, "dev", DEVICE, "src", source]),
        }
        words.extend(["table", &table, "metric", METRIC]);
        host.run("ip", &words).await
    }
}
