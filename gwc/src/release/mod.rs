//! What commands share that look at a store: where it is, what its channel runs, what a short id
//! means, what time it is, who signs and who asks the gateways.
//!
//! | Question | Where |
//! |---|---|
//! | which project, store, channel, trust file | [`place`] |
//! | which bundle is meant | [`id`] |
//! | what a bundle means, and where it was written | [`side`] |
//! | the time | [`clock`] |

pub mod clock;
pub mod id;
pub mod place;
pub mod side;

pub use clock::now;
pub use id::resolve_id;
pub use place::{Place, open_store, trust};
pub use side::{head, side, source_of};
