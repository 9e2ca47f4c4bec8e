//! Rule for `exclusiveMinimum` or `exclusiveMaximum` in the syntax of another OpenAPI version.

use diag::{Diagnostic, Kind, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use crate::lint::edit;
use crate::spec::Version;
use crate::spec::lints::WRONG_FIELD_TYPE;
use sources::v31;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0372",
    name: "limit-of-other-version",
    level: Level::Error,
    summary: "`exclusiveMinimum` or `exclusiveMaximum` in the form of another version",
    explain: "In OpenAPI 3.0 `exclusiveMinimum: true` excludes the value of `minimum`; from 3.1 on \
the keyword is the limit itself: `exclusiveMinimum: 3`. In the form of the other version it limits \
nothing.",
    bad: v31!(
        "paths: {}\ncomponents: {schemas: {A: {type: integer, minimum: 3, exclusiveMinimum: true}}}\n"
    ),
    good: v31!("paths: {}\ncomponents: {schemas: {A: {type: integer, exclusiveMinimum: 3}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    for (limit, key) in [
        ("minimum", "exclusiveMinimum"),
        ("maximum", "exclusiveMaximum"),
    ] {
        let Some((_, value)) = place.node.entry(key) else {
            continue;
        };
        let files = place.resolver.files();
        match (value.kind(), place.version) {
            (Kind::Bool(_), Version::V30) => {}
            (Kind::Number(_), Version::V30) => {
                let message = format!("`{key}` is `true` or `false` in OpenAPI 3.0");
                let number = value.scalar_text().unwrap_or_default();
                sink.push(
                    Diagnostic::new(&LINT, value.span(), message)
                        .help(format!("write `{limit}: {number}` and `{key}: true`")),
                );
            }
            (Kind::Bool(exclusive), Version::V31 | Version::V32) => {
                let message = format!("`{key}` is a number from OpenAPI 3.1 on");
                let finding = Diagnostic::new(&LINT, value.span(), message);
                let number = place.node.get(limit).filter(|_| *exclusive);
                let number = number.and_then(NodeRef::scalar_text);
                let gone = if *exclusive { limit } else { key };
                let gone = edit::entry_removed(files, place.node, gone);
                sink.push(match (number, gone) {
                    (Some(number), Some(gone)) => finding
                        .help(format!(
                            "write `{key}: {number}` instead of `{limit}: {number}`"
                        ))
                        .fix(value.span(), number)
                        .fix(gone, ""),
                    (Some(number), None) => finding.help(format!(
                        "write `{key}: {number}` instead of `{limit}: {number}`"
                    )),
                    (None, Some(gone)) if !exclusive => finding.help("remove it").fix(gone, ""),
                    (None, _) => finding.help("remove it, or write the limit"),
                });
            }
            (_, Version::V30) => wrong_type(value, "`true` or `false`", sink),
            (Kind::Number(_), Version::V31 | Version::V32) => {}
            (_, Version::V31 | Version::V32) => wrong_type(value, "a number", sink),
        }
    }
}

fn wrong_type(value: NodeRef<'_>, expected: &str, sink: &mut Sink) {
    let message = format!("expected {expected}, found {}", value.kind_name());
    sink.push(
        Diagnostic::new(&WRONG_FIELD_TYPE, value.span(), message)
            .label(format!("expected {expected}")),
    );
}
