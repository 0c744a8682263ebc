//! `serve` and `agent`: read the configuration, lay the flags over it, hand over.

use crate::cli::{AgentArgs, ServeArgs, WireguardArgs};
use crate::failure::{Exit, Failure};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::future::Future;
use std::path::Path;
use toml::{Table, Value};

pub(super) fn serve(args: ServeArgs) -> Result<(), Failure> {
    let mut config = read(args.config.as_deref())?;
    lay(
        &mut config,
        "socket",
        args.socket.map(|path| path.display().to_string()),
    );
    lay(&mut config, "listen", args.listen);
    lay(
        &mut config,
        "state",
        args.state.map(|path| path.display().to_string()),
    );
    let config: controller::ControllerConfig = take(config, "controller")?;
    until_the_end(controller::run(config))
}

pub(super) fn agent(args: AgentArgs) -> Result<(), Failure> {
    if args.status {
        return Err(Failure::new(
            Exit::Usage,
            "only a guest's watchdog has a status of its own",
            "Ask the controller about a host: `transhume host list`.",
        ));
    }
    let mut config = read(args.config.as_deref())?;
    lay(&mut config, "controller", args.controller);
    lay(&mut config, "host", args.host);
    lay(&mut config, "site", args.site);
    lay(
        &mut config,
        "state",
        args.state.map(|path| path.display().to_string()),
    );
    lay(
        &mut config,
        "token_file",
        args.token_file.map(|path| path.display().to_string()),
    );
    let config: agent::AgentConfig = take(config, "agent")?;
    until_the_end(agent::run(config))
}

pub(super) fn wireguard(args: WireguardArgs) -> Result<(), Failure> {
    until_the_end(agent::underlay::device::run(args.folder))
}

/// Runs a service until it ends.
pub(super) fn until_the_end<E: std::error::Error + Send + 'static>(
    service: impl Future<Output = Result<(), E>> + Send + 'static,
) -> Result<(), Failure> {
    // On a worker: what comes in is handled by the thread that waits for it, not handed to this one.
    let done = runtime()?.block_on(async { tokio::spawn(service).await });
    match done {
        Ok(done) => done.map_err(|error| Failure::of(Exit::Failed, &error)),
        Err(died) => match died.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Ok(()),
        },
    }
}

/// What services run on.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.map_err(|error| Failure::of(Exit::Failed, &error))
}

/// The configuration file as a table; empty without a file.
pub(super) fn read(file: Option<&Path>) -> Result<Table, Failure> {
    let Some(file) = file else {
        return Ok(Table::new());
    };
    let wrong = |what: String| Failure::new(Exit::Usage, what, "");
    let text = std::fs::read_to_string(file).map_err(|error| {
        wrong(format!(
            "cannot read the configuration {}: {error}",
            file.display()
        ))
    })?;
    text.parse().map_err(|error: toml::de::Error| {
        wrong(format!(
            "{} is not TOML: {}",
            file.display(),
            error.to_string().trim()
        ))
    })
}

/// A flag goes before what the file says.
fn lay(config: &mut Table, key: &str, value: Option<impl Display>) {
    if let Some(value) = value {
        config.insert(key.to_owned(), Value::String(value.to_string()));
    }
}

/// The configuration as the service understands it. A key that it does not understand is refused:
/// a misspelt one must not pass as one that was left out.
pub(super) fn take<T: Serialize + DeserializeOwned>(
    config: Table,
    whose: &str,
) -> Result<T, Failure> {
    let wrong = |what: &dyn Display| {
        let what = format!(
            "the {whose}'s configuration does not fit: {}",
            what.to_string().trim()
        );
        Failure::new(
            Exit::Usage,
            what,
            format!("See `transhume {whose} --help`."),
        )
    };
    let taken: T = config.clone().try_into().map_err(|error| wrong(&error))?;
    let understood = Table::try_from(&taken).map_err(|error| wrong(&error))?;
    match stranger(&config, &understood) {
        None => Ok(taken),
        Some(key) => Err(wrong(&format!("'{key}' means nothing here"))),
    }
}

fn stranger(given: &Table, understood: &Table) -> Option<String> {
    given
        .iter()
        .find_map(|(key, value)| match (value, understood.get(key)) {
            (_, None) => Some(key.clone()),
            (Value::Table(given), Some(Value::Table(understood))) => {
                stranger(given, understood).map(|below| format!("{key}.{below}"))
            }
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Inner {
        port: u16,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Config {
        host: String,
        #[serde(default)]
        note: Option<String>,
        inner: Inner,
    }

    fn table(text: &str) -> Table {
        text.parse().unwrap()
    }

    #[test]
    fn a_flag_goes_before_the_file() {
        let mut config = table("host = 'a'\ninner.port = 1");
        lay(&mut config, "host", Some("b"));
        lay(&mut config, "note", None::<&str>);
        let taken: Config = take(config, "agent").unwrap();
        assert_eq!(
            taken,
            Config {
                host: "b".into(),
                note: None,
                inner: Inner { port: 1 }
            }
        );
    }

    #[test]
    fn what_is_missing_and_what_means_nothing_is_named() {
        let says = |text| {
            take::<Config>(table(text), "agent")
                .unwrap_err()
                .to_string()
        };
        assert!(
            says("inner.port = 1").contains("`host`"),
            "{}",
            says("inner.port = 1")
        );
        assert!(
            says("host = 'a'\ninner.port = 1\ninner.prot = 2")
                .contains("'inner.prot' means nothing")
        );
        assert!(says("host = 'a'\ninner.port = 'x'").contains("port"));
    }
}
