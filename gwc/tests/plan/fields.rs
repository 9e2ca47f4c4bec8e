//! Tests of query fields and cookies that become properties of an exploded object, or the reverse.

use plan::{Plan, compare};

use crate::meaning::GATEWAY;
use crate::side;

const OPERATION: &str = "paths:\n  /x:\n    get:\n      operationId: x";
const WEBHOOK: &str = "paths: {}\nwebhooks:\n  w:\n    post:";

fn between(old: &str, new: &str) -> Plan {
    between_in(OPERATION, old, new)
}

fn between_in(operation: &str, old: &str, new: &str) -> Plan {
    let document = |parameters: &str| {
        let list = parameters.lines().map(|one| {
            let (name, schema) = one.trim().split_once(": ").expect("a name");
            match name.starts_with('{') {
                true => format!("        - {}", one.trim()),
                false => parameter(name, schema),
            }
        });
        let list = list.collect::<Vec<_>>().join("\n");
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\n{operation}\n      responses: {{}}\n      parameters:\n{list}\n"
        )
    };
    let side = |all: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(all))]);
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

/// Parameter of a document. `!` after the name: it is required. `~` before it: it is a cookie.
fn parameter(name: &str, schema: &str) -> String {
    let place = if name.starts_with('~') {
        "cookie"
    } else {
        "query"
    };
    let required = name.ends_with('!');
    let name = name.trim_matches(['~', '!']);
    format!("        - {{name: {name}, in: {place}, required: {required}, schema: {{{schema}}}}}")
}

/// Differences of these levels: id, path and verdict.
fn found(plan: &Plan, levels: &[&str]) -> Vec<String> {
    let changes = plan
        .changes
        .iter()
        .filter(|one| levels.contains(&one.level()));
    let lines = changes.filter_map(|one| {
        let message = one.message.as_ref()?;
        let verdict = message.decision.map_or("none", plan::Decision::name);
        Some(format!("{} {} {verdict}", one.id, message.path))
    });
    lines.collect()
}

/// Old and new parameters, and the expected line of level `error`.
const BREAKS: &[(&str, &str, &str)] = &[
    (
        "a: type: string\n b: type: string",
        "f: type: object, properties: {a: {type: string, enum: [x, y]}, b: {type: string}}",
        "request-parameter-became-enum query a refuted",
    ),
    (
        "f: type: object, properties: {a: {type: string}, b: {type: string}}",
        "a: type: string, enum: [x, y]\n b: type: string",
        "request-parameter-became-enum query a refuted",
    ),
    (
        "~f: type: object, properties: {a: {type: string}}",
        "~a: type: integer",
        "request-parameter-type-changed cookie a refuted",
    ),
    // The object has another name.
    (
        "f: type: object, properties: {a: {type: string}}",
        "g: type: object, properties: {a: {type: integer}}",
        "request-parameter-type-changed query a refuted",
    ),
    // A parameter beside the object has the name of a property.
    (
        "f: type: object, properties: {a: {type: string}}",
        "f: type: object, properties: {a: {type: string}}\n a: type: string, enum: [x, y]",
        "request-parameter-became-enum query a refuted",
    ),
    (
        "f: type: object, additionalProperties: {type: string}",
        "a: type: string, enum: [x, y]",
        "request-parameter-became-enum query a refuted",
    ),
    (
        "f: type: object, properties: {b: {type: string}}, additionalProperties: {type: string}",
        "f: type: object, properties: {b: {type: string}}, additionalProperties: {type: string}\n a: type: integer",
        "request-parameter-type-changed query a refuted",
    ),
    (
        "a: type: string\n b: type: string",
        "f!: type: object, required: [a], properties: {a: {type: string}, b: {type: string}}",
        "request-parameter-became-required query a none",
    ),
    // `a` is required beside `b`.
    (
        "a: type: string\n b: type: string",
        "f: type: object, required: [a], properties: {a: {type: string}, b: {type: string}}",
        "request-parameter-became-required query a none",
    ),
    (
        "a: type: string",
        "f: type: object, required: [c], properties: {a: {type: string}, c: {type: string}}",
        "new-required-request-parameter query c none",
    ),
    (
        "f: type: object, required: [a], properties: {a: {type: string}, b: {type: string}}",
        "a!: type: string\n b: type: string",
        "request-parameter-became-required query a none",
    ),
    // One of the properties must be present.
    (
        "a: type: string\n b: type: string",
        "f!: type: object, properties: {a: {type: string}, b: {type: string}}",
        "request-parameter-became-required query f none",
    ),
    (
        "a: type: string\n b: type: string",
        "f: type: object, properties: {a: {type: string}, b: {type: string}}, maxProperties: 1",
        "request-schema-narrowed query f undecided",
    ),
    // `deepObject` sends `f[a]`.
    (
        "{name: 'f[a]', in: query, schema: {type: string}}\n {name: 'f[b]', in: query, schema: {type: string}}",
        "{name: f, in: query, style: deepObject, schema: {type: object, properties: {a: {type: integer}, b: {type: string}}}}",
        "request-parameter-type-changed query f[a] refuted",
    ),
    (
        "{name: f, in: query, style: deepObject, schema: {type: object, properties: {a: {type: string}}}}",
        "{name: 'f[a]', in: query, schema: {type: integer}}",
        "request-parameter-type-changed query f[a] refuted",
    ),
    (
        "{name: 'f[a]', in: query, schema: {type: string}}\n {name: 'f[b]', in: query, schema: {type: string}}",
        "{name: f, in: query, style: deepObject, schema: {type: object, required: [a], properties: {a: {type: string}, b: {type: string}}}}",
        "request-parameter-became-required query f[a] none",
    ),
    (
        "{name: 'f[a]', in: query, schema: {type: string}}\n {name: 'f[z]', in: query, schema: {type: string}}",
        "{name: f, in: query, style: deepObject, schema: {type: object, properties: {a: {type: string}}, additionalProperties: false}}",
        "request-schema-narrowed query f undecided",
    ),
    (
        "a: type: array, items: {type: string}",
        "f: type: object, properties: {a: {type: array, items: {type: string}}}",
        "request-serialization-changed query a none",
    ),
];

/// Parameters of two sides that describe the same requests, or more on the new side.
const HARMLESS: &[(&str, &str)] = &[
    (
        "a: type: string\n b: type: integer",
        "f: type: object, properties: {a: {type: string}, b: {type: integer}}",
    ),
    (
        "a!: type: string\n b: type: integer",
        "f!: type: object, required: [a], properties: {a: {type: string}, b: {type: integer}}",
    ),
    (
        "a: type: string\n b: type: integer",
        "f: type: object, properties: {a: {type: string}}\n g: type: object, additionalProperties: false, properties: {b: {type: integer}}",
    ),
    (
        "f: type: object, properties: {a: {type: string}}\n q: type: array",
        "g: type: object, properties: {a: {type: string}}\n q: type: array",
    ),
    (
        "f!: type: object, properties: {a: {type: string}, b: {type: string}}, maxProperties: 1",
        "g!: type: object, properties: {a: {type: string}, b: {type: string}}, maxProperties: 1",
    ),
    (
        "f: type: object, properties: {a: {type: string}}",
        "f: type: object, properties: {a: {type: string}}\n a: type: string",
    ),
    (
        "a: type: string",
        "f: type: object, required: [a], minProperties: 1, properties: {a: {type: string}}",
    ),
    (
        "a: type: string\n b: type: string",
        "f: allOf: [{type: object, properties: {a: {type: string}}}, {type: object, properties: {b: {type: string}}}]",
    ),
    (
        "~a: type: string",
        "~f: type: object, properties: {a: {type: string}}",
    ),
    (
        "{name: 'f[a]', in: query, schema: {type: string}}\n {name: 'f[b]', in: query, schema: {type: integer}}",
        "{name: f, in: query, style: deepObject, schema: {type: object, properties: {a: {type: string}, b: {type: integer}}}}",
    ),
];

#[test]
fn field_of_another_parameter_is_compared() {
    let mut wrong = String::new();
    for (old, new, expected) in BREAKS {
        let found = found(&between(old, new), &["error"]);
        if found != [*expected] {
            wrong.push_str(&format!("{old} -> {new}\n  {expected}, not {found:#?}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn equal_fields_of_other_parameters_are_no_break() {
    let mut wrong = String::new();
    for (one, other) in HARMLESS {
        for (old, new) in [(one, other), (other, one)] {
            let found = found(&between(old, new), &["error", "warn"]);
            if !found.is_empty() {
                wrong.push_str(&format!("{old} -> {new}\n  {found:#?}\n"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The API sends the requests: a new value that the old contract excludes is a break.
#[test]
fn field_of_a_webhook_is_compared() {
    let one = "a!: type: string\n b: type: string, maxLength: 4";
    let other =
        "f: type: object, required: [a], properties: {a: {type: string}, b: {type: string}}";
    let lines = found(&between_in(WEBHOOK, one, other), &["error"]);
    let expected = [
        "outgoing-parameter-became-optional webhook w POST query a none",
        "response-schema-widened webhook w POST query b refuted",
    ];
    assert_eq!(lines, expected);
    let lines = found(&between_in(WEBHOOK, other, one), &["error"]);
    assert_eq!(lines, [""; 0]);
}

/// Old and new parameter, and the expected line of level `error`, if any.
const SERIALIZATIONS: &[(&str, &str, &str)] = &[
    // `explode` has no effect on `deepObject`.
    (
        "{name: f, in: query, style: deepObject, schema: {type: object}}",
        "{name: f, in: query, style: deepObject, explode: true, schema: {type: object}}",
        "",
    ),
    (
        "{name: f, in: query, style: deepObject, explode: true, schema: {type: object}}",
        "{name: f, in: query, style: deepObject, schema: {type: object}}",
        "",
    ),
    (
        "{name: a, in: query, schema: {type: integer}}",
        "{name: a, in: query, allowEmptyValue: true, schema: {type: integer}}",
        "",
    ),
    (
        "{name: a, in: query, allowEmptyValue: true, schema: {type: integer}}",
        "{name: a, in: query, schema: {type: integer}}",
        "request-serialization-changed query a none",
    ),
    (
        "{name: a, in: query, allowEmptyValue: true, schema: {type: string, minLength: 1}}",
        "{name: a, in: query, schema: {type: string, minLength: 1}}",
        "request-serialization-changed query a none",
    ),
    // gwd accepts the empty text as a value of the schema.
    (
        "{name: a, in: query, allowEmptyValue: true, schema: {type: string}}",
        "{name: a, in: query, schema: {type: string}}",
        "",
    ),
    (
        "{name: a, in: query, allowEmptyValue: true, schema: {type: [integer, 'null']}}",
        "{name: a, in: query, schema: {type: [integer, 'null']}}",
        "",
    ),
    (
        "{name: a, in: query, allowEmptyValue: true, schema: {type: array, items: {type: string}}}",
        "{name: a, in: query, schema: {type: array, items: {type: string}}}",
        "",
    ),
];

#[test]
fn serialization_without_an_effect_is_no_break() {
    let mut wrong = String::new();
    for (old, new, expected) in SERIALIZATIONS {
        let found = found(&between(old, new), &["error"]).join("\n");
        if found != *expected {
            wrong.push_str(&format!("{old} -> {new}\n  {expected}, not {found}\n"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// gwd ignores the old field, because the properties of an exploded object have other names.
#[test]
fn value_that_becomes_an_object_has_no_witness() {
    let old = "f: type: string";
    let new = "f: type: object, required: [a], properties: {a: {type: string}}";
    let plan = between(old, new);
    let messages = plan.changes.iter().filter_map(|one| one.message.as_ref());
    let witnesses: Vec<_> = messages.filter_map(|one| one.witness.as_ref()).collect();
    assert_eq!(witnesses, [&serde_json::Value::Null; 0]);
    let line = "request-parameter-type-changed query f undecided".to_owned();
    assert!(found(&plan, &["error"]).contains(&line), "{plan:?}");
}
