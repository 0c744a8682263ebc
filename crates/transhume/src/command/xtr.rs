//! `xtr`: run a tunnel router, or ask one.

use crate::cli::{Format, XtrArgs, XtrCommand};
use crate::failure::{Exit, Failure};
use crate::output;
use std::path::Path;
use xtr::control::status::Status;

pub(super) fn run(args: XtrArgs, format: Format) -> Result<(), Failure> {
    match (args.command, args.config) {
        (Some(XtrCommand::Status { socket }), _) => status(&socket, format),
        (None, Some(file)) => route(&file),
        (None, None) => Err(Failure::new(
            Exit::Usage,
            "a router needs its configuration",
            "Give it with --config FILE; `transhume xtr --help` has an example.",
        )),
    }
}

fn route(file: &Path) -> Result<(), Failure> {
    let config = xtr::Config::read(file).map_err(|error| Failure::of(Exit::Usage, &error))?;
    let router = xtr::Router::start(config).map_err(|error| Failure::of(Exit::Failed, &error))?;
    let runtime = super::services::runtime()?;
    runtime.block_on(async {
        use tokio::signal::unix::{SignalKind, signal};
        match signal(SignalKind::terminate()) {
            Ok(mut terminate) => tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            },
            Err(_) => drop(tokio::signal::ctrl_c().await),
        }
    });
    router.stop();
    Ok(())
}

fn status(socket: &Path, format: Format) -> Result<(), Failure> {
    let status = xtr::ask(socket).map_err(|error| {
        let what = format!("no tunnel router answers: {error}");
        let way_out = "Start one with `socket` in its configuration, and name that with --socket.";
        Failure::new(Exit::Unavailable, what, way_out)
    })?;
    match format {
        Format::Json => output::json(&status),
        Format::Table => output::text(&show(&status)),
    }
}

fn show(status: &Status) -> String {
    let or_dash = |list: Vec<String>| match list.is_empty() {
        true => "-".to_owned(),
        false => list.join(" "),
    };
    let texts = |list: &[std::net::IpAddr]| or_dash(list.iter().map(ToString::to_string).collect());
    let eids = status.eids.iter();
    let eids = eids.map(|eid| vec![eid.eid.clone(), eid.state.clone(), texts(&eid.registered)]);
    let mut text = output::table(&["ENDPOINT", "STATE", "REGISTERED AT"], eids);
    let mappings = status.mappings.iter().map(|mapping| {
        let left = mapping.seconds_left.map(|seconds| format!("{seconds} s"));
        vec![
            mapping.eid.clone(),
            match mapping.used.is_empty() {
                true => mapping.does.clone(),
                false => texts(&mapping.used),
            },
            mapping.origin.clone(),
            if mapping.subscribed { "yes" } else { "no" }.to_owned(),
            left.unwrap_or_else(|| "-".to_owned()),
        ]
    });
    text.push('\n');
    let header = ["MAPPING", "GOES TO", "FROM", "SUBSCRIBED", "KEPT FOR"];
    text.push_str(&output::table(&header, mappings));
    let locators = status.locators.iter().map(|locator| {
        let time = locator.round_trip_us.map(|us| format!("{us} us"));
        let up = if locator.up { "up" } else { "down" };
        vec![
            locator.address.to_string(),
            up.to_owned(),
            time.unwrap_or_else(|| "-".to_owned()),
        ]
    });
    text.push('\n');
    text.push_str(&output::table(
        &["LOCATOR", "STATE", "ROUND TRIP"],
        locators,
    ));
    let packets = status
        .packets
        .iter()
        .map(|(name, count)| (name.clone(), *count));
    let rejected = status.rejected.iter();
    let rejected = rejected.map(|(name, count)| (format!("control_rejected_{name}"), *count));
    let counters = packets.chain(rejected).filter(|(_, count)| *count > 0);
    text.push('\n');
    let counters = counters.map(|(name, count)| vec![name, count.to_string()]);
    text.push_str(&output::table(&["COUNTED", "SINCE THE START"], counters));
    text
}
