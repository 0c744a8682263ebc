//! Starting the relay in a box: as a supervised process of our own binary.

use std::ffi::OsString;
use std::path::Path;
use std::time::{Duration, Instant};

use super::control::Client;
use super::relay::{WanConfig, run};
use crate::boxed::{BoxError, BoxHandle, Program, SELF_EXE};
use crate::net::WAN;

pub(crate) const INSIDE_COMMAND: &str = "__lab-wan";

/// The relay's name among the box's processes.
pub const PROCESS: &str = "wan";

const CONFIG_FILE: &str = "wan.json";

/// Starts the relay of a lab and waits until it answers. [`crate::net::up`] has made its links.
pub fn start(handle: &BoxHandle, config: &WanConfig) -> Result<Client, BoxError> {
    let folder = handle.folder();
    folder.write_json(CONFIG_FILE, config)?;
    let config_path = folder.join(CONFIG_FILE).to_string_lossy().into_owned();
    let socket = folder.wan_socket();
    let argv = [
        SELF_EXE,
        INSIDE_COMMAND,
        &config_path,
        &socket.to_string_lossy(),
    ];
    handle.spawn(PROCESS, &Program::new(WAN, argv).urgent())?;
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        if let Ok(client) = Client::connect(&socket) {
            return Ok(client);
        }
        let status = handle.status()?;
        let end = status
            .processes
            .iter()
            .find(|p| p.name == PROCESS)
            .and_then(|p| p.end);
        if let Some(end) = end {
            let said = std::fs::read_to_string(folder.log(PROCESS)).unwrap_or_default();
            let said = said.trim().to_owned();
            return Err(BoxError::Failed {
                argv: argv.join(" "),
                end,
                said,
            });
        }
        if Instant::now() > deadline {
            return Err(BoxError::Warden(
                "the WAN relay does not answer: see log/wan.log".into(),
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// The hidden subcommand: configuration file and control socket; returns the exit code.
pub(crate) fn inside_main(args: &[OsString]) -> i32 {
    let [config, socket] = args else {
        eprintln!("a configuration and a socket are needed");
        return 2;
    };
    let done = std::fs::read(config)
        .and_then(|text| Ok(serde_json::from_slice::<WanConfig>(&text)?))
        .and_then(|config| run(&config, Path::new(socket)));
    match done {
        Ok(()) => 0,
        Err(e) => {
            eprintln!("{e}");
            1
        }
    }
}
