//! A cluster moved about by its controller under the eyes of a [`super::witness`].

use super::Audience;
use super::witness::{Seen, Witness};
use crate::cli::Standing;
use crate::parts::PartError;
use crate::shop;
use api::Client;
use measure::control::ControlError;
use measure::guest::Dirty;
use model::migration::{Migration, Options};
use model::{ClusterName, SiteName};
use std::time::Duration;

/// Why a tour ended.
#[derive(Debug, thiserror::Error)]
pub enum TourError {
    /// The probe's process, or its start.
    #[error(transparent)]
    Part(#[from] PartError),
    /// The probe.
    #[error(transparent)]
    Probe(#[from] ControlError),
    /// The controller refused a migration, or does not answer.
    #[error(transparent)]
    Api(#[from] api::client::Error),
    /// A site's name.
    #[error(transparent)]
    Name(#[from] model::InvalidName),
}

/// A tour under way.
pub struct Tour {
    witness: Witness,
    client: Client,
}

impl Tour {
    /// Starts the probe, a UDP stream and two TCP sessions with every VM, and lets it run for
    /// a while.
    ///
    /// # Errors
    /// The probe does not start, or a VM does not answer it.
    pub async fn begin(standing: &Standing, warm_up: Duration) -> Result<Self, TourError> {
        let (boxed, disks) = (standing.testbed.boxed(), standing.shop.disk.is_some());
        Ok(Self {
            witness: Witness::begin(boxed, &standing.targets, disks, standing.stream_ms, warm_up)
                .await?,
            client: standing.client.clone(),
        })
    }

    /// Gives every guest another load.
    ///
    /// # Errors
    /// The probe is gone, or a guest does not answer it.
    pub async fn load(&self, dirty: Dirty) -> Result<(), TourError> {
        self.witness.load(dirty).await
    }

    /// Moves the cluster and waits until what the migration leaves behind has shown. One that does
    /// not arrive is no error: its state says so.
    ///
    /// # Errors
    /// The migration was refused, or nobody answers any more.
    pub async fn travel(
        &mut self,
        to: &str,
        options: Options,
        audience: &mut dyn Audience,
    ) -> Result<Migration, TourError> {
        let client = &self.client;
        let moves = async {
            let cluster = ClusterName::new(shop::NAME)?;
            let begun = client
                .migrate(&cluster, &SiteName::new(to)?, options)
                .await?;
            Ok(audience.follow(client, &begun.id).await?)
        };
        self.witness.watch(moves).await
    }

    /// Stops the probe and says what it saw.
    ///
    /// # Errors
    /// The probe is gone.
    pub async fn end(self) -> Result<Seen, TourError> {
        self.witness.end().await
    }
}
