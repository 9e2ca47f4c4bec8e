//! Vocabulary of gateway.yaml and `x-gateway` as data: one shape per object, one field per key.
//!
//! The shapes cover every key. A key that gwd does not support yet has `Need::NotAvailable`. It is
//! reported at its source location, and never ignored or treated as unknown.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod checks;
pub mod condition_lints;
pub mod environment_lints;
pub mod extension;
pub mod gateway;
pub mod invariant_file;
pub mod limit_lints;
pub mod lints;
pub mod listener;
pub mod reasons;
pub mod redaction_lints;
mod release;
pub mod release_lints;
pub mod security_lints;
pub mod served_lints;
pub mod shared;
pub mod test_file;
pub mod upstream;
pub mod verifier_lints;

use diag::shape::{json_schema, merge_patch};
use serde_json::{Value, json};

/// Top-level keys of gateway.yaml that a patch cannot change.
pub const FIXED: &[&str] = &["environments", "version", "name"];

/// Builds the JSON Schemas of the files that users write, with the names that `gwc schema` uses.
#[must_use]
pub fn schemas() -> Vec<(&'static str, Value)> {
    let with_dialect = |mut schema: Value, title: &str| {
        if let Value::Object(map) = &mut schema {
            map.insert(
                "$schema".into(),
                "https://json-schema.org/draft/2020-12/schema".into(),
            );
            map.insert("title".into(), title.into());
        }
        schema
    };
    let points: serde_json::Map<String, Value> = extension::POINTS
        .iter()
        .map(|(point, shape)| ((*point).to_owned(), json_schema(shape)))
        .collect();
    vec![
        (
            "gateway",
            with_dialect(json_schema(&gateway::SHAPE), "gateway.yaml"),
        ),
        (
            "gateway-patch",
            with_dialect(patch(), "a patch of gateway.yaml for an environment"),
        ),
        (
            "consumers",
            with_dialect(json_schema(&gateway::CONSUMERS), "a consumers_file"),
        ),
        (
            "acknowledge",
            with_dialect(
                json_schema(&gateway::ACKNOWLEDGEMENTS),
                "an acknowledgement file",
            ),
        ),
        (
            "invariants",
            with_dialect(
                json_schema(&invariant_file::INVARIANTS),
                "an invariant file",
            ),
        ),
        (
            "tests",
            with_dialect(json_schema(&test_file::TESTS), "a test file"),
        ),
        (
            "x-gateway",
            with_dialect(
                json!({"$defs": points, "anyOf": extension::POINTS.iter().map(|(point, _)| json!({"$ref": format!("#/$defs/{point}")})).collect::<Vec<_>>()}),
                "x-gateway",
            ),
        ),
    ]
}

/// JSON Schema of a patch: all keys optional, without the keys of [`FIXED`].
fn patch() -> Value {
    let mut schema = merge_patch(&json_schema(&gateway::SHAPE));
    if let Some(properties) = schema["properties"].as_object_mut() {
        for fixed in FIXED {
            properties.remove(*fixed);
        }
    }
    schema
}
