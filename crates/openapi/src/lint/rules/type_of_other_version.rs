//! Rule for `type` in the syntax of another OpenAPI version.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::{Place, edit};
use crate::spec::Version;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0387",
    name: "type-of-other-version",
    level: Level::Error,
    summary: "`type` in the form of OpenAPI 3.1 in a 3.0 document",
    explain: "In OpenAPI 3.0 `type` is a single type, and `null` is not a type: a value that may \
be null has `nullable: true` beside its type, and a value that may have several types has `anyOf`. \
Lists of types, and `null` as a type, came with 3.1.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {type: [string, 'null']}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, nullable: true}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if place.version != Version::V30 {
        return;
    }
    let Some(kind) = place.node.get("type") else {
        return;
    };
    if kind.as_str() == Some("null") {
        sink.push(
            Diagnostic::new(&LINT, kind.span(), "`null` is not a type in OpenAPI 3.0")
                .help("write the type of its other values, and `nullable: true` beside it"),
        );
    } else if kind.is_list() {
        list(place, kind, sink);
    }
}

fn list(place: &Place<'_, '_>, kind: NodeRef<'_>, sink: &mut Sink) {
    let finding = Diagnostic::new(
        &LINT,
        kind.span(),
        "`type` is one type in OpenAPI 3.0, not a list",
    );
    let types: Vec<&str> = kind.items().filter_map(NodeRef::as_str).collect();
    let others: Vec<&str> = types.iter().copied().filter(|of| *of != "null").collect();
    let nullable = others.len() < types.len();
    let read = types.len() == kind.items().len();
    // Copy the source text, so that JSON strings keep their quotes.
    let files = place.resolver.files();
    let mut written = kind.items().filter(|item| item.as_str() != Some("null"));
    let written = written.next().map(|item| files.sources.text(item.span()));
    let written = written.unwrap_or_default();
    sink.push(match (&others[..], nullable) {
        ([one], false) if read => finding
            .help(format!("write `type: {}`", one.escape_debug()))
            .fix(kind.span(), written),
        ([one], true) if read => {
            let help = format!("write `type: {}` and `nullable: true`", one.escape_debug());
            let finding = finding.help(help);
            let known = place.node.get("nullable").is_some();
            match edit::entry_before(files, place.node, "type", "nullable", "true") {
                Some((before, text)) if !known => {
                    finding.fix(before, text).fix(kind.span(), written)
                }
                Some(_) | None => finding,
            }
        }
        _ => finding.help("write `anyOf` with a schema for each type, or `openapi: 3.1.1`"),
    });
}
