//! Tests of properties that an inner schema does not describe and another schema of the same value
//! does: `allOf`, schemas beside it, `then`, properties of two members.

use crate::hidden_breaks::{Case, check, lines};
use crate::meaning::between_bodies;

/// A member newly restricts a property that another schema of the value describes.
const BREAKS: &[Case<'_>] = &[
    (
        "request",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}}}]}",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}, state: {enum: [open, closed]}}}]}",
        "request-schema-narrowed error refuted {\"state\":",
    ),
    (
        "response",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}, state: {enum: [open, closed]}}}]}",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}}}]}",
        "response-schema-widened error refuted {\"state\":",
    ),
    // The other schema is the one that has `allOf`.
    (
        "request",
        "{type: object, properties: {state: {type: string}}, allOf: [{properties: {note: {type: string}}}]}",
        "{type: object, properties: {state: {type: string}}, allOf: [{properties: {note: {type: string}, state: {enum: [open, closed]}}}]}",
        "request-schema-narrowed error refuted {\"state\":",
    ),
    // Inside a property that both members describe.
    (
        "request",
        "{allOf: [{type: object, properties: {at: {type: object, properties: {state: {type: string}}}}}, {properties: {at: {properties: {note: {type: string}}}}}]}",
        "{allOf: [{type: object, properties: {at: {type: object, properties: {state: {type: string}}}}}, {properties: {at: {properties: {note: {type: string}, state: {enum: [open, closed]}}}}}]}",
        "request-schema-narrowed error refuted {\"at\":{\"state\":",
    ),
    // The inner pair is not in `allOf`, but the property's other schema is.
    (
        "request",
        "{type: object, allOf: [{properties: {at: {type: object, properties: {state: {type: string}}}}}], properties: {at: {properties: {note: {type: string}}}}}",
        "{type: object, allOf: [{properties: {at: {type: object, properties: {state: {type: string}}}}}], properties: {at: {properties: {note: {type: string}, state: {enum: [open, closed]}}}}}",
        "request-schema-narrowed error refuted {\"at\":{\"state\":",
    ),
    (
        "request",
        "{allOf: [{type: array, items: {type: object, properties: {state: {type: string}}}}, {items: {properties: {note: {type: string}}}}]}",
        "{allOf: [{type: array, items: {type: object, properties: {state: {type: string}}}}, {items: {properties: {note: {type: string}, state: {enum: [open, closed]}}}}]}",
        "request-schema-narrowed error refuted [{\"state\":",
    ),
    (
        "request",
        "{type: object, properties: {state: {type: string}, kind: {type: string}}, if: {required: [kind]}, then: {properties: {note: {type: string}}}}",
        "{type: object, properties: {state: {type: string}, kind: {type: string}}, if: {required: [kind]}, then: {properties: {note: {type: string}, state: {enum: [open, closed]}}}}",
        "request-schema-narrowed error refuted {\"kind\":",
    ),
    // Keywords that refuse a property without its name.
    (
        "request",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}}}]}",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}}, maxProperties: 1}]}",
        "request-schema-narrowed error refuted {\"note\":",
    ),
    (
        "request",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}}}]}",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}}, additionalProperties: false}]}",
        "request-schema-narrowed error refuted {\"state\":",
    ),
    (
        "request",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}}}]}",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}}, additionalProperties: {type: integer}}]}",
        "request-schema-narrowed error refuted {\"state\":",
    ),
    (
        "request",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}}}]}",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}}, not: {required: [state]}}]}",
        "request-schema-narrowed error refuted {\"state\":",
    ),
    // The property of the other schema has no fixed name.
    (
        "request",
        "{allOf: [{type: object, additionalProperties: {type: string}}, {properties: {note: {type: string}}}]}",
        "{allOf: [{type: object, additionalProperties: {type: string}}, {properties: {note: {type: string}, state: {enum: [open, closed]}}}]}",
        "request-schema-narrowed error refuted {\"state\":",
    ),
    // The member also has a break of its own.
    (
        "request",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: string}}}]}",
        "{allOf: [{type: object, properties: {state: {type: string}}}, {properties: {note: {type: integer}, state: {enum: [open, closed]}}}]}",
        "request-schema-narrowed error refuted {\"state\":",
    ),
];

/// A member newly describes a property as the other schema does, or wider.
const HARMLESS: &[(&str, &str)] = &[
    (
        "{allOf: [{type: object, properties: {state: {enum: [open, closed]}}}, {properties: {note: {type: string}}}]}",
        "{allOf: [{type: object, properties: {state: {enum: [open, closed]}}}, {properties: {note: {type: string}, state: {type: string}}}]}",
    ),
    (
        "{type: object, properties: {state: {type: string}}, allOf: [{properties: {note: {type: string}}}]}",
        "{type: object, properties: {state: {type: string}}, allOf: [{properties: {note: {type: string}, state: {type: string}, other: {type: integer}}}]}",
    ),
    // A client that sends `note` does not send `state`: the alternatives exclude each other.
    (
        "{type: object, oneOf: [{required: [kind], properties: {kind: {const: a}, note: {type: string}}}, {required: [kind], properties: {kind: {const: b}, state: {type: string}}}]}",
        "{type: object, oneOf: [{required: [kind], properties: {kind: {const: a}, note: {type: string}, state: {enum: [open]}}}, {required: [kind], properties: {kind: {const: b}, state: {type: string}}}]}",
    ),
];

#[test]
fn restricted_property_of_another_member_is_a_break() {
    check(BREAKS);
}

#[test]
fn same_property_of_another_member_is_no_break() {
    for (old, new) in HARMLESS {
        for (direction, old, new) in [("request", old, new), ("response", new, old)] {
            let found = lines(&between_bodies(direction, old, new));
            let wrong = found
                .iter()
                .filter(|line| line.contains(" error") || line.contains("-schema-"));
            assert_eq!(wrong.count(), 0, "{direction} {old} {new}: {found:#?}");
        }
    }
}

#[test]
fn break_of_the_member_itself_is_told_once() {
    let old = "{allOf: [{type: object, properties: {state: {enum: [open]}}}, {properties: {note: {type: string}}}]}";
    let new = "{allOf: [{type: object, properties: {state: {enum: [open]}}}, {properties: {note: {type: integer}, state: {type: string}}}]}";
    let found = lines(&between_bodies("request", old, new));
    let breaks: Vec<&String> = found
        .iter()
        .filter(|line| !line.contains(" info"))
        .collect();
    assert_eq!(breaks.len(), 1, "{found:#?}");
    assert!(breaks[0].starts_with("request-property-type-changed error"));
}
