//! The decision: given a request's head and facts, what happens.
//!
//! [`Parts`] builds each API of a checked gateway once; [`build()`] links them to a [`Snapshot`]; [`edge::admit`] checks a head at the
//! edge; [`decide`] finds the operation and runs its chain; [`forward::outbound`] tells the head
//! that the upstream gets. No I/O, no clock: gwd calls these for each request, `gwc route` for
//! one, and so both answer alike.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod accept;
pub mod edge;
pub mod forward;
pub mod path;
pub mod proxy_protocol;
pub mod readings;
pub mod router;

mod api_part;
mod authenticate;
mod build;
mod conflicts;
mod consumers;
mod credentials;
mod decide;
mod error;
mod error_shapes;
mod key;
mod link;
mod listener;
mod overlong;
mod owned;
mod parts;
mod snapshot;
mod strip;
mod verifiers;

pub use api_part::ApiPart;
pub use build::build;
pub use consumers::Consumers;
pub use decide::{Decided, Refusal, Verdict, decide, finish, rejects};
pub use error::BuildError;
pub use error_shapes::ErrorShape;
pub use listener::Listener;
pub use parts::{Assembly, Parts};
pub use snapshot::{Breaker, ChainStep, Mount, RouteRef, Snapshot, Treatment};
