//! Commands: run to their end, or ended when they take too long.

use crate::machine::Seen;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

/// Of what a command says about its failure, this much is shown.
const SHOWN: usize = 300;

/// Runs a command; its environment says where the machine is.
pub(super) async fn run(
    words: &[String],
    place: Option<(&str, &Seen)>,
    patience: Duration,
) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("there is no command".to_owned());
    };
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    if let Some((interface, seen)) = place {
        command.env("WATCHDOG_INTERFACE", interface);
        let address = seen.addresses.iter().next();
        command.env(
            "WATCHDOG_ADDRESS",
            address.map(ToString::to_string).unwrap_or_default(),
        );
        let gateway = seen.gateway.as_ref();
        command.env(
            "WATCHDOG_GATEWAY",
            gateway
                .map(|gateway| gateway.address.to_string())
                .unwrap_or_default(),
        );
    }
    let mut child = command
        .spawn()
        .map_err(|error| format!("`{program}` cannot be started: {error}"))?;
    let mut said = child.stderr.take();
    let mut text = Vec::new();
    let ended = timeout(patience, async {
        if let Some(said) = &mut said {
            // Without its words only the reason is less clear.
            let _ = said.take(64 * 1024).read_to_end(&mut text).await;
        }
        child.wait().await
    })
    .await;
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => {
            let text = String::from_utf8_lossy(&text);
            let last: String = text
                .trim()
                .chars()
                .rev()
                .take(SHOWN)
                .collect::<Vec<_>>()
                .into_iter()
                .rev()
                .collect();
            Err(format!("`{}` failed ({status}): {last}", words.join(" ")))
        }
        Ok(Err(error)) => Err(format!("`{program}` cannot be waited for: {error}")),
        Err(_) => {
            let _ = child.kill().await;
            Err(format!(
                "`{}` did not end within {} ms",
                words.join(" "),
                patience.as_millis()
            ))
        }
    }
}

/// Where a program is, in the folders of the path and those of the system.
pub(super) fn find(program: &str) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path
        .split(':')
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"]);
    let mut candidates = folders
        .filter(|folder| !folder.is_empty())
        .map(|folder| Path::new(folder).join(program));
    let found = candidates.find(|file| file.is_file())?;
    found.to_str().map(str::to_owned)
}
