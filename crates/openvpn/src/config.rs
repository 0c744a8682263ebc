//! What one side of a bridge is told, and openvpn's configuration that follows from it (openvpn(8), 2.6).

use crate::error::{Error, Result};
use std::net::SocketAddr;
use std::path::PathBuf;

/// Longest a path of a unix socket may be, bytes (`sockaddr_un`).
const SOCKET_PATH: usize = 107;

/// One side of a bridge.
#[derive(Debug, Clone)]
pub struct Config {
    /// A folder of its own for the socket and the configuration. Made when it is not there.
    pub rundir: PathBuf,
    /// The network namespace to work in, as a file, for example `/run/netns/north`; the caller's when
    /// there is none.
    pub netns: Option<PathBuf>,
    /// What this side proves itself with.
    pub credentials: Credentials,
    /// Certificates that are no longer good, PEM (CRL, RFC 5280).
    pub revoked: Option<String>,
    /// Who the other side is: the common name of its certificate. No other name is accepted.
    pub peer: String,
    /// Who calls whom.
    pub role: Role,
    /// The port's device, made here.
    pub port: String,
    /// The bridge that the port is put into.
    pub bridge: Bridge,
    /// Largest packet of the bridged network, bytes, without the Ethernet header.
    pub mtu: u16,
    /// The program, `openvpn` when it is on the path.
    pub program: PathBuf,
}

/// A side's certificate and key, and the authority that it trusts in the other one, all PEM.
#[derive(Clone)]
pub struct Credentials {
    /// The authority's certificate.
    pub authority: String,
    /// The side's certificate.
    pub certificate: String,
    /// Its private key, PKCS#8.
    pub key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials { .. }")
    }
}

/// Who calls whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Waits for the other side at this UDP address. The other side may call from anywhere, and move.
    Listen(SocketAddr),
    /// Calls the other side at this UDP address.
    Dial(SocketAddr),
}

/// A site's layer 2.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Bridge {
    /// A bridge of the kernel, by its name.
    Linux(String),
    /// A bridge of Open vSwitch.
    OpenVswitch {
        /// Its name.
        name: String,
        /// The socket of its database.
        database: PathBuf,
    },
}

impl Config {
    /// Refuses what cannot work, before anything is started.
    pub(crate) fn check(&self) -> Result<()> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        let bad = |what: &str, name: &str| Err(Error::Config(format!("'{name}' is no {what}")));
        let name = &self.peer;
        if name.is_empty() || name.len() > 64 || !name.bytes().all(plain) {
            return bad("name of a host", name);
        }
        let bridge = match &self.bridge {
            Bridge::Linux(name) | Bridge::OpenVswitch { name, .. } => name,
        };
        for device in [&self.port, bridge] {
            if device.is_empty() || device.len() > 15 || !device.bytes().all(plain) {
                return bad("name of a device", device);
            }
        }
        let rundir = self.rundir.to_string_lossy();
        if !rundir.bytes().all(|b| plain(b) || b == b'/') {
            return bad("path that openvpn's configuration can hold", &rundir);
        }
        if self.socket().as_os_str().len() > SOCKET_PATH {
            return Err(Error::Config(format!(
                "rundir {rundir} is too long for unix sockets; use one of at most 95 bytes"
            )));
        }
        for pem in [
            &self.credentials.authority,
            &self.credentials.certificate,
            &self.credentials.key,
        ] {
            check_pem(pem)?;
        }
        self.revoked.as_deref().map_or(Ok(()), check_list)
    }

    /// The socket of the management interface.
    pub(crate) fn socket(&self) -> PathBuf {
        self.rundir.join("management")
    }

    /// openvpn's own configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        self.rundir.join("openvpn.conf")
    }

    /// The text of that file. Keys are part of it, so it is read before privileges are dropped.
    pub(crate) fn text(&self) -> String {
        let role = match self.role {
            Role::Listen(at) => format!(
                "tls-server\ndh none\nlocal {}\nlport {}\nproto {}\nfloat\n",
                at.ip(),
                at.port(),
                protocol(at)
            ),
            Role::Dial(to) => format!(
                "tls-client\nremote {} {}\nnobind\nproto {}\nconnect-retry 1 2\n",
                to.ip(),
                to.port(),
                protocol(to)
            ),
        };
        let revoked = self
            .revoked
            .as_deref()
            .map(|list| inline("crl-verify", list))
            .unwrap_or_default();
        let own = &self.credentials;
        // A silent other side is given up after 4 s and called again. A frame that is too long for the way
        // is cut by the kernel (no `mssfix`): the bridged network is not ours to change.
        format!(
            "{role}dev {port}
dev-type tap
tun-mtu {mtu}
mssfix 0
mtu-disc no
txqueuelen 10000
sndbuf 4194304
rcvbuf 4194304
ping 1
ping-restart 4
hand-window 15
persist-tun
persist-key
user nobody
group nogroup
tls-version-min 1.3
data-ciphers AES-128-GCM:AES-256-GCM
verify-x509-name {peer} name
allow-compression no
auth-nocache
management {socket} unix
management-client-user root
script-security 1
suppress-timestamps
verb 3
{authority}{certificate}{key}{revoked}",
            port = self.port,
            mtu = self.mtu,
            peer = self.peer,
            socket = self.socket().display(),
            authority = inline("ca", &own.authority),
            certificate = inline("cert", &own.certificate),
            key = inline("key", &own.key),
        )
    }
}

fn protocol(address: SocketAddr) -> &'static str {
    match address {
        SocketAddr::V4(_) => "udp4",
        SocketAddr::V6(_) => "udp6",
    }
}

fn inline(tag: &str, pem: &str) -> String {
    format!("<{tag}>\n{}\n</{tag}>\n", pem.trim())
}

/// Refuses what is no list of revoked certificates: openvpn would not start with it.
pub(crate) fn check_list(list: &str) -> Result<()> {
    if list.contains("-----BEGIN X509 CRL-----") {
        return check_pem(list);
    }
    Err(Error::Config(
        "the list of revoked certificates is no CRL in PEM; nothing was changed".into(),
    ))
}

/// PEM cannot end its block of the configuration and go on with options of its own.
fn check_pem(pem: &str) -> Result<()> {
    let good = |b: u8| b.is_ascii_alphanumeric() || b"+/=- \r\n".contains(&b);
    if pem.bytes().all(good) && pem.contains("-----BEGIN ") {
        return Ok(());
    }
    Err(Error::Config("a certificate or key is no PEM".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let pem = "-----BEGIN X-----\nAA==\n-----END X-----\n".to_owned();
        Config {
            rundir: "/run/x".into(),
            netns: None,
            credentials: Credentials {
                authority: pem.clone(),
                certificate: pem.clone(),
                key: pem,
            },
            revoked: None,
            peer: "south".into(),
            role: Role::Listen("10.0.0.1:1194".parse().unwrap()),
            port: "tap0".into(),
            bridge: Bridge::Linux("br0".into()),
            mtu: 1500,
            program: "openvpn".into(),
        }
    }

    #[test]
    fn nothing_that_is_told_becomes_an_option_of_its_own() {
        config().check().unwrap();
        let mut bad = config();
        bad.peer = "south name\nscript-security 2".into();
        assert!(bad.check().is_err());
        let mut bad = config();
        bad.credentials.key.push_str("</key>\nup /bin/sh\n<key>");
        assert!(bad.check().is_err());
        let mut bad = config();
        bad.port = "tap0\nup x".into();
        assert!(bad.check().is_err());
        let mut bad = config();
        bad.revoked = Some("no list".into());
        assert!(bad.check().is_err());
    }

    #[test]
    fn the_side_that_listens_accepts_a_caller_that_moves_and_no_other_name() {
        let text = config().text();
        assert!(text.contains("\nfloat\n") && text.starts_with("tls-server\n"));
        assert!(text.contains("\nverify-x509-name south name\n"));
    }
}
