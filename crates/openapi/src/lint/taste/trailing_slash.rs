//! Rule for a path that ends in a slash.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0721",
    name: "trailing-slash",
    level: Level::Warn,
    summary: "a path that ends in a slash",
    explain: "A router treats `/a/` and `/a` as two paths, but most people expect one. If both \
should work, set `x-gateway: {trailing_slash: ignore}`.",
    bad: v30!("paths:\n  /a/:\n    get: {responses: {'200': {description: ok}}}\n"),
    good: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    if key.len() > 1 && key.ends_with('/') {
        sink.push(Diagnostic::new(&LINT, place.at, "the path ends in a slash"));
    }
}
