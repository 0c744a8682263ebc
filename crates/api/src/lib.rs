//! REST under `/v1`: server, OpenAPI document and client.
//!
//! - [`Service`] is what the controller implements; [`Problem`] is how everything fails.
//! - [`view`] holds what the API shows beyond the [`model`]'s own types, [`schema`] how OpenAPI
//!   sees the model's.
//! - [`serve_unix`] and [`serve_tls`] listen; [`Client`] asks.
//! - [`check`] refuses descriptions that make no sense in themselves.
//!
//! No decision about clusters or migrations is made here.

pub mod check;
pub mod client;
pub mod problem;
mod routes;
pub mod schema;
pub mod server;
pub mod service;
pub mod view;

pub use client::Client;
pub use problem::Problem;
pub use routes::document;
pub use server::{ServeError, serve_tls, serve_unix};
pub use service::{Events, Service};
