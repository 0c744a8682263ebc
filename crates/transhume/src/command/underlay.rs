//! What hosts' tunnels run in.

use super::Asking;
use crate::cli::{Format, UnderlayCommand};
use crate::failure::Failure;
use crate::{output, show};
use model::HostName;

pub(super) async fn run(asking: Asking, command: UnderlayCommand) -> Result<(), Failure> {
    let Asking { client, format } = &asking;
    match command {
        UnderlayCommand::Show => {
            let underlay = client.underlay().await?;
            match format {
                Format::Json => output::json(&underlay),
                Format::Table => output::text(&show::underlay(&underlay)),
            }
        }
        UnderlayCommand::Rotate { hosts } => {
            let hosts = match hosts.is_empty() {
                true => everybody(&asking).await?,
                false => hosts,
            };
            let mut turned = Vec::with_capacity(hosts.len());
            for host in hosts {
                let now = client.rotate_key(&host).await?;
                if *format == Format::Table {
                    output::text(&format!("{host} has a new key: {}\n", now.keys.join(", ")))?;
                }
                turned.push(now);
            }
            match format {
                Format::Json => output::json(&turned),
                Format::Table => Ok(()),
            }
        }
    }
}

async fn everybody(asking: &Asking) -> Result<Vec<HostName>, Failure> {
    let underlay = asking.client.underlay().await?;
    Ok(underlay.hosts.into_iter().map(|host| host.host).collect())
}

pub(super) async fn remove(
    asking: Asking,
    host: HostName,
    with_members: bool,
) -> Result<(), Failure> {
    asking.client.remove_host(&host, with_members).await?;
    match asking.format {
        Format::Json => Ok(()),
        Format::Table => output::text(&format!(
            "{host} is removed; its certificate and its keys are good for nothing.\n"
        )),
    }
}
