//! Tests of breaks of API clients that no difference of level `error` shows, beside differences of
//! lower levels, in conditions and in alternatives.

use plan::{Change, Plan, compare};

use crate::meaning::{GATEWAY, between_bodies};
use crate::side;

/// Lines about schemas: id, level, verdict and witness.
pub(crate) fn lines(plan: &Plan) -> Vec<String> {
    let messages = plan.changes.iter();
    let messages = messages.filter_map(|change| Some((change, change.message.as_deref()?)));
    let line = |(change, message): (&Change, &plan::Message)| {
        let verdict = message.decision.map_or("none", plan::Decision::name);
        let witness = message.witness.as_ref().map(ToString::to_string);
        let witness = witness.unwrap_or_default();
        format!("{} {} {verdict} {witness}", change.id, change.level())
            .trim_end()
            .to_owned()
    };
    messages.map(line).collect()
}

/// Direction, old body, new body, and the start of one of the expected lines.
pub(crate) type Case<'c> = (&'static str, &'c str, &'c str, &'static str);

/// A break beside a difference of level `warn`, whose keyword does not refuse the witness.
const BESIDE_WARNINGS: &[Case<'_>] = &[
    (
        "request",
        "{type: object, properties: {email: {type: string}, phone: {type: string}}}",
        "{type: object, properties: {email: {type: string}, phone: {type: string}}, maxProperties: 50, anyOf: [{required: [email]}, {required: [phone]}]}",
        "request-schema-narrowed error refuted {}",
    ),
    (
        "request",
        "{type: object, properties: {email: {type: string}, phone: {type: string}}}",
        "{type: object, properties: {email: {type: string}, phone: {type: string}}, maxProperties: 50, oneOf: [{required: [email]}, {required: [phone]}]}",
        "request-schema-narrowed error refuted {}",
    ),
    (
        "request",
        "{type: string}",
        "{type: string, maxLength: 1000, anyOf: [{const: x}, {minLength: 3}]}",
        "request-schema-narrowed error refuted \"\"",
    ),
    (
        "request",
        "{type: integer}",
        "{type: integer, minimum: 0, anyOf: [{multipleOf: 2}, {multipleOf: 3}]}",
        "request-schema-narrowed error refuted 1",
    ),
    // The warning is inside a property, or inside another alternative.
    (
        "request",
        "{type: object, properties: {s: {type: string}, a: {}, b: {}}}",
        "{type: object, properties: {s: {type: string, maxLength: 10}, a: {}, b: {}}, anyOf: [{required: [a]}, {required: [b]}]}",
        "request-schema-narrowed error refuted {}",
    ),
    (
        "request",
        "{type: array, items: {type: string}}",
        "{type: array, items: {type: string, maxLength: 10}, anyOf: [{minItems: 1}, {contains: {const: x}}]}",
        "request-schema-narrowed error refuted []",
    ),
];

/// A break without a difference of level `error` or `warn`.
const ALONE: &[Case<'_>] = &[
    (
        "request",
        "{type: object, properties: {tags: {type: array, items: {type: string}}}}",
        "{type: object, properties: {tags: {type: array, items: {type: string}}}, anyOf: [{properties: {tags: {maxItems: 3}}}, {properties: {tags: {uniqueItems: true}}}]}",
        "request-schema-narrowed error refuted {\"tags\":[",
    ),
    (
        "response",
        "{type: object, properties: {tags: {type: array, items: {type: string}}}, anyOf: [{properties: {tags: {maxItems: 3}}}, {properties: {tags: {uniqueItems: true}}}]}",
        "{type: object, properties: {tags: {type: array, items: {type: string}}}}",
        "response-schema-widened error refuted {\"tags\":[",
    ),
    (
        "request",
        "{type: object, properties: {l: {type: object, additionalProperties: {type: string}}}}",
        "{type: object, properties: {l: {type: object, additionalProperties: {type: string}}}, anyOf: [{properties: {l: {maxProperties: 2}}}, {properties: {l: {maxProperties: 0}}}]}",
        "request-schema-narrowed error refuted {\"l\":{",
    ),
    (
        "request",
        "{type: object, properties: {l: {type: object, additionalProperties: {type: string}}}}",
        "{type: object, properties: {l: {type: object, additionalProperties: {type: string}}}, anyOf: [{properties: {l: {propertyNames: {pattern: '^x-'}}}}, {properties: {l: {maxProperties: 1}}}]}",
        "request-schema-narrowed error refuted {\"l\":{",
    ),
    (
        "request",
        "{type: object, properties: {l: {type: object, additionalProperties: {type: string}}}}",
        "{type: object, properties: {l: {type: object, additionalProperties: {type: string}}}, anyOf: [{properties: {l: {patternProperties: {'^x': {maxLength: 3}}}}}, {properties: {l: {patternProperties: {'^y': {maxLength: 3}}}}}]}",
        "request-schema-narrowed error refuted {\"l\":{",
    ),
    (
        "response",
        "{type: object, properties: {a: {}}, anyOf: [{maxProperties: 0}]}",
        "{type: object, properties: {a: {}}}",
        "response-schema-widened error refuted {\"a\":0}",
    ),
    (
        "request",
        "{type: array, contains: {type: object, required: [role], properties: {role: {const: admin}}}, maxContains: 1}",
        "{type: array, contains: {type: object, required: [role], properties: {role: {enum: [admin, root]}}}, maxContains: 1}",
        "request-schema-narrowed error refuted [{\"role\":\"admin\"},{\"role\":\"root\"}]",
    ),
    (
        "request",
        "{type: object, additionalProperties: false, minProperties: 2, patternProperties: {'^[a-z]+$': {type: string}}}",
        "{type: object, additionalProperties: false, minProperties: 2}",
        "request-schema-narrowed error refuted {\"a\":",
    ),
    // gwd does not enforce the pattern, so no value is known.
    (
        "request",
        "{type: object, required: [p], properties: {p: {type: string, pattern: '^(?=.*[A-Z]).{8,}$'}}}",
        "{type: object, required: [p], properties: {p: {type: string, pattern: '^(?=.*[A-Z]).{8,}$'}}, anyOf: [{required: [phone]}, {required: [email]}]}",
        "request-schema-narrowed error undecided",
    ),
    // gwd does not check the format, so no value shows the difference.
    (
        "request",
        "{type: object, properties: {code: {type: string}}}",
        "{type: object, properties: {code: {type: string}}, anyOf: [{properties: {code: {format: email}}}, {properties: {code: {format: hostname}}}]}",
        "request-schema-changed warn undecided",
    ),
];

/// A described property in an alternative, in a condition, in `propertyNames` or in `enum`.
const DESCRIBED: &[Case<'_>] = &[
    (
        "request",
        "{anyOf: [{properties: {a: {type: string}}}, {}]}",
        "{anyOf: [{properties: {a: {type: string}}}, {type: string}]}",
        "request-property-type-changed error refuted {\"a\":0}",
    ),
    (
        "request",
        "{type: object, unevaluatedProperties: {type: integer}}",
        "{type: object, unevaluatedProperties: {type: integer}, properties: {a: {type: string}}}",
        "request-schema-narrowed error refuted {\"a\":0}",
    ),
    (
        "request",
        "{type: object, propertyNames: {enum: [a, b]}}",
        "{type: object, propertyNames: {enum: [a, b]}, properties: {a: {type: string}}}",
        "request-schema-narrowed error refuted {\"a\":0}",
    ),
    (
        "request",
        "{enum: [{a: 1}, {b: 1}]}",
        "{enum: [{a: 1}, {b: 1}], properties: {a: {type: string}}}",
        "request-schema-narrowed error refuted {\"a\":1}",
    ),
    (
        "request",
        "{type: object, anyOf: [{properties: {a: {type: string}}}, {properties: {b: {type: string}}}]}",
        "{type: object, anyOf: [{properties: {a: {type: string}}}]}",
        "request-body-any-of-removed error refuted {\"a\":0}",
    ),
    (
        "request",
        "{type: object, properties: {name: {type: string}}, required: [name], not: {properties: {kind: {const: internal}}}}",
        "{type: object, properties: {name: {type: string}, d: {}}, required: [name, d], not: {properties: {kind: {const: internal}}}}",
        "new-required-request-property error refuted {\"kind\":",
    ),
    (
        "response",
        "{type: object, properties: {id: {type: integer}}, required: [id]}",
        "{type: object, properties: {id: {type: integer}}, not: {properties: {kind: {const: internal}}}}",
        "response-property-became-optional error refuted {\"kind\":0}",
    ),
    (
        "request",
        "{type: object, properties: {o: {type: object}}, not: {properties: {o: {properties: {kind: {const: x}}}}}}",
        "{type: object, properties: {o: {type: object}}, required: [p], not: {properties: {o: {properties: {kind: {const: x}}}}}}",
        "request-property-became-required error refuted {\"o\":{\"kind\":",
    ),
    (
        "request",
        "{type: object, properties: {a: {type: string}}, if: {properties: {kind: {const: x}}}, then: false}",
        "{type: object, properties: {a: {type: string}}, required: [a], if: {properties: {kind: {const: x}}}, then: false}",
        "request-property-became-required error refuted {\"kind\":0}",
    ),
];

/// A difference of an inner schema that applies to the same value or to names.
const WHOLE_VALUES: &[Case<'_>] = &[
    (
        "request",
        "{type: object, dependentSchemas: {a: {required: [b]}}}",
        "{type: object, dependentSchemas: {a: {required: [b, c]}}}",
        "request-property-became-required error refuted {\"a\":\"a\",\"b\":0}",
    ),
    (
        "request",
        "{type: object, if: {required: [a]}, then: {required: [b]}}",
        "{type: object, if: {required: [a]}, then: {required: [b, c]}}",
        "request-property-became-required error refuted {\"a\":\"a\",\"b\":0}",
    ),
    (
        "request",
        "{type: object, propertyNames: {maxLength: 5}}",
        "{type: object, propertyNames: {maxLength: 3}}",
        "request-property-max-length-decreased error refuted {\"0000\":",
    ),
];

#[test]
fn witness_is_a_value_of_the_whole_schema() {
    check(WHOLE_VALUES);
}

/// Place of a parameter or header field, old schema, new schema, and the start of one of the
/// expected lines.
const FIELDS: &[Case<'_>] = &[
    (
        "query",
        "{type: string}",
        "{type: string, oneOf: [{const: asc}, {const: desc}]}",
        "request-schema-narrowed error refuted \"",
    ),
    (
        "header",
        "{type: string}",
        "{type: string, anyOf: [{pattern: '^t-'}, {pattern: '^u-'}]}",
        "request-schema-narrowed error refuted \"",
    ),
    (
        "response",
        "{type: integer, anyOf: [{minimum: 5}, {maximum: 0}]}",
        "{type: integer}",
        "response-schema-widened error refuted 1",
    ),
    (
        "query",
        "{type: array, items: {type: string}}",
        "{type: string}",
        "request-parameter-type-changed error refuted [",
    ),
    (
        "query",
        "{type: [array, string], items: {type: string}}",
        "{type: string}",
        "request-parameter-list-of-types-narrowed error refuted [",
    ),
];

/// Plan between two schemas of a parameter or of a header field in responses.
fn between_fields(place: &str, old: &str, new: &str) -> Plan {
    let document = |schema: &str| {
        let (parameter, headers) = match place {
            "response" => (
                String::new(),
                format!(", headers: {{P: {{schema: {schema}}}}}"),
            ),
            place => (
                format!("{{name: p, in: {place}, schema: {schema}}}"),
                String::new(),
            ),
        };
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n  /x: {{get: {{operationId: x, parameters: [{parameter}], responses: {{'200': {{description: d{headers}}}}}}}}}\n"
        )
    };
    let side = |schema: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(schema))]);
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

#[test]
fn break_of_a_text_is_reported() {
    let mut wrong = String::new();
    for (place, old, new, expected) in FIELDS {
        let found = lines(&between_fields(place, old, new));
        if !found.iter().any(|line| line.starts_with(expected)) {
            wrong.push_str(&format!(
                "{place} {old} -> {new}\n  {expected}, not {found:#?}\n"
            ));
        }
    }
    for (old, new) in [
        ("{type: boolean}", "{type: string, enum: ['true', 'false']}"),
        ("{enum: [1, 2]}", "{enum: ['1', '2']}"),
        (
            "{type: integer}",
            "{type: integer, anyOf: [{minimum: 1}, {maximum: 1}]}",
        ),
    ] {
        let found = lines(&between_fields("query", old, new));
        if found.iter().any(|line| line.contains(" error ")) {
            wrong.push_str(&format!("query {old} -> {new}\n  {found:#?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[track_caller]
pub(crate) fn check(cases: &[Case<'_>]) {
    let mut wrong = String::new();
    for (direction, old, new, expected) in cases {
        let found = lines(&between_bodies(direction, old, new));
        if !found.iter().any(|line| line.starts_with(expected)) {
            wrong.push_str(&format!(
                "{direction} {old} -> {new}\n  {expected}, not {found:#?}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn break_beside_a_warning_is_reported() {
    check(BESIDE_WARNINGS);
}

#[test]
fn break_that_no_keyword_shows_is_reported() {
    check(ALONE);
}

#[test]
fn described_property_is_no_proof() {
    check(DESCRIBED);
}

/// Direction, old body, new body: no value breaks clients.
const HARMLESS: &[(&str, &str, &str)] = &[
    // The keyword of the warning refuses each value that is newly refused.
    (
        "request",
        "{type: object, properties: {a: {}}}",
        "{type: object, properties: {a: {}}, maxProperties: 50}",
    ),
    (
        "request",
        "{type: string}",
        "{type: string, maxLength: 9, anyOf: [{type: string}, {maxLength: 3}]}",
    ),
    (
        "request",
        "{type: object, properties: {s: {type: string}}}",
        "{type: object, properties: {s: {type: string, maxLength: 9}}, allOf: [{type: object}]}",
    ),
    // Only a difference of notation, and keywords that admit more.
    (
        "request",
        "{type: string, pattern: '^(?=a)b', maxLength: 5}",
        "{type: string, pattern: '^(?=a)b', maxLength: 9}",
    ),
    (
        "request",
        "{type: string, pattern: '^(?=a)b', format: email, minLength: 2}",
        "{type: string, format: email}",
    ),
    (
        "response",
        "{type: array, uniqueItems: true, contains: {const: 1}, minContains: 2, maxItems: 9}",
        "{type: array, uniqueItems: true, contains: {const: 1}, minContains: 2, maxItems: 8}",
    ),
    // Alternatives that exclude each other: a property of one is not described for the other.
    (
        "request",
        "{oneOf: [{type: object, required: [k], properties: {k: {const: x}}}, {type: object, required: [k], properties: {k: {const: y}, u: {type: integer}}}]}",
        "{oneOf: [{type: object, required: [k], properties: {k: {const: x}, u: {type: string}}}, {type: object, required: [k], properties: {k: {const: y}, u: {type: integer}}}]}",
    ),
];

#[test]
fn harmless_difference_has_no_break() {
    let mut wrong = String::new();
    for (direction, old, new) in HARMLESS {
        let found = lines(&between_bodies(direction, old, new));
        let breaks = |line: &&String| line.contains("undecided") || line.contains(" error ");
        if let Some(line) = found.iter().find(breaks) {
            wrong.push_str(&format!("{direction} {old} -> {new}: {line}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Plan between the response bodies of several operations.
fn between_operations(pairs: &[(&str, &str)]) -> Plan {
    let document = |is_new: bool| {
        let mut text = "openapi: 3.1.0\ninfo: {title: t, version: '1'}\npaths:\n".to_owned();
        for (at, (old, new)) in pairs.iter().enumerate() {
            let schema = if is_new { new } else { old };
            text.push_str(&format!(
                "  /q{at}: {{get: {{operationId: q{at}, responses: {{'200': {{description: d, content: {{application/json: {{schema: {schema}}}}}}}}}}}}}\n"
            ));
        }
        text
    };
    let of = |is_new| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(is_new))]);
    compare(Some(&of(false)), &of(true)).expect("both sides build")
}

/// Lines of level `error`, with their operations.
fn breaks_of(plan: &Plan) -> Vec<String> {
    let breaks = plan.changes.iter();
    let breaks = breaks.filter(|change| change.level() == "error");
    let line = |change: &Change| {
        let message = change.message.as_ref().expect("a message");
        let verdict = message.decision.map_or("none", plan::Decision::name);
        let witness = message.witness.as_ref().map(ToString::to_string);
        format!(
            "{} {verdict} {}",
            change.operations.join(","),
            witness.unwrap_or_default()
        )
    };
    breaks.map(line).collect()
}

#[test]
fn operations_of_one_line_share_the_witness() {
    let plain = ("{type: object, minProperties: 1}", "{type: object}");
    for (other, expected) in [
        // The empty object is no response of the first operation.
        (
            (
                "{type: object, required: [k], properties: {k: {}}, minProperties: 2}",
                "{type: object, required: [k], properties: {k: {}}, minProperties: 1}",
            ),
            vec!["a/q0 refuted {\"k\":0}", "a/q1 refuted {}"],
        ),
        (
            (
                "{type: object, minProperties: 1}",
                "{type: object, properties: {}, enum: [{b: 1}, {a: aa}]}",
            ),
            vec!["a/q0 undecided ", "a/q1 refuted {}"],
        ),
        (
            (
                "{type: object, minProperties: 1, properties: {k: {}}}",
                "{type: object, properties: {k: {}}}",
            ),
            vec!["a/q0,a/q1 refuted {}"],
        ),
    ] {
        let plan = between_operations(&[other, plain]);
        assert_eq!(breaks_of(&plan), expected, "{other:?}");
    }
}

#[test]
fn operation_with_a_wider_schema_is_no_break() {
    // The second alternative of `q0` accepts every response of the changed component.
    let changed = |most: u8| format!("{{type: string, maxLength: {most}}}");
    let (old, new) = (changed(8), changed(9));
    let covered =
        |inner: &str| format!("{{anyOf: [{{title: t, type: object}}, {inner}, {{type: string}}]}}");
    let plan = between_operations(&[(&covered(&old), &covered(&new)), (&old, &new)]);
    assert_eq!(breaks_of(&plan), ["a/q1 refuted \"000000000\""]);
}

#[test]
fn break_inside_a_text_is_no_proof() {
    let text = |kind: &str| {
        format!(
            "{{type: object, properties: {{data: {{type: string, contentMediaType: application/json, contentSchema: {{type: object, properties: {{x: {{type: {kind}}}}}}}}}}}}}"
        )
    };
    check(&[
        (
            "request",
            &text("string"),
            &text("integer"),
            "request-property-type-changed error",
        ),
        (
            "response",
            &text("string"),
            &text("integer"),
            "response-property-type-changed error",
        ),
    ]);
}

/// A bound that moves out of `allOf` is the bound that it was there, with another value.
const MOVED_BOUNDS: &[Case<'_>] = &[
    (
        "request",
        "{type: string, allOf: [{maxLength: 100}]}",
        "{type: string, maxLength: 5}",
        "request-body-max-length-decreased error refuted \"",
    ),
    (
        "request",
        "{type: integer, allOf: [{allOf: [{minimum: 1}, {multipleOf: 2}]}, {minimum: 0}]}",
        "{type: integer, minimum: 10, multipleOf: 2}",
        "request-body-min-increased error refuted ",
    ),
    (
        "request",
        "{type: object, properties: {a: {type: array, allOf: [{maxItems: 3}]}}}",
        "{type: object, properties: {a: {type: array, maxItems: 1}}}",
        "request-schema-narrowed error refuted [",
    ),
    (
        "request",
        "{type: string, allOf: [{maxLength: 5}]}",
        "{type: string, maxLength: 100}",
        "request-body-max-length-increased info",
    ),
    (
        "response",
        "{type: string, allOf: [{maxLength: 5}]}",
        "{type: string, maxLength: 100}",
        "response-body-max-length-increased error refuted \"",
    ),
];

#[test]
fn bound_that_moves_out_of_all_of_is_compared() {
    check(MOVED_BOUNDS);
}

/// New values of `enum` in responses. A value of a type that the old values do not have is a break.
const NEW_VALUES: &[Case<'_>] = &[
    (
        "response",
        "{type: object, properties: {a: {enum: [x, y]}}}",
        "{type: object, properties: {a: {enum: [x, y, null]}}}",
        "response-property-type-generalized error refuted null",
    ),
    (
        "response",
        "{type: object, properties: {a: {type: [string, 'null'], enum: [x, y]}}}",
        "{type: object, properties: {a: {type: [string, 'null'], enum: [x, y, null]}}}",
        "response-property-type-generalized error refuted null",
    ),
    (
        "response",
        "{type: object, properties: {a: {enum: [x, y]}}}",
        "{type: object, properties: {a: {enum: [x, y, {z: 1}]}}}",
        "response-property-type-generalized error refuted {\"z\":1}",
    ),
    (
        "response",
        "{type: object, properties: {a: {enum: [x, y]}}}",
        "{type: object, properties: {a: {enum: [x, y, z]}}}",
        "response-property-enum-value-added warn",
    ),
];

#[test]
fn enum_value_of_a_new_type_is_a_break_of_responses() {
    check(NEW_VALUES);
}

/// A difference that other schemas of the body exclude, beside a break of the same body. The value
/// of the difference is in no body.
const EXCLUDED: &[Case<'_>] = &[
    (
        "request",
        "{allOf: [{type: object, required: [k], properties: {k: {type: string, enum: [cat, dog, bird]}}}, {type: object, properties: {k: {const: cat}, n: {type: string}}}]}",
        "{allOf: [{type: object, required: [k], properties: {k: {type: string, enum: [cat, dog]}}}, {type: object, properties: {k: {const: cat}, n: {type: integer}}}]}",
        "request-property-enum-value-removed error undecided",
    ),
    (
        "response",
        "{allOf: [{type: object, properties: {id: {type: [string, integer]}}}, {type: object, properties: {id: {type: integer}, n: {type: string}}}]}",
        "{allOf: [{type: object, properties: {id: {type: [string, integer, boolean]}}}, {type: object, properties: {id: {type: integer}, n: {type: integer}}}]}",
        "response-property-list-of-types-widened error undecided",
    ),
    (
        "request",
        "{type: object, properties: {a: {type: string}, b: {type: string}}, additionalProperties: false, propertyNames: {enum: [b]}}",
        "{type: object, properties: {a: {type: integer}, b: {type: integer}}, additionalProperties: false, propertyNames: {enum: [b]}}",
        "request-property-type-changed error undecided",
    ),
];

#[test]
fn value_that_no_body_has_is_no_example() {
    check(EXCLUDED);
}
