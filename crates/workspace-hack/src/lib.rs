//! Crate that gives each third-party crate one set of features, in every build of this workspace.
//!
//! The crate has no code. Its `Cargo.toml` names the features that any build needs.
//! `cargo build -p gwc`, `-p gwd` and `cargo test --workspace` therefore share compiled crates, as
//! with `cargo hakari`. `gwc`, `gwd` and `e2e` depend on it; the other crates do for their tests.
