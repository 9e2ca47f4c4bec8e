//! The compiler: from OpenAPI documents and gateway.yaml to a signed bundle.
//!
//! The way of the data: [`syntax`] reads texts into one spanned tree, [`project`] finds the
//! files, [`spec`] reads OpenAPI, [`lint`] judges it, and
//! [`output`] says what was found.

pub mod lint;
pub mod output;
pub mod project;
pub mod spec;
pub mod syntax;
