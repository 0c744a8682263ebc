//! Dynamic DNS.

use super::Asking;
use crate::cli::{DnsCommand, Format};
use crate::failure::Failure;
use crate::{output, show};
use api::view::DnsPublish;

pub(super) async fn run(asking: Asking, command: DnsCommand) -> Result<(), Failure> {
    let Asking { client, format } = asking;
    let records = match command {
        DnsCommand::List => client.dns_records().await?,
        DnsCommand::Publish { name } => client.publish_dns(&DnsPublish { name }).await?,
    };
    match format {
        Format::Json => output::json(&records),
        Format::Table => output::text(&show::dns_records(&records)),
    }
}
