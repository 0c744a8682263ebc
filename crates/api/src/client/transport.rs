//! From a request to the body of its answer, over a unix socket or TLS.

use super::Error;
use crate::problem::Problem;
use axum::http::Uri;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

/// Connecting must be over within this time.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);

/// Largest answer that is read whole, bytes.
const LARGEST_ANSWER: usize = 64 << 20;

/// Why a client over TLS cannot be made of what was given.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Not an https URL.
    #[error(
        "'{0}' is no address of a controller: write https://HOST:PORT, there is no API without TLS"
    )]
    Url(String),
    /// The token cannot be sent in a header.
    #[error("the API token has characters that a header cannot carry: use printable ASCII")]
    Token,
    /// No certificate in the file.
    #[error(
        "the CA file holds no usable PEM certificate: {0}; give the one that the controller wrote"
    )]
    Ca(String),
}

#[derive(Clone)]
pub(super) struct Transport {
    way: Way,
}

#[derive(Clone)]
enum Way {
    Unix(PathBuf),
    Tls {
        host: String,
        port: u16,
        name: ServerName<'static>,
        config: Arc<rustls::ClientConfig>,
        token: String,
    },
}

impl Transport {
    pub(super) fn unix(path: PathBuf) -> Self {
        Self {
            way: Way::Unix(path),
        }
    }

    pub(super) fn tls(url: &str, ca: &[u8], token: &str) -> Result<Self, TlsError> {
        let bad = || TlsError::Url(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| bad())?;
        if uri.scheme_str() != Some("https") || !matches!(uri.path(), "" | "/") {
            return Err(bad());
        }
        let host = uri
            .host()
            .ok_or_else(bad)?
            .trim_matches(['[', ']'])
            .to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| bad())?;
        if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(TlsError::Token);
        }
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca) {
            let certificate = certificate.map_err(|error| TlsError::Ca(error.to_string()))?;
            roots
                .add(certificate)
                .map_err(|error| TlsError::Ca(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TlsError::Ca("it is empty".to_owned()));
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Ca(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self {
            way: Way::Tls {
                host,
                port: uri.port_u16().unwrap_or(443),
                name,
                config: Arc::new(config),
                token: token.to_owned(),
            },
        })
    }

    pub(super) fn at(&self) -> String {
        match &self.way {
            Way::Unix(path) => format!("unix:{}", path.display()),
            Way::Tls { host, port, .. } if host.contains(':') => format!("https://[{host}]:{port}"),
            Way::Tls { host, port, .. } => format!("https://{host}:{port}"),
        }
    }

    /// Asks and reads the whole answer.
    pub(super) async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Bytes, Error> {
        let answer = self.open(method, path, body).await?;
        self.whole(answer.into_body()).await
    }

    /// Asks; the answer's body is still to be read. Answers other than 2xx are problems.
    pub(super) async fn open(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
    ) -> Result<Response<Incoming>, Error> {
        let mut request = Request::builder().method(method).uri(path);
        if body.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        request = match &self.way {
            Way::Unix(_) => request.header(HOST, "localhost"),
            Way::Tls { host, token, .. } => request
                .header(HOST, host)
                .header(AUTHORIZATION, format!("Bearer {token}")),
        };
        let request = request
            .body(Full::new(Bytes::from(body.unwrap_or_default())))
            .map_err(|error| self.broken(error))?;
        let answer = match &self.way {
            Way::Unix(path) => {
                let stream = self.connecting(UnixStream::connect(path)).await?;
                self.exchange(stream, request).await?
            }
            Way::Tls {
                host,
                port,
                name,
                config,
                ..
            } => {
                let stream = self
                    .connecting(TcpStream::connect((host.as_str(), *port)))
                    .await?;
                let _ = stream.set_nodelay(true);
                let connector = TlsConnector::from(config.clone());
                let stream = self
                    .connecting(connector.connect(name.clone(), stream))
                    .await?;
                self.exchange(stream, request).await?
            }
        };
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = self.whole(answer.into_body()).await?;
        Err(Problem::from_answer(status.as_u16(), &body).into())
    }

    async fn exchange<S>(
        &self,
        stream: S,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| self.broken(error))?;
        // Ends by itself when the answer's body has been read or dropped.
        tokio::spawn(connection);
        sender
            .send_request(request)
            .await
            .map_err(|error| self.broken(error))
    }

    async fn whole(&self, body: Incoming) -> Result<Bytes, Error> {
        let whole = Limited::new(body, LARGEST_ANSWER).collect().await;
        whole
            .map(|body| body.to_bytes())
            .map_err(|error| self.broken(error))
    }

    async fn connecting<T>(
        &self,
        doing: impl Future<Output = std::io::Result<T>>,
    ) -> Result<T, Error> {
        let reason = match tokio::time::timeout(CONNECT_WITHIN, doing).await {
            Ok(Ok(done)) => return Ok(done),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("nothing within {} s", CONNECT_WITHIN.as_secs()),
        };
        Err(Error::Unreachable {
            at: self.at(),
            reason,
        })
    }

    fn broken(&self, reason: impl std::fmt::Display) -> Error {
        Error::Broken {
            at: self.at(),
            reason: reason.to_string(),
        }
    }
}
