//! Errors from the peer (OpenFlow 1.3.5, 7.5.4).

use serde::Serialize;
use serde::ser::SerializeStruct;

use super::{Body, Message};
use crate::error::DecodeError;
use crate::wire::{Blob, Reader, Writer};

/// A request was refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ErrorMessage {
    /// Type of the error; 0xffff for one of an experimenter.
    pub kind: u16,
    /// Code within the type.
    pub code: u16,
    /// The experimenter, for errors of that type.
    pub experimenter: Option<u32>,
    /// The request or at least its first 64 bytes, for most types; for a failed hello a text.
    pub data: Blob,
}

const EXPERIMENTER: u16 = 0xffff;

impl ErrorMessage {
    /// A hello without a common version, with a text that says so.
    pub fn incompatible(text: &str) -> Self {
        Self {
            kind: 0,
            code: 0,
            experimenter: None,
            data: text.as_bytes().into(),
        }
    }

    /// The name of the error, like `flow_mod_failed/table_full`.
    pub fn name(&self) -> String {
        error_name(self.kind, self.code)
    }

    /// The type number and transaction id of the request that was refused, if the error carries
    /// its header.
    pub fn request(&self) -> Option<(u8, u32)> {
        let [_, kind, _, _, xid @ ..] = self.data.first_chunk::<8>()?;
        Some((*kind, u32::from_be_bytes(*xid)))
    }

    /// The request that was refused, if the error carries all of it.
    pub fn refused_message(&self) -> Option<Message> {
        Message::decode(&self.data).ok().map(|(message, _)| message)
    }

    pub(super) fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        let (kind, code) = (r.u16()?, r.u16()?);
        let experimenter = if kind == EXPERIMENTER {
            Some(r.u32()?)
        } else {
            None
        };
        Ok(Self {
            kind,
            code,
            experimenter,
            data: r.rest().into(),
        })
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) {
        w.u16(self.kind);
        w.u16(self.code);
        if self.kind == EXPERIMENTER {
            w.u32(self.experimenter.unwrap_or_default());
        }
        w.bytes(&self.data);
    }
}

impl std::fmt::Display for ErrorMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name())?;
        if self.kind == 0 {
            write!(f, ": {}", String::from_utf8_lossy(&self.data))?;
        }
        Ok(())
    }
}

impl Serialize for ErrorMessage {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut o = s.serialize_struct("ErrorMessage", 5)?;
        o.serialize_field("error", &self.name())?;
        o.serialize_field("kind", &self.kind)?;
        o.serialize_field("code", &self.code)?;
        if let Some(experimenter) = self.experimenter {
            o.serialize_field("experimenter", &experimenter)?;
        }
        // An error inside an error is left as bytes: their nesting has no bound.
        match self.refused_message() {
            Some(request) if !matches!(request.body, Body::Error(_)) => {
                o.serialize_field("request", &request)?;
            }
            _ if self.kind == 0 => {
                o.serialize_field("text", &String::from_utf8_lossy(&self.data))?;
            }
            _ => o.serialize_field("data", &self.data)?,
        }
        o.end()
    }
}

/// The name of an error's type and code.
pub fn error_name(kind: u16, code: u16) -> String {
    let known = KINDS.iter().find(|(number, ..)| *number == kind);
    let Some((_, name, codes)) = known else {
        return format!("{kind}/{code}");
    };
    match codes.get(usize::from(code)) {
        Some(code) => format!("{name}/{code}"),
        None => format!("{name}/{code}"),
    }
}

type Kind = (u16, &'static str, &'static [&'static str]);

const KINDS: &[Kind] = &[
    (0, "hello_failed", &["incompatible", "eperm"]),
    (
        1,
        "bad_request",
        &[
            "bad_version",
            "bad_type",
            "bad_multipart",
            "bad_experimenter",
            "bad_experimenter_type",
            "eperm",
            "bad_len",
            "buffer_empty",
            "buffer_unknown",
            "bad_table_id",
            "is_slave",
            "bad_port",
            "bad_packet",
            "multipart_buffer_overflow",
            "multipart_request_timeout",
            "multipart_reply_timeout",
        ],
    ),
    (
        2,
        "bad_action",
        &[
            "bad_type",
            "bad_len",
            "bad_experimenter",
            "bad_experimenter_type",
            "bad_out_port",
            "bad_argument",
            "eperm",
            "too_many",
            "bad_queue",
            "bad_out_group",
            "match_inconsistent",
            "unsupported_order",
            "bad_tag",
            "bad_set_type",
            "bad_set_len",
            "bad_set_argument",
        ],
    ),
    (
        3,
        "bad_instruction",
        &[
            "unknown_instruction",
            "unsupported_instruction",
            "bad_table_id",
            "unsupported_metadata",
            "unsupported_metadata_mask",
            "bad_experimenter",
            "bad_experimenter_type",
            "bad_len",
            "eperm",
            "dup_instruction",
        ],
    ),
    (
        4,
        "bad_match",
        &[
            "bad_type",
            "bad_len",
            "bad_tag",
            "bad_dl_addr_mask",
            "bad_nw_addr_mask",
            "bad_wildcards",
            "bad_field",
            "bad_value",
            "bad_mask",
            "bad_prereq",
            "dup_field",
            "eperm",
        ],
    ),
    (
        5,
        "flow_mod_failed",
        &[
            "unknown",
            "table_full",
            "bad_table_id",
            "overlap",
            "eperm",
            "bad_timeout",
            "bad_command",
            "bad_flags",
            "cant_sync",
            "bad_priority",
            "is_sync",
        ],
    ),
    (
        6,
        "group_mod_failed",
        &[
            "group_exists",
            "invalid_group",
            "weight_unsupported",
            "out_of_groups",
            "out_of_buckets",
            "chaining_unsupported",
            "watch_unsupported",
            "loop",
            "unknown_group",
            "chained_group",
            "bad_type",
            "bad_command",
            "bad_bucket",
            "bad_watch",
            "eperm",
            "unknown_bucket",
            "bucket_exists",
        ],
    ),
    (
        7,
        "port_mod_failed",
        &[
            "bad_port",
            "bad_hw_addr",
            "bad_config",
            "bad_advertise",
            "eperm",
        ],
    ),
    (8, "table_mod_failed", &["bad_table", "bad_config", "eperm"]),
    (9, "queue_op_failed", &["bad_port", "bad_queue", "eperm"]),
    (
        10,
        "switch_config_failed",
        &["bad_flags", "bad_len", "eperm"],
    ),
    (
        11,
        "role_request_failed",
        &["stale", "unsupported", "bad_role"],
    ),
    (
        12,
        "meter_mod_failed",
        &[
            "unknown",
            "meter_exists",
            "invalid_meter",
            "unknown_meter",
            "bad_command",
            "bad_flags",
            "bad_rate",
            "bad_burst",
            "bad_band",
            "bad_band_value",
            "out_of_meters",
            "out_of_bands",
        ],
    ),
    (
        13,
        "table_features_failed",
        &[
            "bad_table",
            "bad_metadata",
            "bad_type",
            "bad_len",
            "bad_argument",
            "eperm",
        ],
    ),
    (
        17,
        "bundle_failed",
        &[
            "unknown",
            "eperm",
            "bad_id",
            "bundle_exist",
            "bundle_closed",
            "out_of_bundles",
            "bad_type",
            "bad_flags",
            "msg_bad_len",
            "msg_bad_xid",
            "msg_unsup",
            "msg_conflict",
            "msg_too_many",
            "msg_failed",
            "timeout",
            "bundle_in_progress",
        ],
    ),
    (EXPERIMENTER, "experimenter", &[]),
];
