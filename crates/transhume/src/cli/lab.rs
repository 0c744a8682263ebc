//! The lab.

use super::migrations::Order;
use clap::{Args, Subcommand, ValueEnum};
use lab::cli::Bond;
use model::vm::DiskFormat;
use model::{Encap, SiteName};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "\
Sites north, south and office, a WAN between them, and cluster shop of four VMs at north. The lab
needs no root, touches nothing outside its own namespaces and folder, and is gone after `lab down`.

Examples:
  transhume lab up
  transhume migrate shop --to south --watch
  transhume lab exec office -- ping -c 3 10.77.0.11
  transhume lab down")]
pub(crate) struct LabArgs {
    /// The lab's folder [default: TRANSHUME_LAB, else ~/.local/state/transhume/lab]
    #[arg(long, global = true, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: LabCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Start the lab and leave it standing
    Up(UpArgs),
    /// Remove the lab, also what an interrupted `up` left
    Down,
    /// Say what stands
    Status,
    /// The main job: bring the lab up, move cluster shop there and back under load, report, clean up
    Demo(DemoArgs),
    /// The same cluster, load and WAN in one run: moved by us, and by `virsh migrate` over a stretched layer 2
    Compare(CompareArgs),
    /// Measure every figure that we promise, and print it beside its target
    Bench(BenchArgs),
    /// A shell in a site
    Shell {
        /// The site
        site: SiteName,
    },
    /// Run a command in a site
    Exec(ExecArgs),
}

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) wan: WanArgs,
    /// VMs in cluster shop
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) vms: u8,
    /// VMs that leave their memory alone, instead of 48 MB rewritten at 500 pages a second
    #[arg(long)]
    pub(crate) idle: bool,
    /// Interval of the UDP streams among the VMs, ms; 0 is none
    #[arg(long, value_name = "MS", default_value_t = lab::shop::TALK_MS)]
    pub(crate) talk_ms: u32,
    /// Interval of the client's UDP stream with each VM, ms
    #[arg(long, value_name = "MS", default_value_t = lab::shop::STREAM_MS, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) stream_ms: u32,
    /// How the cluster's frames travel between hosts
    #[arg(long, value_enum, default_value = "vxlan")]
    pub(crate) encap: EncapName,
    /// How the two uplinks of a site share the load
    #[arg(long, value_enum, default_value = "active-backup")]
    pub(crate) bond: BondName,
    /// How the client is joined to the cluster: as a member, or from a LISP site whose router subscribes to
    /// mappings (its packets in VXLAN-GPE or in LISP), or only asks anew when it is solicited to
    #[arg(long, value_enum, default_value = "ovs")]
    pub(crate) plane: PlaneName,
    /// What the tunnels between sites run in; with none, what VMs say crosses the WAN in clear
    #[arg(long, value_name = "UNDERLAY", default_value = "none")]
    pub(crate) underlay: model::underlay::Method,
    /// Give each VM a disk of this many MiB with ext4, and write to it
    #[arg(long, value_name = "MIB")]
    pub(crate) disk: Option<u64>,
    /// Random data that lies on each disk from the beginning, MiB
    #[arg(long, value_name = "MIB", default_value_t = 64, requires = "disk")]
    pub(crate) disk_fill: u64,
    /// Records of 4 KiB that each VM writes and flushes a second
    #[arg(long, value_name = "RATE", default_value_t = 20, requires = "disk")]
    pub(crate) disk_rate: u32,
    /// How the disks' images are stored
    #[arg(long, value_enum, default_value = "qcow2", requires = "disk")]
    pub(crate) disk_format: DiskFormatName,
    /// Folder with the guest: vmlinux and initramfs.cpio [default: target/guest]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) guest: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum PlaneName {
    Ovs,
    LispGpe,
    Lisp,
    LispSolicited,
}

impl From<PlaneName> for lab::parts::Plane {
    fn from(name: PlaneName) -> Self {
        match name {
            PlaneName::Ovs => Self::Ovs,
            PlaneName::LispGpe => Self::LispGpe,
            PlaneName::Lisp => Self::Lisp,
            PlaneName::LispSolicited => Self::LispSolicited,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum EncapName {
    Vxlan,
    Gre,
    Geneve,
}

impl From<EncapName> for Encap {
    fn from(name: EncapName) -> Self {
        match name {
            EncapName::Vxlan => Self::Vxlan,
            EncapName::Gre => Self::Gre,
            EncapName::Geneve => Self::Geneve,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum DiskFormatName {
    Raw,
    Qcow2,
}

impl From<DiskFormatName> for DiskFormat {
    fn from(name: DiskFormatName) -> Self {
        match name {
            DiskFormatName::Raw => Self::Raw,
            DiskFormatName::Qcow2 => Self::Qcow2,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum BondName {
    ActiveBackup,
    BalanceSlb,
    BalanceTcp,
}

impl From<BondName> for Bond {
    fn from(name: BondName) -> Self {
        match name {
            BondName::ActiveBackup => Self::ActiveBackup,
            BondName::BalanceSlb => Self::BalanceSlb,
            BondName::BalanceTcp => Self::BalanceTcp,
        }
    }
}

/// The WAN between sites.
#[derive(Debug, Args)]
pub(crate) struct WanArgs {
    /// Round-trip time between two sites, ms
    #[arg(long, value_name = "MS", default_value_t = 31.0, value_parser = not_negative)]
    pub(crate) rtt_ms: f64,
    /// Rate of each site's uplink in each direction, Mbit/s
    #[arg(long, value_name = "MBIT", default_value_t = 200.0, value_parser = not_negative)]
    pub(crate) rate_mbit: f64,
    /// Jitter in each direction, ms
    #[arg(long, value_name = "MS", default_value_t = 0.0, value_parser = not_negative)]
    pub(crate) jitter_ms: f64,
    /// Loss in each direction, per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = not_negative)]
    pub(crate) loss_percent: f64,
}

fn not_negative(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("use a number that is not negative".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) up: UpArgs,
    /// Write the report here as JSON; report.html goes beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// How often there and back
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,
    /// When the peers' rules are flipped; losses are no failure with any but before-stop
    #[arg(long, value_enum, default_value = "before-stop")]
    pub(crate) order: Order,
    /// Send all of the memory as it is, not as references and differences
    #[arg(long)]
    pub(crate) no_deltas: bool,
    /// Time between the stops of two VMs, ms; 0 stops all at one moment [default: so that no VM waits for another]
    #[arg(long, value_name = "MS", value_parser = super::migrations::zero_or_more)]
    pub(crate) stagger_ms: Option<f64>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Each way has a lab of its own, one after the other. Needs libvirt (libvirtd and virsh) beside what the
lab needs. Fails when a row is missed: nothing lost by ours, tens of packets lost by virsh migrate, and
the network downtime of each VM at least 2x better.")]
pub(crate) struct CompareArgs {
    #[command(flatten)]
    pub(crate) up: UpArgs,
    /// Write the report here as JSON; report.html goes beside it
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Only these: lab-up, link, update, bond, single-idle, single-load, gang, gang-1gbit, orders,
    /// gang-disks, kills, cuts, prediction, planes
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) only: Vec<String>,
    /// Of kills and cuts, only these faults and stages, for example "source agent" armed
    #[arg(long, value_name = "NAME", num_args = 1..)]
    pub(crate) faults: Vec<String>,
    /// How often there and back, instead of what is usual for each
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: Option<u32>,
    /// Write the figures here as JSON
    #[arg(long, value_name = "FILE")]
    pub(crate) report: Option<PathBuf>,
    /// Folder with the guest: vmlinux and initramfs.cpio [default: target/guest]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) guest: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ExecArgs {
    /// The site
    pub(crate) site: SiteName,
    /// The command and its arguments
    #[arg(required = true, last = true)]
    pub(crate) command: Vec<String>,
}
