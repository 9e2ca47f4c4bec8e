//! The project's folder: which files there are and what they say.

pub mod files;
pub mod globs;
pub mod lints;
mod refusal;
pub mod revision;
