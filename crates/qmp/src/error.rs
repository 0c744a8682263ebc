//! What can go wrong between us and QEMU.

use std::{fmt, io, path::PathBuf, time::Duration};

/// The class of an error reply (QMP specification, section 2.4.2). QEMU gives nearly every error as
/// [`ErrorClass::Generic`]; only the description tells them apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorClass {
    /// `GenericError`
    Generic,
    /// `CommandNotFound`: this QEMU does not know the command, or not in this state.
    CommandNotFound,
    /// `DeviceNotActive`
    DeviceNotActive,
    /// `DeviceNotFound`
    DeviceNotFound,
    /// `KVMMissingCap`
    KvmMissingCap,
    /// A class that this crate does not know.
    Other(String),
}

impl From<&str> for ErrorClass {
    fn from(class: &str) -> Self {
        match class {
            "GenericError" => Self::Generic,
            "CommandNotFound" => Self::CommandNotFound,
            "DeviceNotActive" => Self::DeviceNotActive,
            "DeviceNotFound" => Self::DeviceNotFound,
            "KVMMissingCap" => Self::KvmMissingCap,
            other => Self::Other(other.to_owned()),
        }
    }
}

impl fmt::Display for ErrorClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Generic => "GenericError",
            Self::CommandNotFound => "CommandNotFound",
            Self::DeviceNotActive => "DeviceNotActive",
            Self::DeviceNotFound => "DeviceNotFound",
            Self::KvmMissingCap => "KVMMissingCap",
            Self::Other(class) => class,
        })
    }
}

/// QEMU's own refusal of a command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{desc} ({class})")]
pub struct CommandError {
    /// The class, mostly [`ErrorClass::Generic`].
    pub class: ErrorClass,
    /// QEMU's sentence for people.
    pub desc: String,
}

/// Every failure of this crate.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket cannot be opened, and waiting would not help.
    #[error(
        "cannot open the QMP socket {path}: {source}; check its permissions and that QEMU was started with -qmp unix:{path},server=on,wait=off"
    )]
    Connect {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The deadline passed without a finished handshake.
    #[error("no QMP handshake on {path} within {waited:?}: {state}")]
    Deadline {
        /// The socket.
        path: PathBuf,
        /// How long we waited.
        waited: Duration,
        /// How far it came, with the way out.
        state: String,
    },
    /// The connection is gone; connect again if the QEMU process still lives.
    #[error("the QMP connection is closed ({reason}); connect again if QEMU still runs")]
    Closed {
        /// Why.
        reason: String,
    },
    /// QEMU refused the command.
    #[error("QEMU refused {command}: {error}")]
    Command {
        /// The command.
        command: String,
        /// QEMU's answer.
        #[source]
        error: CommandError,
    },
    /// The arguments are neither an object nor null.
    #[error("arguments of {command} must be a JSON object or null")]
    Arguments {
        /// The command.
        command: String,
    },
    /// The answer has another shape than this crate expects.
    #[error("the answer to {command} is not understood: {source}; is this QEMU older than 7.2?")]
    Shape {
        /// The command.
        command: String,
        /// The decoder's word.
        source: serde_json::Error,
    },
    /// The answer was longer than the client accepts and was thrown away.
    #[error(
        "the answer to {command} was longer than {limit} bytes and was thrown away; ask for less, or raise the limit"
    )]
    TooLong {
        /// The command.
        command: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// A file descriptor could not be duplicated for sending.
    #[error(
        "cannot pass a file descriptor with {command}: {source}; raise the limit of open files"
    )]
    Descriptor {
        /// The command.
        command: String,
        /// Why.
        source: io::Error,
    },
}

impl QmpError {
    /// QEMU's refusal, if it was one.
    pub fn refusal(&self) -> Option<&CommandError> {
        match self {
            Self::Command { error, .. } => Some(error),
            _ => None,
        }
    }
}
