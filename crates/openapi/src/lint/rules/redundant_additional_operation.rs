//! Rule for an operation under `additionalOperations` whose method has its own field.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use crate::spec::Method;
use crate::spec::Version;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0346",
    name: "redundant-additional-operation",
    level: Level::Error,
    summary: "an operation under `additionalOperations` whose method has a field of its own",
    explain: "`additionalOperations` (OpenAPI 3.2) is for methods that path items have no field \
for; its keys are methods as they are sent, in upper case. `GET` and the like belong in their own \
fields.",
    bad: &[(
        "openapi.yaml",
        "openapi: 3.2.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {additionalOperations: {POST: {}}}}\n",
    )],
    good: &[(
        "openapi.yaml",
        "openapi: 3.2.0\ninfo: {title: t, version: \"1\"}\npaths: {/a: {additionalOperations: {COPY: {}}}}\n",
    )],
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    // Before 3.2, the field is unknown, which another rule reports.
    if place.version < Version::V32 {
        return;
    }
    let more = place.node.get("additionalOperations");
    for (entry, _) in more.into_iter().flat_map(NodeRef::entries) {
        if let Some((key, _)) = Method::FIELDS
            .iter()
            .find(|(_, method)| *method == &*entry.key)
        {
            sink.push(
                Diagnostic::new(
                    &LINT,
                    entry.key_span,
                    format!("`{}` has a field of its own", entry.key),
                )
                .help(format!("put the operation under `{key}`")),
            );
        }
    }
}
