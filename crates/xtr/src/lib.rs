//! LISP tunnel router (work in progress).
pub mod config;
pub mod control;
pub mod data;
pub mod edge;
pub mod error;
mod router;
pub use config::Config;
pub use error::Error;
pub use router::{Handle, Router};
