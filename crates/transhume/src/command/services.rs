//! `serve` and `agent`: read the configuration, lay the flags over it, hand over.

use crate::cli::{AgentArgs, ServeArgs};
use crate::failure::{Exit, Failure};
use std::path::Path;
use toml::{Table, Value};

pub(super) fn serve(args: ServeArgs) -> Result<(), Failure> {
    let mut config = read(args.config.as_deref())?;
    lay(
        &mut config,
        "socket",
        args.socket.map(|path| path.display().to_string()),
    );
    lay(
        &mut config,
        "listen",
        args.listen.map(|address| address.to_string()),
    );
    lay(
        &mut config,
        "state",
        args.state.map(|path| path.display().to_string()),
    );
    // WIRE: let config: controller::ControllerConfig = take(config)?; run(controller::run(config))
    let _ = config;
    Err(not_built("controller"))
}

pub(super) fn agent(args: AgentArgs) -> Result<(), Failure> {
    let mut config = read(args.config.as_deref())?;
    lay(&mut config, "controller", args.controller);
    lay(&mut config, "host", args.host.map(String::from));
    lay(&mut config, "site", args.site.map(String::from));
    lay(
        &mut config,
        "state",
        args.state.map(|path| path.display().to_string()),
    );
    let token = args.join_token_file.map(|path| path.display().to_string());
    lay(&mut config, "join_token_file", token);
    // WIRE: let config: agent::AgentConfig = take(config)?; run(agent::run(config))
    let _ = config;
    Err(not_built("agent"))
}

fn not_built(what: &str) -> Failure {
    Failure::new(
        Exit::Failed,
        format!("this build has no {what}"),
        "Use a complete build.",
    )
}

/// The configuration file as a table; empty without a file.
fn read(file: Option<&Path>) -> Result<Table, Failure> {
    let Some(file) = file else {
        return Ok(Table::new());
    };
    let text = std::fs::read_to_string(file).map_err(|error| {
        let what = format!("cannot read the configuration {}: {error}", file.display());
        Failure::new(Exit::Usage, what, "")
    })?;
    text.parse().map_err(|error: toml::de::Error| {
        let what = format!(
            "{} is not TOML: {}",
            file.display(),
            error.to_string().trim()
        );
        Failure::new(Exit::Usage, what, "")
    })
}

/// A flag goes before what the file says.
fn lay(config: &mut Table, key: &str, value: Option<String>) {
    if let Some(value) = value {
        config.insert(key.to_owned(), Value::String(value));
    }
}
