//! Source files of a project and the syntax trees that are parsed from them.
//!
//! [`syntax`] parses YAML and JSON into one tree whose nodes have spans. [`project`] reads files
//! from a folder or a Git revision: only files that Git tracks or does not ignore. [`parallel`]
//! runs work on all cores and returns results in a fixed order.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod parallel;
pub mod project;
mod sample;
pub mod syntax;
