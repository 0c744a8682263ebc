//! Orders that were given, and how they went.

use crate::hosts::{OrderError, Waiting};
use futures::future::join_all;
use model::HostName;
use model::news::Answer;
use std::collections::BTreeMap;

/// Orders that were given, one or more a host.
#[derive(Default)]
pub(super) struct Told(Vec<(HostName, Result<Waiting, OrderError>)>);

/// How they went.
pub(super) struct Outcome(pub(super) Vec<(HostName, Result<Answer, OrderError>)>);

impl Told {
    pub(super) fn add(&mut self, host: HostName, given: Result<Waiting, OrderError>) {
        self.0.push((host, given));
    }

    /// Waits for all answers.
    pub(super) async fn outcome(self) -> Outcome {
        let answers = self.0.into_iter().map(|(host, given)| async move {
            let result = match given {
                Ok(waiting) => waiting.answer().await,
                Err(error) => Err(error),
            };
            (host, result)
        });
        Outcome(join_all(answers).await)
    }
}

impl Outcome {
    /// The first failure of a host that is there. One that is away gets the whole truth when it
    /// dials in again.
    pub(super) fn failure(&self) -> Option<&OrderError> {
        let errors = self
            .0
            .iter()
            .filter_map(|(_, result)| result.as_ref().err());
        errors.into_iter().find(|error| !error.is_away())
    }

    /// Writes failures to the log, where nothing else can be done about them.
    pub(super) fn log(&self, what: &str) {
        for (host, result) in &self.0 {
            if let Err(error) = result {
                tracing::warn!(%host, %error, "{what}");
            }
        }
    }

    pub(super) fn by_host(self) -> BTreeMap<HostName, Result<Answer, OrderError>> {
        self.0.into_iter().collect()
    }
}
