//! Tests that the meaning of schemas decides about breaks of clients: containment is checked before
//! keywords are compared.

use plan::{Change, Class, Decision, Plan, compare};

use crate::side;

pub(crate) const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
";

/// Plan between two schemas of the property `a` in the body. `direction`: `request` or `response`.
pub(crate) fn between(direction: &str, old: &str, new: &str) -> Plan {
    let body = |schema: &str| format!("{{properties: {{a: {schema}}}}}");
    between_bodies(direction, &body(old), &body(new))
}

fn breaks(plan: &Plan) -> Vec<&Change> {
    let changes = plan.changes.iter();
    changes
        .filter(|change| change.class == Class::Break)
        .collect()
}

/// Pairs of equivalent schemas.
const EQUAL: &[(&str, &str)] = &[
    (
        "{oneOf: [{type: string}, {type: integer}]}",
        "{anyOf: [{type: string}, {type: integer}]}",
    ),
    (
        "{anyOf: [{type: string}, {type: integer}]}",
        "{type: [string, integer]}",
    ),
    (
        "{anyOf: [{type: string}, {type: 'null'}]}",
        "{type: [string, 'null']}",
    ),
    (
        "{anyOf: [{type: string}, {type: string, maxLength: 3}]}",
        "{type: string}",
    ),
    (
        "{allOf: [{properties: {x: {type: string}}}, {required: [x]}]}",
        "{properties: {x: {type: string}}, required: [x]}",
    ),
    (
        "{allOf: [{allOf: [{minimum: 1}, {maximum: 5}]}, {type: integer}]}",
        "{type: integer, minimum: 1, maximum: 5}",
    ),
    ("{type: boolean}", "{enum: [true, false]}"),
    ("{type: integer, multipleOf: 1}", "{type: integer}"),
    (
        "{type: integer, minimum: 1}",
        "{type: integer, exclusiveMinimum: 0}",
    ),
    ("{type: string, not: {type: integer}}", "{type: string}"),
    ("{not: {not: {type: string}}}", "{type: string}"),
    ("{oneOf: [{const: x}, {const: y}]}", "{enum: [x, y]}"),
    ("{type: string, enum: [x, y]}", "{enum: [x, y]}"),
    ("{type: integer, maxLength: 4}", "{type: integer}"),
    (
        "{type: object, required: [x], minProperties: 1}",
        "{type: object, required: [x]}",
    ),
    ("{type: array, prefixItems: [{}]}", "{type: array}"),
    (
        "{type: object, required: [x], dependentRequired: {y: [x]}}",
        "{type: object, required: [x]}",
    ),
    (
        "{type: object, patternProperties: {'^x': {}}}",
        "{type: object}",
    ),
    (
        "{type: object, propertyNames: {type: string}}",
        "{type: object}",
    ),
];

#[test]
fn equal_meaning_breaks_nothing() {
    let mut wrong = String::new();
    for (one, other) in EQUAL {
        for direction in ["request", "response"] {
            for (old, new) in [(one, other), (other, one)] {
                let plan = between(direction, old, new);
                let ids: Vec<_> = plan.changes.iter().map(|change| change.id).collect();
                let info = plan.changes.iter().all(|change| change.level() != "error");
                if !info {
                    wrong.push_str(&format!("{direction} {old} -> {new}: {ids:?}\n"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Pairs of schemas with equal meaning, in other members of `allOf`.
const MOVED: &[(&str, &str)] = &[
    (
        "{allOf: [{properties: {x: {type: string}}}, {properties: {y: {}}}, {minProperties: 1}]}",
        "{allOf: [{allOf: [{properties: {x: {type: string}}}, {properties: {y: {}}}]}, {minProperties: 1}]}",
    ),
    (
        "{allOf: [{properties: {x: {type: string}}}, {properties: {y: {type: integer}}}]}",
        "{allOf: [{properties: {x: {type: string}}}], properties: {y: {type: integer}}}",
    ),
    (
        "{allOf: [{properties: {x: {type: string}}}, {properties: {y: {}, z: {type: integer}}}]}",
        "{allOf: [{properties: {x: {type: string}}}, {properties: {y: {}}}, {properties: {z: {type: integer}}}]}",
    ),
    (
        "{allOf: [{properties: {x: {}, y: {type: integer}}, required: [x]}, {properties: {z: {type: string}}}]}",
        "{allOf: [{properties: {x: {}}, required: [x]}, {properties: {y: {type: integer}}}, {properties: {z: {type: string}}}]}",
    ),
    (
        "{allOf: [{properties: {x: {type: string}}}, {oneOf: [{required: [x]}, {required: [y]}]}]}",
        "{allOf: [{properties: {x: {type: string}}}], oneOf: [{required: [x]}, {required: [y]}]}",
    ),
    (
        "{type: object, allOf: [{properties: {x: {type: string}}}, {properties: {y: {}}}], unevaluatedProperties: false}",
        "{type: object, properties: {x: {type: string}, y: {}}, unevaluatedProperties: false}",
    ),
];

#[test]
fn moved_members_of_all_of_are_no_change() {
    let mut wrong = String::new();
    for (one, other) in MOVED {
        for direction in ["request", "response"] {
            for (old, new) in [(one, other), (other, one)] {
                let plan = between(direction, old, new);
                let checks = plan.changes.iter().filter(|one| one.message.is_some());
                let ids: Vec<_> = checks.map(|change| change.id).collect();
                if !ids.is_empty() {
                    wrong.push_str(&format!("{direction} {old} -> {new}: {ids:?}\n"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Breaks: direction, old schema, new schema, and the smallest value of the property that shows the
/// break.
const BREAKS: &[(&str, &str, &str, &str)] = &[
    (
        "request",
        "{not: {enum: [p]}}",
        "{not: {enum: [p, q]}}",
        "\"q\"",
    ),
    (
        "response",
        "{not: {enum: [p, q]}}",
        "{not: {enum: [p]}}",
        "\"q\"",
    ),
    (
        "request",
        "{type: object, not: {required: [x, y]}}",
        "{type: object, not: {required: [x]}}",
        "",
    ),
    (
        "request",
        "{enum: [x, y]}",
        "{enum: [x, y], const: x}",
        "\"y\"",
    ),
    (
        "request",
        "{type: string}",
        "{oneOf: [{type: string, enum: [q]}, {type: integer}]}",
        "\"\"",
    ),
    (
        "request",
        "{type: string}",
        "{type: [string, integer], enum: [x, 1]}",
        "\"\"",
    ),
    (
        "request",
        "{oneOf: [{type: integer}]}",
        "{oneOf: [{type: integer}, {type: number}]}",
        "0",
    ),
    (
        "response",
        "{type: object, required: [id]}",
        "{type: object, properties: {id: {type: string}}}",
        "{}",
    ),
    (
        "request",
        "{type: object, patternProperties: {'^x-': {type: string}}, additionalProperties: false}",
        "{type: object, additionalProperties: false}",
        "",
    ),
    (
        "request",
        "{type: array, contains: {enum: [1]}, minContains: 0, maxContains: 1}",
        "{type: array, contains: {enum: [1, 2]}, minContains: 0, maxContains: 1}",
        "",
    ),
    (
        "request",
        "{type: object, additionalProperties: {type: integer}}",
        "{type: object, properties: {x: {type: string}}, additionalProperties: {type: integer}}",
        "",
    ),
    (
        "request",
        "{type: array, prefixItems: [{type: string}]}",
        "{type: array, prefixItems: [{type: string}, {type: integer}]}",
        "",
    ),
    (
        "response",
        "{type: object, properties: {x: {type: string}}, additionalProperties: false}",
        "{type: object, properties: {x: {type: string}, y: {type: string}}, additionalProperties: false}",
        "",
    ),
    (
        "request",
        "{type: string, maxLength: 9}",
        "{type: string, maxLength: 8}",
        "\"000000000\"",
    ),
    (
        "response",
        "{type: integer, maximum: 8}",
        "{type: integer}",
        "9",
    ),
];

#[test]
fn breaks_have_a_witness() {
    let mut wrong = String::new();
    for (direction, old, new, value) in BREAKS {
        let plan = between(direction, old, new);
        let found = breaks(&plan);
        let first = found.first().and_then(|change| change.message.as_ref());
        let witness = first.and_then(|message| message.witness.as_ref());
        let text = witness.map(|value| value.to_string());
        let is_right = match (&text, value.is_empty()) {
            (Some(text), false) => text == value,
            (Some(_), true) => true,
            (None, is_empty) => is_empty && !found.is_empty(),
        };
        if !is_right {
            let ids: Vec<_> = plan
                .changes
                .iter()
                .map(|change| (change.id, change.level()))
                .collect();
            wrong.push_str(&format!("{direction} {old} -> {new}: {text:?} {ids:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn covered_change_inside_breaks_nothing() {
    // The second alternative accepts the values that the first alternative no longer accepts.
    let plan = between(
        "request",
        "{anyOf: [{type: string, maxLength: 9}, {type: string}]}",
        "{anyOf: [{type: string, maxLength: 5}, {type: string}]}",
    );
    assert!(breaks(&plan).is_empty());
    // The break is in an inner schema. The outer schemas differ only in notation.
    let plan = between(
        "request",
        "{allOf: [{properties: {x: {type: string, maxLength: 9}}}, {required: [x]}]}",
        "{properties: {x: {type: string, maxLength: 5}}, required: [x]}",
    );
    assert!(!breaks(&plan).is_empty());
}

#[test]
fn many_values_of_an_enum_share_a_break() {
    let values = |from: usize, count: usize| {
        let values: Vec<String> = (from..from + count).map(|at| format!("v{at}")).collect();
        format!("{{enum: [{}]}}", values.join(", "))
    };
    for (count, expected) in [(100, 100), (101, 1)] {
        let plan = between("request", &values(0, count), &values(1_000, 5));
        let found = breaks(&plan);
        assert_eq!(found.len(), expected);
        for change in found {
            assert_eq!(change.id, "request-property-enum-value-removed");
            let message = change.message.as_ref().expect("a message");
            assert!(message.witness.is_some());
        }
    }
}

#[test]
fn undecided_break_has_its_check() {
    let plan = between(
        "request",
        "{type: string, format: email}",
        "{type: string, format: uri}",
    );
    let found = breaks(&plan);
    let message = found[0].message.as_ref().expect("a message");
    assert_eq!(found[0].id, "request-property-type-changed");
    assert!(matches!(message.decision, Some(Decision::Undecided(_))));
    assert_eq!(message.witness, None);
}

#[test]
fn property_described_by_one_side_only_breaks_nothing() {
    // Clients neither send nor read a property that the old contract does not describe.
    let (without, with) = (
        "{type: object}",
        "{type: object, properties: {x: {type: string}}}",
    );
    for (direction, old, new) in [("request", without, with), ("response", with, without)] {
        let plan = between(direction, old, new);
        let found: Vec<_> = breaks(&plan).iter().map(|change| change.id).collect();
        assert!(found.is_empty(), "{direction}: {found:?}");
    }
}

/// Bodies that show a break: direction, schema of the body that accepts it, schema that refuses it,
/// and the body.
const BODIES: &[(&str, &str, &str, &str)] = &[
    (
        "request",
        "{required: [a], properties: {a: {enum: [x, y]}}}",
        "{required: [a], properties: {a: {enum: [x]}}}",
        r#"{"a":"y"}"#,
    ),
    (
        "both",
        "{required: [id, list], properties: {id: {type: integer, minimum: 3}, list: {type: array, minItems: 2, items: {properties: {p: {maximum: 9}}}}}}",
        "{required: [id, list], properties: {id: {type: integer, minimum: 3}, list: {type: array, minItems: 2, items: {properties: {p: {maximum: 8}}}}}}",
        r#"{"id":3,"list":[{"p":9},{"p":9}]}"#,
    ),
    (
        "both",
        "{type: object, additionalProperties: {type: string, maxLength: 2}}",
        "{type: object, additionalProperties: {type: string, maxLength: 1}}",
        r#"{"a":"00"}"#,
    ),
    (
        "response",
        "{type: array, minItems: 2, prefixItems: [{type: string}, {type: integer}]}",
        "{type: array, minItems: 2, prefixItems: [{type: string}, {type: integer, maximum: 5}]}",
        r#"["a",6]"#,
    ),
    (
        "both",
        "{allOf: [{required: [k], properties: {k: {const: v}}}, {properties: {a: {maxLength: 2}}}]}",
        "{allOf: [{required: [k], properties: {k: {const: v}}}, {properties: {a: {maxLength: 1}}}]}",
        r#"{"a":"00","k":"v"}"#,
    ),
    (
        "both",
        "{oneOf: [{type: string}, {type: object, required: [a], properties: {a: {maximum: 2}}}]}",
        "{oneOf: [{type: string}, {type: object, required: [a], properties: {a: {maximum: 1}}}]}",
        r#"{"a":2}"#,
    ),
];

/// Plan between two schemas of a whole body.
pub(crate) fn between_bodies(direction: &str, old: &str, new: &str) -> Plan {
    let document = |schema: &str| {
        let content = format!("content: {{application/json: {{schema: {schema}}}}}");
        let (request, response) = match direction {
            "request" => (format!("requestBody: {{{content}}}, "), String::new()),
            _ => (String::new(), format!(", {content}")),
        };
        format!(
            "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /x: {{post: {{operationId: x, {request}responses: {{\"200\": {{description: d{response}}}}}}}}}
"
        )
    };
    let side = |schema: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(schema))]);
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

#[test]
fn witness_is_inside_a_whole_body() {
    let mut wrong = String::new();
    for (directions, accepts, refuses, expected) in BODIES {
        for (direction, old, new) in [
            ("request", accepts, refuses),
            ("response", refuses, accepts),
        ] {
            if !["both", direction].contains(directions) {
                continue;
            }
            let plan = between_bodies(direction, old, new);
            let messages = breaks(&plan)
                .into_iter()
                .filter_map(|change| change.message.as_ref());
            let witnesses = messages.filter(|message| message.witness.is_some());
            let bodies: Vec<_> = witnesses
                .map(|message| message.body.as_ref().map(ToString::to_string))
                .collect();
            let is_right = |body: &Option<String>| body.as_deref() == Some(*expected);
            if bodies.is_empty() || !bodies.iter().all(is_right) {
                wrong.push_str(&format!(
                    "{direction} {accepts}: {bodies:?}, not {expected}\n"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Parameters and header fields: place, schema that accepts a value, schema that refuses it, and
/// the sentence about the value. Empty: no value shows a break, because its text is also accepted
/// as a value of another type.
const FIELDS: &[(&str, &str, &str, &str)] = &[
    (
        "query",
        "{type: integer, maximum: 9}",
        "{type: integer, maximum: 8}",
        "?p=9",
    ),
    ("query", "{enum: [a, b-c]}", "{enum: [a]}", "?p=b-c"),
    (
        "query",
        "{type: array, items: {enum: [a, b]}}",
        "{type: array, items: {enum: [a]}}",
        "?p=b",
    ),
    (
        "header",
        "{type: string, enum: [a, b]}",
        "{type: string, enum: [a]}",
        "p: b",
    ),
    (
        "cookie",
        "{type: string, maxLength: 2}",
        "{type: string, maxLength: 1}",
        "Cookie: p=00",
    ),
    ("path", "{type: boolean}", "{const: true}", "{p} = false"),
    ("response", "{enum: [a, b]}", "{enum: [a]}", "p: b"),
    (
        "query",
        "{type: string, enum: [\"1\"]}",
        "{type: integer}",
        "",
    ),
    ("query", "{type: integer}", "{type: string}", ""),
    ("header", "{const: \"true\"}", "{type: boolean}", ""),
    (
        "query",
        "{type: boolean}",
        "{type: array, items: {type: boolean}}",
        "",
    ),
    ("query", "{const: 0}", "{type: object}", ""),
];

#[test]
fn witness_of_a_parameter_is_what_clients_send() {
    let mut wrong = String::new();
    for (place, accepts, refuses, expected) in FIELDS {
        let document = |schema: &str| {
            let (path, parameter, headers) = match *place {
                "response" => (
                    "/x",
                    String::new(),
                    format!(", headers: {{P: {{schema: {schema}}}}}"),
                ),
                "path" => (
                    "/x/{p}",
                    format!("{{name: p, in: path, required: true, schema: {schema}}}"),
                    String::new(),
                ),
                place => (
                    "/x",
                    format!("{{name: p, in: {place}, schema: {schema}}}"),
                    String::new(),
                ),
            };
            format!(
                "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  {path}: {{get: {{operationId: x, parameters: [{parameter}], responses: {{\"200\": {{description: d{headers}}}}}}}}}
"
            )
        };
        let side =
            |schema: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(schema))]);
        let (old, new) = match *place {
            "response" => (refuses, accepts),
            _ => (accepts, refuses),
        };
        let plan = compare(Some(&side(old)), &side(new)).expect("both sides build");
        let messages = plan
            .changes
            .iter()
            .filter_map(|change| change.message.as_ref());
        let examples: Vec<String> = messages.filter_map(|message| message.example()).collect();
        let shown = examples.first().and_then(|one| one.split(" (").next());
        if shown.unwrap_or_default() != *expected {
            wrong.push_str(&format!(
                "{place} {accepts} {refuses}: {examples:?}, not {expected}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}
