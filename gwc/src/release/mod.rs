//! Functions for commands that use a store.
//!
//! | Module | Content |
//! |---|---|
//! | [`place`] | project, store, channel and trust file |
//! | [`id`] | bundles by short id |
//! | [`back`] | targets of rollbacks |
//! | [`mod@side`] | content of a bundle, and its sources |
//! | [`provenance`], [`evidence`] | origin of a bundle, and its verification |
//! | [`key`] | signing keys |
//! | [`nodes`] | admin interfaces of gateways |
//! | [`clock`] | current time |

pub mod back;
pub mod clock;
pub mod evidence;
pub mod id;
pub mod key;
pub mod links;
pub mod nodes;
pub mod place;
pub mod provenance;
pub mod side;

pub use clock::{now, today};
pub use id::resolve_id;
pub use place::{Place, Sought, open_store, trust};
pub use side::{head, side, source_of};
