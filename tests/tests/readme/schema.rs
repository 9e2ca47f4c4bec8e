//! Test of the JSON Schema for editors: the schema accepts the examples and rejects mistakes.

use serde_json::Value;

use super::{EXAMPLES, read, yaml};

#[test]
fn the_schema_knows_right_from_wrong() {
    let schema: Value =
        serde_json::from_str(&read("schemas/gateway.schema.json")).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    for example in EXAMPLES {
        let gateway = yaml(&read(&format!("examples/{example}/gateway.yaml")));
        let errors: Vec<String> = validator
            .iter_errors(&gateway)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{example}: {errors:?}");
    }
    for (what, wrong) in [
        ("no name", "{version: 1}"),
        ("another version", "{version: 2, name: a}"),
        ("an unknown key", "{version: 1, name: a, upstream: {}}"),
        ("a list for a map", "{version: 1, name: a, apis: []}"),
        (
            "an API without a path",
            "{version: 1, name: a, apis: {b: {}}}",
        ),
        (
            "a bare number for a duration",
            "{version: 1, name: a, defaults: {timeout: 5}}",
        ),
        (
            "a duration without a unit",
            "{version: 1, name: a, defaults: {timeout: '5'}}",
        ),
        (
            "an unknown kind",
            "{version: 1, name: a, policies: {p: {kind: rate_limt, limit: 1/s}}}",
        ),
        (
            "a rate without a unit",
            "{version: 1, name: a, policies: {p: {kind: rate_limit, limit: 10}}}",
        ),
        (
            "a key that is not a hash",
            "{version: 1, name: a, consumers: {c: {keys: [{sha256: secret}]}}}",
        ),
        ("an unknown gate", "{version: 1, name: a, gates: [weakn]}"),
        (
            "an unknown level",
            "{version: 1, name: a, lint: {server-path-differs: loud}}",
        ),
        (
            "an unknown security",
            "{version: 1, name: a, defaults: {security: none}}",
        ),
    ] {
        assert!(!validator.is_valid(&yaml(wrong)), "{what}: {wrong}");
    }
}
