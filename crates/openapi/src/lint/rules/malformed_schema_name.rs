//! Rule for an invalid identifier of a schema (`$id`, `$anchor`).

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use crate::spec::Version;
use sources::v31;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0742",
    name: "malformed-schema-name",
    level: Level::Error,
    summary: "a malformed `$anchor` or `$id`",
    explain: "An `$anchor` (and a `$dynamicAnchor`) begins with a letter or `_`, followed by \
letters, digits, `-`, `_` and `.`. An `$id` must not have a fragment (JSON Schema 2020-12 core \
§8.2). A reference cannot name a schema by a malformed `$anchor` or `$id`.",
    bad: v31!("paths: {}\ncomponents: {schemas: {A: {$anchor: 1a, type: string}}}\n"),
    good: v31!("paths: {}\ncomponents: {schemas: {A: {$anchor: a1, type: string}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if place.version < Version::V31 {
        return;
    }
    let written = |key| {
        let value = place.node.get(key)?;
        Some((value, value.as_str()?))
    };
    let mut refuse = |value: NodeRef<'_>, text: &str, message: &str, help: &str| {
        let message = format!("`{}` {message}", text.escape_debug());
        sink.push(Diagnostic::new(&LINT, value.span(), message).help(help));
    };
    for key in ["$anchor", "$dynamicAnchor"] {
        if let Some((value, text)) = written(key).filter(|(_, text)| !is_anchor(text)) {
            let help =
                "it begins with a letter or `_`, followed by letters, digits, `-`, `_` and `.`";
            refuse(value, text, "cannot be an anchor", help);
        }
    }
    let fragment = |text: &str| {
        text.split_once('#')
            .is_some_and(|(_, rest)| !rest.is_empty())
    };
    if let Some((value, text)) = written("$id").filter(|(_, text)| fragment(text)) {
        refuse(
            value,
            text,
            "has a fragment, which an `$id` must not have",
            "write the name after `#` as `$anchor`",
        );
    }
}

fn is_anchor(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}
