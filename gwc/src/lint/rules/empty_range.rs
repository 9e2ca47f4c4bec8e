//! A schema whose least value is above its greatest.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use crate::lint::sample::v30;

/// The finding.
pub(super) static LINT: Lint = Lint {
    code: "GW0341",
    name: "empty-range",
    level: Level::Warn,
    summary: "a schema whose least value is above its greatest",
    explain: "`minLength` above `maxLength` (or `minItems`, `minProperties`, `minimum` above their counterparts) leaves no value that is \
valid, so a request that is validated against it is always refused.",
    bad: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: string, minLength: 5, maxLength: 2}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: string, minLength: 2, maxLength: 5}}}\n"
    ),
};

const PAIRS: [(&str, &str); 4] = [
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
    ("minimum", "maximum"),
];

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    for (low, high) in PAIRS {
        let (Some((_, least)), Some((_, most))) = (place.node.entry(low), place.node.entry(high))
        else {
            continue;
        };
        let number =
            |node: NodeRef<'_>| node.scalar_text().and_then(|text| text.parse::<f64>().ok());
        if let (Some(least_value), Some(most_value)) = (number(least), number(most))
            && least_value > most_value
        {
            sink.push(
                Diagnostic::new(
                    &LINT,
                    least.span(),
                    format!("`{low}` is above `{high}`: nothing is valid"),
                )
                .related(most.span(), format!("`{high}` is here")),
            );
        }
    }
}
