//! Clusters and their members.

use super::Asking;
use crate::cli::{ClusterCommand, Format, LinkArgs, UnlinkArgs, UpdateArgs};
use crate::failure::{Exit, Failure};
use crate::{output, show};
use api::view::Placed;
use model::{ClusterName, Mac, Member, MemberKind, VmName};
use serde_json::Value;
use std::io::Read;
use std::path::Path;

pub(super) async fn run(asking: Asking, command: ClusterCommand) -> Result<(), Failure> {
    let Asking { client, format } = asking;
    match command {
        ClusterCommand::List => {
            let clusters = client.clusters().await?;
            match format {
                Format::Json => output::json(&clusters),
                Format::Table => output::text(&show::clusters(&clusters)),
            }
        }
        ClusterCommand::Show { name } => {
            let cluster = client.cluster(&name).await?;
            if format == Format::Json {
                return output::json(&cluster);
            }
            let (vms, endpoints) = (client.vms().await?, client.endpoints().await?);
            output::text(&show::cluster(&cluster, &vms, &endpoints))
        }
        ClusterCommand::Apply { file } => {
            let value = described(&file)?;
            let name: ClusterName = named(&value, &file)?;
            let cluster = client.apply_cluster_text(&name, &value).await?;
            match format {
                Format::Json => output::json(&cluster),
                Format::Table => output::line(&format!(
                    "Cluster '{name}' stands: {} members, MTU {}.",
                    cluster.spec.members.len(),
                    cluster.mtu
                )),
            }
        }
        ClusterCommand::Security(args) => {
            super::security::run(Asking { client, format }, args).await
        }
        ClusterCommand::Delete { name } => {
            client.delete_cluster(&name).await?;
            gone(format, &format!("Cluster '{name}' is gone."))
        }
    }
}

pub(super) async fn link(asking: Asking, args: LinkArgs) -> Result<(), Failure> {
    let placed = match (&args.file, &args.member, &args.host) {
        (Some(file), ..) => {
            let value = described(file)?;
            let name: VmName = named(&value, file)?;
            asking
                .client
                .link_text(&args.cluster, &name, &value)
                .await?
        }
        (None, Some(name), Some(host)) => {
            let member = Member {
                name: name.clone(),
                host: host.clone(),
                mac: args.mac.unwrap_or_else(|| mac_of(&args.cluster, name)),
                addresses: args.address.clone(),
                after: Vec::new(),
                security: Vec::new(),
                kind: MemberKind::Host,
            };
            asking.client.link(&args.cluster, &member).await?
        }
        _ => {
            return Err(Failure::new(
                Exit::Usage,
                "neither a member with its host nor a file with its description is given",
                "See `transhume link --help`.",
            ));
        }
    };
    show_placed(asking.format, &placed)
}

pub(super) async fn update(asking: Asking, args: UpdateArgs) -> Result<(), Failure> {
    let placed = asking
        .client
        .update(&args.cluster, &args.member, &args.to)
        .await?;
    show_placed(asking.format, &placed)
}

pub(super) async fn unlink(asking: Asking, args: UnlinkArgs) -> Result<(), Failure> {
    asking.client.unlink(&args.cluster, &args.member).await?;
    gone(
        asking.format,
        &format!(
            "'{}' is no member of '{}' any more.",
            args.member, args.cluster
        ),
    )
}

fn show_placed(format: Format, placed: &Placed) -> Result<(), Failure> {
    match format {
        Format::Json => output::json(placed),
        Format::Table => output::line(&format!(
            "'{}' of cluster '{}' is reached at {} ({}), epoch {}, MTU {}, after {:.1} ms.",
            placed.member,
            placed.cluster,
            placed.locator.host,
            placed.locator.address,
            placed.epoch.0,
            placed.mtu,
            placed.took_ms
        )),
    }
}

fn gone(format: Format, sentence: &str) -> Result<(), Failure> {
    match format {
        Format::Json => output::json(&serde_json::json!({})),
        Format::Table => output::line(sentence),
    }
}

/// A description as it was written; the controller judges it.
fn described(file: &Path) -> Result<Value, Failure> {
    let (text, from) = if file == Path::new("-") {
        let mut text = String::new();
        (
            std::io::stdin().read_to_string(&mut text).map(|_| text),
            "stdin".to_owned(),
        )
    } else {
        (std::fs::read_to_string(file), file.display().to_string())
    };
    let wrong = |what: String| {
        Failure::new(
            Exit::Usage,
            what,
            "`transhume cluster apply --help` shows a description.",
        )
    };
    let text = text.map_err(|error| wrong(format!("cannot read {from}: {error}")))?;
    if text.trim_start().starts_with('{') {
        serde_json::from_str(&text).map_err(|error| wrong(format!("{from} is not JSON: {error}")))
    } else {
        toml::from_str(&text)
            .map_err(|error| wrong(format!("{from} is not TOML: {}", error.to_string().trim())))
    }
}

fn named<T>(value: &Value, file: &Path) -> Result<T, Failure>
where
    T: std::str::FromStr<Err = model::InvalidName>,
{
    let name = value["name"].as_str().ok_or_else(|| {
        let what = format!("{} has no name", file.display());
        Failure::new(Exit::Usage, what, "Begin it with: name = \"shop\"")
    })?;
    name.parse()
        .map_err(|error| Failure::of(Exit::Usage, &error))
}

/// A locally administered address (IEEE 802-2014, clause 8.4) made of the names, so that the same
/// member has the same one every time. FNV-1a spreads them; the controller refuses the rare twin.
fn mac_of(cluster: &ClusterName, member: &VmName) -> Mac {
    let text = format!("{cluster}/{member}");
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let [a, b, c, d, e, ..] = hash.to_be_bytes();
    Mac([0x02, a, b, c, d, e])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_made_of_names_is_individual_local_and_its_own() {
        let shop: ClusterName = "shop".parse().unwrap();
        let macs: std::collections::HashSet<Mac> = (0..200)
            .map(|i| mac_of(&shop, &format!("vm-{i}").parse().unwrap()))
            .collect();
        assert_eq!(macs.len(), 200);
        assert!(macs.iter().all(|mac| !mac.is_group() && mac.0[0] & 2 == 2));
    }
}
