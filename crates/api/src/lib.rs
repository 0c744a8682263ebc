//! REST under `/v1`: server, OpenAPI document and client.
//!
//! - [`Service`] is what the controller implements; [`Problem`] is how everything fails.
//! - [`view`] holds what the API shows beyond the [`model`]'s own types, [`schema`] how OpenAPI
//!   sees the model's.
//!
//! No decision about clusters or migrations is made here.

pub mod problem;
pub mod schema;
pub mod service;
pub mod view;

pub use problem::Problem;
pub use service::{Events, Service};
