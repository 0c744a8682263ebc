//! The model's types as OpenAPI sees them.
//!
//! The model knows nothing of OpenAPI, so its shapes are drawn once more here. Nothing of this is
//! ever constructed: it only gives the document its schemas. A test holds them against the JSON of
//! the real types, so that the two cannot drift apart.

use utoipa::ToSchema;

/// How the frames of a cluster travel between hosts.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Encap {
    /// VXLAN, RFC 7348.
    Vxlan,
    /// GRE with key, RFC 2890.
    Gre,
    /// Geneve, RFC 8926.
    Geneve,
}

/// What a VM does.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum VmState {
    /// Its vCPUs run.
    Running,
    /// Complete, and does not run.
    Paused,
    /// A target that waits for, or receives, a migration.
    Incoming,
    /// Its process has ended.
    Gone,
}

/// What runs the guest's instructions.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Accel {
    /// KVM where a guest really boots under it, else TCG.
    Auto,
    /// Kernel virtualisation.
    Kvm,
    /// QEMU's own translator.
    Tcg,
}

/// How a VM is built.
#[derive(ToSchema)]
pub struct VmSpec {
    /// QEMU machine type.
    #[schema(example = "q35")]
    pub machine: String,
    /// QEMU CPU model.
    #[schema(example = "qemu64")]
    pub cpu: String,
    /// Accelerator.
    #[schema(required = false)]
    pub accel: Accel,
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Guest memory, MiB.
    pub memory_mib: u32,
    /// Kernel to boot; must exist on every host. Only a libvirt domain may do without.
    #[schema(required = false)]
    pub kernel: String,
    /// Initial RAM disk; must exist on every host. Only a libvirt domain may do without.
    #[schema(required = false)]
    pub initrd: String,
    /// Kernel command line.
    #[schema(required = false)]
    pub cmdline: String,
    /// Its disks, in the order of the guest's `vda`, `vdb` and so on.
    #[schema(required = false)]
    pub disks: Vec<Disk>,
    /// The libvirt domain that the VM is; without it the agent runs the VM itself.
    #[schema(required = false)]
    pub libvirt: Option<LibvirtDomain>,
}

/// A VM that libvirt keeps.
#[derive(ToSchema)]
pub struct LibvirtDomain {
    /// The domain's name, alike on every host.
    pub domain: String,
    /// Where the image of each disk is, by the disk's name; alike on every host.
    #[schema(required = false)]
    pub images: std::collections::BTreeMap<String, String>,
}

/// A disk of a VM.
#[derive(ToSchema)]
pub struct Disk {
    /// Unique in the VM; up to 20 lower-case letters, digits and `-`.
    #[schema(example = "data")]
    pub name: String,
    /// What the guest sees, bytes; a multiple of 512.
    pub size: u64,
    /// How the image is stored.
    #[schema(required = false)]
    pub format: DiskFormat,
    /// An image, raw or qcow2, that this one is made from when the VM first boots.
    #[schema(required = false)]
    pub from: Option<String>,
    /// The image's path on storage that all hosts of the VM see; it is never copied.
    #[schema(required = false)]
    pub shared: Option<String>,
}

/// How an image is stored: as it is, with holes; or QEMU's own format.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum DiskFormat {
    /// As it is.
    Raw,
    /// QEMU's own format.
    Qcow2,
}

/// What stands behind a member: `vm` with its spec, or the `host` itself.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum MemberKind {
    /// A VM that an agent runs; it can move.
    Vm,
    /// The host itself, through an internal port.
    Host,
}

/// One member of a cluster.
#[derive(ToSchema)]
pub struct Member {
    /// Name, unique in the cluster.
    #[schema(example = "shop-1")]
    pub name: String,
    /// The host where it is linked first.
    #[schema(example = "north-1")]
    pub host: String,
    /// Ethernet address, unique in the cluster.
    #[schema(example = "52:54:00:77:00:0b")]
    pub mac: String,
    /// Addresses with prefix length, unique in the cluster.
    #[schema(example = json!(["10.77.0.11/24"]))]
    pub addresses: Vec<String>,
    /// VMs of the cluster that switch over before this one when it moves.
    #[schema(required = false)]
    pub after: Vec<String>,
    /// What may be opened to it and by it; without any rule, everything.
    #[schema(required = false, example = json!(["ingress tcp 80 from any", "egress any to members"]))]
    pub security: Vec<String>,
    /// What stands behind it.
    pub kind: MemberKind,
    /// How the VM is built; only and always with kind `vm`.
    pub spec: Option<VmSpec>,
}

/// A cluster: one overlay network and its members.
#[derive(ToSchema)]
#[schema(as = ClusterSpec)]
pub struct Cluster {
    /// Name, unique.
    #[schema(example = "shop")]
    pub name: String,
    /// Virtual network identifier; one is chosen when it is 0.
    #[schema(required = false, maximum = 16777215)]
    pub vni: u32,
    /// How frames travel between hosts.
    #[schema(required = false)]
    pub encap: Encap,
    /// The members.
    pub members: Vec<Member>,
}

/// Where an endpoint is reached.
#[derive(ToSchema)]
pub struct Locator {
    /// The host whose switch holds the port.
    #[schema(example = "north-1")]
    pub host: String,
    /// The underlay address that peers tunnel to.
    #[schema(example = "192.0.2.10")]
    pub address: String,
}

/// A row of the directory.
#[derive(ToSchema)]
pub struct Entry {
    /// The cluster.
    #[schema(example = "shop")]
    pub cluster: String,
    /// The member.
    #[schema(example = "shop-1")]
    pub vm: String,
    /// Ethernet address.
    #[schema(example = "52:54:00:77:00:0b")]
    pub mac: String,
    /// Addresses.
    pub ips: Vec<String>,
    /// What may be opened to it and by it; without any rule, everything.
    #[schema(required = false)]
    pub security: Vec<String>,
    /// Where it is now.
    pub locator: Locator,
    /// The version of the locator; only grows.
    pub epoch: u64,
}

/// What a host can do, as its agent found out.
#[derive(ToSchema)]
pub struct Abilities {
    /// QEMU version.
    #[schema(example = "10.0.2")]
    pub qemu: String,
    /// `kvm` where a guest really boots under it, else `tcg`.
    pub accel: String,
    /// Whether this QEMU's stop can be predicted.
    pub prediction: bool,
    /// Why not, when not.
    pub prediction_note: String,
    /// Free memory, MiB.
    pub free_mib: u64,
    /// CPUs.
    pub cpus: u32,
    /// MTU of the uplinks, bytes.
    pub uplink_mtu: u16,
    /// What the uplinks carry, Mbit/s; 0 when unknown.
    pub uplink_mbit: f64,
}

mod flows;
mod journey;
mod libvirt;
mod limits;
mod plan;

pub use flows::{Counted, FlowRow, PortSeen, Rate, Trace};
pub use journey::{
    Event, EventKind, Figures, FlipOrder, Kind, Migration, Options, Phase, Progress, State, Switch,
    SwitchForecast, VmMove,
};
pub use libvirt::Found;
pub use limits::{Limit, Limits};
pub use plan::{Check, CheckResult, Convergence, Forecast, Needs, Part, Plan, Predicted};
