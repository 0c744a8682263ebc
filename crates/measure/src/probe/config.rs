//! What a probe is told to do.

use super::ProbeError;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// What a probe is told to do. In JSON every field but `targets` may be left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The VMs.
    pub targets: Vec<Target>,
    /// Time between two packets of a UDP stream, µs; at least 100.
    pub udp_interval_us: u64,
    /// TCP sessions with each VM, at most 1000.
    pub tcp_sessions: usize,
    /// Time between two records of a TCP session, ms; at least 1. A record is sent whether or not
    /// the one before has come back.
    pub tcp_interval_ms: u64,
    /// Longest time for a TCP session to be established at the start, ms.
    pub connect_timeout_ms: u64,
    /// How long replies are awaited after the last packet, ms.
    pub drain_ms: u64,
    /// Packets kept for each stream and session; older ones are forgotten.
    pub max_packets: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            targets: Vec::new(),
            udp_interval_us: 2_000,
            tcp_sessions: 2,
            tcp_interval_ms: 10,
            connect_timeout_ms: 10_000,
            drain_ms: 1_500,
            max_packets: 1_000_000,
        }
    }
}

/// One VM to talk to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// The VM's name in every result.
    pub name: String,
    /// Its address.
    pub address: IpAddr,
    /// Port of its UDP and TCP echo; 7 (RFC 862) when left out.
    #[serde(default = "echo_port")]
    pub echo_port: u16,
    /// Port of its HTTP server; 80 when left out.
    #[serde(default = "http_port")]
    pub http_port: u16,
}

fn echo_port() -> u16 {
    7
}

fn http_port() -> u16 {
    80
}

impl Target {
    /// A VM with the ports of the lab's guest.
    pub fn new(name: impl Into<String>, address: IpAddr) -> Self {
        Self {
            name: name.into(),
            address,
            echo_port: echo_port(),
            http_port: http_port(),
        }
    }

    /// Where it echoes.
    pub fn echo(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.echo_port)
    }

    /// Where it serves HTTP.
    pub fn http(&self) -> SocketAddr {
        SocketAddr::new(self.address, self.http_port)
    }
}

impl Config {
    /// The time between two UDP packets, ns.
    pub fn udp_interval_ns(&self) -> i64 {
        i64::try_from(self.udp_interval_us.saturating_mul(1_000)).unwrap_or(i64::MAX)
    }

    /// Refuses what cannot be carried out.
    pub fn check(&self) -> Result<(), ProbeError> {
        let refuse = |what: &str| Err(ProbeError::Config(what.to_owned()));
        if self.targets.is_empty() {
            return refuse("it names no target; give at least one");
        }
        for (i, target) in self.targets.iter().enumerate() {
            if self.targets[..i].iter().any(|t| t.name == target.name) {
                let name = &target.name;
                return refuse(&format!("target '{name}' is named twice; remove one"));
            }
        }
        if !(100..=60_000_000).contains(&self.udp_interval_us) {
            return refuse("udp_interval_us must lie between 100 and 60000000");
        }
        if !(1..=60_000).contains(&self.tcp_interval_ms) {
            return refuse("tcp_interval_ms must lie between 1 and 60000");
        }
        if self.tcp_sessions > 1_000 {
            return refuse("tcp_sessions must be at most 1000");
        }
        if self.max_packets < 1_000 {
            return refuse("max_packets must be at least 1000");
        }
        if self.connect_timeout_ms == 0 {
            return refuse("connect_timeout_ms must be at least 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_named_twice_is_refused_by_its_name() {
        let target = Target::new("web", IpAddr::from([10, 0, 0, 1]));
        let config = Config {
            targets: vec![target.clone(), target],
            ..Config::default()
        };
        assert!(config.check().unwrap_err().to_string().contains("'web'"));
    }

    #[test]
    fn json_needs_no_more_than_a_name_and_an_address() {
        let text = r#"{"targets":[{"name":"web","address":"fd00::1"}]}"#;
        let config: Config = serde_json::from_str(text).unwrap();
        assert_eq!(config.udp_interval_us, 2_000);
        assert_eq!(config.targets[0].echo_port, 7);
    }
}
