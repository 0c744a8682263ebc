//! The socket for other machines: TLS, and a bearer token (RFC 6750 section 2.1).

use super::{CONNECTIONS, ServeError, accept_failed, converse, token};
use crate::problem::{Kind, Problem};
use crate::{Service, routes};
use axum::extract::Request;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A handshake must be over within this time.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// Shortest token that is taken, characters.
const SHORTEST_TOKEN: usize = 16;

/// A TCP address that is listened on, for TLS only.
pub struct TlsServer {
    listener: TcpListener,
    acceptor: TlsAcceptor,
    token: Arc<str>,
}

impl TlsServer {
    /// Takes the address. From here on clients can connect; [`TlsServer::serve`] answers them.
    pub async fn bind(
        address: SocketAddr,
        tls: Arc<rustls::ServerConfig>,
        token: &str,
    ) -> Result<Self, ServeError> {
        if token.len() < SHORTEST_TOKEN {
            return Err(ServeError::WeakToken);
        }
        let listener = TcpListener::bind(address)
            .await
            .map_err(|source| ServeError::Tcp { address, source })?;
        Ok(Self {
            listener,
            acceptor: TlsAcceptor::from(tls),
            token: token.into(),
        })
    }

    /// The address that was taken; tells the port where 0 was asked for.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers clients until dropped; connections end with it.
    pub async fn serve(self, service: Arc<dyn Service>) {
        let token = self.token.clone();
        let router = routes::router(service).layer(from_fn(move |request, next| {
            authorize(token.clone(), request, next)
        }));
        let room = Arc::new(Semaphore::new(CONNECTIONS));
        let mut connections = JoinSet::new();
        loop {
            while connections.try_join_next().is_some() {}
            let Ok(permit) = room.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    let (acceptor, router) = (self.acceptor.clone(), router.clone());
                    connections.spawn(async move {
                        let _ = stream.set_nodelay(true);
                        match tokio::time::timeout(HANDSHAKE_WITHIN, acceptor.accept(stream)).await
                        {
                            Ok(Ok(stream)) => converse(stream, router).await,
                            Ok(Err(error)) => {
                                tracing::debug!(%peer, %error, "TLS handshake failed")
                            }
                            Err(_) => tracing::debug!(%peer, "TLS handshake took too long"),
                        }
                        drop(permit);
                    });
                }
                Err(error) => accept_failed(error).await,
            }
        }
    }
}

async fn authorize(expected: Arc<str>, request: Request, next: Next) -> Response {
    let given = request
        .headers()
        .get(AUTHORIZATION)
        .and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
    if given.is_some_and(|given| token::same(given, expected.as_bytes())) {
        return next.run(request).await;
    }
    Problem::new(
        Kind::Unauthorized,
        "The request carries no valid token.",
        "Give the controller's API token, with --api-token-file or TRANSHUME_TOKEN.",
    )
    .into_response()
}
