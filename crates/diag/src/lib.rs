//! Places in a text, and diagnostics about them.
//!
//! Everything that reads a user's file ends in one of two things: a node of the spanned
//! [`tree`] or a [`Diagnostic`] that points at the text. This crate holds both, and the
//! closed vocabulary ([`shape`]) that turns one into the other. It reads no files and knows
//! neither OpenAPI nor gateways.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod diagnostic;
pub mod read;
pub mod shape;
pub mod sink;
pub mod source;
pub mod span;
pub mod suggest;
pub mod text;
pub mod tree;
mod units;
pub mod workflow;

pub use diagnostic::{Diagnostic, Level, Lint};
pub use sink::Sink;
pub use source::{Position, SourceFile, Sources};
pub use span::{FileId, Span, Spanned};
pub use tree::{Kind, NodeId, NodeRef, Tree};
