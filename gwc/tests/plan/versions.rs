//! Tests of keywords of schemas that only other versions of OpenAPI have: they have no effect.

use model::compile::Purpose;
use plan::{Plan, compare};

use crate::compiled;
use crate::hidden_breaks::lines;
use crate::meaning::GATEWAY;

/// Plan between two schemas of a request body, each with the version of its document.
fn between(old: (&str, &str), new: (&str, &str)) -> Plan {
    let side = |(version, schema): (&str, &str)| {
        let document = format!(
            "openapi: {version}\ninfo: {{title: t, version: \"1\"}}\npaths: {{/x: {{post: {{operationId: x, requestBody: {{required: true, content: {{application/json: {{schema: {schema}}}}}}}, responses: {{}}}}}}}}\n"
        );
        let files = [("gateway.yaml", GATEWAY), ("api.yaml", &*document)];
        compiled(&files, Purpose::Compare).expect("errors do not stop the comparison")
    };
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

/// Version, schema with a keyword of another version, and the schema without it.
const WITHOUT_EFFECT: &[(&str, &str, &str)] = &[
    ("3.1.0", "{type: string, nullable: true}", "{type: string}"),
    (
        "3.2.0",
        "{allOf: [{type: string}], nullable: true}",
        "{type: string}",
    ),
    (
        "3.1.0",
        "{type: integer, minimum: 3, exclusiveMinimum: true}",
        "{type: integer, minimum: 3}",
    ),
    ("3.0.3", "{type: string, const: a}", "{type: string}"),
    (
        "3.0.3",
        "{type: object, patternProperties: {'^a': {type: string}}, propertyNames: {maxLength: 2}}",
        "{type: object}",
    ),
    (
        "3.0.3",
        "{type: object, dependentRequired: {a: [b]}, if: {required: [a]}, then: {required: [c]}}",
        "{type: object}",
    ),
    (
        "3.0.3",
        "{type: array, items: {}, prefixItems: [{type: string}], contains: {type: string}}",
        "{type: array, items: {}}",
    ),
    (
        "3.0.3",
        "{type: integer, exclusiveMinimum: 3}",
        "{type: integer}",
    ),
    (
        "3.0.3",
        "{type: string, contentEncoding: base64, $id: 'https://t.test/a'}",
        "{type: string}",
    ),
];

#[test]
fn keyword_of_another_version_has_no_effect() {
    for (version, with, without) in WITHOUT_EFFECT {
        for (old, new) in [(with, without), (without, with)] {
            let plan = between((version, old), (version, new));
            assert!(plan.changes.is_empty(), "{with}: {:?}", plan.changes);
        }
    }
}

#[test]
fn new_version_changes_the_effect_of_a_keyword() {
    let nullable = "{type: string, nullable: true}";
    let found = lines(&between(("3.0.3", nullable), ("3.1.0", nullable)));
    assert_eq!(
        found,
        ["request-body-became-not-nullable error refuted null"]
    );
    let found = lines(&between(("3.1.0", nullable), ("3.0.3", nullable)));
    assert_eq!(found, ["request-body-became-nullable info none"]);
    let constant = "{type: string, const: a}";
    let found = lines(&between(("3.0.3", constant), ("3.1.0", constant)));
    assert_eq!(found, ["request-body-const-added error refuted \"\""]);
    let found = lines(&between(("3.1.0", constant), ("3.0.3", constant)));
    assert_eq!(found, ["request-body-const-removed info none"]);
}

/// Plan between two schemas of a part of a form and of a response of bytes, each with the version of
/// its document.
fn between_files(old: (&str, &str), new: (&str, &str)) -> Plan {
    let side = |(version, schema): (&str, &str)| {
        let document = format!(
            "openapi: {version}
info: {{title: t, version: \"1\"}}
paths:
  /x:
    post:
      operationId: x
      requestBody: {{content: {{multipart/form-data: {{schema: {{type: object, properties: {{f: {schema}}}}}}}}}}}
      responses: {{\"200\": {{description: d, content: {{image/png: {{schema: {schema}}}}}}}}}
"
        );
        compiled(
            &[("gateway.yaml", GATEWAY), ("api.yaml", &document)],
            Purpose::Compare,
        )
        .expect("errors do not stop the comparison")
    };
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

#[test]
fn binary_data_in_another_versions_form_is_equal() {
    let binary = ("3.0.3", "{type: string, format: binary}");
    let base64 = ("3.0.3", "{type: string, format: byte}");
    for (old, new) in [
        (binary, "{}"),
        (binary, "{contentMediaType: image/png}"),
        (binary, "{type: string, contentMediaType: image/png}"),
        (base64, "{type: string, contentEncoding: base64}"),
        (
            base64,
            "{type: string, contentEncoding: base64, contentMediaType: image/png}",
        ),
    ] {
        for plan in [
            between_files(old, ("3.1.0", new)),
            between_files(("3.1.0", new), old),
        ] {
            let found = lines(&plan);
            assert!(
                found.is_empty() || plan.changes.iter().all(|one| one.id == "contract-restated"),
                "{old:?} {new}: {found:#?}"
            );
        }
    }
}

#[test]
fn other_data_is_no_other_form_of_the_same() {
    for (old, new) in [
        ("{type: string, format: byte}", "{type: string}"),
        (
            "{type: string, format: byte}",
            "{type: string, contentEncoding: base64url}",
        ),
        (
            "{type: string, format: binary}",
            "{type: string, contentEncoding: base64}",
        ),
        (
            "{type: string, contentMediaType: image/png}",
            "{type: string, contentMediaType: image/gif}",
        ),
        // JSON text has a type.
        ("{type: string, format: binary}", "{type: integer}"),
    ] {
        let plan = between_files(("3.1.0", old), ("3.1.0", new));
        assert!(!lines(&plan).is_empty(), "{old} {new}");
    }
    let plan = between(("3.1.0", "{type: string, format: binary}"), ("3.1.0", "{}"));
    assert!(!lines(&plan).is_empty());
}
