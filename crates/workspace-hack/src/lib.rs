//! One set of features for each third-party crate, in every build of this workspace.
//!
//! The crate has no code. Its `Cargo.toml` names the features that any build asks for, so that
//! `cargo build -p gwc`, `-p gwd` and `cargo test --workspace` share what they compile (the idea is
//! that of `cargo hakari`). `gwc`, `gwd` and `e2e` depend on it; the other crates do for their tests.
