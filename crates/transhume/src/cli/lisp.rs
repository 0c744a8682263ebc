//! The LISP Map-Server's commands.

use clap::{Args, Subcommand};
use model::SiteName;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum LispCommand {
    /// Show, add, change and remove sites: who may register what
    #[command(subcommand)]
    Site(LispSiteCommand),
    /// Show mappings; set and remove those that are set by hand
    #[command(subcommand)]
    Mapping(LispMappingCommand),
}

#[derive(Debug, Subcommand)]
pub(crate) enum LispSiteCommand {
    /// List sites
    #[command(alias = "ls")]
    List,
    /// Add a site, or change one
    #[command(after_help = SITE)]
    Add(PutSite),
    /// Remove a site, what it has registered, and its subscriptions
    #[command(alias = "rm")]
    Remove {
        /// The site
        site: SiteName,
    },
}

const SITE: &str = "\
Examples:
  transhume lisp site add branch --id 9 --prefix '[7]10.2.0.0/16' --key-file branch.key
  pass show branch | transhume lisp site add branch --id 9 --prefix 10.2.0.0/16 --key-file -";

/// A site as it is typed.
#[derive(Debug, Args)]
pub(crate) struct PutSite {
    /// Name of the site
    pub(crate) site: SiteName,
    /// Site-ID of its tunnel routers
    #[arg(long)]
    pub(crate) id: u64,
    /// What it may register; an instance stands before it in brackets
    #[arg(long = "prefix", required = true, value_name = "PREFIX")]
    pub(crate) prefixes: Vec<String>,
    /// File with the secret, its first line; - is stdin. A known site keeps its own without
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Key id in messages
    #[arg(long, default_value_t = 0)]
    pub(crate) key_id: u8,
    /// Refuse parts of its prefixes
    #[arg(long)]
    pub(crate) whole_only: bool,
    /// Take registrations whose nonce never grows, as routers of RFC 6830's time send them;
    /// they can be replayed
    #[arg(long)]
    pub(crate) constant_nonce: bool,
    /// Its routers take and send VXLAN-GPE as well, which hosts' switches do by themselves
    #[arg(long)]
    pub(crate) gpe: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LispMappingCommand {
    /// List mappings, of endpoints, set by hand, and registered
    #[command(alias = "ls")]
    List,
    /// Set a mapping by hand; who is concerned is told at once
    #[command(after_help = MAPPING)]
    Add(PutMapping),
    /// Remove a mapping that was set by hand
    #[command(alias = "rm")]
    Remove {
        /// The identifier
        eid: String,
    },
}

const MAPPING: &str = "\
Example:
  transhume lisp mapping add '[7]10.9.0.0/24' --locator 192.0.2.10 --locator 192.0.2.11,2,50";

/// A mapping as it is typed.
#[derive(Debug, Args)]
pub(crate) struct PutMapping {
    /// The identifier: an address or prefix; an instance stands before it in brackets
    pub(crate) eid: String,
    /// Where it leads to: ADDRESS, or ADDRESS,PRIORITY,WEIGHT; without any, packets are dropped
    #[arg(long = "locator", value_name = "LOCATOR")]
    pub(crate) locators: Vec<String>,
    /// How long it may be cached
    #[arg(long, default_value_t = 1440, value_name = "MINUTES")]
    pub(crate) ttl: u32,
}
