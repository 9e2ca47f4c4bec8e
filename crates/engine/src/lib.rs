//! Decision about a request from its head and the properties of its connection.
//!
//! [`Parts`] builds each API of a checked gateway once, and [`build()`] links them to a
//! [`Snapshot`]. For a request, [`edge::admit`] checks the head, [`decide`] finds the operation and
//! runs its chain, and [`forward::outbound`] builds the head for the upstream. The crate does no
//! I/O and reads no clock: gwd and `gwc route` call the same functions and get the same results.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod accept;
pub mod edge;
pub mod folding;
pub mod forward;
pub mod hpack;
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
mod escapes;
pub mod guards;
mod invalid_utf8;
mod key;
mod link;
mod listener;
mod logged;
mod logins;
mod lookalikes;
mod matched_requests;
mod overlong;
mod parts;
mod response_fields;
mod servers;
mod shadow;
mod snapshot;
mod strip;
mod unknown_paths;
mod verifiers;

pub use api_part::ApiPart;
pub use authenticate::{CREDENTIAL_EXPIRED, signed_fields};
pub use build::build;
pub use consumers::Consumers;
pub use decide::{
    CONDITION_AMBIGUOUS, Decided, Owner, PATH_AMBIGUOUS, Refusal, Verdict, decide, finish, owner,
    rejects, resume,
};
pub use error::BuildError;
pub use error_shapes::ErrorShape;
pub use listener::Listener;
pub use logged::LoggedForms;
pub use parts::{Assembly, Parts};
pub use shadow::{ShadowDecision, decide_shadow};
pub use snapshot::{
    ChainStep, CircuitBreaker, Mount, ResponseValidation, RouteRef, Snapshot, Treatment,
};
pub use strip::{overlap as credentials_overlap, removes as credentials_remove};
