//! The project's folder: which files there are and what they say.

pub mod files;
pub mod globs;
pub mod lints;
mod reach;
mod refusal;
pub mod repository;
pub mod revision;
