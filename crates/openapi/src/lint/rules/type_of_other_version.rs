//! Rule for `type` in the notation of another version of OpenAPI.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::{Place, edit};
use crate::spec::Version;
use sources::v30;

/// The finding.
pub(super) static LINT: Lint = Lint {
    code: "GW0387",
    name: "type-of-other-version",
    level: Level::Error,
    summary: "`type` in an OpenAPI 3.0 document as 3.1 writes it",
    explain: "In OpenAPI 3.0 `type` is one type, and null is no type: what may be null says `nullable: true` beside its type, what may be of several types \
says `anyOf`. Lists of types and `null` among them came with 3.1.",
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
            Diagnostic::new(&LINT, kind.span(), "`null` is no type in OpenAPI 3.0")
                .help("write `nullable: true` beside the type that it has otherwise"),
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
    // Source text, so that JSON keeps its quotes.
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
