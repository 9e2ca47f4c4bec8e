//! Files of the project folder and their content.

mod base;
mod disk;
pub mod files;
mod key_material;
pub mod lints;
mod reach;
mod refusal;
pub mod repository;
pub mod revision;

/// File name of a project's root document.
pub const GATEWAY_FILE: &str = "gateway.yaml";

/// Key that silences lint rules at a node.
pub const LINT_KEY: &str = "x-gateway-lint";

/// File name of the trust file. Default of `--trust`.
pub const TRUST_FILE: &str = "trust.json";
