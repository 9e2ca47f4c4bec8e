//! The project's folder: which files there are and what they say.

mod base;
mod disk;
pub mod files;
pub mod globs;
mod key_material;
pub mod lints;
mod reach;
mod refusal;
pub mod repository;
pub mod revision;
