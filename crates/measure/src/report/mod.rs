//! The report: one JSON document, `transhume-report/1`.
//!
//! Here live its types ([`Report`] and below), how a migration and a recording become an entry of
//! it ([`build`]) and how its figures stand beside the issue's targets ([`verdict`]).
//! `docs/report-schema.md` explains every field to readers of the JSON, `schema/report-1.json` is
//! the same as JSON Schema. Fields may be added within a version; readers must ignore those they
//! do not know.

pub mod build;
pub mod compare;
mod entry;
mod layout;
pub mod verdict;

pub use entry::{Figure, GuestView, Machine, Migration, Phase, Plot, Target, Vm, VmTotal, Wan};

use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of the document.
pub const SCHEMA: &str = "transhume-report/1";

/// A report cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// Not JSON, or a field is missing or of a wrong type.
    #[error("this is not a report: {0}; make it again with `--report FILE`")]
    Content(#[from] serde_json::Error),
    /// Another version.
    #[error(
        "this report is a '{0}', this version reads '{SCHEMA}'; make it again with this version"
    )]
    Version(String),
    /// The file system refused.
    #[error("cannot {doing} {path}: {source}; check the folder and its space")]
    File {
        /// `read` or `write`.
        doing: &'static str,
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
}

/// The report of one run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    /// What was run, for a headline: `make demo`, `make bench`.
    #[serde(default)]
    pub title: String,
    /// When the run began, ms since the Unix epoch.
    #[serde(default)]
    pub started_unix_ms: u64,
    /// The link between the sites.
    pub wan: Wan,
    /// The machine it ran on.
    #[serde(default)]
    pub machine: Machine,
    /// Migrations in order.
    pub migrations: Vec<Migration>,
    /// Time of each link operation, ms.
    pub link_ms: Vec<f64>,
    /// Time of each directory update until the last switch acknowledged it, ms.
    pub update_ms: Vec<f64>,
    /// What the probe saw of each VM from its first packet to its last.
    #[serde(default)]
    pub whole: Vec<VmTotal>,
    /// Further figures of a bench, each beside its target.
    #[serde(default)]
    pub figures: Vec<Figure>,
    /// Remarks that a reader needs to judge the figures.
    #[serde(default)]
    pub notes: Vec<String>,
}

impl Report {
    /// An empty report.
    pub fn new(title: impl Into<String>, wan: Wan) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            title: title.into(),
            started_unix_ms: 0,
            wan,
            machine: Machine::default(),
            migrations: Vec::new(),
            link_ms: Vec::new(),
            update_ms: Vec::new(),
            whole: Vec::new(),
            figures: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Reads a report of this version.
    pub fn from_json(text: &str) -> Result<Self, ReportError> {
        let head: Head = serde_json::from_str(text)?;
        if head.schema != SCHEMA {
            return Err(ReportError::Version(head.schema));
        }
        Ok(serde_json::from_str(text)?)
    }

    /// The report as JSON text.
    pub fn to_json(&self) -> Result<String, ReportError> {
        layout::to_json(self)
    }

    /// Reads a file.
    pub fn load(path: &Path) -> Result<Self, ReportError> {
        let text = std::fs::read_to_string(path).map_err(|source| ReportError::File {
            doing: "read",
            path: path.display().to_string(),
            source,
        })?;
        Self::from_json(&text)
    }

    /// Writes `path` as JSON and beside it the page for people, with the ending `.html`:
    /// `report.json` and `report.html`.
    pub fn save(&self, path: &Path) -> Result<(), ReportError> {
        let write = |path: &Path, text: &str| {
            std::fs::write(path, text).map_err(|source| ReportError::File {
                doing: "write",
                path: path.display().to_string(),
                source,
            })
        };
        write(path, &self.to_json()?)?;
        write(&path.with_extension("html"), &crate::html::render(self))
    }
}

#[derive(Deserialize)]
struct Head {
    schema: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_of_another_version_is_refused_by_its_name() {
        let mut report = Report::new("x", Wan::default());
        report.schema = "transhume-report/2".to_owned();
        let text = report.to_json().unwrap();
        let error = Report::from_json(&text).unwrap_err().to_string();
        assert!(error.contains("'transhume-report/2'"), "{error}");
    }

    #[test]
    fn fields_of_a_later_edition_are_ignored() {
        let text = r#"{"schema":"transhume-report/1","wan":{"rtt_ms":31.0,"new":1},
            "migrations":[],"link_ms":[],"update_ms":[],"later":{}}"#;
        assert_eq!(Report::from_json(text).unwrap().wan.rtt_ms, 31.0);
    }
}
