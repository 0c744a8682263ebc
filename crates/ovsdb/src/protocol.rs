//! JSON-RPC of RFC 7047 without I/O: bytes in; replies, updates and answers to echoes out.

use std::collections::HashSet;

use serde_json::{Value as Json, json};

use crate::{
    error::RpcError,
    split::{SplitError, Splitter},
};

/// Matches a reply to its request; unique within a connection.
pub type RequestId = u64;

/// The bytes are not JSON-RPC; the connection is of no more use (RFC 7047 4).
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// The stream cannot be cut into JSON texts.
    #[error(transparent)]
    Split(#[from] SplitError),
    /// A text is no JSON.
    #[error("no JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but neither request, reply nor notification.
    #[error("a message that is no JSON-RPC: {0}")]
    NoMessage(&'static str),
}

/// Notation of a monitor update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpdateFormat {
    /// `update`, RFC 7047 4.1.6: whole rows, old and new.
    Rows,
    /// `update2`, `ovsdb-server(7)`: the differences.
    Differences,
}

/// What a message meant.
#[derive(Debug, PartialEq)]
pub enum Incoming {
    /// The answer to a request.
    Reply {
        /// The request.
        id: RequestId,
        /// The result, or the refusal.
        result: Result<Json, RpcError>,
    },
    /// Monitored tables changed.
    Update {
        /// The monitor, as the client named it.
        monitor: u64,
        /// How `tables` is written.
        format: UpdateFormat,
        /// The `<table-updates>`.
        tables: Json,
    },
    /// The server asks whether we live: send these bytes.
    Answer(Vec<u8>),
    /// A message that fits nothing open; it was skipped. The text says why, for a log.
    Stray(String),
}

/// State of one connection.
#[derive(Debug)]
pub struct Protocol {
    splitter: Splitter,
    next_id: RequestId,
    pending: HashSet<RequestId>,
}

impl Protocol {
    /// Accepts messages of up to `message_limit` bytes.
    pub fn new(message_limit: usize) -> Self {
        Self {
            splitter: Splitter::new(message_limit),
            next_id: 1,
            pending: HashSet::new(),
        }
    }

    /// Encodes a request; `params` is an array.
    pub fn request(&mut self, method: &str, params: Json) -> (RequestId, Vec<u8>) {
        let id = self.next_id;
        self.next_id += 1;
        self.pending.insert(id);
        (
            id,
            json!({"method": method, "params": params, "id": id})
                .to_string()
                .into_bytes(),
        )
    }

    /// Encodes a notification, which is not answered.
    pub fn notification(method: &str, params: Json) -> Vec<u8> {
        json!({"method": method, "params": params, "id": null})
            .to_string()
            .into_bytes()
    }

    /// Requests without an answer so far.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Takes in bytes, cut anywhere.
    ///
    /// # Errors
    /// After an error the connection must be closed.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<Vec<Incoming>, ProtocolError> {
        let mut out = Vec::new();
        while let Some(text) = self.splitter.next(&mut bytes)? {
            out.push(self.message(serde_json::from_slice(&text)?)?);
        }
        Ok(out)
    }

    fn message(&mut self, mut message: Json) -> Result<Incoming, ProtocolError> {
        let Some(object) = message.as_object_mut() else {
            return Err(ProtocolError::NoMessage("not an object"));
        };
        let id = object.remove("id").unwrap_or(Json::Null);
        let Some(method) = object.remove("method") else {
            let error = object.remove("error").unwrap_or(Json::Null);
            let result = object.remove("result").unwrap_or(Json::Null);
            let known = id.as_u64().filter(|id| self.pending.remove(id));
            let Some(id) = known else {
                return Ok(Incoming::Stray(format!(
                    "a reply to {id}, which is not open: {error}"
                )));
            };
            let result = if error.is_null() {
                Ok(result)
            } else {
                Err(RpcError::from_json(&error))
            };
            return Ok(Incoming::Reply { id, result });
        };
        let Some(method) = method.as_str() else {
            return Err(ProtocolError::NoMessage("the method is no string"));
        };
        let params = object.remove("params").unwrap_or(Json::Null);
        match method {
            "echo" => {
                let answer = json!({"result": params, "error": null, "id": id});
                Ok(Incoming::Answer(answer.to_string().into_bytes()))
            }
            "update" => update(UpdateFormat::Rows, params),
            "update2" => update(UpdateFormat::Differences, params),
            _ if id.is_null() => Ok(Incoming::Stray(format!("notification {method}"))),
            _ => {
                let refusal = json!({"result": null, "error": "unknown method", "id": id});
                Ok(Incoming::Answer(refusal.to_string().into_bytes()))
            }
        }
    }
}

fn update(format: UpdateFormat, params: Json) -> Result<Incoming, ProtocolError> {
    match params {
        Json::Array(mut params) if params.len() == 2 => {
            let tables = params.pop().unwrap_or_default();
            match params[0].as_u64() {
                Some(monitor) => Ok(Incoming::Update {
                    monitor,
                    format,
                    tables,
                }),
                None => Ok(Incoming::Stray(format!(
                    "an update for {}, which is not ours",
                    params[0]
                ))),
            }
        }
        _ => Err(ProtocolError::NoMessage(
            "an update without its two parameters",
        )),
    }
}
