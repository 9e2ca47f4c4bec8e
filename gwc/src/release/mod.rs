//! Functions shared by commands that use a store: finding the store, the channel's head, bundles by
//! short id, the clock, signing keys and the gateways' admin interfaces.
//!
//! | Question | Where |
//! |---|---|
//! | which project, store, channel, trust file | [`place`] |
//! | which bundle is meant; which one was before | [`id`], [`back`] |
//! | what a bundle means, and where it was written | [`mod@side`] |
//! | who says where it came from, and whether that is enough | [`provenance`], [`evidence`] |
//! | whose key signs | [`key`] |
//! | what the gateways say | [`nodes`] |
//! | the time | [`clock`] |

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
