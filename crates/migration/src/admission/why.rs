//! What a migration waits for, as people read it.

use super::Scope;
use model::window::moment;
use model::{HostName, MigrationId};
use std::fmt;

/// What a migration that waits lacks.
#[derive(Debug, Clone, PartialEq)]
pub enum Lack {
    /// As many run as may.
    Room {
        /// Where.
        scope: Scope,
        /// Those that run there.
        by: Vec<MigrationId>,
    },
    /// Those that run leave too little to send with.
    Rate {
        /// Where.
        scope: Scope,
        /// Those that run there.
        by: Vec<MigrationId>,
        /// What is left, Mbit/s.
        left: f64,
        /// What it carries, or may, Mbit/s.
        most: f64,
    },
    /// An older one of the same priority was overtaken so often that it goes first.
    Turn {
        /// The older one.
        older: MigrationId,
        /// What both need.
        scope: Scope,
    },
    /// Another migration of the same cluster.
    Other(MigrationId),
    /// A window that is not open.
    Window {
        /// When it opens, ms since the Unix epoch; none when it never does again.
        opens: Option<u64>,
    },
    /// An agent that is not connected.
    Agent(HostName),
    /// The user's word.
    Resume(MigrationId),
}

fn who(by: &[MigrationId]) -> String {
    let names: Vec<_> = by.iter().map(MigrationId::as_str).collect();
    names.join(", ")
}

fn shared(scope: &Scope) -> String {
    match scope {
        Scope::Controller => "the controller's limit".to_owned(),
        Scope::Site(site) => format!("site {site}"),
        Scope::Uplink(host) => format!("{host}'s uplink"),
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room { scope, by } => {
                let (verb, count) = match by.len() {
                    1 => ("s", "1 migration".to_owned()),
                    n => ("", format!("{n} migrations")),
                };
                write!(f, "waiting for room: {count} already ")?;
                match scope {
                    Scope::Controller => write!(f, "run{verb}, which is the controller's limit")?,
                    Scope::Site(site) => write!(f, "leave{verb} or enter{verb} {site}")?,
                    Scope::Uplink(host) => write!(f, "send{verb} through {host}'s uplink")?,
                }
                write!(f, " ({})", who(by))
            }
            Self::Rate {
                scope,
                by,
                left,
                most,
            } => write!(
                f,
                "waiting for bandwidth: {left:.0} of {most:.0} Mbit/s are left of {} ({})",
                shared(scope),
                who(by)
            ),
            Self::Turn { older, scope } => write!(
                f,
                "waiting for its turn: {older} has waited longer for {}",
                shared(scope)
            ),
            Self::Other(id) => write!(f, "waiting for {id}, which moves the same cluster"),
            Self::Window { opens: Some(at) } => {
                write!(f, "waiting for its window, which opens at {}", moment(*at))
            }
            Self::Window { opens: None } => {
                write!(f, "its window is over and does not open again")
            }
            Self::Agent(host) => write!(f, "waiting for the agent of {host} to dial in"),
            Self::Resume(id) => write!(
                f,
                "paused before it began; it keeps its place until `transhume migration resume {id}`"
            ),
        }
    }
}
