//! Source locations in files, and diagnostics about them.
//!
//! Reading a user's file gives either a node of the [`tree`] with spans, or a [`Diagnostic`] that
//! points at the text. This crate defines both types, and the closed vocabulary ([`shape`]) by
//! which nodes are checked. The crate reads no files, and does not depend on OpenAPI or gateways.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod count;
pub mod diagnostic;
mod invisible;
pub mod json;
pub mod read;
pub mod sarif;
pub mod shape;
pub mod sink;
pub mod source;
pub mod span;
pub mod suggest;
pub mod text;
pub mod tree;
mod units;
pub mod uri;
pub mod workflow;
pub mod xml;

pub use diagnostic::{Diagnostic, Level, Lint};
pub use sink::Sink;
pub use source::{Position, SourceFile, Sources};
pub use span::{FileId, Span, Spanned};
pub use tree::{Kind, NodeId, NodeRef, Tree};
pub use units::written_ms;
