//! Tests of breaks of API clients in values that are sent as text: texts with separators, lists,
//! objects, forms, and numbers with exponents.

use plan::{Plan, compare};

use crate::hidden_breaks::lines;
use crate::meaning::GATEWAY;
use crate::side;

/// Plan between two versions of an operation: `{S}` in `operation` is the schema.
fn between(operation: &str, old: &str, new: &str) -> Plan {
    let document = |schema: &str| {
        let operation = operation.replace("{S}", schema);
        format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: '1'}}\npaths:\n  /x/{{id}}: {{post: {{operationId: x, {operation}, responses: {{'200': {{description: d}}}}}}}}\n"
        )
    };
    let side = |schema: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(schema))]);
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

const ID: &str = "{name: id, in: path, required: true, schema: {type: string}}";

/// Operation with a parameter at a place, or with a body.
fn at(place: &str) -> String {
    let parameter = |text: &str| format!("parameters: [{ID}, {{{text}, schema: {{S}}}}]");
    let body = |name: &str| {
        format!(
            "parameters: [{ID}], requestBody: {{required: true, content: {{{name}: {{schema: {{S}}}}}}}}"
        )
    };
    match place {
        "path" => "parameters: [{name: id, in: path, required: true, schema: {S}}]".to_owned(),
        "deep" => parameter("name: p, in: query, style: deepObject, explode: true"),
        "list" => parameter("name: p, in: query, explode: false"),
        "form" => body("application/x-www-form-urlencoded"),
        "parts" => body("multipart/form-data"),
        place => parameter(&format!("name: p, in: {place}")),
    }
}

/// Place, old schema, new schema, and the start of one of the expected lines.
type Case = (&'static str, &'static str, &'static str, &'static str);

#[track_caller]
fn check(cases: &[Case]) {
    let mut wrong = String::new();
    for (place, old, new, expected) in cases {
        let found = lines(&between(&at(place), old, new));
        if !found.iter().any(|line| line.starts_with(expected)) {
            wrong.push_str(&format!(
                "{place} {old} -> {new}\n  {expected}, not {found:#?}\n"
            ));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn scalars_that_servers_do_not_read_are_no_proof() {
    let listed = "{type: string, enum: [asc, desc]}";
    for place in ["query", "header", "path"] {
        check(&[
            (
                place,
                listed,
                "{not: {enum: [desc]}}",
                "request-schema-narrowed error undecided",
            ),
            (
                place,
                listed,
                "{if: {const: asc}, then: false}",
                "request-schema-narrowed error undecided",
            ),
        ]);
    }
    // gwd reads the text as an object, because the schema names this type only.
    let object = "{type: object, properties: {a: {type: string}}}";
    for place in ["list", "header", "path"] {
        let found = lines(&between(
            &at(place),
            "{type: string}",
            "{properties: {a: {}}}",
        ));
        assert!(
            !found.iter().any(|line| line.contains("proved")),
            "{place} {found:?}"
        );
        // An alternative that admits everything also admits texts.
        let any = format!("{{anyOf: [{{}}, {object}]}}");
        let found = lines(&between(&at(place), "{type: string}", &any));
        assert!(
            !found.iter().any(|line| line.contains(" error")),
            "{place} {found:?}"
        );
    }
}

#[test]
fn text_with_separators_is_a_witness() {
    let refuted = "request-schema-narrowed error refuted \"";
    check(&[
        (
            "query",
            "{type: string, format: date-time}",
            "{type: string, format: date-time, anyOf: [{pattern: 'Z$'}, {pattern: 'UTC$'}]}",
            refuted,
        ),
        (
            "header",
            "{type: string, pattern: '^v[0-9]\\.[0-9]$'}",
            "{type: string, pattern: '^v[0-9]\\.[0-9]$', oneOf: [{const: v1.0}, {const: v2.0}]}",
            refuted,
        ),
        (
            "query",
            "{type: string, pattern: '^[^@]+@[^@]+$'}",
            "{type: string, pattern: '^[^@]+@[^@]+$', anyOf: [{pattern: '@a[.]example$'}, {pattern: '@b[.]example$'}]}",
            refuted,
        ),
        (
            "cookie",
            "{type: string, pattern: '^[a-z]+/[a-z]+$'}",
            "{type: string, pattern: '^[a-z]+/[a-z]+$', anyOf: [{pattern: '^text/'}, {pattern: '^image/'}]}",
            refuted,
        ),
        (
            "query",
            "{type: string, pattern: '^[a-z] [a-z]$'}",
            "{type: string, pattern: '^[a-z] [a-z]$', anyOf: [{pattern: '^x'}, {pattern: '^y'}]}",
            refuted,
        ),
        (
            "path",
            "{type: string, pattern: '^[a-z]:[a-z]$'}",
            "{type: string, pattern: '^[a-z]:[a-z]$', anyOf: [{pattern: '^x'}, {pattern: '^y'}]}",
            refuted,
        ),
        // A path segment cannot contain a slash.
        (
            "path",
            "{type: string, pattern: '^[a-z]/[a-z]$'}",
            "{type: string, pattern: '^[a-z]/[a-z]$', anyOf: [{pattern: '^x'}, {pattern: '^y'}]}",
            "request-schema-changed warn undecided",
        ),
        (
            "query",
            "{type: number}",
            "{type: number, anyOf: [{minimum: 5, maximum: 6}, {maximum: -5}]}",
            "request-schema-narrowed error refuted ",
        ),
    ]);
}

const ANY: &str = "{type: object, properties: {a: {type: integer}, b: {type: string}, c: {type: string}}, anyOf: [{required: [a]}, {required: [b]}]}";
const ONE: &str = "{type: object, properties: {a: {type: integer}, b: {type: string}, c: {type: string}}, oneOf: [{required: [a]}, {required: [b]}]}";
const FREE: &str =
    "{type: object, properties: {a: {type: integer}, b: {type: string}, c: {type: string}}}";

#[test]
fn lists_and_objects_are_witnesses() {
    let object = "request-schema-narrowed error refuted {\"";
    let list = "request-schema-narrowed error refuted [\"";
    check(&[
        ("deep", FREE, ANY, object),
        ("deep", FREE, ONE, object),
        ("form", FREE, ANY, object),
        ("form", FREE, ONE, object),
        ("parts", FREE, ANY, object),
        (
            "query",
            "{type: array, items: {type: string}}",
            "{type: array, items: {type: string}, anyOf: [{minItems: 2}, {maxItems: 0}]}",
            list,
        ),
        (
            "list",
            "{type: array, items: {type: string}}",
            "{type: array, items: {type: string}, anyOf: [{minItems: 2}, {maxItems: 0}]}",
            list,
        ),
        (
            "form",
            "{type: object, properties: {l: {type: array, items: {type: string}}}}",
            "{type: object, properties: {l: {type: array, items: {type: string}, anyOf: [{minItems: 2}, {maxItems: 0}]}}}",
            list,
        ),
        (
            "form",
            "{type: object, properties: {l: {type: array, items: {type: string}}}}",
            "{type: object, properties: {l: {type: array, items: {type: string}, prefixItems: [{const: x}]}}}",
            list,
        ),
        (
            "form",
            "{type: object, properties: {l: {type: array, items: {type: string}}}}",
            "{type: object, properties: {l: {type: array, items: {type: string}, contains: {const: x}}}}",
            "request-property-contains-added error refuted [\"",
        ),
    ]);
}

/// A form without fields may be an absent body, and the form of an object in the query is not known.
#[test]
fn unknown_texts_are_undecided() {
    let few = "{type: object, properties: {a: {type: integer}, b: {type: string}}}";
    let any = "{type: object, properties: {a: {type: integer}, b: {type: string}}, anyOf: [{required: [a]}, {required: [b]}]}";
    let undecided = "request-schema-changed warn undecided";
    check(&[
        ("form", few, any, undecided),
        ("deep", few, any, undecided),
        ("query", few, any, undecided),
    ]);
}

#[test]
fn exponents_of_integers_are_no_proof() {
    check(&[
        (
            "query",
            "{type: number, multipleOf: 1}",
            "{type: integer}",
            "request-parameter-type-changed error refuted 1e+16",
        ),
        (
            "form",
            "{type: object, properties: {n: {type: number, multipleOf: 1}}}",
            "{type: object, properties: {n: {type: integer}}}",
            "request-property-type-changed error refuted 1e+16",
        ),
        // JSON does not tell such a number from an integer.
        (
            "query",
            "{type: number, multipleOf: 1, minimum: 0, maximum: 9}",
            "{type: integer, minimum: 0, maximum: 9}",
            "request-parameter-type-changed error undecided",
        ),
    ]);
    for (place, old, new) in [
        ("query", "{type: integer}", "{type: number, multipleOf: 1}"),
        (
            "query",
            "{type: number, enum: [1, 2]}",
            "{type: integer, enum: [1, 2]}",
        ),
        (
            "query",
            "{type: integer, minimum: 1}",
            "{type: integer, anyOf: [{minimum: 1}, {maximum: -1}]}",
        ),
    ] {
        let found = lines(&between(&at(place), old, new));
        let is_wrong = |line: &String| line.contains(" error ") || line.contains("undecided");
        assert!(!found.iter().any(is_wrong), "{old} -> {new}: {found:#?}");
    }
}

#[test]
fn changed_constant_is_a_removed_value() {
    for place in ["query", "header", "cookie"] {
        for (old, verdict) in [
            ("a;b", "undecided"),
            ("a%20b", "undecided"),
            ("ab", "refuted"),
        ] {
            let expected = format!("request-parameter-enum-value-removed error {verdict}");
            let old = format!("{{type: string, const: '{old}'}}");
            let found = lines(&between(&at(place), &old, "{type: string, const: c}"));
            let mut starts = found.iter().map(|line| line.starts_with(&expected));
            assert!(starts.any(|starts| starts), "{place} {old} {found:?}");
        }
    }
}

/// A field of a form is text: a schema of any text accepts each single value, but no list.
#[test]
fn any_text_of_a_form_accepts_single_values() {
    let field = |kind: &str| format!("{{type: object, properties: {{n: {kind}}}}}");
    for place in ["form", "parts"] {
        for (kind, breaks) in [
            ("{type: integer}", false),
            ("{type: number, maximum: 9}", false),
            ("{type: boolean}", false),
            ("{type: [string, 'null']}", false),
            ("{type: array, items: {type: integer}}", true),
            ("{type: object, properties: {a: {type: string}}}", true),
        ] {
            let (old, new) = (field(kind), field("{type: string}"));
            let found = lines(&between(&at(place), &old, &new));
            let mut errors = found.iter().filter(|line| line.contains(" error"));
            assert_eq!(errors.next().is_some(), breaks, "{place} {kind} {found:#?}");
        }
    }
}
