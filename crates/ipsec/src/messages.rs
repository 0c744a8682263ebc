//! The VICI messages that are sent and read here, as strongSwan's `vici/README.md` names their fields.

use crate::config::{Config, Esp, Peer};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::IpAddr;

/// The name of the one child of every connection.
pub(crate) const CHILD: &str = "net";

/// AES-GCM only, the shorter key first, since it is faster; Curve25519.
const ESP: [&str; 2] = ["aes128gcm16-curve25519", "aes256gcm16-curve25519"];
const IKE: [&str; 2] = [
    "aes128gcm16-prfsha256-curve25519",
    "aes256gcm16-prfsha384-curve25519",
];

/// How often a peer that is silent is asked whether it lives, s (RFC 7296, section 2.4).
const DPD_S: u32 = 2;

/// An IKE security association is made anew this often, s.
const IKE_REKEY_S: u64 = 4 * 3600;

/// Keys that could not be made anew in time are given up after this long, s.
const LAST_S: u64 = 300;

#[derive(Debug, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) errmsg: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct LoadCert<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) flag: &'a str,
    pub(crate) data: &'a str,
}

#[derive(Debug, Serialize)]
pub(crate) struct LoadKey<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'a str,
    pub(crate) data: &'a str,
}

/// Asks for every certificate that charon knows, those that peers have sent too.
#[derive(Debug, Serialize)]
pub(crate) struct AllCerts {}

/// One event of `list-certs`.
#[derive(Debug, Deserialize)]
pub(crate) struct Certificate {
    pub(crate) data: Der,
}

/// Bytes, which serde reads as a list of numbers unless it is told.
#[derive(Debug)]
pub(crate) struct Der(pub(crate) Vec<u8>);

impl<'de> Deserialize<'de> for Der {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl serde::de::Visitor<'_> for Bytes {
            type Value = Der;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("bytes")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Der, E> {
                Ok(Der(bytes.to_vec()))
            }
        }
        from.deserialize_bytes(Bytes)
    }
}

#[derive(Debug, Serialize)]
pub(crate) struct Unload<'a> {
    pub(crate) name: &'a str,
}

#[derive(Debug, Serialize)]
pub(crate) struct Initiate<'a> {
    pub(crate) child: &'a str,
    pub(crate) ike: &'a str,
    /// Below zero: the answer comes before the other end's.
    pub(crate) timeout: i32,
}

#[derive(Debug, Serialize)]
pub(crate) struct Terminate<'a> {
    pub(crate) ike: &'a str,
    /// Gone here at once, whatever the other end says.
    pub(crate) force: bool,
    pub(crate) timeout: i32,
}

#[derive(Debug, Serialize)]
pub(crate) struct ListSas {
    pub(crate) noblock: bool,
}

/// The argument of `load-conn`: one connection by its name.
pub(crate) type Connections = HashMap<String, Connection>;

#[derive(Debug, Serialize)]
pub(crate) struct Connection {
    version: u32,
    local_addrs: Vec<String>,
    remote_addrs: Vec<String>,
    mobike: bool,
    encap: bool,
    unique: &'static str,
    proposals: Vec<&'static str>,
    dpd_delay: u32,
    rekey_time: u64,
    local: Local,
    remote: Remote,
    children: HashMap<&'static str, Child>,
}

#[derive(Debug, Serialize)]
struct Local {
    auth: &'static str,
    id: String,
    certs: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Remote {
    auth: &'static str,
    id: String,
    cacerts: Vec<String>,
    revocation: &'static str,
}

#[derive(Debug, Serialize)]
struct Child {
    mode: &'static str,
    local_ts: Vec<String>,
    remote_ts: Vec<String>,
    esp_proposals: Vec<&'static str>,
    rekey_time: u64,
    rand_time: u64,
    life_time: u64,
    dpd_action: &'static str,
    close_action: &'static str,
    start_action: &'static str,
    replay_window: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_id_in: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    if_id_out: Option<u32>,
}

impl Connection {
    /// The connection to one peer.
    pub(crate) fn to(peer: &Peer, config: &Config, esp: Esp) -> Self {
        let kernel = (esp == Esp::Kernel).then_some(crate::kernel::IF_ID);
        let any = match peer.outer {
            IpAddr::V4(_) => "0.0.0.0/0",
            IpAddr::V6(_) => "::/0",
        };
        // From one side first: two who do it at once make more associations than they need.
        let later = |seconds: u64| match config.id < peer.id {
            true => seconds,
            false => seconds + seconds.div_ceil(2),
        };
        let rekey = later(config.rekey.as_secs().max(1));
        let child = Child {
            mode: "tunnel",
            local_ts: vec![config.inner.to_string()],
            remote_ts: peer.inner.iter().map(ToString::to_string).collect(),
            esp_proposals: ESP.into(),
            rekey_time: rekey,
            rand_time: rekey / 10,
            life_time: rekey + LAST_S,
            // A tunnel that is missing is made again by the supervisor, from one side first.
            dpd_action: "none",
            close_action: "none",
            start_action: "none",
            replay_window: 1024,
            if_id_in: kernel,
            if_id_out: kernel,
        };
        Self {
            version: 2,
            // Whatever address leads there now: a host moves.
            local_addrs: vec!["%any".into()],
            remote_addrs: vec![peer.outer.to_string(), any.into()],
            mobike: true,
            // charon carries ESP in UDP only, and so it passes NAT.
            encap: true,
            unique: "replace",
            proposals: IKE.into(),
            dpd_delay: DPD_S,
            rekey_time: later(IKE_REKEY_S),
            local: Local {
                auth: "pubkey",
                id: format!("fqdn:{}", config.id),
                certs: vec![config.credentials.certificate.clone()],
            },
            remote: Remote {
                auth: "pubkey",
                id: format!("fqdn:{}", peer.id),
                cacerts: vec![config.credentials.authority.clone()],
                revocation: "relaxed",
            },
            children: HashMap::from([(CHILD, child)]),
        }
    }
}

/// One event of `list-sas`: one association by the name of its connection.
pub(crate) type Associations = HashMap<String, Association>;

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Association {
    pub(crate) state: Option<String>,
    pub(crate) remote_host: Option<String>,
    pub(crate) remote_port: Option<u16>,
    pub(crate) established: Option<u64>,
    #[serde(default)]
    pub(crate) child_sas: HashMap<String, ChildAssociation>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct ChildAssociation {
    pub(crate) state: Option<String>,
    #[serde(default)]
    pub(crate) bytes_in: u64,
    #[serde(default)]
    pub(crate) bytes_out: u64,
}

impl Association {
    /// Whether packets pass.
    pub(crate) fn carries(&self) -> bool {
        self.child_sas.values().any(|child| {
            matches!(
                child.state.as_deref(),
                Some("INSTALLED" | "REKEYING" | "REKEYED")
            )
        })
    }

    /// Whether it is on its way to carry something.
    pub(crate) fn begins(&self) -> bool {
        matches!(self.state.as_deref(), Some("CREATED" | "CONNECTING"))
            || self
                .child_sas
                .values()
                .any(|child| matches!(child.state.as_deref(), Some("CREATED" | "INSTALLING")))
    }
}
