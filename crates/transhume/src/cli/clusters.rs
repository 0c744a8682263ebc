//! Clusters and their members.

use clap::{Args, Subcommand};
use model::cluster::Cidr;
use model::{ClusterName, HostName, Mac, VmName};
use std::path::PathBuf;

const CLUSTER_FILE: &str = "\
A description is TOML or JSON, for example:

  name = \"shop\"
  encap = \"vxlan\"                  # or gre, geneve

  [[members]]
  name = \"shop-1\"
  host = \"north-1\"                 # where it starts
  mac = \"52:54:00:77:00:0b\"
  addresses = [\"10.77.0.11/24\", \"fd77::11/64\"]
  security = [\"ingress tcp 80 from any\", \"egress any to any\"]     # may be left out
  kind = \"vm\"
  spec = { machine = \"q35\", cpu = \"qemu64\", vcpus = 1, memory_mib = 128, kernel = \"/srv/vmlinux\", initrd = \"/srv/initramfs.cpio\", cmdline = \"\" }

  [[members]]
  name = \"gate\"
  host = \"office-1\"
  mac = \"52:54:00:77:00:64\"
  addresses = [\"10.77.0.100/24\"]
  kind = \"host\"                   # the host itself, through a port of its own

What `transhume cluster show NAME -o json` prints can be applied again.";

#[derive(Debug, Subcommand)]
pub(crate) enum ClusterCommand {
    /// List clusters
    #[command(alias = "ls")]
    List,
    /// Show one cluster and its members
    Show {
        /// The cluster
        name: ClusterName,
    },
    /// Make a cluster, or bring one to a description: links, unlinks, starts VMs
    #[command(after_help = CLUSTER_FILE)]
    Apply {
        /// The description; - reads stdin
        file: PathBuf,
    },
    /// Show a member's security rules, or replace them while it runs
    Security(super::SecurityArgs),
    /// End a cluster's VMs, unlink its members, forget it
    Delete {
        /// The cluster
        name: ClusterName,
    },
}

/// Narrows a list to one cluster.
#[derive(Debug, Args)]
pub(crate) struct OfCluster {
    /// Only this cluster's
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: Option<ClusterName>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  transhume link shop gate --host office-1 --address 10.77.0.100/24
  transhume link shop --file shop-5.toml         a VM, described as under `cluster apply --help`")]
pub(crate) struct LinkArgs {
    /// The cluster
    pub(crate) cluster: ClusterName,
    /// The member's name: the host itself becomes a member, through a port of its own
    #[arg(required_unless_present = "file", requires_all = ["host", "address"])]
    pub(crate) member: Option<VmName>,
    /// The host
    #[arg(long, conflicts_with = "file")]
    pub(crate) host: Option<HostName>,
    /// Address with prefix length; may be given several times
    #[arg(long, value_name = "CIDR", conflicts_with = "file")]
    pub(crate) address: Vec<Cidr>,
    /// Ethernet address; by default one made of the names
    #[arg(long, conflicts_with = "file")]
    pub(crate) mac: Option<Mac>,
    /// A member's description, TOML or JSON; - reads stdin
    #[arg(long, conflicts_with = "member")]
    pub(crate) file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct UnlinkArgs {
    /// The cluster
    pub(crate) cluster: ClusterName,
    /// The member
    pub(crate) member: VmName,
}

#[derive(Debug, Args)]
pub(crate) struct UpdateArgs {
    /// The cluster
    pub(crate) cluster: ClusterName,
    /// The member
    pub(crate) member: VmName,
    /// The host where it is reached now
    #[arg(long, value_name = "HOST")]
    pub(crate) to: HostName,
}
