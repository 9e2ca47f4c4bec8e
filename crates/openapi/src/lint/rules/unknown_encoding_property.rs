//! Rule for `encoding` of a property that the schema does not describe.

use diag::{Diagnostic, Level, Lint, Sink, suggest};

use super::required_without_property::described;
use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0376",
    name: "unknown-encoding-property",
    level: Level::Warn,
    summary: "`encoding` of a property that the schema does not describe",
    explain: "The keys of `encoding` are the names of properties of the body's schema. A name that \
the schema does not have is most often misspelt.",
    bad: v30!(
        "paths: {}\ncomponents: {requestBodies: {B: {content: {multipart/form-data: {schema: {type: object, properties: {a: {type: string}}}, encoding: {b: {contentType: text/plain}}}}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {requestBodies: {B: {content: {multipart/form-data: {schema: {type: object, properties: {a: {type: string}}}, encoding: {a: {contentType: text/plain}}}}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let encodings = place
        .node
        .get("encoding")
        .and_then(|all| place.resolver.resolve(all));
    let schema = place.node.get("schema");
    let (Some(encodings), Some(schema)) = (encodings, schema) else {
        return;
    };
    let Some(names) = described(place, place.resolver.node(schema.id())) else {
        return;
    };
    for (entry, _) in encodings.entries() {
        if names.contains(&&*entry.key) || entry.key.starts_with("x-") {
            continue;
        }
        let message = format!("no property `{}` is described", entry.key.escape_debug());
        let finding = Diagnostic::new(&LINT, entry.key_span, message);
        let mut sorted: Vec<&str> = names.iter().copied().collect();
        sorted.sort_unstable();
        sink.push(match suggest::nearest(&entry.key, sorted) {
            Some(near) => finding
                .label(format!("did you mean `{near}`?"))
                .fix(entry.key_span, near),
            None => finding.help("describe it under `properties` of the schema"),
        });
    }
}
