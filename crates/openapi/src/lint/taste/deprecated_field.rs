//! Rule for a field that OpenAPI has deprecated.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::spec::Version;
use crate::spec::objects::{Object, PARAMETER, SCHEMA, XML};
use sources::v31;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0729",
    name: "deprecated-field",
    level: Level::Info,
    summary: "a field that OpenAPI has deprecated",
    explain: "The field works, but the document's version of OpenAPI advises against it: `example` \
of a schema (from 3.1 on: `examples`), `attribute` and `wrapped` of `xml` (from 3.2 on: \
`nodeType`), `allowEmptyValue` of a parameter.",
    bad: v31!("paths: {}\ncomponents: {schemas: {A: {type: string, example: a}}}\n"),
    good: v31!("paths: {}\ncomponents: {schemas: {A: {type: string, examples: [a]}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let deprecated: &[(&Object, Version, &str, &str)] = &[
        (&SCHEMA, Version::V31, "example", "write `examples`, a list"),
        (
            &XML,
            Version::V32,
            "attribute",
            "write `nodeType: attribute`",
        ),
        (&XML, Version::V32, "wrapped", "write `nodeType: element`"),
        (
            &PARAMETER,
            Version::V30,
            "allowEmptyValue",
            "let the schema allow an empty string",
        ),
    ];
    for (object, since, key, help) in deprecated {
        if place.version >= *since
            && place.object_is(object)
            && let Some((entry, _)) = place.node.entry(key)
        {
            let message = format!("`{key}` is deprecated from OpenAPI {} on", since.name());
            sink.push(Diagnostic::new(&LINT, entry.key_span, message).help(*help));
        }
    }
}
