//! The model's rules, traces and counters as OpenAPI sees them.

use super::{Encap, VmState};
use utoipa::ToSchema;

/// A rule of a switch.
#[derive(ToSchema)]
pub struct FlowRow {
    /// Table.
    #[schema(example = 30)]
    pub table: u8,
    /// Priority; of the rules of one table that match, the highest decides.
    pub priority: u16,
    /// Which packets, as `ovs-ofctl` writes it.
    #[schema(rename = "match", example = "reg0=0x7,dl_dst=52:54:00:77:00:0b")]
    pub r#match: String,
    /// What happens to them; `drop` for nothing.
    #[schema(example = "output:16")]
    pub actions: String,
    /// Cookie, hexadecimal.
    pub cookie: String,
    /// What it is for.
    #[schema(example = "tunnel to south-1 for web1 of shop")]
    pub purpose: String,
    /// The cluster that it serves, where it serves one.
    #[schema(required = false)]
    pub cluster: Option<String>,
    /// The member that it serves, where it serves one.
    #[schema(required = false)]
    pub member: Option<String>,
    /// Whether it is as the directory asks.
    pub mark: FlowMark,
    /// What the directory asks to be done instead, where it was changed.
    #[schema(required = false)]
    pub wanted: Option<String>,
    /// What it has counted; none for a rule that is missing.
    #[schema(required = false)]
    pub counted: Option<FlowCounted>,
    /// What passes now; none without a second reading.
    #[schema(required = false)]
    pub rate: Option<Rate>,
}

/// How an installed rule compares with what the directory asks for.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum FlowMark {
    /// As the directory asks.
    AsAsked,
    /// Asked for and not installed.
    Missing,
    /// Installed, and does something else than the directory asks.
    Changed,
    /// Ours by its cookie; the directory does not ask for it (any more).
    LeftOver,
    /// Somebody else's.
    Foreign,
}

/// What a rule has counted.
#[derive(ToSchema)]
pub struct FlowCounted {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// Since when, ms.
    pub age_ms: u64,
}

/// What passes, between two readings.
#[derive(ToSchema)]
pub struct Rate {
    /// Packets a second.
    pub packets_s: f64,
    /// Bits a second.
    pub bits_s: f64,
}

/// Packets and bytes at one moment.
#[derive(ToSchema)]
pub struct Counted {
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// A port of a switch.
#[derive(ToSchema)]
pub struct PortSeen {
    /// Its interface.
    #[schema(example = "eth0")]
    pub name: String,
    /// What it is for.
    pub role: PortRole,
    /// Whether its link is up.
    pub up: bool,
    /// What has come in by it.
    pub received: Counted,
    /// What has gone out by it.
    pub sent: Counted,
    /// Dropped, both ways, packets.
    pub dropped: u64,
    /// What comes in now; none without a second reading.
    #[schema(required = false)]
    pub receives: Option<Rate>,
    /// What goes out now; none without a second reading.
    #[schema(required = false)]
    pub sends: Option<Rate>,
}

/// What a port is for.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum PortRoleName {
    /// A link to the underlay.
    Uplink,
    /// The tunnels of an encapsulation.
    Tunnels,
    /// VXLAN-GPE to routers outside.
    Gpe,
    /// A member's.
    Member,
    /// A network's LISP gateway.
    Gateway,
    /// Anything else.
    Other,
}

/// What a port is for, and whose it is.
#[derive(ToSchema)]
pub struct PortRole {
    /// What it is for.
    pub role: PortRoleName,
    /// The encapsulation, of `tunnels`.
    #[schema(required = false)]
    pub encap: Option<Encap>,
    /// The cluster, of `member` and `gateway`.
    #[schema(required = false)]
    pub cluster: Option<String>,
    /// The member, of `member`.
    #[schema(required = false)]
    pub vm: Option<String>,
}

/// A packet's way there, and back where that was asked for.
#[derive(ToSchema)]
pub struct Trace {
    /// From the one to the other.
    pub there: Way,
    /// And back.
    #[schema(required = false)]
    pub back: Option<Way>,
}

/// A packet's way.
#[derive(ToSchema)]
pub struct Way {
    /// The packet in words.
    pub packet: String,
    /// Host by host.
    pub hops: Vec<Hop>,
    /// Whether it reaches who it is for: the member's port, the answer, or the router outside.
    pub reaches: bool,
    /// Where it ends, in one sentence.
    #[schema(example = "Delivered to shop/web2 on south-1.")]
    pub verdict: String,
}

/// One host on a packet's way.
#[derive(ToSchema)]
pub struct Hop {
    /// The host.
    #[schema(example = "north-1")]
    pub host: String,
    /// How it comes there.
    pub enters: String,
    /// What carries it there from the hop before, as far as it is known.
    #[schema(required = false)]
    pub underlay: Option<String>,
    /// The rules that it meets, in order.
    pub steps: Vec<Step>,
    /// Where it, or its copies, go.
    pub ends: Vec<End>,
}

/// A rule that a packet meets.
#[derive(ToSchema)]
pub struct Step {
    /// Table.
    pub table: u8,
    /// Priority; none where no rule matched.
    pub priority: Option<u16>,
    /// What the rule matches.
    #[schema(rename = "match")]
    pub r#match: String,
    /// Cookie, hexadecimal.
    pub cookie: String,
    /// What the rule is for.
    pub purpose: String,
    /// Whether the rule is as the directory asks; none where no rule matched.
    pub mark: Option<FlowMark>,
    /// What it does, and what the switch says to it.
    pub actions: Vec<String>,
}

/// What an end of a packet's way on one host is.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub enum EndName {
    /// A member's port.
    Member,
    /// A tunnel to another host.
    Tunnel,
    /// By VXLAN-GPE to a router outside.
    Outside,
    /// The host's LISP gateway.
    Gateway,
    /// Back to the sender as the answer.
    Answered,
    /// The queue of a switchover that is being taken back.
    Held,
    /// A port that is nobody's of ours.
    Port,
    /// Nowhere.
    Dropped,
}

/// Where a packet goes from a host.
#[derive(ToSchema)]
pub struct End {
    /// What it is.
    pub end: EndName,
    /// The cluster, of `member`.
    #[schema(required = false)]
    pub cluster: Option<String>,
    /// The member, of `member` and `held`.
    #[schema(required = false)]
    pub vm: Option<String>,
    /// What the VM does, of `member`.
    #[schema(required = false)]
    pub state: Option<VmState>,
    /// The other end's underlay address, of `tunnel`.
    #[schema(required = false)]
    pub to: Option<String>,
    /// Sent on by a redirect, of `tunnel`.
    #[schema(required = false)]
    pub redirected: Option<bool>,
    /// By VXLAN-GPE, of `tunnel`.
    #[schema(required = false)]
    pub gpe: Option<bool>,
    /// The router, of `outside`.
    #[schema(required = false)]
    pub router: Option<String>,
    /// The port's OpenFlow number, of `port`.
    #[schema(required = false)]
    pub number: Option<u32>,
    /// Why, of `dropped`.
    #[schema(required = false)]
    pub because: Option<String>,
}
