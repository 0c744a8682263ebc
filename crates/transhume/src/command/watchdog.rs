//! `agent --role guest-watchdog`: run the watchdog of a guest, or show how it stands.

use super::services;
use crate::cli::{AgentArgs, Format};
use crate::failure::{Exit, Failure};
use crate::output;
use std::path::PathBuf;
use watchdog::{Status, WatchdogConfig};

pub(super) fn run(args: AgentArgs, format: Format) -> Result<(), Failure> {
    if args.status {
        return status(args, format);
    }
    if args.config.is_none() {
        return Err(Failure::new(
            Exit::Usage,
            "a watchdog needs its configuration",
            "Give it with --config FILE; docs/watchdog.md has an example.",
        ));
    }
    let config: WatchdogConfig = services::take(services::read(args.config.as_deref())?, "agent")?;
    services::until_the_end(watchdog::run(config))
}

fn status(args: AgentArgs, format: Format) -> Result<(), Failure> {
    let file = match &args.config {
        Some(_) => {
            let config = services::read(args.config.as_deref())?;
            services::take::<WatchdogConfig>(config, "agent")?.status_file
        }
        None => PathBuf::from("/run/transhume/watchdog.json"),
    };
    let status = Status::read(&file).map_err(|error| {
        Failure::new(
            Exit::Unavailable,
            format!("no watchdog has written {}: {error}", file.display()),
            "Start it with --config FILE, and name that here too if its `status_file` is another.",
        )
    })?;
    match format {
        Format::Json => output::json(&status),
        Format::Table => output::text(&show(&status)),
    }
}

fn show(status: &Status) -> String {
    let mut text = format!("{}: {}\n", status.interface, status.message);
    if let Some(place) = &status.place {
        let addresses: Vec<String> = place.addresses.iter().map(ToString::to_string).collect();
        let gateway = place.gateway.as_ref();
        let gateway =
            gateway.map_or_else(|| "none".to_owned(), |gateway| gateway.address.to_string());
        let addresses = match addresses.is_empty() {
            true => "none".to_owned(),
            false => addresses.join(", "),
        };
        text.push_str(&format!("addresses {addresses}; gateway {gateway}\n"));
    }
    if let Some(reached) = status.reached {
        let reached = if reached { "reached" } else { "not reached" };
        text.push_str(&format!("target {reached}\n"));
    }
    let Some(last) = &status.last else {
        return text;
    };
    let took = match last.took_ms {
        Some(ms) => format!("took {ms} ms from the first sign"),
        None => "is under way".to_owned(),
    };
    let why = last.reason.sentence();
    text.push_str(&format!("run {}, because {why}, {took}\n", status.runs));
    let steps = last.steps.iter().map(|step| {
        let name = format!("{:?}", step.step).to_lowercase();
        let how = step.error.clone().unwrap_or_else(|| "done".to_owned());
        vec![name, format!("{} ms", step.took_ms), how]
    });
    text.push_str(&output::table(&["STEP", "TOOK", "OUTCOME"], steps));
    text
}
