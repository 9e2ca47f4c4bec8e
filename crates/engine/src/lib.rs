//! The decision: given a request's head and facts, what happens.
//!
//! [`build`] turns a checked gateway into a [`Snapshot`]; [`edge::admit`] checks a head at the
//! edge; [`decide`] finds the operation and runs its chain; [`forward::prepare`] makes the head
//! that the upstream gets. No I/O, no clock: gwd calls these for each request, `gwc route` for
//! one, and so both answer alike.

pub mod edge;
pub mod forward;
pub mod path;
pub mod router;

mod authenticate;
mod build;
mod decide;
mod snapshot;

pub use build::{BuildError, RouterCache, build};
pub use decide::{Decided, Refusal, Verdict, decide, finish, rejects};
pub use snapshot::{ChainStep, Listener, Mount, RouteRef, Snapshot, Treatment};
