//! What clients read: the contract of each operation, and its prose.

use bundle::ir;
use serde_json::{Value, json};

use super::details::reference;
use super::{Change, Class, OperationRef, Plan, Section};
use crate::source_map::SourceMap;

/// Compares what an API takes and gives. Whether a difference breaks clients is not judged yet.
pub(super) fn compare(
    old: &ir::Contract,
    new: &ir::Contract,
    gateway: &ir::Gateway,
    plan: &mut Plan,
) {
    let Some(api) = gateway.apis.get(&new.name) else {
        return;
    };
    for operation in &new.operations {
        let (Some(before), Some(routed)) = (
            old.operations.get(&operation.key),
            api.operations.get(&operation.key),
        ) else {
            continue;
        };
        let mut parts: Vec<(&'static str, Value, Value)> = Vec::new();
        if before.deprecated != operation.deprecated {
            parts.push((
                "deprecated",
                before.deprecated.into(),
                operation.deprecated.into(),
            ));
        }
        let parameters = |operation: &ir::ContractOperation| -> Value {
            operation
                .parameters
                .iter()
                .map(|parameter| {
                    format!(
                        "{:?} {}{}",
                        parameter.place,
                        parameter.name,
                        if parameter.required { "" } else { "?" }
                    )
                    .to_lowercase()
                })
                .collect::<Vec<_>>()
                .into()
        };
        if before.parameters != operation.parameters {
            parts.push(("parameters", parameters(before), parameters(operation)));
        }
        let body = |operation: &ir::ContractOperation| {
            operation.body.as_ref().map_or(
                Value::Null,
                |body| json!({"required": body.required, "media_types": body.media_types}),
            )
        };
        if before.body != operation.body {
            parts.push(("body", body(before), body(operation)));
        }
        let responses = |operation: &ir::ContractOperation| -> Value {
            operation
                .responses
                .iter()
                .map(|response| (response.status.clone(), json!(response.media_types)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        };
        if before.responses != operation.responses {
            parts.push(("responses", responses(before), responses(operation)));
        }
        for (subject, old, new) in parts {
            let change = Change::new(
                Section::Breaking,
                Class::Changed,
                "contract-changed",
                subject,
                old,
                new,
            );
            plan.changes.push(change.of(reference(api, routed)));
        }
    }
}

/// Compares prose.
pub(super) fn docs(old: &SourceMap, new: &SourceMap, plan: &mut Plan) {
    for (key, after) in &new.operations {
        let Some(before) = old.operations.get(key) else {
            continue;
        };
        let pairs: [(&'static str, Value, Value); 4] = [
            ("owner", json!(before.owner), json!(after.owner)),
            ("summary", json!(before.summary), json!(after.summary)),
            (
                "description",
                json!(before.description),
                json!(after.description),
            ),
            ("tags", json!(before.tags), json!(after.tags)),
        ];
        for (subject, old, new) in pairs {
            if old != new {
                let operation = OperationRef {
                    key: key.clone(),
                    id: after.id.clone(),
                    method: String::new(),
                    path: after.path.clone(),
                    mount: String::new(),
                    host: String::new(),
                    api: String::new(),
                };
                plan.changes.push(
                    Change::new(
                        Section::Docs,
                        Class::Doc,
                        "prose-changed",
                        subject,
                        old,
                        new,
                    )
                    .of(operation),
                );
            }
        }
    }
}
