//! The vocabulary as data: gateway.yaml and `x-gateway`, key by key.
//!
//! The shapes know all of it. What this version cannot run is `Need::NotAvailable`: said at its
//! place, never taken for unknown, never ignored.

pub mod extension;
pub mod gateway;
mod listener;
pub(crate) mod shared;
mod upstream;

use diag::shape::json_schema;
use serde_json::{Value, json};

/// The JSON Schemas of what users write, by the name that `gwc schema` takes.
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
            "x-gateway",
            with_dialect(
                json!({"$defs": points, "anyOf": extension::POINTS.iter().map(|(point, _)| json!({"$ref": format!("#/$defs/{point}")})).collect::<Vec<_>>()}),
                "x-gateway",
            ),
        ),
    ]
}
