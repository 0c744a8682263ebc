//! What a host is told about IPsec, and charon's configuration that follows from it.

use crate::error::{Error, Result};
use ipnet::IpNet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where Debian keeps strongSwan's daemon.
pub const CHARON: &str = "/usr/lib/ipsec/charon";

/// The tunnel's device: charon's own in user space, ours in the kernel.
pub const DEVICE: &str = "ipsec0";

/// The routing table that strongSwan keeps, and the preference of the rule that leads to it.
pub const TABLE: u32 = 220;

/// Largest packet of the device in user space, bytes. kernel-libipsec reads no more at once, whatever
/// MTU the device is given (strongSwan 5.9, `kernel_libipsec_plugin.c`).
pub const USER_SPACE_MTU: u16 = 1400;

/// Longest a path of a unix socket may be, bytes (`sockaddr_un`).
const SOCKET_PATH: usize = 107;

/// A host's IPsec.
#[derive(Debug, Clone)]
pub struct Config {
    /// A folder of its own for sockets and the daemon's files. Made when it is not there.
    pub rundir: PathBuf,
    /// The network namespace to work in, as a file, for example `/run/netns/north`; the caller's when
    /// there is none.
    pub netns: Option<PathBuf>,
    /// Who this host is: a DNS name in its certificate.
    pub id: String,
    /// The host's address inside the tunnels. It is on a device of the host.
    pub inner: IpAddr,
    /// What the host proves itself with.
    pub credentials: Credentials,
    /// Who encrypts.
    pub esp: Esp,
    /// Where packets from tunnels go; delivered in the host when there is none.
    pub switch: Option<Switch>,
    /// The daemon, [`CHARON`] on Debian.
    pub charon: PathBuf,
    /// How long keys of a tunnel are used. Peers need not agree: the shorter one wins.
    pub rekey: Duration,
}

/// A host's certificate and key, and the authority that it trusts in others, all PEM.
#[derive(Clone)]
pub struct Credentials {
    /// The authority's certificate.
    pub authority: String,
    /// The host's certificate.
    pub certificate: String,
    /// Its private key, PKCS#8. Goes to charon's memory only.
    pub key: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials { .. }")
    }
}

/// Who encrypts (RFC 4303).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Esp {
    /// The kernel where it can, else charon.
    #[default]
    Detect,
    /// charon itself (`kernel-libipsec`), which works on any kernel with TUN.
    UserSpace,
    /// The kernel; an error where it cannot.
    Kernel,
}

/// A switch that tunnels its own packets between inner addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// A device of the kernel whose other end is a port of the switch. Packets that the switch sends
    /// there from the inner address go to the tunnels; packets from tunnels to the inner address
    /// leave by it. An Open vSwitch port of type `internal` loses nothing where a veth pair does: its
    /// queue holds packets, not 200 kB of a socket's buffer.
    pub port: String,
    /// The Ethernet address that the switch receives with: the one of the device with the inner
    /// address.
    pub mac: [u8; 6],
}

/// Another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Who it is: a DNS name in its certificate. No other name is accepted for it.
    pub id: String,
    /// Where it is called. It may call, and move, from anywhere.
    pub outer: IpAddr,
    /// What is reached through it.
    pub inner: Vec<IpNet>,
}

impl Config {
    /// Refuses what cannot work, before anything is started.
    pub(crate) fn check(&self) -> Result<()> {
        check_id(&self.id)?;
        if self.socket().as_os_str().len() > SOCKET_PATH {
            return Err(Error::Config(format!(
                "rundir {} is too long for unix sockets; use one of at most 95 bytes",
                self.rundir.display()
            )));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
        if !self.rundir.to_string_lossy().chars().all(plain) {
            return Err(Error::Config(format!(
                "rundir {} has characters that strongSwan's configuration cannot hold; use letters, digits, - _ . /",
                self.rundir.display()
            )));
        }
        match &self.switch {
            Some(switch) if !is_device(&switch.port) => Err(Error::Config(format!(
                "'{}' is no name of a device",
                switch.port
            ))),
            _ => Ok(()),
        }
    }

    /// The VICI socket.
    pub(crate) fn socket(&self) -> PathBuf {
        self.rundir.join("charon.vici")
    }

    /// charon's own configuration file.
    pub(crate) fn file(&self) -> PathBuf {
        self.rundir.join("strongswan.conf")
    }
}

impl Peer {
    pub(crate) fn check(&self) -> Result<()> {
        check_id(&self.id)?;
        if self.inner.is_empty() {
            return Err(Error::Config(format!(
                "peer '{}' has no inner address; name at least one",
                self.id
            )));
        }
        // The route to the tunnel would lead the tunnel's own packets into it.
        if self.inner.iter().any(|net| net.contains(&self.outer)) {
            return Err(Error::Config(format!(
                "peer '{}' is called at {}, which is one of its inner addresses; the two must differ",
                self.id, self.outer
            )));
        }
        Ok(())
    }
}

/// Names only, so that none is a pattern (strongSwan matches `*`) or an address of another kind.
fn check_id(id: &str) -> Result<()> {
    let good = !id.is_empty()
        && id.len() <= 253
        && !id.starts_with(['.', '-'])
        && id
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.' || b == b'_')
        && id.parse::<IpAddr>().is_err();
    if good {
        return Ok(());
    }
    Err(Error::Config(format!(
        "'{id}' is no name of a host; use letters, digits, dots and hyphens"
    )))
}

fn is_device(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_' || b == b'.';
    !name.is_empty() && name.len() <= 15 && name.bytes().all(plain)
}

/// The text of strongswan.conf (strongswan.conf(5)).
///
/// Threads: five work for ever in user space (receiver, sender, TUN, both directions of ESP), some
/// more answer VICI and IKE. `aesni` comes before `openssl`, which sets itself up for every packet anew; a
/// processor without AES-NI goes on with the next. Retransmissions give a peer up after 13 s instead of 165 s.
pub(crate) fn strongswan(esp: Esp, socket: &Path) -> String {
    let esp_plugin = match esp {
        Esp::Kernel => "",
        _ => "kernel-libipsec ",
    };
    // One message a packet would follow where a peer has just gone, so ESP is silent.
    format!(
        "charon {{
  load_modular = no
  load = random nonce aesni openssl aes sha1 sha2 hmac kdf gcm pem pkcs1 pkcs8 x509 revocation constraints pubkey curve25519 {esp_plugin}kernel-netlink socket-default vici
  threads = 16
  install_routes = {routes}
  install_virtual_ip = no
  retransmit_timeout = 1.0
  retransmit_base = 1.3
  retransmit_tries = 5
  half_open_timeout = 10
  delete_rekeyed_delay = 2
  filelog {{
    stderr {{
      default = 1
      esp = -1
      ike_name = yes
      flush_line = yes
    }}
  }}
  plugins {{
    vici {{
      socket = unix://{socket}
    }}
    kernel-libipsec {{
      allow_peer_ts = yes
    }}
  }}
}}
",
        routes = if esp == Esp::Kernel { "no" } else { "yes" },
        socket = socket.display(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: &str, outer: &str, inner: &str) -> Peer {
        Peer {
            id: id.into(),
            outer: outer.parse().unwrap(),
            inner: vec![inner.parse().unwrap()],
        }
    }

    #[test]
    fn a_name_that_is_a_pattern_is_no_peer() {
        for bad in [
            "*", "host-*", "", "%any", "a b", "10.0.0.1", "CN=host", "@host",
        ] {
            assert!(
                peer(bad, "10.0.0.2", "100.64.0.2/32").check().is_err(),
                "{bad}"
            );
        }
        peer("north-1.example", "10.0.0.2", "100.64.0.2/32")
            .check()
            .unwrap();
    }

    #[test]
    fn a_peer_is_not_called_at_an_address_inside_its_own_tunnel() {
        assert!(peer("b", "10.0.0.2", "10.0.0.0/8").check().is_err());
    }
}
