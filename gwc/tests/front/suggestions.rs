//! Tests of common mistakes in documents: each finding must name the correction.

use sources::project::files::Files;
use sources::syntax::Limits;

use crate::project;

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
paths:
  /a:
    get:
      operationId: a
      parameters:
        - {name: x, in: query, schema: SCHEMA}
      responses: {'200': {description: ok}}
components:
  schemas:
    Pet: {type: object}
  parameters:
    P: {name: p, in: query, schema: {type: string}}
";

const GATEWAY: &str = "version: 1
name: s
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
";

/// Findings of a document as `NAME MESSAGE; HELP`, without findings about gateway settings.
fn findings(document: &str) -> Vec<String> {
    let texts = [("gateway.yaml", GATEWAY), ("api.yaml", document)];
    let linted = project::of(model::compile::project(
        Files::in_memory(texts, Limits::default()),
        &Vec::new(),
    ));
    let about_document = linted
        .findings
        .iter()
        .filter(|finding| finding.lint.code < "GW05");
    about_document
        .map(|finding| {
            let help = finding.help.as_deref().unwrap_or_default();
            format!("{} {}; {help}", finding.lint.name, finding.message)
        })
        .collect()
}

fn with_schema(schema: &str) -> Vec<String> {
    findings(&DOCUMENT.replace("SCHEMA", schema))
}

#[test]
fn a_misspelt_reference_says_what_to_write() {
    for (schema, expected) in [
        ("{ref: '#/components/schemas/Pet'}", "write `$ref`"),
        ("{$reff: '#/components/schemas/Pet'}", "write `$ref`"),
        (
            "{$ref: '/components/schemas/Pet'}",
            "write `#/components/schemas/Pet`",
        ),
        (
            "{$ref: 'components/schemas/Pet'}",
            "write `#/components/schemas/Pet`",
        ),
        (
            "{$ref: '#components/schemas/Pet'}",
            "write `#/components/schemas/Pet`",
        ),
        ("{$ref: Pet}", "write `#/components/schemas/Pet`"),
        ("{$ref: 'C:\\pets\\pet.yaml'}", "`pets/pet.yaml`"),
        ("{$ref: '.\\pet.yaml'}", "`./pet.yaml`"),
    ] {
        let found = with_schema(schema);
        assert_eq!(found.len(), 1, "{schema}: {found:?}");
        assert!(found[0].contains(expected), "{schema}: {found:?}");
    }
}

#[test]
fn a_misspelt_keyword_says_what_to_write() {
    for (schema, expected) in [
        ("{type: string, maxLenght: 3}", "write `maxLength`"),
        ("{typ: string}", "write `type`"),
        ("{type: object, propertys: {}}", "write `properties`"),
    ] {
        let found = with_schema(schema);
        assert_eq!(found.len(), 1, "{schema}: {found:?}");
        assert!(found[0].starts_with("misspelt-keyword"), "{found:?}");
        assert!(found[0].contains(expected), "{schema}: {found:?}");
    }
    for schema in [
        "{type: string, tsType: Name}",
        "{type: string, nullable: true}",
        "{type: string, enumNames: [a]}",
        "{type: string, x-type: a}",
    ] {
        let found = with_schema(schema);
        let misspelt = found.iter().any(|one| one.starts_with("misspelt"));
        assert!(!misspelt, "{schema}: {found:?}");
    }
}

#[test]
fn null_as_a_type_belongs_in_quotes() {
    let found = with_schema("{type: [string, null]}");
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("write `\"null\"` in quotes"), "{found:?}");
    assert_eq!(
        with_schema("{type: [string, 'null']}"),
        Vec::<String>::new()
    );
}

#[test]
fn a_number_that_json_lacks_is_refused() {
    for number in [".inf", "-.Inf", ".NaN"] {
        let found = with_schema(&format!("{{type: number, maximum: {number}}}"));
        assert!(
            found[0].contains(&format!("expected a finite number, found `{number}`")),
            "{found:?}"
        );
    }
}

#[test]
fn a_free_value_that_json_lacks_is_refused() {
    for value in [
        "default: .nan",
        "const: -.INF",
        "enum: [1, .inf]",
        "examples: [{a: [.NaN]}]",
    ] {
        let found = with_schema(&format!("{{{value}}}"));
        let expected = "expected a finite number, found `";
        let matching = found.iter().filter(|one| one.contains(expected));
        assert_eq!(matching.count(), 1, "{value}: {found:?}");
    }
    // In quotes, `.nan` is a string, which is a valid default.
    assert_eq!(with_schema("{default: '.nan'}"), Vec::<String>::new());
}

#[test]
fn null_twice_in_an_enum_is_reported() {
    let found = with_schema("{enum: [a, null, null]}");
    assert_eq!(found, ["duplicate-enum-value `null` occurs twice; "]);
}

#[test]
fn openapi_in_other_letters_is_recognised() {
    let document = DOCUMENT.replace("SCHEMA", "{}");
    for key in ["openApi", "OpenAPI", "open-api"] {
        let found = findings(&document.replacen("openapi", key, 1));
        assert!(found[0].contains("write `openapi`"), "{key}: {found:?}");
    }
}
