//! Rule for a schema whose minimum is greater than its maximum.

use diag::{Diagnostic, Kind, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0341",
    name: "empty-range",
    level: Level::Warn,
    summary: "a schema whose minimum is above its maximum",
    explain: "With `minLength` above `maxLength` the schema accepts no string, so validation \
refuses each message that has a string there. The same holds for `minItems`, `minProperties`, \
`minContains`, `minimum` and `exclusiveMinimum` with their counterparts.",
    bad: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: string, minLength: 5, maxLength: 2}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: string, minLength: 2, maxLength: 5}}}\n"
    ),
};

/// Pairs of lower and upper limits, with the type of the values that they limit. Exclusive limits
/// are numbers in 3.1 and booleans in 3.0.
const PAIRS: [(&str, &str, &str); 8] = [
    ("minLength", "maxLength", "string"),
    ("minItems", "maxItems", "array"),
    ("minProperties", "maxProperties", "object"),
    ("minContains", "maxContains", "array"),
    ("minimum", "maximum", "number"),
    ("exclusiveMinimum", "maximum", "number"),
    ("minimum", "exclusiveMaximum", "number"),
    ("exclusiveMinimum", "exclusiveMaximum", "number"),
];

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    for (low, high, limited) in PAIRS {
        let (Some((_, least)), Some((_, most))) = (place.node.entry(low), place.node.entry(high))
        else {
            continue;
        };
        let number = |node: NodeRef<'_>| match node.kind() {
            Kind::Number(text) => text.parse::<f64>().ok(),
            _ => None,
        };
        if let (Some(least_value), Some(most_value)) = (number(least), number(most))
            && (least_value > most_value
                || is_strict(place, low, high) && least_value >= most_value)
        {
            sink.push(
                Diagnostic::new(
                    &LINT,
                    least.span(),
                    if least_value > most_value {
                        format!("`{low}` is above `{high}`: no {limited} is valid")
                    } else {
                        format!(
                            "`{low}` equals `{high}`, and the limit itself is excluded: \
no {limited} is valid"
                        )
                    },
                )
                .related(most.span(), format!("`{high}` is here")),
            );
        }
    }
}

/// True if at least one of two limits is exclusive.
fn is_strict(place: &Place<'_, '_>, low: &str, high: &str) -> bool {
    let flag = |key: &str| place.node.get(key).and_then(NodeRef::as_bool) == Some(true);
    low.starts_with("exclusive")
        || high.starts_with("exclusive")
        || low == "minimum" && (flag("exclusiveMinimum") || flag("exclusiveMaximum"))
}
