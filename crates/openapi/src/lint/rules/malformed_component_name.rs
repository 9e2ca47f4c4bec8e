//! Rule for a component name with characters that OpenAPI does not allow.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0338",
    name: "malformed-component-name",
    level: Level::Error,
    summary: "a component whose name has characters that OpenAPI does not allow",
    explain: "Names under `components` must consist of letters, digits, `.`, `-` and `_`, so that \
references can use them unescaped.",
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
