//! Plans, migrations, events.

use clap::{Args, Subcommand, ValueEnum};
use model::migration::{FlipOrder, Options, Switch};
use model::window::Window;
use model::{ClusterName, MigrationId, SiteName};

#[derive(Debug, Args)]
#[command(after_help = "\
Exits with 4 when something stands in the way; the checks say what, and the way out.

Example:
  transhume plan shop --to south")]
pub(crate) struct PlanArgs {
    #[command(flatten)]
    pub(crate) journey: JourneyArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "\
All of the cluster arrives, or all of it stays where it is.

The peers' rules are flipped (--order)
  before-stop      ahead of the stop, each peer by its own delay: nothing is lost
  pre-switchover   at QEMU's pre-switchover: loses packets, for comparison
  after-resume     when the target has resumed, as others do: loses more
  redirect         at the stop, carried by the source's redirect

Examples:
  transhume migrate shop --to south --watch
  transhume migrate shop --to south --max-gap-ms 150 --allow-slowdown
  transhume migrate shop --to south --priority 5 --window 22:00/04:00 --rate 100
  transhume migrate shop --to south --watch -o json | jq .vms[].figures")]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) journey: JourneyArgs,
    /// Follow it to its end; fails when it does not arrive
    #[arg(long, short)]
    pub(crate) watch: bool,
}

/// What is to go where, and how.
#[derive(Debug, Args)]
pub(crate) struct JourneyArgs {
    /// The cluster
    pub(crate) cluster: ClusterName,
    /// The target site
    #[arg(long, value_name = "SITE")]
    pub(crate) to: SiteName,
    /// When the peers' rules are flipped
    #[arg(long, value_enum, default_value = "before-stop")]
    order: Order,
    /// Longest network downtime that is accepted, ms [default: 1000]
    #[arg(long, value_name = "MS", value_parser = above_zero)]
    max_gap_ms: Option<f64>,
    /// Slow guests down that dirty memory faster than the WAN carries it
    #[arg(long)]
    allow_slowdown: bool,
    /// Do everything up to the stop, flips included, then go back without losing a packet
    #[arg(long)]
    rehearse: bool,
    /// Most that the whole cluster may send, Mbit/s [default: what is free of the uplinks]
    #[arg(long, alias = "bandwidth-mbit", value_name = "MBIT", value_parser = above_zero)]
    rate: Option<f64>,
    /// Of migrations that wait for room, the one with the highest goes first
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    priority: i32,
    /// Begin and switch over inside of this window only, besides the sites' own: two moments, or two
    /// times of every day (UTC)
    #[arg(long, value_name = "FROM/UNTIL")]
    window: Option<Window>,
    /// Longest time until every VM is ready to switch, seconds [default: 180]
    #[arg(long, value_name = "SECONDS", value_parser = above_zero)]
    converge_s: Option<f64>,
    /// Which VMs stop together; `plan` tells what either costs [default: those of one group where members
    /// come after others, else one by one]
    #[arg(long, value_enum)]
    switch: Option<Together>,
    /// Time between the stops of two VMs, ms; 0 stops all at one moment: a shorter time in which the
    /// cluster is on both sides, a longer gap for each VM [default: so that no VM waits for another]
    #[arg(long, value_name = "MS", value_parser = zero_or_more)]
    stagger_ms: Option<f64>,
    /// Send all of the memory as it is, not as references and differences
    #[arg(long)]
    no_deltas: bool,
}

impl JourneyArgs {
    /// What was chosen, with the defaults of the model.
    pub(crate) fn options(&self) -> Options {
        let defaults = Options::default();
        Options {
            order: self.order.into(),
            max_gap_ms: self.max_gap_ms.unwrap_or(defaults.max_gap_ms),
            allow_slowdown: self.allow_slowdown,
            rehearse: self.rehearse,
            bandwidth_mbit: self.rate.unwrap_or(defaults.bandwidth_mbit),
            converge_s: self.converge_s.unwrap_or(defaults.converge_s),
            stagger_ms: self.stagger_ms,
            switch: self.switch.map(Switch::from),
            priority: self.priority,
            window: self.window,
            deltas: !self.no_deltas,
        }
    }
}

fn above_zero(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err("use a number above 0".to_owned()),
    }
}

pub(super) fn zero_or_more(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err("use 0 or a number above it".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Order {
    BeforeStop,
    PreSwitchover,
    AfterResume,
    Redirect,
}

impl From<Order> for FlipOrder {
    fn from(order: Order) -> Self {
        match order {
            Order::BeforeStop => Self::BeforeStop,
            Order::PreSwitchover => Self::PreSwitchover,
            Order::AfterResume => Self::AfterResume,
            Order::Redirect => Self::Redirect,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Together {
    Together,
    OneByOne,
}

impl From<Together> for Switch {
    fn from(together: Together) -> Self {
        match together {
            Together::Together => Self::Together,
            Together::OneByOne => Self::OneByOne,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum MigrationCommand {
    /// List migrations, oldest first
    #[command(alias = "ls")]
    List,
    /// Show one migration: where it stands, its phases and figures
    Show {
        /// The migration, for example m-0001
        id: MigrationId,
    },
    /// Follow a migration to its end; fails when it does not arrive
    Watch {
        /// The migration, for example m-0001
        id: MigrationId,
    },
    /// Let a migration go no further: one that waits keeps its place, one on its way goes on at a trickle
    /// and does not switch over
    Pause {
        /// The migration, for example m-0001
        id: MigrationId,
    },
    /// Let a paused migration go on
    Resume {
        /// The migration, for example m-0001
        id: MigrationId,
    },
    /// Let everything go back to the source
    Cancel {
        /// The migration, for example m-0001
        id: MigrationId,
    },
    /// Put the cluster back where a migration took it from: cancels one under way, moves back what one
    /// that is over has moved
    Rollback {
        /// The migration, for example m-0001
        id: MigrationId,
        /// Follow the way back to its end
        #[arg(long)]
        watch: bool,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  transhume events --follow
  transhume events --from 1 --migration m-0001 -o json     one JSON value a line")]
pub(crate) struct EventArgs {
    /// Go on as they happen
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// First number; by default all that are kept, or with --follow only new ones
    #[arg(long, value_name = "NUMBER")]
    pub(crate) from: Option<u64>,
    /// Only those of one migration
    #[arg(long, value_name = "ID")]
    pub(crate) migration: Option<MigrationId>,
}
