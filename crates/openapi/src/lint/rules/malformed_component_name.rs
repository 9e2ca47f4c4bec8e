//! Rule for a component whose name has other characters than OpenAPI allows.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// The finding.
pub(super) static LINT: Lint = Lint {
    code: "GW0338",
    name: "malformed-component-name",
    level: Level::Error,
    summary: "a component whose name has other characters than OpenAPI allows",
    explain: "Names under `components` have letters, digits, `.`, `-` and `_` only, so that they can stand in references as they are.",
    bad: v30!("paths: {}\ncomponents: {schemas: {\"A B\": {type: string}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A_B: {type: string}}}\n"),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    if key.is_empty() || !key.bytes().all(allowed) {
        sink.push(
            Diagnostic::new(
                &LINT,
                place.at,
                format!("`{}` cannot be the name of a component", key.escape_debug()),
            )
            .help("use letters, digits, `.`, `-` and `_`"),
        );
    }
}
