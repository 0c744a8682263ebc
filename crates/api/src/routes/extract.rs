//! Taking requests apart, with problems instead of axum's own rejections.

use crate::problem::Problem;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A JSON body. The media type is not asked for: what does not parse says so.
pub(super) struct Body<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state)
            .await
            .map_err(|rejection| {
                let mut problem = Problem::invalid(
                    format!(
                        "The request's body cannot be read: {}.",
                        rejection.body_text()
                    ),
                    format!("Send at most {} bytes of JSON.", super::LARGEST_BODY),
                );
                problem.status = rejection.status().as_u16();
                problem
            })?;
        parse(&bytes).map(Self)
    }
}

/// Parses JSON; the problem tells what is wrong and where.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| {
        let what = if error.is_data() {
            "does not fit"
        } else {
            "is not JSON"
        };
        Problem::invalid(
            format!("The request's body {what}: {error}."),
            "GET /v1/openapi.json describes what is expected.",
        )
    })
}

/// What stands in a JSON body and was not understood, as a path like `members[0].mca`.
pub(super) fn not_understood(given: &Value, understood: &Value) -> Option<String> {
    match (given, understood) {
        (Value::Object(given), Value::Object(understood)) => {
            given.iter().find_map(|(key, value)| {
                let Some(known) = understood.get(key) else {
                    return Some(key.clone());
                };
                not_understood(value, known).map(|rest| {
                    let dot = if rest.starts_with('[') { "" } else { "." };
                    format!("{key}{dot}{rest}")
                })
            })
        }
        (Value::Array(given), Value::Array(understood)) => given
            .iter()
            .zip(understood)
            .enumerate()
            .find_map(|(index, (given, understood))| {
                not_understood(given, understood).map(|rest| format!("[{index}].{rest}"))
            }),
        _ => None,
    }
}

/// The variable parts of the path.
pub(super) struct Named<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(Problem::invalid(
                format!(
                    "The address {} cannot be used: {}.",
                    parts.uri.path(),
                    rejection.body_text()
                ),
                "Names have 1 to 40 of a-z, 0-9 and '-'.",
            )),
        }
    }
}

/// What follows the question mark.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let mut problem = Problem::invalid(
                    format!("The question cannot be used: {}.", rejection.body_text()),
                    "GET /v1/openapi.json describes what can be asked.",
                );
                problem.status = StatusCode::BAD_REQUEST.as_u16();
                Err(problem)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_misspelt_key_is_found_with_its_path() {
        let given = json!({"name": "shop", "members": [{"name": "a"}, {"mca": "x"}]});
        let understood = json!({"name": "shop", "members": [{"name": "a"}, {"mac": "x"}]});
        assert_eq!(
            not_understood(&given, &understood).unwrap(),
            "members[1].mca"
        );
        assert_eq!(not_understood(&understood, &understood), None);
    }
}
