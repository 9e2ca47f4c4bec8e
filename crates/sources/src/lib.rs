//! Texts of a project, and the nodes in them.
//!
//! [`syntax`] reads YAML and JSON into one spanned tree. [`project`] reads files of a folder or of a Git
//! revision, only those that Git tracks or would track. [`parallel`] runs work on all cores with a fixed
//! order of results.

pub mod parallel;
pub mod project;
mod sample;
pub mod syntax;
