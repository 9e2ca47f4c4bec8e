//! Rule for schemas in an unsupported JSON Schema dialect.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::spec::Version;
use crate::spec::objects::DOCUMENT;
use sources::v31;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0357",
    name: "unknown-dialect",
    level: Level::Warn,
    summary: "schemas of an unsupported dialect of JSON Schema",
    explain: "From 3.1 on, `jsonSchemaDialect` at the root and `$schema` in a schema say which JSON Schema is meant. \
gwc reads 2020-12 and OpenAPI's dialects of it. Schemas of other dialects are read as 2020-12, and some of their \
keywords (`id`, `dependencies`, `items` with a list) have no meaning there.",
    bad: v31!("paths: {}\njsonSchemaDialect: http://json-schema.org/draft-07/schema#\n"),
    good: v31!("paths: {}\njsonSchemaDialect: https://json-schema.org/draft/2020-12/schema\n"),
};

const READ: &[&str] = &["https://json-schema.org/draft/2020-12/schema"];
/// URL prefixes of OpenAPI's schema dialects. A dialect name and a date follow.
const OPENAPI: &[&str] = &[
    "https://spec.openapis.org/oas/3.1/",
    "https://spec.openapis.org/oas/3.2/",
];

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if place.version == Version::V30 {
        return;
    }
    let key = if place.object_is(&DOCUMENT) {
        "jsonSchemaDialect"
    } else {
        "$schema"
    };
    let Some(value) = place.node.get(key) else {
        return;
    };
    let Some(text) = value.as_str() else { return };
    let known = READ.contains(&text.trim_end_matches('#'))
        || OPENAPI.iter().any(|start| text.starts_with(start));
    if !known {
        sink.push(
            Diagnostic::new(
                &LINT,
                value.span(),
                format!("`{}` is not a supported dialect", text.escape_debug()),
            )
            .label("its schemas are read as JSON Schema 2020-12")
            .help(
                "convert the schemas to JSON Schema 2020-12, then write `https://json-schema.org/draft/2020-12/schema`",
            ),
        );
    }
}
