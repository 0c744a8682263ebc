//! One process of the peer.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// How long an event is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tunnel router or Map-Server of 2013. Ends when dropped.
#[derive(Debug)]
pub(crate) struct Peer {
    child: Child,
    input: Option<ChildStdin>,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

impl Peer {
    /// Starts `python3 -m lisp6830` with these words in a namespace and waits until it is ready.
    pub(crate) fn start(namespace: &str, words: &[&str]) -> Self {
        let package = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/peers");
        assert!(
            Path::new(package).join("lisp6830").is_dir(),
            "the peer is in {package}"
        );
        let mut child = Command::new("ip")
            .args(["netns", "exec", namespace, "python3", "-m", "lisp6830"])
            .args(words)
            .current_dir(package)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("ip netns exec; it is in iproute2");
        let output = child.stdout.take().expect("stdout is a pipe");
        let (tell, events) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).expect("each line is an object");
                if tell.send(event).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        let mut peer = Self {
            child,
            input,
            events,
            seen: Vec::new(),
        };
        peer.wait("ready", &serde_json::json!({}));
        peer
    }

    /// Gives a router started with `--commands` one of its commands.
    pub(crate) fn say(&mut self, command: &str) {
        let input = self.input.as_mut().expect("input is open");
        writeln!(input, "{command}").expect("the peer reads its input");
    }

    /// The next event of this name that has these facts. What comes before it is passed over.
    pub(crate) fn wait(&mut self, event: &str, facts: &Value) -> Value {
        match self.within(PATIENCE, event, facts) {
            Some(found) => found,
            None => panic!(
                "no {event} with {facts} within {PATIENCE:?}; told was {:#?}",
                self.seen
            ),
        }
    }

    /// As [`wait`](Self::wait), but nothing if it does not come in time.
    pub(crate) fn within(
        &mut self,
        patience: Duration,
        event: &str,
        facts: &Value,
    ) -> Option<Value> {
        let end = Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.events.recv_timeout(left) {
                Ok(found) => {
                    let right = found["event"] == event && has(&found, facts);
                    self.seen.push(found.clone());
                    if right {
                        return Some(found);
                    }
                }
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            }
        }
    }

    fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"));
        if !self.has_ended() {
            let _ = kill(pid, Signal::SIGTERM);
        }
        let end = Instant::now() + Duration::from_secs(3);
        while !self.has_ended() && Instant::now() < end {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn has(event: &Value, facts: &Value) -> bool {
    let facts = facts.as_object().expect("facts are an object");
    facts.iter().all(|(name, fact)| &event[name] == fact)
}
