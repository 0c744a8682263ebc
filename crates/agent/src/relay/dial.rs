//! The source's end: a connection to the target agent's relay.

use super::{Frame, Opening, socket};
use crate::AgentError;
use model::HostName;
use rustls_pki_types::ServerName;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Whom to dial.
#[derive(Clone)]
pub struct Peer {
    /// Its relay.
    pub address: SocketAddr,
    /// The name in its certificate.
    pub name: HostName,
    /// Our side of TLS.
    pub tls: Arc<rustls::ClientConfig>,
}

impl Peer {
    /// Connects within this time and says what the connection is for. Also gives a descriptor of the TCP
    /// socket, for its rate.
    ///
    /// # Errors
    /// When the relay cannot be reached or its certificate is another's.
    pub async fn dial(
        &self,
        opening: Opening,
        patience: Duration,
    ) -> Result<(TlsStream<TcpStream>, OwnedFd), AgentError> {
        let unreachable = |why: String| {
            AgentError::plain(format!(
                "the relay of '{}' at {} cannot be reached: {why}",
                self.name, self.address
            ))
        };
        let connect = async {
            let tcp = TcpStream::connect(self.address)
                .await
                .map_err(|error| unreachable(error.to_string()))?;
            socket::prepare(&tcp)?;
            let fd = tcp.as_fd().try_clone_to_owned()?;
            let name = ServerName::try_from(self.name.as_str().to_owned()).map_err(|_| {
                AgentError::plain(format!("'{}' is no name for a certificate", self.name))
            })?;
            let mut stream = TlsConnector::from(self.tls.clone())
                .connect(name, tcp)
                .await
                .map_err(|error| unreachable(error.to_string()))?;
            Frame::Open(opening).write(&mut stream).await?;
            Ok((stream, fd))
        };
        tokio::time::timeout(patience, connect)
            .await
            .map_err(|_| unreachable(format!("no answer within {} s", patience.as_secs())))?
    }
}
