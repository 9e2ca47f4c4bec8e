//! Admin interface: health, metrics, status, and the few changes that gwd allows at run time.
//!
//! The interface runs on its own thread, so that scrapes and operators do not delay requests.
//! `specs/gwd-admin.yaml` is its complete specification.

pub(crate) mod client;
mod connections;
mod explain;
mod order;
mod replies;
mod scrape;
mod server;
mod slow_readers;
mod tail;
mod upstreams;
mod validation;

pub(crate) use server::{Admin, Interface, Token};
