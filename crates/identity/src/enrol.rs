//! The two messages with which a host joins, sent on the agents' port without a client certificate.

use serde::{Deserialize, Serialize};

/// A host asks to join.
#[derive(Clone, Serialize, Deserialize)]
pub struct Enrol {
    /// The name it wants to go by.
    pub host: model::HostName,
    /// The token's secret.
    pub secret: String,
    /// A certificate request (PKCS#10, PEM).
    pub csr: String,
}

/// The controller's answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Enrolled {
    /// Admitted: the signed certificate.
    Certificate {
        /// PEM.
        certificate: String,
        /// The authority's, PEM.
        authority: String,
        /// The host's address in the secure underlay, with the underlay's prefix; none where there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inner: Option<model::cluster::Cidr>,
    },
    /// Not admitted: one sentence why, with the way out.
    Refused(String),
}
