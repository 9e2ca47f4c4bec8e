//! Rule for a response's key that is not a status code.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0330",
    name: "malformed-status",
    level: Level::Error,
    summary: "a response's key that is not a status code",
    explain: "The key of a response is a status code from `100` to `599`, a class such as `4XX`, \
or `default`.",
    bad: v30!("paths:\n  /a:\n    get: {responses: {'700': {description: odd}}}\n"),
    good: v30!(
        "paths:\n  /a:\n    get: {responses: {'200': {description: ok}, 4XX: {description: no}}}\n"
    ),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let fine = match key.as_bytes() {
        b"default" => true,
        [b'1'..=b'5', b'X', b'X'] => true,
        [b'1'..=b'5', tens, ones] => tens.is_ascii_digit() && ones.is_ascii_digit(),
        _ => false,
    };
    if !fine {
        sink.push(
            Diagnostic::new(
                &LINT,
                place.at,
                format!("`{}` is not a status code", key.escape_debug()),
            )
            .help("write a code from `100` to `599`, a class such as `4XX`, or `default`"),
        );
    }
}
