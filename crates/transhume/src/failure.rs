//! How commands fail: a stable exit code, one clear sentence, the way out.

use crate::cli::Format;
use api::problem::Kind;
use api::{Problem, client};
use std::fmt;
use std::process::ExitCode;

/// Exit codes. They are documented in `transhume --help` and do not change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It was tried and did not work.
    Failed = 1,
    /// The command or its input is wrong.
    Usage = 2,
    /// What was named does not exist.
    NotFound = 3,
    /// Refused, or in conflict with what is there; nothing was changed.
    Refused = 4,
    /// Who should answer does not.
    Unavailable = 5,
}

/// A command that did not do what it should.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    way_out: String,
}

impl Failure {
    /// A failure with its exit code, one clear sentence, and the way out.
    pub(crate) fn new(exit: Exit, what: impl Into<String>, way_out: impl Into<String>) -> Self {
        Self {
            exit,
            what: what.into(),
            way_out: way_out.into(),
        }
    }

    /// A failure that an error of ours tells: its sentence has the way out, its causes follow.
    pub(crate) fn of(exit: Exit, error: &dyn std::error::Error) -> Self {
        let mut what = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !what.contains(&text) {
                what.push_str(&format!(" ({text})"));
            }
            cause = error.source();
        }
        Self::new(exit, what, "")
    }

    /// Says it on stderr, as JSON where JSON was asked for.
    pub(crate) fn report(self, format: Format) -> ExitCode {
        match format {
            Format::Table => eprintln!("error: {self}"),
            Format::Json => {
                let text = serde_json::json!({
                    "exit": self.exit as u8, "detail": self.what, "way_out": self.way_out,
                });
                eprintln!("{text}");
            }
        }
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if !self.way_out.is_empty() {
            write!(f, "\n       {}", self.way_out)?;
        }
        Ok(())
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        let exit = match problem.kind() {
            Kind::NotFound => Exit::NotFound,
            Kind::Conflict | Kind::Refused | Kind::Unauthorized => Exit::Refused,
            Kind::Invalid => Exit::Usage,
            Kind::Unavailable => Exit::Unavailable,
            Kind::Internal => Exit::Failed,
        };
        Self::new(exit, problem.detail, problem.way_out)
    }
}

impl From<client::Error> for Failure {
    fn from(error: client::Error) -> Self {
        match error {
            client::Error::Problem(problem) => problem.into(),
            client::Error::Unreachable { at, reason } => Self::new(
                Exit::Unavailable,
                format!(
                    "no controller answers at {at}; start one with `transhume serve`, or a lab \
                     with `transhume lab up` ({reason})"
                ),
                "",
            ),
            broken @ client::Error::Broken { .. } => Self::of(Exit::Unavailable, &broken),
        }
    }
}
