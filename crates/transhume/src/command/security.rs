//! Security rules of members.

use super::Asking;
use crate::cli::{Format, SecurityArgs};
use crate::failure::Failure;
use crate::output;

pub(super) async fn run(asking: Asking, args: SecurityArgs) -> Result<(), Failure> {
    let Asking { client, format } = asking;
    let SecurityArgs {
        cluster,
        member,
        allow,
        open,
    } = args;
    let rules = match allow.is_empty() && !open {
        true => client.security(&cluster, &member).await?,
        false => client.secure(&cluster, &member, &allow).await?,
    };
    match format {
        Format::Json => output::json(&rules),
        Format::Table if rules.is_empty() => output::line(&format!(
            "'{member}' of cluster '{cluster}' has no rules: it is open to its network."
        )),
        Format::Table => {
            let lines = rules.iter().map(|rule| format!("{rule}\n"));
            output::text(&lines.collect::<String>())
        }
    }
}
