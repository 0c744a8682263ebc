//! The protocol without I/O: bytes and the time in, greeting, replies and events out.
//!
//! QEMU writes one JSON object per line (not with `pretty=on`, which this crate does not read). Replies carry
//! the `id` of their request. Without the `oob` capability, which we never ask for, QEMU answers in the order
//! of the requests. Source: "QEMU Machine Protocol Specification".

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    error::{CommandError, ErrorClass, QmpError},
    line::{Cut, Lines},
};

/// Longest accepted line: 64 MiB. The largest usual answer, `query-qmp-schema`, has about 0.3 MB.
pub const LINE_LIMIT: usize = 64 << 20;

/// Matches a reply to its request; unique within a connection.
pub type RequestId = u64;

/// The version of a QEMU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub struct Version {
    /// 10 in 10.0.2
    pub major: u32,
    /// 0 in 10.0.2
    pub minor: u32,
    /// 2 in 10.0.2
    pub micro: u32,
}

/// QEMU's first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// The version, where the greeting names one that we understand.
    pub version: Option<Version>,
    /// The distribution's package, such as `Debian 1:10.0.2+ds-2`.
    pub package: String,
    /// Capabilities of the protocol on offer (`oob`).
    pub capabilities: Vec<String>,
}

/// An asynchronous event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `STOP`, `RESUME`, `MIGRATION`, ...
    pub name: String,
    /// Its data; an empty object where QEMU sent none.
    pub data: Value,
    /// QEMU's wall clock when it happened, since the Unix epoch, to the microsecond. Zero if QEMU could not tell.
    pub timestamp: Duration,
    /// Our clock when the bytes came in.
    pub received_at: Instant,
}

/// What the bytes meant.
#[derive(Debug)]
pub enum Incoming {
    /// QEMU introduced itself.
    Greeting(Greeting),
    /// The answer to a request.
    Reply {
        /// The request.
        id: RequestId,
        /// The returned value, or the refusal.
        result: Result<Value, QmpError>,
    },
    /// Something happened.
    Event(Event),
    /// A line that fits nothing; it was skipped. The text says why, for a log.
    Junk(String),
}

/// State of one connection.
#[derive(Debug)]
pub struct Protocol {
    lines: Lines,
    next_id: RequestId,
    pending: BTreeMap<RequestId, String>,
}

impl Default for Protocol {
    fn default() -> Self {
        Self::with_line_limit(LINE_LIMIT)
    }
}

impl Protocol {
    /// Like `default`, with another limit for the length of a line in bytes.
    pub fn with_line_limit(limit: usize) -> Self {
        Self {
            lines: Lines::new(limit),
            next_id: 1,
            pending: BTreeMap::new(),
        }
    }

    /// Encodes a request, with its line end. `args` is an object, or null for none.
    ///
    /// # Errors
    /// [`QmpError::Arguments`] for any other kind of value.
    pub fn request(
        &mut self,
        command: &str,
        args: Value,
    ) -> Result<(RequestId, Vec<u8>), QmpError> {
        let id = self.next_id;
        let mut line = match args {
            Value::Null => json!({"execute": command, "id": id}),
            Value::Object(_) => json!({"execute": command, "arguments": args, "id": id}),
            _ => {
                return Err(QmpError::Arguments {
                    command: command.to_owned(),
                });
            }
        }
        .to_string()
        .into_bytes();
        line.push(b'\n');
        self.next_id += 1;
        self.pending.insert(id, command.to_owned());
        Ok((id, line))
    }

    /// Takes back a request that could not be sent.
    pub fn forget(&mut self, id: RequestId) {
        self.pending.remove(&id);
    }

    /// Requests without an answer so far.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes in bytes that arrived at `now`, cut anywhere.
    pub fn feed(&mut self, mut bytes: &[u8], now: Instant) -> Vec<Incoming> {
        let mut out = Vec::new();
        while let Some(cut) = self.lines.next(&mut bytes) {
            match cut {
                Cut::Line(line) => {
                    let line = line.trim_ascii();
                    if !line.is_empty() {
                        out.push(self.line(line, now));
                    }
                }
                Cut::TooLong => out.push(self.too_long()),
            }
        }
        out
    }

    fn line(&mut self, line: &[u8], now: Instant) -> Incoming {
        let mut object = match serde_json::from_slice::<Map<String, Value>>(line) {
            Ok(object) => object,
            Err(e) => return Incoming::Junk(format!("not a JSON object: {e}")),
        };
        if let Some(name) = object.get("event").and_then(Value::as_str) {
            let name = name.to_owned();
            let timestamp = object.get("timestamp").map(timestamp).unwrap_or_default();
            let data = object.remove("data").unwrap_or_else(|| json!({}));
            return Incoming::Event(Event {
                name,
                data,
                timestamp,
                received_at: now,
            });
        }
        if let Some(value) = object.remove("return") {
            return self.reply(&object, Ok(value));
        }
        if let Some(error) = object.remove("error") {
            let text = |key: &str| {
                error
                    .get(key)
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned()
            };
            let error = CommandError {
                class: ErrorClass::from(text("class").as_str()),
                desc: text("desc"),
            };
            return self.reply(&object, Err(error));
        }
        if let Some(greeting) = object.get("QMP") {
            return Incoming::Greeting(read_greeting(greeting));
        }
        Incoming::Junk("an object that is no greeting, reply or event".to_owned())
    }

    fn reply(
        &mut self,
        object: &Map<String, Value>,
        result: Result<Value, CommandError>,
    ) -> Incoming {
        let Some(id) = object.get("id").and_then(Value::as_u64) else {
            return Incoming::Junk(format!("a reply without an id of ours: {result:?}"));
        };
        let Some(command) = self.pending.remove(&id) else {
            return Incoming::Junk(format!("a reply to request {id}, which is not open"));
        };
        let result = result.map_err(|error| QmpError::Command { command, error });
        Incoming::Reply { id, result }
    }

    /// Only replies grow long, and they come in order, so the oldest request is the one whose answer is lost:
    /// failing it keeps its caller from waiting for ever.
    fn too_long(&mut self) -> Incoming {
        let limit = self.lines.limit();
        match self.pending.pop_first() {
            Some((id, command)) => Incoming::Reply {
                id,
                result: Err(QmpError::TooLong { command, limit }),
            },
            None => Incoming::Junk(format!("a line longer than {limit} bytes")),
        }
    }
}

fn timestamp(value: &Value) -> Duration {
    let part = |key: &str| value.get(key).and_then(Value::as_u64).unwrap_or(0);
    Duration::from_secs(part("seconds")).saturating_add(Duration::from_micros(part("microseconds")))
}

fn read_greeting(value: &Value) -> Greeting {
    let version = value.get("version");
    Greeting {
        version: version
            .and_then(|v| v.get("qemu"))
            .and_then(|v| Version::deserialize(v).ok()),
        package: version
            .and_then(|v| v.get("package"))
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned(),
        capabilities: value
            .get("capabilities")
            .and_then(Value::as_array)
            .map(|list| {
                list.iter()
                    .filter_map(Value::as_str)
                    .map(str::to_owned)
                    .collect()
            })
            .unwrap_or_default(),
    }
}
