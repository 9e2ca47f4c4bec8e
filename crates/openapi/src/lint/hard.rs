//! Hard findings: mistakes that prevent a build, whatever their configured level.

use diag::shape::NOT_AVAILABLE;
use diag::{Level, Lint};

/// True for the lint on well-formed configuration that this version cannot run. `gwc lint` only
/// warns of it.
#[must_use]
pub fn is_later(lint: &Lint) -> bool {
    std::ptr::eq(lint, &raw const NOT_AVAILABLE)
}

/// Message that a hard rule's level cannot be set lower.
#[must_use]
pub fn least(lint: &Lint) -> String {
    let level = match lint.level {
        Level::Error => "an error",
        Level::Warn => "a warning",
        Level::Info => "an info",
    };
    format!("`{}` cannot be made less than {level}", lint.name)
}

/// True if an error of the rule means that nothing can be built.
#[must_use]
pub fn is_hard(lint: &Lint) -> bool {
    let gateway = ["GW01", "GW05", "GW06"]
        .iter()
        .any(|group| lint.code.starts_with(group));
    // Syntax, files, references and overlays, which can change access.
    let front = ["GW02", "GW04"]
        .iter()
        .any(|group| lint.code.starts_with(group));
    let decides = [
        "unsupported-version",
        "unknown-value",
        "unknown-rule",
        "unknown-method",
        "malformed-path-template",
        "repeated-template-parameter",
        "unsupported-template",
        "undefined-security-scheme",
        "incomplete-security-scheme",
        "malformed-security",
        // The id is the operation's key in the bundle and must be unique.
        "duplicate-operation-id",
        // Reviewers would mistake one name for another.
        "invisible-character",
    ];
    is_later(lint)
        || lint.level == Level::Error && (gateway || front || decides.contains(&lint.name))
}
