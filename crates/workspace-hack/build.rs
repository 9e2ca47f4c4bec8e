//! Empty: Cargo resolves `[build-dependencies]` only for a crate that has a build script.

fn main() {}
