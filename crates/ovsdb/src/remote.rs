//! Where a server is, and how to open a byte stream to it.

use std::{fmt, io, path::PathBuf, str::FromStr, sync::Arc};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::TlsConnector;

use crate::error::Error;

/// Address of a server.
#[derive(Clone)]
pub enum Remote {
    /// A unix socket, `unix:PATH`.
    Unix(PathBuf),
    /// Plain TCP, `tcp:HOST:PORT`.
    Tcp {
        /// Name or address; IPv6 without brackets.
        host: String,
        /// Mostly 6640.
        port: u16,
    },
    /// TLS over TCP (`ssl:HOST:PORT` in Open vSwitch).
    Tls {
        /// Name or address; IPv6 without brackets.
        host: String,
        /// Mostly 6640.
        port: u16,
        /// The name or address that the server's certificate must carry.
        server_name: ServerName<'static>,
        /// Trust anchors, and our own certificate where the server asks for one.
        config: Arc<ClientConfig>,
    },
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Remote {
    /// TLS to `host` and `port`.
    pub fn tls(
        host: &str,
        port: u16,
        server_name: ServerName<'static>,
        config: Arc<ClientConfig>,
    ) -> Self {
        Self::Tls {
            host: host.to_owned(),
            port,
            server_name,
            config,
        }
    }

    pub(crate) async fn open(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match self {
            Self::Unix(path) => Box::new(UnixStream::connect(path).await?),
            Self::Tcp { host, port } => Box::new(tcp(host, *port).await?),
            Self::Tls {
                host,
                port,
                server_name,
                config,
            } => {
                let stream = tcp(host, *port).await?;
                Box::new(
                    TlsConnector::from(config.clone())
                        .connect(server_name.clone(), stream)
                        .await?,
                )
            }
        })
    }
}

async fn tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect((host, port)).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl FromStr for Remote {
    type Err = Error;

    /// `unix:PATH`, `tcp:HOST:PORT` or `tcp:[IPV6]:PORT`. TLS needs more than a text; see [`Remote::tls`].
    fn from_str(text: &str) -> Result<Self, Error> {
        let error = || Error::Address(text.to_owned());
        match text.split_once(':').ok_or_else(error)? {
            ("unix", path) if !path.is_empty() => Ok(Self::Unix(PathBuf::from(path))),
            ("tcp", address) => {
                let (host, port) = address.rsplit_once(':').ok_or_else(error)?;
                let host = host
                    .strip_prefix('[')
                    .and_then(|h| h.strip_suffix(']'))
                    .unwrap_or(host);
                if host.is_empty() {
                    return Err(error());
                }
                Ok(Self::Tcp {
                    host: host.to_owned(),
                    port: port.parse().map_err(|_| error())?,
                })
            }
            _ => Err(error()),
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Unix(path) => return write!(f, "unix:{}", path.display()),
            Self::Tcp { host, port } => ("tcp", host, port),
            Self::Tls { host, port, .. } => ("ssl", host, port),
        };
        if host.contains(':') {
            write!(f, "{scheme}:[{host}]:{port}")
        } else {
            write!(f, "{scheme}:{host}:{port}")
        }
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({self})")
    }
}
