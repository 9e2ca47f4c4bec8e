//! Tests of breaks that only the discriminator of `oneOf` shows.

use plan::{Plan, compare};

use crate::hidden_breaks::lines;
use crate::meaning::GATEWAY;
use crate::side;

/// Plan between two versions of a body with `oneOf: [Cat, Dog]`: discriminator, Cat, Dog.
fn between(is_response: bool, old: [&str; 3], new: [&str; 3]) -> Plan {
    let document = |[discriminator, cat, dog]: [&str; 3]| {
        let all = "oneOf: [{$ref: '#/components/schemas/Cat'}, {$ref: '#/components/schemas/Dog'}]";
        let schema = format!("{{{all}{discriminator}}}");
        let content = format!("content: {{application/json: {{schema: {schema}}}}}");
        let (request, response) = match is_response {
            true => (String::new(), format!(", {content}")),
            false => (format!("requestBody: {{{content}}}, "), String::new()),
        };
        format!(
            "openapi: 3.2.0
info: {{title: t, version: \"1\"}}
paths:
  /x: {{post: {{operationId: x, {request}responses: {{\"200\": {{description: d{response}}}}}}}}}
components: {{schemas: {{Cat: {cat}, Dog: {dog}}}}}
"
        )
    };
    let side = |parts| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(parts))]);
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

#[test]
fn discriminator_of_another_schema_is_a_break() {
    let mapped = |cat: &str, dog: &str| {
        format!(
            ", discriminator: {{propertyName: t, mapping: {{cat: '#/components/schemas/{cat}', dog: '#/components/schemas/{dog}'}}}}"
        )
    };
    let (straight, crossed) = (mapped("Cat", "Dog"), mapped("Dog", "Cat"));
    let plain = ", discriminator: {propertyName: t}";
    let with = |required: &str, kind: &str| {
        format!(
            "{{type: object, required: [{required}], properties: {{t: {{type: string}}, m: {{type: {kind}}}}}}}"
        )
    };
    let (number, text) = (with("t, m", "integer"), with("t, m", "string"));
    let (few, many) = (with("t", "string"), with("t, m", "string"));
    for is_response in [false, true] {
        for (old, new) in [
            (
                [&*straight, &*number, &*text],
                [&*crossed, &*number, &*text],
            ),
            ([plain, &*few, &*many], [plain, &*many, &*few]),
            (["", &*number, &*text], [plain, &*number, &*text]),
        ] {
            let (old, new) = match is_response {
                false => (old, new),
                true => (new, old),
            };
            let expected = match is_response {
                false => "request-schema-narrowed error refuted {\"",
                true => "response-schema-widened error refuted {\"",
            };
            let found = lines(&between(is_response, old, new));
            let mut starts = found.iter().map(|line| line.starts_with(expected));
            assert!(starts.any(|starts| starts), "{old:?} {new:?} {found:#?}");
        }
    }
}

#[test]
fn default_of_a_discriminator_is_compared() {
    let mapped = |default: &str| {
        format!(
            ", discriminator: {{propertyName: t, mapping: {{cat: '#/components/schemas/Cat', dog: '#/components/schemas/Dog'}}{default}}}"
        )
    };
    let (none, cat, dog) = (
        mapped(""),
        mapped(", defaultMapping: Cat"),
        mapped(", defaultMapping: Dog"),
    );
    let object = |name: &str| format!("{{type: object, properties: {{{name}: {{type: string}}}}}}");
    let (meows, barks) = (object("meows"), object("barks"));
    for (is_response, direction) in [(false, "request"), (true, "response")] {
        for (old, new, what) in [
            (&none, &cat, "added"),
            (&cat, &none, "deleted"),
            (&cat, &dog, "changed"),
        ] {
            let found = lines(&between(
                is_response,
                [old, &meows, &barks],
                [new, &meows, &barks],
            ));
            let expected = format!("{direction}-body-discriminator-mapping-{what} info none");
            assert_eq!(found, [expected], "{old} {new}");
        }
    }
}

/// Clients read a value by the schema that the discriminator selects, also if this schema extends
/// the described one. gwd does not select it, so no verdict is possible.
#[test]
fn schema_that_extends_another_one_is_compared() {
    let document = |version: &str, extension: &str| {
        let body = "content: {application/json: {schema: {$ref: '#/components/schemas/P'}}}";
        format!(
            "openapi: {version}
info: {{title: t, version: \"1\"}}
paths:
  /x: {{post: {{operationId: x, requestBody: {{{body}}}, responses: {{\"200\": {{description: d, {body}}}}}}}}}
components:
  schemas:
    P: {{type: object, required: [t], properties: {{t: {{type: string}}}}, discriminator: {{propertyName: t}}}}
    C: {{allOf: [{{$ref: '#/components/schemas/P'}}, {{type: object, {extension}}}]}}
"
        )
    };
    let plan = |version: &str, old: &str, new: &str| {
        let of = |extension: &str| {
            let document = document(version, extension);
            side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document)])
        };
        compare(Some(&of(old)), &of(new)).expect("both sides build")
    };
    let text = "properties: {z: {type: string}}";
    for version in ["3.0.3", "3.1.0"] {
        for new in [
            "properties: {z: {type: integer}}",
            "required: [z], properties: {z: {type: string}}",
        ] {
            let plan = plan(version, text, new);
            let changes = plan.changes.iter();
            let found: Vec<_> = changes.map(|one| (one.id, one.level())).collect();
            assert_eq!(
                found,
                [
                    ("request-schema-changed", "warn"),
                    ("response-schema-changed", "warn")
                ],
                "{version} {new}"
            );
        }
        let plan = plan(
            version,
            text,
            "properties: {z: {type: string, description: d}}",
        );
        assert!(plan.changes.iter().all(|one| one.message.is_none()));
    }
}
