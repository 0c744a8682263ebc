//! A provider's address.

use std::net::IpAddr;

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUrl {
    /// Not an address of this kind.
    #[error(
        "'{0}' is no address of a provider: write it like https://dynupdate.no-ip.com/nic/update"
    )]
    Malformed(String),
    /// A password in clear over a network.
    #[error(
        "'{0}' would send the password in clear: use https, or allow it with `insecure = true`"
    )]
    InClear(String),
}

/// Where updates go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url {
    /// Over TLS.
    pub tls: bool,
    /// Name or address.
    pub host: String,
    /// Port.
    pub port: u16,
    /// Path, with its slash.
    pub path: String,
}

impl Url {
    /// Reads one. Without TLS only this machine itself is allowed, or what is called `insecure`.
    ///
    /// # Errors
    /// It is none, or must not be used.
    pub fn read(text: &str, insecure: bool) -> Result<Self, InvalidUrl> {
        let bad = || InvalidUrl::Malformed(text.to_owned());
        let (tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(bad()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let outside = |byte: u8| !byte.is_ascii_graphic() || b"?#\"<>\\^`{|}".contains(&byte);
        if path.bytes().any(outside) || authority.contains('@') {
            return Err(bad());
        }
        let usual = if tls { 443 } else { 80 };
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']').ok_or_else(bad)?;
                host.parse::<std::net::Ipv6Addr>().map_err(|_| bad())?;
                (host, port.strip_prefix(':'))
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        let port = port.map_or(Ok(usual), str::parse).map_err(|_| bad())?;
        let address = host.parse::<IpAddr>().ok();
        if address.is_none() && crate::DnsName::new(host).is_err() {
            return Err(bad());
        }
        let own = address.is_some_and(|address| address.is_loopback()) || host == "localhost";
        if !(tls || own || insecure) {
            return Err(InvalidUrl::InClear(text.to_owned()));
        }
        Ok(Self {
            tls,
            host: host.to_owned(),
            port,
            path: if path.is_empty() {
                "/".to_owned()
            } else {
                path.to_owned()
            },
        })
    }

    /// The `Host` header.
    pub fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_nonsense_is_refused() {
        let url = Url::read("https://dynupdate.no-ip.com/nic/update", false).unwrap();
        assert_eq!(
            (url.port, url.path.as_str(), url.tls),
            (443, "/nic/update", true)
        );
        let url = Url::read("http://[::1]:8080/u", false).unwrap();
        assert_eq!(url.authority(), "[::1]:8080");
        for bad in [
            "",
            "ftp://a/",
            "https://",
            "https://u:p@a/",
            "https://a:b/",
            "https://a/?x=1",
            "https://[::1/",
        ] {
            assert!(
                matches!(Url::read(bad, true), Err(InvalidUrl::Malformed(_))),
                "{bad}"
            );
        }
        let url = Url::read("http://192.0.2.1/", false);
        assert!(matches!(url, Err(InvalidUrl::InClear(_))));
    }
}
