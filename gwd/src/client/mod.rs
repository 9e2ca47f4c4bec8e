//! HTTP/1.1 client of gwd itself, for services that no request waits for: collectors of telemetry
//! and webhooks of guards. Requests of clients, and requests for their decision, use
//! [`crate::upstream`].

mod connection;
mod endpoint;

pub(crate) use connection::{Connection, Post, Response, read};
pub use endpoint::Endpoint;
