//! Can this QEMU be held, and does it stop when released?
//!
//! The switchover relies on QEMU waiting for the destination's acknowledgement. That is documented
//! behaviour (capability `switchover-ack`), but a version may differ, so once per QEMU version two
//! empty machines are migrated into each other: held back, the source must still run after a while;
//! released, it must stop soon. The verdict is kept beside the agent's state.

use migration::return_path::ReturnPath;
use qmp::Qmp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A held source must still run after this long.
const HELD_FOR: Duration = Duration::from_millis(250);
/// A released source must have stopped after this long.
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// What was found.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tested {
    /// QEMU version.
    pub version: String,
    /// Held, and stopped when released.
    pub holds: bool,
    /// Release to stop, ms.
    pub stop_ms: f64,
    /// What went otherwise.
    pub note: String,
}

/// Runs the test, or gives the verdict that is kept for this version.
pub async fn run(qemu: &Path, accel: &str, state: &Path) -> Tested {
    let version = version(qemu).await;
    let kept = state.join("selftest.json");
    if let Ok(bytes) = std::fs::read(&kept)
        && let Ok(tested) = serde_json::from_slice::<Tested>(&bytes)
        && tested.version == version
    {
        return tested;
    }
    let folder = state.join("st");
    let tested = match std::fs::create_dir_all(&folder) {
        Ok(()) => test(qemu, accel, &folder).await,
        Err(error) => Err(error.to_string()),
    };
    let _ = std::fs::remove_dir_all(&folder);
    let tested = match tested {
        Ok(stop_ms) => Tested {
            version,
            holds: true,
            stop_ms,
            note: String::new(),
        },
        Err(note) => Tested {
            version,
            holds: false,
            stop_ms: 0.0,
            note,
        },
    };
    if let Ok(bytes) = serde_json::to_vec(&tested) {
        let _ = std::fs::write(kept, bytes);
    }
    tested
}

async fn version(qemu: &Path) -> String {
    let output = tokio::process::Command::new(qemu)
        .arg("--version")
        .output()
        .await;
    let text = output
        .map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
        .unwrap_or_default();
    text.split_whitespace()
        .nth(3)
        .unwrap_or("unknown")
        .to_owned()
}

struct Machine {
    child: tokio::process::Child,
    qmp: Qmp,
}

async fn machine(
    qemu: &Path,
    accel: &str,
    folder: &Path,
    name: &str,
    more: &[&str],
) -> Result<Machine, String> {
    let socket = folder.join(name);
    let mut command = tokio::process::Command::new(qemu);
    crate::precedence::ordinary(command.as_std_mut());
    let child = command
        .args([
            "-M",
            "q35",
            "-m",
            "16",
            "-accel",
            accel,
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
        ])
        .arg("-qmp")
        .arg(format!("unix:{},server=on,wait=off", socket.display()))
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("{} does not start: {error}", qemu.display()))?;
    let qmp = Qmp::connect(&socket)
        .await
        .map_err(|error| error.to_string())?;
    Ok(Machine { child, qmp })
}

async fn test(qemu: &Path, accel: &str, folder: &Path) -> Result<f64, String> {
    let mut source = machine(qemu, accel, folder, "s", &[]).await?;
    let mut target = machine(qemu, accel, folder, "t", &["-incoming", "defer", "-S"]).await?;
    let result = held_and_released(&source, &target, folder).await;
    let _ = source.child.kill().await;
    let _ = target.child.kill().await;
    result
}

async fn held_and_released(
    source: &Machine,
    target: &Machine,
    folder: &Path,
) -> Result<f64, String> {
    let plain = |error: qmp::QmpError| error.to_string();
    let capabilities = [("return-path", true), ("switchover-ack", true)];
    source
        .qmp
        .set_capabilities(&capabilities)
        .await
        .map_err(plain)?;
    target
        .qmp
        .set_capabilities(&capabilities)
        .await
        .map_err(plain)?;
    let socket = folder.join("in");
    target
        .qmp
        .migrate_incoming(&format!("unix:{}", socket.display()))
        .await
        .map_err(plain)?;
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().map_err(|e| e.to_string())?;
    ours.set_nonblocking(true).map_err(|e| e.to_string())?;
    let ours = UnixStream::from_std(ours).map_err(|e| e.to_string())?;
    source.qmp.getfd("st", theirs).await.map_err(plain)?;
    let limits = json!({"max-bandwidth": 100_000_000, "downtime-limit": 2000});
    source.qmp.set_parameters(limits).await.map_err(plain)?;
    let incoming = UnixStream::connect(&socket)
        .await
        .map_err(|e| e.to_string())?;
    let mut events = source.qmp.events();
    source.qmp.migrate("fd:st").await.map_err(plain)?;

    let (mut from_source, mut to_source) = ours.into_split();
    let (mut from_target, mut to_target) = incoming.into_split();
    let forward =
        tokio::spawn(async move { tokio::io::copy(&mut from_source, &mut to_target).await });
    let mut path = ReturnPath::default();
    let mut buffer = [0u8; 4096];
    let began = Instant::now();
    let mut released: Option<Instant> = None;
    let verdict = loop {
        tokio::select! {
            read = from_target.read(&mut buffer) => {
                let read = read.unwrap_or(0);
                if read == 0 {
                    break Err("the return path ended early".to_owned());
                }
                let pass = path.feed(&buffer[..read]).map_err(|e| e.to_string())?;
                to_source.write_all(&pass).await.map_err(|e| e.to_string())?;
            }
            event = events.recv() => match (event, released) {
                (Ok(event), None) if event.name == "STOP" => {
                    break Err("it stopped although its acknowledgement was held back".to_owned());
                }
                (Ok(event), Some(at)) if event.name == "STOP" => {
                    break Ok(at.elapsed().as_secs_f64() * 1000.0);
                }
                (Ok(_), _) => {}
                (Err(_), _) => break Err("QEMU ended".to_owned()),
            },
            () = tokio::time::sleep(Duration::from_millis(10)) => {
                if released.is_none() && began.elapsed() > HELD_FOR {
                    if !path.is_held() {
                        break Err("the destination gave no acknowledgement to hold".to_owned());
                    }
                    released = Some(Instant::now());
                    to_source.write_all(&path.release()).await.map_err(|e| e.to_string())?;
                }
                if released.is_some_and(|at| at.elapsed() > STOPS_WITHIN) {
                    break Err("it did not stop when it was released".to_owned());
                }
            }
        }
    };
    forward.abort();
    verdict
}
