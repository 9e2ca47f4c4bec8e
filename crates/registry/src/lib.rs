//! Stores of bundles in OCI registries (OCI distribution specification 1.1), addressed as
//! `oci://HOST[:PORT]/REPOSITORY`.
//!
//! | Part | Modules |
//! |---|---|
//! | address and settings | [`address`], [`settings`] |
//! | HTTP with limits | `http`, `tls`, `url` |
//! | authentication | [`auth`] |
//! | responses of a registry | [`wire`] |
//! | requests to one repository | `repository` |
//! | the store | [`store`], `write`, [`tags`] |
//! | copies in folders | [`mirror`] |
//!
//! Responses of a registry are untrusted. Each has a maximum size and a deadline, fixed before it
//! is read. Blobs and manifests are requested by digest, and the digest is verified before use.
//! Readers verify signatures, as for stores in folders. `docs/registry.md` describes what a
//! registry can and cannot guarantee.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod address;
pub mod auth;
mod http;
pub mod mirror;
mod repository;
#[expect(
    clippy::disallowed_methods,
    reason = "reads tokens, credentials and CA certificates from files"
)]
pub mod settings;
pub mod store;
pub mod tags;
mod tls;
mod url;
pub mod wire;
mod write;

pub use address::Address;
pub use settings::Settings;
pub use store::Registry;
