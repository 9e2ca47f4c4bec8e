//! Rule for two mutually exclusive fields.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0339",
    name: "exclusive-fields",
    level: Level::Error,
    summary: "two fields that exclude each other",
    explain: "Some pairs of fields express the same thing, and OpenAPI allows only one of the two: \
`example` or `examples`, `value` or `externalValue`, `operationRef` or `operationId`, a license's \
`url` or `identifier`, XML's `nodeType` or `attribute`.",
    bad: v30!("paths: {}\ncomponents: {examples: {E: {value: 1, externalValue: 'e.json'}}}\n"),
    good: v30!("paths: {}\ncomponents: {examples: {E: {value: 1}}}\n"),
};

const PAIRS: [(&str, &str); 11] = [
    ("example", "examples"),
    ("value", "externalValue"),
    ("operationRef", "operationId"),
    ("url", "identifier"),
    ("value", "dataValue"),
    ("value", "serializedValue"),
    ("externalValue", "serializedValue"),
    ("encoding", "itemEncoding"),
    ("encoding", "prefixEncoding"),
    ("nodeType", "attribute"),
    ("nodeType", "wrapped"),
];

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    for (one, other) in PAIRS {
        if let (Some((one, _)), Some((other, _))) = (place.node.entry(one), place.node.entry(other))
        {
            sink.push(
                Diagnostic::new(
                    &LINT,
                    other.key_span,
                    format!("`{}` and `{}` exclude each other", one.key, other.key),
                )
                .related(one.key_span, "the other field"),
            );
        }
    }
}
