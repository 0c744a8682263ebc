//! The part that sends: connections to servers and providers, files with secrets.

mod http;
mod secret;
mod tcp;

pub use secret::SecretError;

use crate::DnsName;
use crate::config::{Dyndns2, Rfc2136, Zone};
use crate::publish::{Ability, Answer, Job, Work};
use http::Provider;
use tcp::Servers;

/// What takes a zone's updates.
pub enum Sender {
    /// Servers, by RFC 2136.
    Rfc2136(Box<Servers>),
    /// A provider, by dyndns2.
    Dyndns2(Box<Provider>),
}

/// Why nothing can be sent.
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] crate::config::InvalidConfig),
    /// A secret.
    #[error("zone '{zone}': {cause}")]
    Secret {
        /// The zone.
        zone: DnsName,
        /// Why.
        cause: SecretError,
    },
    /// The certificates that vouch for a provider.
    #[error("zone '{zone}': {cause}")]
    Authorities {
        /// The zone.
        zone: DnsName,
        /// Why.
        cause: http::AuthoritiesError,
    },
}

impl Sender {
    /// Reads a zone's secrets. Nothing is sent yet.
    ///
    /// # Errors
    /// See [`EdgeError`].
    pub fn open(zone: &Zone) -> Result<Self, EdgeError> {
        zone.check()?;
        match (&zone.rfc2136, &zone.dyndns2) {
            (Some(rfc2136), _) => Self::rfc2136(&zone.zone, rfc2136),
            (None, Some(dyndns2)) => Self::dyndns2(&zone.zone, dyndns2),
            (None, None) => {
                Err(crate::config::InvalidConfig::OneProtocol(zone.zone.clone()).into())
            }
        }
    }

    /// A zone's servers.
    ///
    /// # Errors
    /// There is no secret.
    pub fn rfc2136(zone: &DnsName, config: &Rfc2136) -> Result<Self, EdgeError> {
        let secret = |cause| EdgeError::Secret {
            zone: zone.clone(),
            cause,
        };
        let servers = Servers::open(zone, config).map_err(secret)?;
        Ok(Self::Rfc2136(Box::new(servers)))
    }

    /// A provider; errors name this zone.
    ///
    /// # Errors
    /// There is no password, or nobody to vouch for the provider.
    pub fn dyndns2(zone: &DnsName, config: &Dyndns2) -> Result<Self, EdgeError> {
        Ok(Self::Dyndns2(Box::new(Provider::open(zone, config)?)))
    }

    /// What it can do, and how many servers there are; names are marked with `owner` where it can compare.
    pub fn ability(&self, owner: &str) -> (Ability, usize) {
        match self {
            Self::Rfc2136(servers) => {
                let owner = owner.to_owned();
                (Ability::Compares { owner }, servers.count())
            }
            Self::Dyndns2(_) => (Ability::Sets, 1),
        }
    }

    /// Gives up a connection that is kept: this machine may have another address next time.
    pub fn hang_up(&mut self) {
        if let Self::Rfc2136(servers) = self {
            servers.hang_up();
        }
    }

    /// Carries out a job.
    pub async fn carry(&mut self, job: &Job) -> Answer {
        match self {
            Self::Rfc2136(servers) => servers.carry(job).await,
            Self::Dyndns2(provider) => match &job.work {
                Work::Update(changes) => provider.update(changes).await,
                Work::Ask(_) => Answer::Failed {
                    why: "a dyndns2 provider cannot be asked for markers".to_owned(),
                    unsure: false,
                },
            },
        }
    }
}
