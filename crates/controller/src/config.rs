//! What the controller is told when it starts, as TOML.

use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

/// Configuration of the controller.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ControllerConfig {
    /// Folder of the authority's key and, unless `store` says otherwise, the store.
    pub state: PathBuf,
    /// Unix socket of the API.
    #[serde(default = "socket")]
    pub socket: PathBuf,
    /// Where agents dial in.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// Address and port that join tokens tell agents to dial, where it is not `listen`.
    #[serde(default)]
    pub advertise: Option<String>,
    /// The store's file; `store.db` in the state folder when it is not given.
    #[serde(default)]
    pub store: Option<PathBuf>,
    /// Where the API is served to other machines, over TLS; nowhere when it is not given.
    #[serde(default)]
    pub api_listen: Option<SocketAddr>,
    /// Name or address by which clients reach `api_listen`, for its certificate; its own address
    /// when it is not given.
    #[serde(default)]
    pub api_name: Option<String>,
    /// File with the bearer token for `api_listen`.
    #[serde(default)]
    pub api_token_file: Option<PathBuf>,
    /// How many migrations run at once, what they may send, and when; until others are set with
    /// `transhume limits set`.
    #[serde(default)]
    pub limits: model::limits::Limits,
    /// The LISP Map-Server; none when it is not given.
    #[serde(default)]
    pub lisp: Option<crate::lisp::LispConfig>,
    /// What hosts' tunnels run in; WireGuard when it is not given.
    #[serde(default)]
    pub underlay: crate::underlay::UnderlayConfig,
    /// Dynamic DNS; none when it is not given.
    #[serde(default)]
    pub dns: Option<::dns::config::DnsConfig>,
}

fn socket() -> PathBuf {
    PathBuf::from("/run/transhume/api.sock")
}

fn listen() -> SocketAddr {
    SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 7443)
}

impl ControllerConfig {
    /// The store's file.
    pub fn store_file(&self) -> PathBuf {
        self.store
            .clone()
            .unwrap_or_else(|| self.state.join("store.db"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_folder_is_enough() {
        let config: ControllerConfig = toml::from_str("state = '/var/lib/transhume'").unwrap();
        assert_eq!(config.listen.port(), 7443);
        assert_eq!(
            config.store_file(),
            PathBuf::from("/var/lib/transhume/store.db")
        );
    }

    #[test]
    fn limits_and_windows_are_a_table() {
        let config: ControllerConfig = toml::from_str(
            "state = '/x'\n[limits.uplink]\nat_once = 2\nmbit = 150\n[limits.windows]\nsouth = ['22:00/04:00']",
        )
        .unwrap();
        assert_eq!(config.limits.uplink.mbit, Some(150.0));
        assert_eq!(config.limits.windows.len(), 1);
    }

    #[test]
    fn a_map_server_is_a_table() {
        let config: ControllerConfig =
            toml::from_str("state = '/x'\n[lisp]\nlisten = ['192.0.2.1:4342']").unwrap();
        assert_eq!(config.lisp.unwrap().ttl_minutes, 15);
    }

    #[test]
    fn a_misspelt_key_is_refused() {
        assert!(toml::from_str::<ControllerConfig>("state = '/x'\nlisen = '[::]:1'").is_err());
    }
}
