//! Everything that a probe saw, as plain data: what [`crate::analysis`] reads and files hold.

use crate::clock::Clock;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::Path;

/// Version of the file format.
pub const SCHEMA: &str = "transhume-recording/1";

/// A recording cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file system refused.
    #[error("cannot {doing} the recording {path}: {source}; check the folder and its space")]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The content is not a recording.
    #[error("{path} is not a recording: {source}; record again with this version")]
    Content {
        /// The file.
        path: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// The content is of another version.
    #[error("{path} is a '{found}', this version reads '{SCHEMA}'; record again")]
    Version {
        /// The file.
        path: String,
        /// What its `schema` says.
        found: String,
    },
}

/// Everything that a probe saw, from start to stop or to the snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// [`SCHEMA`].
    pub schema: String,
    /// Relates the times below to Unix time.
    pub clock: Clock,
    /// When sending began, monotonic ns.
    pub begin_ns: i64,
    /// Every reply that arrived before this moment has been read, monotonic ns.
    pub end_ns: i64,
    /// One entry for each VM, in the order of the configuration.
    pub targets: Vec<TargetRecord>,
    /// Named moments, in order.
    pub marks: Vec<Mark>,
    /// When the probe itself was late to send, in order; the newest when there are very many.
    pub late: Vec<Late>,
    /// Whether the sending thread got real-time priority.
    pub realtime: bool,
}

/// What was exchanged with one VM.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TargetRecord {
    /// The VM's name.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// The UDP stream.
    pub udp: UdpRecord,
    /// The TCP sessions.
    pub tcp: Vec<TcpRecord>,
}

/// One UDP stream.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct UdpRecord {
    /// Time between two packets, ns.
    pub interval_ns: i64,
    /// Sequence number of the first entry of `sent_ns`; more than 0 when old packets were
    /// forgotten to bound the memory.
    pub first_seq: u64,
    /// When each packet was sent, monotonic ns; the index is the sequence less `first_seq`.
    pub sent_ns: Vec<i64>,
    /// Every reply in order of arrival, copies included.
    pub replies: Vec<Reply>,
    /// Packets that were due and not sent because the probe was late by whole intervals.
    pub skipped: u64,
    /// Packets that the kernel refused to send; they have no sequence number.
    pub send_errors: u64,
    /// Replies that this machine's socket dropped for want of room: not the network's fault.
    pub socket_drops: u64,
    /// Datagrams that answer nothing that was sent.
    pub foreign: u64,
}

/// One copy of one reply. In files: `[seq, guest, at_ns]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "(u64, u64, i64)", into = "(u64, u64, i64)")]
pub struct Reply {
    /// Sequence of the packet that it answers.
    pub seq: u64,
    /// The guest's echo counter.
    pub guest: u64,
    /// Arrival, stamped by the kernel, monotonic ns.
    pub at_ns: i64,
}

impl From<(u64, u64, i64)> for Reply {
    fn from((seq, guest, at_ns): (u64, u64, i64)) -> Self {
        Self { seq, guest, at_ns }
    }
}

impl From<Reply> for (u64, u64, i64) {
    fn from(reply: Reply) -> Self {
        (reply.seq, reply.guest, reply.at_ns)
    }
}

/// One TCP session. It is never reconnected: once ended, it stays ended.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TcpRecord {
    /// When it was established, monotonic ns.
    pub connected_ns: i64,
    /// Number of the first entry of `sent_ns` and `echoed_ns`.
    pub first_seq: u64,
    /// When each record was handed to the kernel, monotonic ns.
    pub sent_ns: Vec<i64>,
    /// When each record's echo arrived, monotonic ns; shorter than `sent_ns` by what is on its way.
    pub echoed_ns: Vec<i64>,
    /// Records that were due while the send buffer was full, hence not sent.
    pub blocked: u64,
    /// How it broke; none while it lives or when the probe itself closed it at its stop.
    pub ended: Option<Ended>,
}

/// How a TCP session broke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// When this side learnt it, monotonic ns.
    pub at_ns: i64,
    /// The reason in words.
    pub reason: String,
}

/// A named moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its name, for example `m-0007 begin`.
    pub name: String,
    /// The moment, monotonic ns.
    pub at_ns: i64,
    /// The moment, Unix ns.
    pub unix_ns: i64,
}

/// The probe was late to send: an artefact of this machine, not of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Late {
    /// When it should have sent, monotonic ns.
    pub due_ns: i64,
    /// By how much it was late, ns.
    pub late_ns: i64,
}

impl Recording {
    /// The target of this name.
    pub fn target(&self, name: &str) -> Option<&TargetRecord> {
        self.targets.iter().find(|target| target.name == name)
    }

    /// The last mark of this name.
    pub fn mark(&self, name: &str) -> Option<&Mark> {
        self.marks.iter().rev().find(|mark| mark.name == name)
    }

    /// Writes the recording as JSON.
    pub fn save(&self, path: &Path) -> Result<(), RecordingError> {
        let file = |source| RecordingError::File {
            doing: "write",
            path: path.display().to_string(),
            source,
        };
        let out = std::fs::File::create(path).map_err(file)?;
        let mut out = std::io::BufWriter::new(out);
        serde_json::to_writer(&mut out, self).map_err(|e| file(e.into()))?;
        std::io::Write::flush(&mut out).map_err(file)
    }

    /// Reads a recording that [`Recording::save`] wrote.
    pub fn load(path: &Path) -> Result<Self, RecordingError> {
        let name = || path.display().to_string();
        let text = std::fs::read(path).map_err(|source| RecordingError::File {
            doing: "read",
            path: name(),
            source,
        })?;
        let content = |source| RecordingError::Content {
            path: name(),
            source,
        };
        let head: Head = serde_json::from_slice(&text).map_err(content)?;
        if head.schema != SCHEMA {
            return Err(RecordingError::Version {
                path: name(),
                found: head.schema,
            });
        }
        serde_json::from_slice(&text).map_err(content)
    }
}

#[derive(Deserialize)]
struct Head {
    schema: String,
}
