//! Tests that the example of a break shows the difference of its line, and no other one.

use plan::{Class, Plan};

use crate::meaning::between;

/// Breaks of a plan, as `ID VALUE EXAMPLE`. `VALUE`: the value of `enum`, otherwise the keyword.
fn examples(plan: &Plan) -> Vec<String> {
    let breaks = plan.changes.iter().filter(|one| one.class == Class::Break);
    let lines = breaks.map(|change| {
        let message = change.message.as_ref().expect("a message");
        let what = match &*message.keyword {
            "enum" => [&change.old, &change.new]
                .map(ToString::to_string)
                .join(" "),
            keyword => keyword.to_owned(),
        };
        let example = message.witness.as_ref().map(ToString::to_string);
        format!("{} {what}: {}", change.id, example.unwrap_or_default())
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

#[test]
fn example_shows_only_its_own_keyword() {
    for (old, new, expected) in [
        (
            "{type: string, minLength: 1, maxLength: 9}",
            "{type: string, minLength: 3, maxLength: 5}",
            &[
                "request-property-max-length-decreased maxLength: \"000000\"",
                "request-property-min-length-increased minLength: \"-\"",
            ][..],
        ),
        (
            "{type: object, properties: {p: {type: integer}, q: {type: integer}}}",
            "{type: object, required: [p, q], properties: {p: {type: integer}, q: {type: integer}}}",
            &[
                "request-property-became-required required: {\"p\":0}",
                "request-property-became-required required: {\"q\":0}",
            ],
        ),
        (
            "{enum: [x, y, z]}",
            "{enum: [x]}",
            &[
                "request-property-enum-value-removed \"y\" null: \"y\"",
                "request-property-enum-value-removed \"z\" null: \"z\"",
            ],
        ),
        (
            "{type: array, items: {type: integer}, minItems: 1, maxItems: 4}",
            "{type: array, items: {type: integer}, minItems: 2, maxItems: 3}",
            &[
                "request-property-min-items-increased minItems: [0]",
                "request-schema-narrowed maxItems: [0,0,0,0]",
            ],
        ),
    ] {
        assert_eq!(
            examples(&between("request", old, new)),
            expected,
            "{old} -> {new}"
        );
    }
}
