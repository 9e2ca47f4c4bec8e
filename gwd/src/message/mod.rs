//! Parts of an exchange that `proxy` and `upstream` share: request bodies on their way from the
//! client to upstreams, the I/O of clients, and failures. This module imports neither of the two.

pub(crate) mod body;
pub(crate) mod copies;
pub(crate) mod failure;
pub(crate) mod flow;
pub(crate) mod gather;
pub(crate) mod hashed;
pub(crate) mod incoming;
pub(crate) mod io;
pub(crate) mod item_reports;
pub(crate) mod kept;
pub(crate) mod pace;
pub(crate) mod queue;
pub(crate) mod scanned;
pub(crate) mod sends;
pub(crate) mod sequence;
pub(crate) mod spare_maps;
pub(crate) mod tee;
pub(crate) mod transfer;
pub(crate) mod upload;
pub(crate) mod websocket;
pub(crate) mod whole;
