//! Rule for a key of `additionalOperations` that is not an HTTP method.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::spec::Method;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0358",
    name: "malformed-method",
    level: Level::Error,
    summary: "a key of `additionalOperations` that is not a method",
    explain: "The keys of `additionalOperations` (OpenAPI 3.2) are methods as they are sent, and \
the letter case of methods counts (RFC 9110 §9.1): `COPY` and `copy` are different methods. \
Registered methods are in upper case.",
    bad: &[(
        "openapi.yaml",
        "openapi: 3.2.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {additionalOperations: {'COPY TO': {}}}}\n",
    )],
    good: &[(
        "openapi.yaml",
        "openapi: 3.2.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {additionalOperations: {COPY: {}}}}\n",
    )],
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let shown = key.escape_debug();
    if Method::additional(key).is_none() {
        sink.push(
            Diagnostic::new(&LINT, place.at, format!("`{shown}` cannot be a method"))
                .help("a method is one word, such as `COPY`"),
        );
    } else if key.bytes().any(|b| b.is_ascii_lowercase()) {
        let upper = key.to_ascii_uppercase();
        sink.push(
            Diagnostic::new(
                &LINT,
                place.at,
                format!("the method `{shown}` is not in upper case"),
            )
            .help(format!(
                "write `{upper}` if clients send it so; the two are different methods"
            ))
            .level(Level::Warn),
        );
    }
}
