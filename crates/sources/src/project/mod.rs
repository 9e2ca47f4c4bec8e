//! Files of the project folder and their content.

#[expect(
    clippy::disallowed_methods,
    reason = "reads the rules of ignored files"
)]
mod base;
mod der_key;
#[expect(clippy::disallowed_methods, reason = "reads the files of the project")]
mod disk;
pub mod files;
mod inner_path;
mod key_material;
mod line_ends;
pub mod lints;
mod parsed;
pub mod parses;
pub mod pattern_sizes;
#[expect(
    clippy::disallowed_methods,
    reason = "measures the time of libgit2 and reads the ignore rules"
)]
pub mod patterns;
mod percent;
mod reach;
mod refusal;
#[expect(
    clippy::disallowed_methods,
    reason = "reads settings of the repository"
)]
pub mod repository;
pub mod revision;
pub mod state;
mod tree_path;

/// File name of a project's root document.
pub const GATEWAY_FILE: &str = "gateway.yaml";

/// Key that silences lint rules at a node.
pub const LINT_KEY: &str = "x-gateway-lint";

/// File name of the trust file. Default of `--trust`.
pub const TRUST_FILE: &str = "trust.json";
