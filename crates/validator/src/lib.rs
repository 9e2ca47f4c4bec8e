//! Validation of messages against the schemas of an API's description.
//!
//! gwc compiles every validator of a bundle once, to report parts that cannot be enforced. gwd
//! compiles the validators of an operation at its first use. Both call [`Operation::compile`], so a
//! bundle that gwc has accepted can be compiled in gwd.
//!
//! Refusing a valid message is worse than accepting an invalid message. If a description is
//! ambiguous, the message is therefore accepted.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod body;
mod choices;
pub mod compare;
pub mod compare_responses;
mod compared_names;
mod compile;
mod cone;
mod contain;
mod contained_items;
pub mod containment;
mod content;
mod deferred;
pub mod example;
pub mod example_response;
mod form;
mod format;
mod items;
mod json;
mod kinds;
mod limits;
mod lower;
mod media;
mod members;
mod multipart;
mod names;
mod nulls;
mod open;
mod operation;
mod order;
mod parameters;
mod request;
mod response;
mod responses;
mod samples;
mod sequences;
mod splitter;
mod steps;
mod structures;
mod style;
mod text;
mod words;

pub use body::BodyKind;
pub use compile::Uncompilable;
pub use cone::Cone;
pub use format::{FormatCheck, format_check, registered_formats};
pub use lower::{Direction, NotEnforced, is_read_only};
pub use media::{is_read, is_read_in_responses, is_split, nearest};
pub use operation::{BodyUse, Operation};
pub use parameters::field_names::is_other_spelling;
pub use parameters::{Head, describes_every_name, member_names};
pub use request::{Credentials, Described};
pub use response::ResponseUse;
pub use splitter::{Piece, Splitter};
pub use steps::briefly;
pub use text::escaped;
