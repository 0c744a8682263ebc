//! Join tokens: made for one host, good once and for a day.
//!
//! The store holds digests only. A secret is compared with all of them in constant time; that a
//! token is used once is the store's transaction.

use crate::clock;
use identity::token::{JoinToken, digest};
use identity::{Authority, IdentityError};
use model::HostName;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use store::{Compare, Store, StoreError, StoreExt, Txn};

const TOKENS: &str = "token/";
/// Fingerprints of the hosts' present certificates.
const CERTIFICATES: &str = "certificate/";
/// How long a token is good, ms.
const GOOD_FOR_MS: u64 = 24 * 3600 * 1000;

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Kept {
    expires_unix_ms: u64,
}

/// A token, and until when it is good.
pub struct Fresh {
    /// The token.
    pub token: JoinToken,
    /// Until when it is good, ms since the Unix epoch.
    pub expires_unix_ms: u64,
}

/// What goes wrong with tokens.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// Making one.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// Keeping or finding one.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The certificate is not, or no more, the host's.
    #[error(
        "the certificate of host '{0}' is not good any more: the host was removed, or has joined anew; if it shall come back, remove `identity` from its state folder and let it join with a new token from `transhume host join-token`"
    )]
    Withdrawn(HostName),
    /// The secret is of no token that is good.
    #[error(
        "the join token is not known, was used already or has expired; make a new one with `transhume host join-token`"
    )]
    NotGood,
}

/// Makes tokens and admits hosts with them.
#[derive(Clone)]
pub struct Admission {
    store: Arc<dyn Store>,
    authority: Arc<Authority>,
}

impl Admission {
    /// Over an authority, with tokens kept in a store.
    pub fn new(store: Arc<dyn Store>, authority: Arc<Authority>) -> Self {
        Self { store, authority }
    }

    /// A token with which one host may join.
    ///
    /// # Errors
    /// It cannot be made or kept.
    pub async fn token(&self) -> Result<Fresh, AdmissionError> {
        let token = JoinToken::fresh(self.authority.fingerprint()?)?;
        let expires_unix_ms = clock::unix_ms() + GOOD_FOR_MS;
        let row = format!("{TOKENS}{}", digest(&token.secret));
        self.store.put_json(&row, &Kept { expires_unix_ms }).await?;
        Ok(Fresh {
            token,
            expires_unix_ms,
        })
    }

    /// Signs a host's request if the secret is a good token's, which is used up by it.
    ///
    /// # Errors
    /// The token is not good, or the request is not valid; then the token stays good.
    pub async fn admit(
        &self,
        host: &str,
        secret: &str,
        csr: &str,
    ) -> Result<String, AdmissionError> {
        let row = self.find(secret).await?.ok_or(AdmissionError::NotGood)?;
        let certificate = self.authority.sign(host, csr)?;
        let print = fingerprint_of(&certificate)?;
        let used = Txn::new()
            .when(Compare::Exists(row.clone()))
            .delete(row)
            .put_json(format!("{CERTIFICATES}{host}"), &print)?;
        match self.store.txn(used).await {
            Ok(_) => Ok(certificate),
            // Somebody else used it between the two.
            Err(StoreError::Conflict { .. }) => Err(AdmissionError::NotGood),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether a certificate is the one that its host has now. A host's that joined before fingerprints were kept
    /// is taken as it is, once.
    ///
    /// # Errors
    /// [`AdmissionError::Withdrawn`], or the store fails.
    pub async fn known(
        &self,
        host: &HostName,
        certificate: &CertificateDer<'_>,
    ) -> Result<(), AdmissionError> {
        let row = format!("{CERTIFICATES}{host}");
        let print = identity::token::fingerprint(certificate);
        match self.store.get_json::<String>(&row).await? {
            Some(kept) if kept.value == print => Ok(()),
            Some(_) => Err(AdmissionError::Withdrawn(host.clone())),
            None => {
                self.store.put_json(&row, &print).await?;
                Ok(())
            }
        }
    }

    /// No certificate of a host's is good any more, until it joins anew.
    ///
    /// # Errors
    /// The store fails.
    pub async fn withdraw(&self, host: &HostName) -> Result<(), AdmissionError> {
        let row = format!("{CERTIFICATES}{host}");
        self.store.put_json(&row, "withdrawn").await?;
        Ok(())
    }

    /// The authority's certificate, PEM.
    pub fn authority(&self) -> &str {
        self.authority.certificate()
    }

    async fn find(&self, secret: &str) -> Result<Option<String>, StoreError> {
        let wanted = format!("{TOKENS}{}", digest(secret));
        let (rows, _) = self.store.list_json::<Kept>(TOKENS).await?;
        let now = clock::unix_ms();
        let mut found = None;
        for row in rows {
            if row.value.expires_unix_ms <= now {
                self.store.txn(Txn::new().delete(&row.key)).await?;
            } else if same(row.key.as_bytes(), wanted.as_bytes()) {
                found = Some(row.key);
            }
        }
        Ok(found)
    }
}

fn fingerprint_of(pem: &str) -> Result<String, IdentityError> {
    Ok(identity::token::fingerprint(&identity::ca::certificate(
        pem,
    )?))
}

/// Whether two texts are the same, in a time that depends on their lengths only.
fn same(left: &[u8], right: &[u8]) -> bool {
    let differences = left
        .iter()
        .zip(right)
        .fold(0, |all, (left, right)| all | (left ^ right));
    left.len() == right.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::Credentials;
    use store::Sqlite;

    fn admission(folder: &std::path::Path) -> Admission {
        let store = Arc::new(Sqlite::in_memory().unwrap());
        Admission::new(store, Arc::new(Authority::open(folder).unwrap()))
    }

    #[tokio::test]
    async fn a_token_admits_one_host() {
        let folder = tempfile::tempdir().unwrap();
        let admission = admission(folder.path());
        let fresh = admission.token().await.unwrap();
        let (_, csr) = Credentials::request("h1").unwrap();
        assert!(
            admission
                .admit("h1", &fresh.token.secret, &csr)
                .await
                .is_ok()
        );
        let again = admission.admit("h2", &fresh.token.secret, &csr).await;
        assert!(matches!(again, Err(AdmissionError::NotGood)));
    }

    #[tokio::test]
    async fn a_request_that_is_not_valid_does_not_use_the_token_up() {
        let folder = tempfile::tempdir().unwrap();
        let admission = admission(folder.path());
        let secret = admission.token().await.unwrap().token.secret;
        let (_, csr) = Credentials::request("h1").unwrap();
        assert!(admission.admit("h1", &secret, "no csr").await.is_err());
        assert!(admission.admit("h1", &secret, &csr).await.is_ok());
    }

    #[tokio::test]
    async fn an_expired_token_admits_nobody_and_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let admission = admission(folder.path());
        let row = format!("{TOKENS}{}", digest("old"));
        admission
            .store
            .put_json(&row, &Kept { expires_unix_ms: 1 })
            .await
            .unwrap();
        let (_, csr) = Credentials::request("h1").unwrap();
        assert!(matches!(
            admission.admit("h1", "old", &csr).await,
            Err(AdmissionError::NotGood)
        ));
        assert!(admission.store.get(&row).await.unwrap().is_none());
    }
}
