//! Security rules of members.

use clap::Args;
use model::{ClusterName, SecurityRule, VmName};

const RULES: &str = "\
A rule says who may open which connection; what answers it passes by itself:

  ingress tcp 80 from any
  ingress udp 5000-5010 from 10.77.0.0/24
  ingress icmp from members                      members of the cluster
  egress tcp 5432 to member shop-2               whatever its addresses are
  egress any to any

A member without rules is open to its network. With any rule it is closed, in both directions, but
for what its rules allow. Rules belong to the member: they are where it is, and connections that
they allowed go on when it moves. Connections under way that new rules do not allow are cut; so are
TCP connections that were opened before the member had its first rule.

Examples:
  transhume cluster security shop shop-1
  transhume cluster security shop shop-1 --allow 'ingress tcp 80 from any' --allow 'egress any to any'
  transhume cluster security shop shop-1 --open";

#[derive(Debug, Args)]
#[command(after_help = RULES)]
pub(crate) struct SecurityArgs {
    /// The cluster
    pub(crate) cluster: ClusterName,
    /// The member
    pub(crate) member: VmName,
    /// Allow this, and nothing that is not given with it; may be given several times
    #[arg(long, value_name = "RULE")]
    pub(crate) allow: Vec<SecurityRule>,
    /// Remove all rules
    #[arg(long, conflicts_with = "allow")]
    pub(crate) open: bool,
}
