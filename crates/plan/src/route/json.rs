//! Answer of `gwc route` as JSON in the format `route/v1`, for programs.

use serde_json::{Map, Value, json};

use super::effective::Source;
use super::upstream::{Head, Response, Upstream};
use super::{Answer, Candidate, Field, Operation, Outcome, Step};
use model::source_map::Place;

/// Builds the fields of `route/v1`, except the fields that all JSON documents of gwc have.
#[must_use]
pub fn document(answer: &Answer) -> Value {
    let allow = answer.response.as_ref().and_then(|response| {
        let mut fields = response.headers.iter();
        fields
            .find(|(name, _)| name == "allow")
            .map(|(_, value)| value)
    });
    json!({
        "bundle": answer.bundle.to_string(),
        "listener": answer.listener,
        "decision": answer.decision.name(),
        "status": answer.status,
        "reason": answer.reason,
        "why": answer.why,
        "allow": allow,
        "operation": answer.operation.as_ref().map(operation),
        "owner": answer.owner,
        "consumer": answer.consumer,
        "candidates": answer.candidates.iter().map(candidate).collect::<Vec<_>>(),
        "near": answer.near.iter().map(candidate).collect::<Vec<_>>(),
        "chain": answer.chain.iter().map(step).collect::<Vec<_>>(),
        "upstream": answer.upstream.as_ref().map(upstream),
        "response": answer.response.as_ref().map(response),
        "effective": answer.effective.iter().map(field).collect::<Vec<_>>(),
        "left_out": answer.left_out,
    })
}

fn operation(operation: &Operation) -> Value {
    json!({
        "key": operation.key,
        "id": operation.id,
        "method": operation.method,
        "path": operation.path,
        "mount": operation.mount,
        "host": operation.host,
        "api": operation.api,
        "source": operation.place.as_ref().map(place),
    })
}

fn candidate(candidate: &Candidate) -> Value {
    json!({
        "operation": operation(&candidate.operation),
        "by": candidate.by,
        "lost": candidate.reject_reason,
    })
}

fn step(step: &Step) -> Value {
    let (status, reason) = match step.outcome {
        Outcome::Reject { status, reason } => (Some(status), Some(reason)),
        Outcome::Reply { status } => (Some(status), None),
        Outcome::Continue | Outcome::Depends | Outcome::NotRun | Outcome::LeftOut => (None, None),
    };
    json!({
        "phase": step.phase,
        "policy": step.policy,
        "kind": step.kind,
        "from": step.from,
        "source": step.place.as_ref().map(place),
        "settings": step.settings,
        "outcome": step.outcome.name(),
        "status": status,
        "reason": reason,
    })
}

fn upstream(upstream: &Upstream) -> Value {
    let targets = upstream.targets.iter().map(|target| {
        json!({"name": target.name, "weight": target.weight, "url": target.url, "host": target.host})
    });
    let changed = upstream
        .changed
        .iter()
        .map(|(name, old, new)| (name.clone(), json!({"old": old, "new": new})));
    json!({
        "name": upstream.name,
        "source": upstream.place.as_ref().map(place),
        "targets": targets.collect::<Vec<_>>(),
        "request": upstream.request.as_ref().map(head),
        "added": map(&upstream.added),
        "changed": changed.collect::<Map<_, _>>(),
        "removed": upstream.removed,
        "max_body_bytes": upstream.max_body_bytes,
        "timeout_ms": upstream.timeout_ms,
        "shares": upstream.shares.iter().map(|share| json!({"upstream": share.upstream, "weight": share.weight})).collect::<Vec<_>>(),
        "by_request": upstream.by_request,
        "mirrors": upstream.mirrors,
    })
}

fn head(head: &Head) -> Value {
    json!({"method": head.method, "path": head.path, "headers": map(&head.headers)})
}

fn response(response: &Response) -> Value {
    let headers = response.headers.iter();
    let headers = headers.map(|(name, value)| json!({"name": name, "value": value}));
    json!({"status": response.status, "headers": headers.collect::<Vec<_>>()})
}

fn field(field: &Field) -> Value {
    let source = match &field.source {
        Source::Place(at) => place(at),
        Source::Default(name) => json!({"default": name}),
        Source::Unknown => Value::Null,
    };
    json!({
        "field": field.field,
        "value": field.value,
        "source": source,
        "overrides": field.overrides.iter().map(place).collect::<Vec<_>>(),
    })
}

fn map(fields: &[(String, String)]) -> Map<String, Value> {
    let fields = fields.iter();
    fields
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect()
}

fn place(place: &Place) -> Value {
    json!({"file": place.file, "line": place.line, "column": place.column})
}
