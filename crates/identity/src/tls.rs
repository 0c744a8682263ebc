//! TLS settings for each kind of connection between our parts. Always TLS 1.3, always our own
//! authority, never the system's.

use crate::token::fingerprint;
use crate::{Credentials, IdentityError};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use std::sync::Arc;

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn roots(authority: CertificateDer<'static>) -> Result<Arc<RootCertStore>, IdentityError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority)?;
    Ok(Arc::new(roots))
}

/// For a part that accepts others. With `strangers`, a peer without a certificate is let through to
/// the application, which must let it do nothing but enrol.
///
/// # Errors
/// When the credentials are not valid.
pub fn server(own: &Credentials, strangers: bool) -> Result<Arc<ServerConfig>, IdentityError> {
    let builder =
        WebPkiClientVerifier::builder_with_provider(roots(own.authority_der()?)?, provider());
    let builder = if strangers {
        builder.allow_unauthenticated()
    } else {
        builder
    };
    let verifier = builder
        .build()
        .map_err(|error| IdentityError::Verifier(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(own.chain()?, own.private_key()?)?;
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// For a part that dials another one.
///
/// # Errors
/// When the credentials are not valid.
pub fn client(own: &Credentials) -> Result<Arc<ClientConfig>, IdentityError> {
    Ok(Arc::new(
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(roots(own.authority_der()?)?)
            .with_client_auth_cert(own.chain()?, own.private_key()?)?,
    ))
}

/// For a host that joins: it has no certificate yet and knows the authority by its fingerprint only.
///
/// # Errors
/// When TLS cannot be set up.
pub fn joining(authority_fingerprint: &str) -> Result<Arc<ClientConfig>, IdentityError> {
    Ok(Arc::new(
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ByFingerprint(
                authority_fingerprint.to_owned(),
            )))
            .with_no_client_auth(),
    ))
}

/// Checks that a peer's certificate carries the name it claims.
///
/// # Errors
/// [`IdentityError::WrongName`].
pub fn require_name(
    presented: Option<&[CertificateDer<'_>]>,
    name: &str,
) -> Result<(), IdentityError> {
    let wrong = || IdentityError::WrongName(name.to_owned());
    let leaf = presented.and_then(<[_]>::first).ok_or_else(wrong)?;
    let leaf = webpki::EndEntityCert::try_from(leaf).map_err(|_| wrong())?;
    let name = ServerName::try_from(name.to_owned()).map_err(|_| wrong())?;
    leaf.verify_is_valid_for_subject_name(&name)
        .map_err(|_| wrong())
}

/// Trusts the one authority with the fingerprint of the join token, and what it signed.
#[derive(Debug)]
struct ByFingerprint(String);

impl ServerCertVerifier for ByFingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let unknown = || rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let authority = intermediates
            .iter()
            .find(|certificate| fingerprint(certificate) == self.0)
            .ok_or_else(unknown)?;
        let roots = roots(authority.clone().into_owned()).map_err(|_| unknown())?;
        WebPkiServerVerifier::builder_with_provider(roots, provider())
            .build()
            .map_err(|_| unknown())?
            .verify_server_cert(end_entity, &[], server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::PeerIncompatible(
            rustls::PeerIncompatible::Tls12NotOffered,
        ))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signature,
            &provider().signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
