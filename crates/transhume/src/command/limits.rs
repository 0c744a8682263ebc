//! Limits and windows.

use super::Asking;
use crate::cli::{Format, LimitsCommand};
use crate::failure::{Exit, Failure};
use crate::{output, show};

pub(super) async fn run(asking: Asking, command: LimitsCommand) -> Result<(), Failure> {
    let Asking { client, format } = &asking;
    let limits = match command {
        LimitsCommand::Show => client.limits().await?,
        LimitsCommand::Set(args) if args.reset => client.set_limits(None).await?,
        LimitsCommand::Set(args) if args.is_empty() => {
            return Err(Failure::new(
                Exit::Usage,
                "nothing is to be set",
                "See `transhume limits set --help`.",
            ));
        }
        LimitsCommand::Set(args) => {
            let limits = args.over(client.limits().await?);
            client.set_limits(Some(&limits)).await?
        }
    };
    match format {
        Format::Json => output::json(&limits),
        Format::Table => output::text(&show::limits(&limits)),
    }
}
