//! Admin interface: health, metrics, status, and the few changes that a node allows.
//!
//! The interface runs on a thread of its own, so that no scrape and no operator delays a request.
//! `specs/gwd-admin.yaml` describes it completely.

pub(crate) mod client;
mod connections;
mod explain;
mod order;
mod server;
mod slow_readers;
mod upstreams;

pub(crate) use server::{Admin, Interface, Token};
