//! The stretched layer 2: one bridge a site, one kernel VXLAN among the three that learns from what
//! it sees, as `ip link` makes it.
//!
//! ```text
//! north: VM taps ─ br0 ─ vxlan0 ┐
//! south: VM taps ─ br0 ─ vxlan0 ┼ eth0, the data network, WAN
//! office:  client ─ br0 ─ vxlan0 ┘
//! ```
//!
//! What nobody has learnt, broadcasts among it, goes to both other sites (head-end replication).

use crate::boxed::{BoxHandle, Program};
use crate::net::{Attachment, Plan, SitePlan};
use crate::parts::{PartError, apart};
use crate::shop::CLIENT_SITE;
use model::Member;
use std::fmt::Write;

/// The bridge of every site.
pub(super) const BRIDGE: &str = "br0";

/// The tunnel of every site.
pub(super) const TUNNEL: &str = "vxlan0";

/// Makes it; `client` is the member whose addresses the client's site has.
///
/// # Errors
/// `ip` or `bridge` refused.
pub(super) async fn make(
    handle: &BoxHandle,
    plan: &Plan,
    client: Option<&Member>,
) -> Result<(), PartError> {
    for site in &plan.sites {
        let client = client.filter(|_| site.name == CLIENT_SITE);
        for (program, text) in [("ip", links(site, client)), ("bridge", floods(plan, site))] {
            let batch = Program::new(&site.name, [program, "-batch", "-"]);
            apart(handle, move |handle| {
                handle.run_with_input(&batch, text.as_bytes())
            })
            .await?;
        }
    }
    Ok(())
}

fn links(site: &SitePlan, client: Option<&Member>) -> String {
    let data = &site.data;
    let (v4, mac, gateway) = (data.v4, data.mac, data.gateway_v4);
    let mut text = format!(
        "link set eth0 down\nlink set eth0 address {mac} arp on up\n\
         addr add {v4}/{} dev eth0\nroute add {} via {gateway} dev eth0\n\
         link add {BRIDGE} type bridge mcast_snooping 0\n\
         link add {TUNNEL} type vxlan id 77 local {v4} dstport 4789\n\
         link set {TUNNEL} mtu 1500 master {BRIDGE} up\nlink set {BRIDGE} mtu 1500 up\n",
        Attachment::V4_PREFIX,
        Plan::DATA_V4,
    );
    for cidr in client.iter().flat_map(|client| &client.addresses) {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "addr add {cidr} dev {BRIDGE}");
    }
    text
}

fn floods(plan: &Plan, site: &SitePlan) -> String {
    let others = plan.sites.iter().filter(|other| other.name != site.name);
    others
        .map(|other| {
            let to = other.data.v4;
            format!("fdb append 00:00:00:00:00:00 dev {TUNNEL} dst {to}\n")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_site_floods_to_both_others_and_never_to_itself() {
        let plan = Plan::default();
        let text = floods(&plan, &plan.sites[0]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("dst 10.10.2.2") && text.contains("dst 10.10.3.2"));
    }

    #[test]
    fn the_tunnel_learns() {
        let text = links(&Plan::default().sites[0], None);
        assert!(text.contains("type vxlan") && !text.contains("nolearning"));
    }
}
