//! The authority that signs every part's certificate.

use crate::{CONTROLLER, IdentityError};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams,
    CertificateSigningRequestParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use time::OffsetDateTime;

/// A certificate, its key and the authority that signed it, as kept by one part.
#[derive(Clone)]
pub struct Credentials {
    /// The part's own certificate, PEM.
    pub certificate: String,
    /// Its private key, PKCS#8 PEM. Never logged.
    pub key: String,
    /// The authority's certificate, PEM.
    pub authority: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials { .. }")
    }
}

impl Credentials {
    /// Makes a key and a request for a certificate in `name`; the signed certificate completes it.
    ///
    /// # Errors
    /// When the key or the request cannot be made.
    pub fn request(name: &str) -> Result<(KeyPair, String), IdentityError> {
        let key = KeyPair::generate()?;
        let csr = params(name)?.serialize_request(&key)?.pem()?;
        Ok((key, csr))
    }

    /// Reads credentials from a folder; `None` when the part has never joined.
    ///
    /// # Errors
    /// When a file is there and cannot be read.
    pub fn load(folder: &Path) -> Result<Option<Self>, IdentityError> {
        if !folder.join("cert.pem").exists() {
            return Ok(None);
        }
        Ok(Some(Self {
            certificate: read(&folder.join("cert.pem"))?,
            key: read(&folder.join("key.pem"))?,
            authority: read(&folder.join("ca.pem"))?,
        }))
    }

    /// Writes credentials to a folder, readable by this user only; the certificate last, so that an
    /// interrupted write counts as never joined.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        std::fs::create_dir_all(folder).map_err(|cause| file(folder, cause))?;
        write(&folder.join("key.pem"), &self.key)?;
        write(&folder.join("ca.pem"), &self.authority)?;
        write(&folder.join("cert.pem"), &self.certificate)
    }

    /// The chain that this part presents: its own certificate, then the authority's.
    ///
    /// # Errors
    /// When the PEM is not valid.
    pub fn chain(&self) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
        Ok(vec![
            certificate(&self.certificate)?,
            certificate(&self.authority)?,
        ])
    }

    /// When these credentials end.
    ///
    /// # Errors
    /// When a certificate is not valid.
    pub fn ends(&self) -> Result<Ends, IdentityError> {
        Ok(Ends {
            own_s: end(&certificate(&self.certificate)?)?,
            authority_s: end(&certificate(&self.authority)?)?,
        })
    }

    /// The serial number of the part's own certificate, as a list of revoked ones names it.
    ///
    /// # Errors
    /// When the PEM is not valid.
    pub fn serial(&self) -> Result<Vec<u8>, IdentityError> {
        serial(&self.certificate)
    }

    /// The private key.
    ///
    /// # Errors
    /// When the PEM is not valid.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, IdentityError> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).map_err(|_| IdentityError::Content {
            path: "key".into(),
            what: "key",
        })
    }

    /// The authority's certificate.
    ///
    /// # Errors
    /// When the PEM is not valid.
    pub fn authority_der(&self) -> Result<CertificateDer<'static>, IdentityError> {
        certificate(&self.authority)
    }
}

/// When credentials end, s since the Unix epoch (RFC 5280, section 4.1.2.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The part's own certificate.
    pub own_s: i64,
    /// The authority's.
    pub authority_s: i64,
}

/// The serial number of a certificate, PEM.
///
/// # Errors
/// When the PEM is not valid.
pub fn serial(pem: &str) -> Result<Vec<u8>, IdentityError> {
    let certificate = certificate(pem)?;
    let (_, read) =
        x509_parser::parse_x509_certificate(&certificate).map_err(|_| IdentityError::Content {
            path: "certificate".into(),
            what: "certificate",
        })?;
    Ok(read.raw_serial().to_vec())
}

fn end(certificate: &CertificateDer<'_>) -> Result<i64, IdentityError> {
    let (_, read) =
        x509_parser::parse_x509_certificate(certificate).map_err(|_| IdentityError::Content {
            path: "certificate".into(),
            what: "certificate",
        })?;
    Ok(read.validity().not_after.timestamp())
}

/// A certificate from its PEM.
///
/// # Errors
/// When it is none.
pub fn certificate(pem: &str) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| IdentityError::Content {
        path: "certificate".into(),
        what: "certificate",
    })
}

fn params(name: &str) -> Result<CertificateParams, IdentityError> {
    let mut params = CertificateParams::new(vec![name.to_owned()])?;
    params.distinguished_name.push(DnType::CommonName, name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

/// What the authority signs, rather than what is asked for: with its own key's identifier, by which lists of
/// revoked certificates are found (RFC 5280, section 4.2.1.1).
fn granted(name: &str) -> Result<CertificateParams, IdentityError> {
    let mut params = params(name)?;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

/// The controller's certificate authority.
pub struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Opens the authority in a folder, or makes it there.
    ///
    /// # Errors
    /// When its files cannot be read, written or understood.
    pub fn open(folder: &Path) -> Result<Self, IdentityError> {
        std::fs::create_dir_all(folder).map_err(|cause| file(folder, cause))?;
        let (key_path, cert_path) = (folder.join("ca-key.pem"), folder.join("ca.pem"));
        if !cert_path.exists() {
            let key = KeyPair::generate()?;
            let mut params = CertificateParams::new(Vec::<String>::new())?;
            params
                .distinguished_name
                .push(DnType::CommonName, "Transhume authority");
            params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
            let cert = params.self_signed(&key)?;
            write(&key_path, &key.serialize_pem())?;
            write(&cert_path, &cert.pem())?;
        }
        let certificate = read(&cert_path)?;
        let key = KeyPair::from_pkcs8_der_and_sign_algo(
            &PrivatePkcs8KeyDer::from_pem_slice(read(&key_path)?.as_bytes()).map_err(|_| {
                IdentityError::Content {
                    path: key_path.display().to_string(),
                    what: "key",
                }
            })?,
            &rcgen::PKCS_ECDSA_P256_SHA256,
        )?;
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)?;
        Ok(Self {
            certificate,
            issuer,
        })
    }

    /// The authority's certificate, PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }

    /// Credentials for the controller itself.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn controller(&self) -> Result<Credentials, IdentityError> {
        let key = KeyPair::generate()?;
        let certificate = granted(CONTROLLER)?.signed_by(&key, &self.issuer)?.pem();
        Ok(Credentials {
            certificate,
            key: key.serialize_pem(),
            authority: self.certificate.clone(),
        })
    }

    /// Signs a host's request. Only the key is taken from it; the name is the one that the host was
    /// admitted under.
    ///
    /// # Errors
    /// When the request is not valid.
    pub fn sign(&self, name: &str, csr_pem: &str) -> Result<String, IdentityError> {
        self.sign_until(name, csr_pem, None)
    }

    /// The same, with an end, s since the Unix epoch; without one it lasts as long as the authority.
    ///
    /// # Errors
    /// When the request is not valid, or the end is no time.
    pub fn sign_until(
        &self,
        name: &str,
        csr_pem: &str,
        end_s: Option<i64>,
    ) -> Result<String, IdentityError> {
        let mut request = CertificateSigningRequestParams::from_pem(csr_pem)
            .map_err(|error| IdentityError::Request(error.to_string()))?;
        request.params = granted(name)?;
        if let Some(end_s) = end_s {
            request.params.not_after = OffsetDateTime::from_unix_timestamp(end_s)
                .map_err(|error| IdentityError::Request(error.to_string()))?;
        }
        Ok(request.signed_by(&self.issuer)?.pem())
    }

    /// The list of certificates that are no longer good, PEM (CRL, RFC 5280, section 5), by their serial
    /// numbers ([`Credentials::serial`]). `number` grows with every list; `now_s` is the time, s since the
    /// Unix epoch. It lasts ten years: a new one is handed out, not waited for.
    ///
    /// # Errors
    /// When the time is none, or the list cannot be signed.
    pub fn revoked(
        &self,
        serials: &[Vec<u8>],
        number: u64,
        now_s: i64,
    ) -> Result<String, IdentityError> {
        let now = OffsetDateTime::from_unix_timestamp(now_s)
            .map_err(|error| IdentityError::Request(error.to_string()))?;
        let revoked = |serial: &Vec<u8>| RevokedCertParams {
            serial_number: SerialNumber::from_slice(serial),
            revocation_time: now,
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: now,
            next_update: now + time::Duration::days(3650),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        Ok(list.signed_by(&self.issuer)?.pem()?)
    }

    /// SHA-256 of the authority's certificate, hex: how a token names it.
    ///
    /// # Errors
    /// When the certificate is not valid.
    pub fn fingerprint(&self) -> Result<String, IdentityError> {
        Ok(crate::token::fingerprint(&certificate(&self.certificate)?))
    }
}

fn file(path: &Path, cause: std::io::Error) -> IdentityError {
    IdentityError::File {
        path: path.display().to_string(),
        cause,
    }
}

fn read(path: &Path) -> Result<String, IdentityError> {
    std::fs::read_to_string(path).map_err(|cause| file(path, cause))
}

fn write(path: &Path, text: &str) -> Result<(), IdentityError> {
    let mut out = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|cause| file(path, cause))?;
    out.write_all(text.as_bytes())
        .map_err(|cause| file(path, cause))
}
