//! Rule for an `enum` value or `default` whose type differs from the schema's.

use diag::{Diagnostic, Kind, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0343",
    name: "value-of-other-type",
    level: Level::Warn,
    summary: "an `enum` value or `default` of another type than its schema",
    explain: "The schema's `type` excludes the value, so an `enum` value can never be sent and a \
`default` is not valid. In YAML, `yes` is a string and `1.0` a number; put strings in quotes.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, enum: [a, 1]}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, enum: [a, \"1\"]}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(kind) = place.node.get("type") else {
        return;
    };
    let values = place.node.get("enum").into_iter().flat_map(NodeRef::items);
    for value in values.chain(place.node.get("default")) {
        // Null often means "no value", even if the schema is not nullable.
        if !value.is_null() && !is_of_types(place.node, value) {
            sink.push(
                Diagnostic::new(
                    &LINT,
                    value.span(),
                    format!(
                        "this is {}, the schema's type is {}",
                        value.kind_name(),
                        types(kind).join(" or ")
                    ),
                )
                .related(kind.span(), "the type"),
            );
        }
    }
}

fn types(kind: NodeRef<'_>) -> Vec<&str> {
    match kind.as_str() {
        Some(one) => vec![one],
        None => kind.items().filter_map(NodeRef::as_str).collect(),
    }
}

/// True if a value has one of the schema's types, or the schema has no `type`.
pub(super) fn is_of_types(schema: NodeRef<'_>, value: NodeRef<'_>) -> bool {
    let types = schema.get("type").map(types).unwrap_or_default();
    types.is_empty() || types.iter().any(|kind| is_of(value, kind))
}

fn is_of(value: NodeRef<'_>, kind: &str) -> bool {
    match kind {
        "string" => value.as_str().is_some(),
        "boolean" => value.as_bool().is_some(),
        "number" => matches!(value.kind(), Kind::Number(_)),
        "integer" => match value.kind() {
            Kind::Number(text) => text
                .parse::<f64>()
                .map_or(true, |number| number.fract() == 0.0),
            _ => false,
        },
        "array" => value.is_list(),
        "object" => value.is_map(),
        "null" => value.is_null(),
        _ => true,
    }
}
