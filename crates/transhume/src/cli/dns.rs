//! Dynamic DNS.

use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub(crate) enum DnsCommand {
    /// List names: what they should lead to, and what was last published
    #[command(alias = "ls")]
    List,
    /// Publish names again, also where a server has refused them or a provider has stopped us
    Publish {
        /// One name; all of them where none is said
        name: Option<String>,
    },
}
