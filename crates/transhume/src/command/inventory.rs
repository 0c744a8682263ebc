//! What there is.

use super::Asking;
use crate::cli::{Format, OfCluster};
use crate::failure::Failure;
use crate::{output, show};
use model::HostName;
use serde::Serialize;

pub(super) async fn vms(asking: Asking, of: OfCluster) -> Result<(), Failure> {
    if let Some(name) = &of.cluster {
        asking.client.cluster(name).await?;
    }
    let mut vms = asking.client.vms().await?;
    vms.retain(|vm| {
        of.cluster
            .as_ref()
            .is_none_or(|cluster| vm.cluster == *cluster)
    });
    print(asking.format, &vms, |vms| show::vms(vms))
}

pub(super) async fn find(asking: Asking, host: HostName) -> Result<(), Failure> {
    let domains = asking.client.domains(&host).await?;
    let found: Vec<_> = domains
        .into_iter()
        .map(|domain| show::FoundDomain::new(domain, &host))
        .collect();
    print(asking.format, &found, |found| show::domains(found))
}

pub(super) async fn endpoints(asking: Asking, of: OfCluster) -> Result<(), Failure> {
    if let Some(name) = &of.cluster {
        asking.client.cluster(name).await?;
    }
    let mut all = asking.client.endpoints().await?;
    all.retain(|one| {
        of.cluster
            .as_ref()
            .is_none_or(|cluster| one.entry.cluster == *cluster)
    });
    print(asking.format, &all, |all| show::endpoints(all))
}

pub(super) async fn hosts(asking: Asking) -> Result<(), Failure> {
    print(asking.format, &asking.client.hosts().await?, |hosts| {
        show::hosts(hosts)
    })
}

pub(super) async fn sites(asking: Asking) -> Result<(), Failure> {
    print(asking.format, &asking.client.sites().await?, |sites| {
        show::sites(sites)
    })
}

pub(super) async fn join_token(asking: Asking) -> Result<(), Failure> {
    print(
        asking.format,
        &asking.client.join_token().await?,
        show::join_token,
    )
}

fn print<T: Serialize>(
    format: Format,
    value: &T,
    table: impl Fn(&T) -> String,
) -> Result<(), Failure> {
    match format {
        Format::Json => output::json(value),
        Format::Table => output::text(&table(value)),
    }
}
