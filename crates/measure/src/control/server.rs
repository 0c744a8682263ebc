//! The probe's side of the control protocol.

use super::{CheckedDisk, Collected, Command, Outcome, Request, Response};
use crate::analysis::{Window, figures};
use crate::guest::{self, GuestError};
use crate::probe::{Probe, Target, first_answers};
use crate::recording::Recording;
use serde::Serialize;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Serves standard input and output until the input ends.
pub fn serve_stdio() -> std::io::Result<()> {
    serve(std::io::stdin().lock(), std::io::stdout())
}

/// Serves a unix socket at `path`, one client after another, until one says `quit`. A probe ends
/// with the client that started it.
pub fn serve_socket(path: &Path) -> std::io::Result<()> {
    let listener = UnixListener::bind(path)?;
    let _gone = RemoveOnDrop(path);
    loop {
        let (stream, _) = listener.accept()?;
        let output = stream.try_clone()?;
        // A client that breaks off is that client's loss; the next one is served.
        if let Ok(true) = serve_until_quit(BufReader::new(stream), output) {
            return Ok(());
        }
    }
}

struct RemoveOnDrop<'a>(&'a Path);

impl Drop for RemoveOnDrop<'_> {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

/// Serves requests from `input` until it ends or one says `quit`, then ends the probe.
pub fn serve(input: impl BufRead, output: impl Write + Send + 'static) -> std::io::Result<()> {
    serve_until_quit(input, output).map(drop)
}

fn serve_until_quit(
    input: impl BufRead,
    output: impl Write + Send + 'static,
) -> std::io::Result<bool> {
    let output = Arc::new(Mutex::new(output));
    let mut probe: Option<Probe> = None;
    for line in input.lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let request: Request = match serde_json::from_str(&line) {
            Ok(request) => request,
            Err(e) => {
                let outcome = Err::<(), _>(format!("this is not a request: {e}"));
                answer(&output, 0, outcome);
                continue;
            }
        };
        let quit = request.command == Command::Quit;
        obey(request, &mut probe, &output);
        if quit {
            return Ok(true);
        }
    }
    Ok(false)
}

fn obey<W: Write + Send + 'static>(
    Request { id, command }: Request,
    probe: &mut Option<Probe>,
    output: &Arc<Mutex<W>>,
) {
    match command {
        Command::Start { config } => {
            let outcome = match probe {
                Some(_) => Err("a probe runs already; send 'stop' first".to_owned()),
                None => Probe::start(config)
                    .map(|started| *probe = Some(started))
                    .map_err(|e| e.to_string()),
            };
            answer(output, id, outcome);
        }
        Command::Mark { name } => {
            let outcome = probe
                .as_ref()
                .map_or_else(no_probe, |probe| Ok(probe.mark(name)));
            answer(output, id, outcome);
        }
        Command::Status => {
            let outcome = probe
                .as_ref()
                .map_or_else(no_probe, |probe| Ok(probe.status()));
            answer(output, id, outcome);
        }
        Command::Figures { windows } => match probe.as_ref().map(Probe::snapshot) {
            Some(recording) => aside(id, output, move || Ok(all_figures(&recording, &windows))),
            None => answer(output, id, no_probe::<()>()),
        },
        Command::Snapshot { path } => match probe.as_ref().map(Probe::snapshot) {
            Some(recording) => aside(id, output, move || deliver(recording, path)),
            None => answer(output, id, no_probe::<()>()),
        },
        Command::Stop { path } => match probe.take() {
            Some(probe) => aside(id, output, move || deliver(probe.stop(), path)),
            None => answer(output, id, no_probe::<()>()),
        },
        Command::Await {
            targets,
            timeout_ms,
        } => aside(id, output, move || {
            let limit = Duration::from_millis(timeout_ms);
            first_answers(&targets, limit).map_err(|e| e.to_string())
        }),
        Command::Collect { targets } => aside(id, output, move || Ok(collect(targets))),
        Command::CheckDisks { targets } => aside(id, output, move || Ok(check_disks(targets))),
        Command::Reset { targets } => aside(id, output, move || each(&targets, guest::reset)),
        Command::Dirty { targets, dirty } => aside(id, output, move || {
            each(&targets, |target| guest::dirty(target, dirty))
        }),
        Command::Quit => {
            *probe = None;
            answer(output, id, Ok(()));
        }
    }
}

fn no_probe<T>() -> Result<T, String> {
    Err("no probe runs; send 'start' first".to_owned())
}

/// Answers from a thread of its own: marks and status must not wait for a guest or a disk.
fn aside<W: Write + Send + 'static, T: Serialize>(
    id: u64,
    output: &Arc<Mutex<W>>,
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) {
    let out = output.clone();
    let thread = std::thread::Builder::new().name("probe-answer".to_owned());
    if let Err(e) = thread.spawn(move || answer(&out, id, work())) {
        answer::<_, ()>(output, id, Err(format!("cannot start a thread: {e}")));
    }
}

fn answer<W: Write, T: Serialize>(output: &Mutex<W>, id: u64, outcome: Result<T, String>) {
    let value = |ok| serde_json::to_value(ok).map_err(|e| e.to_string());
    let outcome = match outcome.and_then(value) {
        Ok(ok) => Outcome::Ok(ok),
        Err(sentence) => Outcome::Error(sentence),
    };
    let Ok(mut line) = serde_json::to_vec(&Response { id, outcome }) else {
        return;
    };
    line.push(b'\n');
    let mut output = output.lock().unwrap_or_else(PoisonError::into_inner);
    // When nobody listens any more, the input is about to end as well.
    let _ = output.write_all(&line).and_then(|()| output.flush());
}

fn all_figures(recording: &Recording, windows: &[Window]) -> Vec<Vec<crate::analysis::VmFigures>> {
    let of_window = |window| figures(recording, window, windows);
    windows.iter().map(of_window).collect()
}

fn deliver(recording: Recording, path: Option<String>) -> Result<Value, String> {
    match path {
        Some(path) => recording
            .save(Path::new(&path))
            .map(|()| Value::Null)
            .map_err(|e| e.to_string()),
        None => serde_json::to_value(recording).map_err(|e| e.to_string()),
    }
}

fn collect(targets: Vec<Target>) -> Vec<Collected> {
    let one = |target: Target| {
        let result = guest::stats(&target);
        Collected {
            name: target.name,
            error: result.as_ref().err().map(GuestError::to_string),
            stats: result.ok(),
        }
    };
    targets.into_iter().map(one).collect()
}

fn check_disks(targets: Vec<Target>) -> Vec<CheckedDisk> {
    let one = |target: Target| {
        let result = guest::disk_check(&target);
        CheckedDisk {
            name: target.name,
            error: result.as_ref().err().map(GuestError::to_string),
            check: result.ok(),
        }
    };
    targets.into_iter().map(one).collect()
}

fn each(
    targets: &[Target],
    work: impl Fn(&Target) -> Result<(), GuestError>,
) -> Result<(), String> {
    let failed: Vec<String> = targets
        .iter()
        .filter_map(|target| work(target).err())
        .map(|e| e.to_string())
        .collect();
    if failed.is_empty() {
        Ok(())
    } else {
        Err(failed.join("; "))
    }
}
