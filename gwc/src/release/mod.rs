//! Functions for commands that use a store.
//!
//! | Module | Content |
//! |---|---|
//! | [`place`] | project, store, channel and trust file |
//! | [`id`] | bundles by short id |
//! | [`back`] | targets of rollbacks |
//! | [`mod@side`] | content of a bundle, and its sources |
//! | [`provenance`], [`evidence`] | origin of a bundle, and its verification |
//! | [`approvals`] | approvals of changes and of records |
//! | [`refusals`] | records that gateways refuse |
//! | [`key`] | signing keys |
//! | [`stores`] | folders and registries |
//! | [`nodes`] | requests to admin interfaces of gateways |
//! | [`node`], `node_list` | address of a gateway, and lists of gateways in files and DNS |
//! | [`links`] | check for symbolic links in paths of the command line |
//! | [`clock`] | current time |

pub mod approvals;
pub mod back;
#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the clock"
)]
pub mod clock;
pub mod evidence;
pub mod id;
#[expect(
    clippy::disallowed_methods,
    reason = "reads keys from files and variables"
)]
pub mod key;
#[expect(
    clippy::disallowed_methods,
    reason = "compares paths with the working folder"
)]
pub mod links;
pub mod node;
#[expect(clippy::disallowed_methods, reason = "reads a list of the operator")]
mod node_list;
#[expect(clippy::disallowed_methods, reason = "reads tokens from files")]
pub mod nodes;
#[expect(clippy::disallowed_methods, reason = "reads the trust file")]
pub mod place;
#[expect(clippy::disallowed_methods, reason = "reads the name of the user")]
pub mod provenance;
pub mod refusals;
pub mod side;
pub mod stores;

pub use clock::{now, today};
pub use id::resolve_id;
pub use place::{Place, Sought, open_store, trust};
pub use side::{head, side, side_of_head, source_of};
pub use stores::{AnyStore, StoreName};
