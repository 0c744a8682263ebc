//! Sites and mappings of the LISP Map-Server.

use super::Asking;
use crate::cli::{Format, LispCommand, LispMappingCommand, LispSiteCommand, PutMapping, PutSite};
use crate::failure::{Exit, Failure};
use crate::{output, show};
use api::view::{LispKey, LispLocator, LispMappingSpec, LispSiteSpec};
use std::io::Read;
use std::path::Path;

pub(super) async fn run(asking: Asking, command: LispCommand) -> Result<(), Failure> {
    let Asking { client, format } = asking;
    match command {
        LispCommand::Site(LispSiteCommand::List) => {
            let sites = client.lisp_sites().await?;
            match format {
                Format::Json => output::json(&sites),
                Format::Table => output::text(&show::lisp_sites(&sites)),
            }
        }
        LispCommand::Site(LispSiteCommand::Add(args)) => {
            let spec = site(&args)?;
            let site = client.put_lisp_site(&args.site, &spec).await?;
            match format {
                Format::Json => output::json(&site),
                Format::Table => output::text(&show::lisp_sites(&[site])),
            }
        }
        LispCommand::Site(LispSiteCommand::Remove { site }) => {
            client.delete_lisp_site(&site).await?;
            output::line(&format!("LISP site '{site}' is not known any more."))
        }
        LispCommand::Mapping(LispMappingCommand::List) => {
            let mut all: Vec<api::view::LispMapping> = Vec::new();
            loop {
                let after = all.last().map(|last| last.eid.clone());
                let more = client.lisp_mappings(after.as_deref()).await?;
                let last = more.last().map(|last| &last.eid);
                // A page that does not go on ends the list, whatever answers.
                if more.is_empty() || last == after.as_ref() {
                    break;
                }
                all.extend(more);
            }
            match format {
                Format::Json => output::json(&all),
                Format::Table => output::text(&show::lisp_mappings(&all)),
            }
        }
        LispCommand::Mapping(LispMappingCommand::Add(args)) => {
            let spec = mapping(&args)?;
            let mapping = client.put_lisp_mapping(&args.eid, &spec).await?;
            match format {
                Format::Json => output::json(&mapping),
                Format::Table => output::text(&show::lisp_mappings(&[mapping])),
            }
        }
        LispCommand::Mapping(LispMappingCommand::Remove { eid }) => {
            client.delete_lisp_mapping(&eid).await?;
            output::line(&format!("The mapping of {eid} is gone."))
        }
    }
}

fn site(args: &PutSite) -> Result<LispSiteSpec, Failure> {
    let key = args.key_file.as_deref().map(secret).transpose()?;
    Ok(LispSiteSpec {
        id: args.id,
        keys: key
            .map(|secret| LispKey {
                id: args.key_id,
                secret,
            })
            .into_iter()
            .collect(),
        prefixes: args.prefixes.clone(),
        accept_more_specifics: !args.whole_only,
        accept_constant_nonce: args.constant_nonce,
        gpe: args.gpe,
    })
}

/// The first line of a file, or of stdin: never an argument, which everyone on the machine can read.
fn secret(file: &Path) -> Result<String, Failure> {
    let text = match file.as_os_str() == "-" {
        true => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).map(|_| text)
        }
        false => std::fs::read_to_string(file),
    };
    let text = text.map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("cannot read the secret from {}: {error}", file.display()),
            "name a file that this user can read",
        )
    })?;
    match text.lines().next().filter(|line| !line.is_empty()) {
        Some(secret) => Ok(secret.to_owned()),
        None => Err(Failure::new(
            Exit::Usage,
            format!("{} has no secret in its first line", file.display()),
            "write it there",
        )),
    }
}

fn mapping(args: &PutMapping) -> Result<LispMappingSpec, Failure> {
    let locators = args.locators.iter().map(|text| {
        locator(text).ok_or_else(|| {
            Failure::new(
                Exit::Usage,
                format!("'{text}' is no locator"),
                "write it like 192.0.2.10, or 192.0.2.10,1,100 with priority and weight",
            )
        })
    });
    Ok(LispMappingSpec {
        ttl_minutes: args.ttl,
        locators: locators.collect::<Result<_, _>>()?,
    })
}

fn locator(text: &str) -> Option<LispLocator> {
    let mut parts = text.split(',');
    let address = parts.next()?.parse().ok()?;
    let priority = parts.next().map_or(Some(1), |part| part.parse().ok())?;
    let weight = parts.next().map_or(Some(100), |part| part.parse().ok())?;
    parts.next().is_none().then_some(LispLocator {
        address,
        priority,
        weight,
    })
}
