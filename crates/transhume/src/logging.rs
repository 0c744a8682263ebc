//! What the program says about itself, on stderr.

use crate::cli::LogFormat;
use std::io;
use tracing_subscriber::EnvFilter;

/// The variable with the filter, as `tracing-subscriber` reads it: `debug`, `api=trace,info`.
pub(crate) const VARIABLE: &str = "TRANSHUME_LOG";

/// Starts logging; `level` holds where the variable says nothing.
pub(crate) fn start(format: LogFormat, level: &str) {
    let filter = EnvFilter::try_from_env(VARIABLE).unwrap_or_else(|_| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    // A second start (in a test) is no failure: the first one's choice stays.
    let _ = match format {
        LogFormat::Text => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
