//! `plan/v1`: what programs read, and what `plan -o` writes.

use serde_json::{Value, json};

use super::{Change, Class, Outcome, Plan, Witness};
use crate::source_map::Place;

/// What a plan is against.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Base {
    /// The channel, where one is compared with.
    pub channel: Option<String>,
    /// Its head's serial.
    pub serial: Option<u64>,
    /// The digest of its head's record.
    pub record: Option<String>,
    /// The environment that the new side was built for.
    pub environment: Option<String>,
}

/// What gates and acknowledgements make of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The gates that are on.
    pub gates: Vec<String>,
    /// Fingerprints that somebody acknowledged.
    pub acknowledged: Vec<String>,
}

/// The document.
#[must_use]
pub fn document(plan: &Plan, base: &Base, verdict: &Verdict) -> Value {
    let tripped = plan.tripped(&verdict.gates, &verdict.acknowledged);
    let result = match (tripped.is_empty(), plan.no_op) {
        (false, _) => "blocked",
        (true, true) => "ok",
        (true, false) => "changes",
    };
    let counts: serde_json::Map<String, Value> = Class::ALL
        .iter()
        .map(|class| (class.name().to_owned(), plan.count(*class).into()))
        .chain([("break".to_owned(), 0.into())])
        .collect();
    let gates: Vec<Value> = verdict
        .gates
        .iter()
        .map(|gate| {
            let by = tripped
                .iter()
                .find(|(name, _)| name == gate)
                .map(|(_, by)| by.clone())
                .unwrap_or_default();
            json!({"name": gate, "tripped": !by.is_empty(), "by": by})
        })
        .collect();
    json!({
        "schema": "plan/v1",
        "result": result,
        "tool": {"name": "gwc", "version": env!("CARGO_PKG_VERSION")},
        "environment": base.environment,
        "no_op": plan.no_op,
        "base": {"channel": base.channel, "serial": base.serial, "record": base.record, "bundle": plan.old.map(|id| id.to_string())},
        "target": {"bundle": plan.new.to_string()},
        "counts": counts,
        "changes": plan.changes.iter().map(|change| one(change, &verdict.acknowledged)).collect::<Vec<_>>(),
        "gates": gates,
        "missing": plan.missing,
    })
}

fn one(change: &Change, acknowledged: &[String]) -> Value {
    let operation = change.operation.as_ref().map(|operation| {
        json!({"key": operation.key, "id": operation.id, "method": operation.method, "path": operation.path,
               "mount": operation.mount, "host": operation.host, "api": operation.api})
    });
    let acked = acknowledged
        .contains(&change.fingerprint)
        .then(|| json!({"reason": null, "by": null, "file": null, "line": null}));
    json!({
        "section": change.section.name(),
        "class": change.class.name(),
        "id": change.id,
        "level": change.class.level(),
        "operation": operation,
        "operations": change.operations,
        "subject": change.subject,
        "old": change.old,
        "new": change.new,
        "source": {"old": place(change.source_old.as_ref()), "new": place(change.source_new.as_ref())},
        "count": change.count(),
        "witness": change.witness.as_ref().map(witness),
        "why_none": change.why_none,
        "fingerprint": change.fingerprint,
        "acked": acked,
    })
}

fn place(place: Option<&Place>) -> Value {
    place.map_or(
        Value::Null,
        |place| json!({"file": place.file, "line": place.line, "column": place.column}),
    )
}

fn witness(witness: &Witness) -> Value {
    let headers: serde_json::Map<String, Value> = witness
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), value.as_str().into()))
        .collect();
    let credentials: Vec<Value> = witness.credentials.iter().map(|credential| json!({"scheme": credential.scheme, "state": credential.state, "scopes": credential.scopes})).collect();
    json!({
        "method": witness.method,
        "url": witness.url,
        "headers": headers,
        "facts": {"peer": "203.0.113.1", "credentials": credentials},
        "expect": {"old": outcome(&witness.old), "new": outcome(&witness.new)},
    })
}

fn outcome(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Nothing => json!({"status": null}),
        Outcome::Served { operation } => json!({"operation": operation}),
        Outcome::Refused { status } => json!({"status": status}),
    }
}
