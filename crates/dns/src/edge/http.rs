//! A dyndns2 provider, over HTTPS.

use super::EdgeError;
use super::secret;
use crate::DnsName;
use crate::config::Dyndns2;
use crate::dyndns2::{self, USER_AGENT, Url};
use crate::publish::{Answer, Change};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::Request;
use hyper::header::{AUTHORIZATION, HOST, USER_AGENT as AGENT};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The system's authorities, as Debian keeps them.
const SYSTEM: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Answers are a line; of a longer one no more than this is read, bytes.
const LONGEST: usize = 64 * 1024;

/// Why no provider can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum AuthoritiesError {
    /// The file.
    #[error(
        "cannot read certificates of authorities in {}: {cause}; install the package ca-certificates, or name others in \
         `ca_file`", path.display()
    )]
    File {
        /// Where.
        path: PathBuf,
        /// Why.
        cause: rustls_pki_types::pem::Error,
    },
    /// None in it.
    #[error("{} has no certificate that can be used: name another in `ca_file`", path.display())]
    None {
        /// Where.
        path: PathBuf,
    },
    /// The TLS library.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// A provider.
pub struct Provider {
    url: Url,
    config: Dyndns2,
    tls: Option<TlsConnector>,
}

impl Provider {
    pub(super) fn open(zone: &DnsName, config: &Dyndns2) -> Result<Self, EdgeError> {
        let url = Url::read(&config.url, config.insecure).map_err(|error| {
            let zone = zone.clone();
            crate::config::InvalidConfig::Url { zone, error }
        })?;
        let secret = |cause| EdgeError::Secret {
            zone: zone.clone(),
            cause,
        };
        secret::read(&config.password_file).map_err(secret)?;
        let path = config.ca_file.as_deref().unwrap_or(Path::new(SYSTEM));
        let tls = url.tls.then(|| connector(path)).transpose();
        let tls = tls.map_err(|cause| EdgeError::Authorities {
            zone: zone.clone(),
            cause,
        })?;
        Ok(Self {
            url,
            config: config.clone(),
            tls,
        })
    }

    /// Sets the addresses of the first name; the publisher gives no more at once.
    pub(super) async fn update(&self, changes: &[Change]) -> Answer {
        let Some(change) = changes.first() else {
            return Answer::Done;
        };
        let Some(query) = dyndns2::query(change) else {
            return Answer::Done;
        };
        let password = match secret::read(&self.config.password_file) {
            Ok(password) => password,
            Err(error) => return failed(error.to_string(), false),
        };
        let request = Request::get(format!("{}?{query}", self.url.path))
            .header(HOST, self.url.authority())
            .header(AGENT, USER_AGENT)
            .header(
                AUTHORIZATION,
                dyndns2::authorization(&self.config.user, &password),
            )
            .body(Empty::<Bytes>::new());
        let request = match request {
            Ok(request) => request,
            Err(error) => return failed(format!("the request cannot be made: {error}"), false),
        };
        let patience = Duration::from_millis(self.config.patience_ms);
        match timeout(patience, self.ask(request)).await {
            Ok(Ok((status, body))) => dyndns2::answer(&change.name, status, &body),
            Ok(Err(answer)) => answer,
            Err(_) => failed(
                format!(
                    "the provider {} does not answer within {} ms",
                    self.url.host,
                    patience.as_millis()
                ),
                true,
            ),
        }
    }

    async fn ask(&self, request: Request<Empty<Bytes>>) -> Result<(u16, String), Answer> {
        let host = &self.url.host;
        let unreachable = |error: &dyn std::fmt::Display| {
            failed(
                format!("the provider {host} cannot be reached: {error}"),
                false,
            )
        };
        let stream = TcpStream::connect((host.as_str(), self.url.port)).await;
        let stream = stream.map_err(|error| unreachable(&error))?;
        match &self.tls {
            None => exchange(stream, request).await,
            Some(tls) => {
                let name =
                    ServerName::try_from(host.clone()).map_err(|error| unreachable(&error))?;
                let stream = tls
                    .connect(name, stream)
                    .await
                    .map_err(|error| unreachable(&error))?;
                exchange(stream, request).await
            }
        }
    }
}

async fn exchange<S>(stream: S, request: Request<Empty<Bytes>>) -> Result<(u16, String), Answer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let broken =
        |error: &dyn std::fmt::Display| failed(format!("the provider breaks off: {error}"), true);
    let opened = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = opened.map_err(|error| broken(&error))?;
    let asked = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| broken(&error))?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(|error| broken(&error))?.to_bytes();
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    };
    tokio::pin!(asked, connection);
    let mut open = true;
    loop {
        tokio::select! {
            done = &mut asked => return done,
            // When it ends, what was asked ends too, with what has come until then.
            _ = &mut connection, if open => open = false,
        }
    }
}

fn connector(path: &Path) -> Result<TlsConnector, AuthoritiesError> {
    let unreadable = |cause| AuthoritiesError::File {
        path: path.to_owned(),
        cause,
    };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        // One that rustls does not understand vouches for nobody; the others still do.
        let _ = roots.add(certificate.map_err(unreadable)?);
    }
    if roots.is_empty() {
        let path = path.to_owned();
        return Err(AuthoritiesError::None { path });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn failed(why: String, unsure: bool) -> Answer {
    Answer::Failed { why, unsure }
}
