//! Hard findings: mistakes that prevent a build, regardless of the configured level.

use diag::shape::NOT_AVAILABLE;
use diag::{Level, Lint};

/// True for the lint about valid configuration that gwd does not support yet. `gwc lint` reports
/// such configuration as a warning only.
#[must_use]
pub fn is_later(lint: &Lint) -> bool {
    std::ptr::eq(lint, &raw const NOT_AVAILABLE)
}

/// Returns the message that the configured level of a hard rule is too low.
#[must_use]
pub fn least(lint: &Lint) -> String {
    let level = match lint.level {
        Level::Error => "an error",
        Level::Warn => "a warning",
        Level::Info => "an info",
    };
    format!("`{}` cannot be set below {level}", lint.name)
}

/// True if an error of this lint prevents a build.
#[must_use]
pub fn is_hard(lint: &Lint) -> bool {
    let gateway = ["GW01", "GW05", "GW06"]
        .iter()
        .any(|group| lint.code.starts_with(group));
    // Lints about syntax, files, references and overlays, because such mistakes can change who has
    // access.
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
        // The operationId is the operation's key in the bundle and must be unique.
        "duplicate-operation-id",
        // Reviewers could mistake one name for another.
        "invisible-character",
    ];
    is_later(lint)
        || lint.level == Level::Error && (gateway || front || decides.contains(&lint.name))
}
