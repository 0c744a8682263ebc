//! Errors of the parts below as problems for people.

use crate::hosts::OrderError;
use api::Problem;
use api::problem::Kind;
use control::DirectoryError;
use store::StoreError;

/// A directory's refusal. Its sentences have the form "what is wrong: the way out".
pub(crate) fn directory(error: &DirectoryError) -> Problem {
    let kind = match error {
        DirectoryError::NoSuchCluster(_) | DirectoryError::NoSuchMember { .. } => Kind::NotFound,
        DirectoryError::NameTaken { .. }
        | DirectoryError::MacTaken { .. }
        | DirectoryError::IpTaken { .. }
        | DirectoryError::VniTaken { .. }
        | DirectoryError::NetInUse { .. } => Kind::Conflict,
        DirectoryError::BadVni(_)
        | DirectoryError::BadMtu(_)
        | DirectoryError::BadMac { .. }
        | DirectoryError::BadIp { .. }
        | DirectoryError::IpTwice { .. }
        | DirectoryError::BadEpoch(_) => Kind::Invalid,
        // Kinds of refusal that are newer than this list.
        _ => Kind::Refused,
    };
    halves(kind, &error.to_string())
}

/// An order that was not carried out.
pub(crate) fn order(error: &OrderError) -> Problem {
    let kind = match error {
        OrderError::Refused { .. } | OrderError::TooLarge { .. } => Kind::Refused,
        OrderError::NotConnected { .. } | OrderError::Lost { .. } | OrderError::TimedOut { .. } => {
            Kind::Unavailable
        }
    };
    match error {
        // The agent's sentence holds its own way out.
        OrderError::Refused { .. } => Problem::new(kind, sentence(&error.to_string()), ""),
        _ => halves(kind, &error.to_string()),
    }
}

/// Several orders that were not carried out: the first as it is, the others beside it.
pub(crate) fn orders(errors: &[OrderError]) -> Option<Problem> {
    let (first, others) = errors.split_first()?;
    let mut problem = order(first);
    for other in others {
        problem.detail = format!("{} {}", problem.detail, sentence(&other.to_string()));
    }
    Some(problem)
}

/// The store does not do what it should.
pub(crate) fn store(error: &StoreError) -> Problem {
    tracing::error!(%error, "the store failed");
    Problem::internal(sentence(&error.to_string()))
}

/// Adds what could not be undone to a problem.
pub(crate) fn with_remains(mut problem: Problem, remains: &[String]) -> Problem {
    if !remains.is_empty() {
        problem.detail = format!("{} Not undone: {}.", problem.detail, remains.join("; "));
    }
    problem
}

fn halves(kind: Kind, text: &str) -> Problem {
    match text.split_once(": ") {
        Some((what, way_out)) => Problem::new(kind, sentence(what), sentence(way_out)),
        None => Problem::new(kind, sentence(text), ""),
    }
}

/// A capital letter and a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let mut made: String = letters
        .next()
        .map(|first| first.to_uppercase().chain(letters).collect())
        .unwrap_or_default();
    if !made.ends_with(['.', '!', '?']) {
        made.push('.');
    }
    made
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::ClusterName;

    #[test]
    fn a_sentence_is_taken_apart_into_what_is_wrong_and_the_way_out() {
        let error = DirectoryError::NoSuchCluster(ClusterName::new("shpo").unwrap());
        let problem = directory(&error);
        assert_eq!(problem.detail, "There is no cluster 'shpo'.");
        assert_eq!(problem.way_out, "Create it first.");
        assert_eq!(problem.kind(), Kind::NotFound);
    }
}
