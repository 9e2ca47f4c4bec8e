//! JSON Schemas that this program publishes. The folder `schemas/` contains them as files.
//!
//! Schemas of source files are generated from the vocabulary. This module defines the schemas of
//! command output. They list the fields on which other programs may rely, and allow additional
//! fields.

use serde_json::{Value, json};

/// All schemas, with their names.
#[must_use]
pub fn all() -> Vec<(&'static str, Value)> {
    let mut all = vocab::schemas();
    let trust = serde_json::from_str(bundle::trust::schema::text()).expect("the schema is JSON");
    all.push(("trust", trust));
    all.extend([
        ("lint", lint()),
        (
            "baseline",
            diag::shape::json_schema(&openapi::lint::baseline::SHAPE),
        ),
        ("build", build()),
        ("plan", plan()),
        ("changelog", changelog()),
        ("replay", replay()),
        ("route", route()),
        ("test", test()),
        ("history", history()),
        ("gc", gc()),
        ("push", copied("push")),
        ("pull", copied("pull")),
        ("error", error()),
    ]);
    all
}

/// Builds the schema of an output document. Its properties are `fields` and the fields that all
/// documents have. All properties are required.
fn document(name: &str, results: &[&str], fields: Value) -> Value {
    let mut properties = json!({
        "schema": {"const": format!("{name}/v1")},
        "result": {"enum": results},
        "tool": {"type": "object", "required": ["name", "version"],
                 "properties": {"name": {"type": "string"}, "version": {"type": "string"}}},
        "environment": {"type": ["string", "null"]},
    });
    if let (Value::Object(properties), Value::Object(fields)) = (&mut properties, fields) {
        properties.extend(fields);
    }
    let required: Vec<String> = properties
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect();
    json!({"$schema": "https://json-schema.org/draft/2020-12/schema", "title": format!("{name}/v1"),
           "type": "object", "properties": properties, "required": required})
}

fn text() -> Value {
    json!({"type": "string"})
}

fn text_or_null() -> Value {
    json!({"type": ["string", "null"]})
}

fn digest() -> Value {
    json!({"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"})
}

fn digest_or_null() -> Value {
    json!({"anyOf": [digest(), {"type": "null"}]})
}

fn count() -> Value {
    json!({"type": "integer", "minimum": 0})
}

/// Schema of a location in a file. Lines and columns begin at 1. Columns are counted in characters.
fn place() -> Value {
    let number = json!({"type": "integer", "minimum": 1});
    json!({"type": "object", "required": ["file", "line", "column"],
           "properties": {"file": text(), "line": number, "column": number}})
}

fn list(item: &Value) -> Value {
    json!({"type": "array", "items": item})
}

fn object(fields: &Value) -> Value {
    let required: Vec<String> = fields
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, _)| name.clone())
        .collect();
    json!({"type": "object", "properties": fields, "required": required})
}

fn lint() -> Value {
    let number = json!({"type": "integer", "minimum": 1});
    let finding = object(&json!({
        "code": {"type": "string", "pattern": "^GW[0-9]{4}$"}, "name": text(), "level": {"enum": ["error", "warn", "info"]},
        "message": text(), "help": text_or_null(), "file": text(), "line": number, "column": number, "end_line": number,
        "end_column": number, "places": {"type": "integer", "minimum": 1}, "related": list(&json!({"allOf": [place(), {"required": ["message"]}]})),
        "fix": {"anyOf": [{"type": "null"}, object(&json!({"edits": {"type": "array"}}))]}, "fingerprint": text(),
    }));
    document(
        "lint",
        &["ok", "blocked", "error"],
        json!({"metrics": {"anyOf": [{"type": "null"}, object(&json!({"routes": count(), "series": count(), "series_max": count()}))]},
               "counts": object(&json!({"error": count(), "warn": count(), "info": count()})), "findings": list(&finding)}),
    )
}

fn build() -> Value {
    let mut schema = document(
        "build",
        &["ok", "blocked", "error"],
        json!({"bundle": digest(), "name": text(), "store": text_or_null(), "operations": count(), "bytes": count()}),
    );
    // `--reproduce` compares but writes nothing, so its document lacks these fields.
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|name| name != "bytes" && name != "store" && name != "operations");
    }
    schema
}

/// Schema of an object with exactly these fields, all required.
fn closed(fields: &Value) -> Value {
    let mut schema = object(fields);
    schema["additionalProperties"] = false.into();
    schema
}

fn or_null(schema: &Value) -> Value {
    json!({"anyOf": [schema, {"type": "null"}]})
}

fn plan() -> Value {
    let number_or_null = json!({"type": ["integer", "null"], "minimum": 0});
    let fingerprint = json!({"type": "string", "pattern": "^[0-9a-f]{32}$"});
    let origin = closed(
        &json!({"name": text_or_null(), "commit": text_or_null(), "uncommitted": list(&text())}),
    );
    let operation = closed(&json!({
        "key": text(), "id": text_or_null(), "method": text(), "path": text(), "mount": text(), "host": text(), "api": text(),
    }));
    let place_or_null = or_null(&place());
    // Allow any fields of requests and outcomes, because later versions may add some.
    let outcome = json!({"type": "object"});
    let witness = closed(&json!({
        "method": text(), "url": text(), "headers": {"type": "object", "additionalProperties": text()},
        "facts": {"type": "object", "required": ["credentials"]},
        "expect": closed(&json!({"old": outcome, "new": outcome})),
    }));
    let acked = closed(&json!({
        "reason": text_or_null(), "by": text_or_null(), "file": text_or_null(), "line": number_or_null,
    }));
    let message = closed(&json!({
        "direction": {"enum": ["request", "response", "none"]}, "path": text(), "keyword": text(), "count": {"type": "integer", "minimum": 1},
        "verdict": {"enum": ["proved", "refuted", "undecided", null]}, "witness": {}, "body": {}, "why_undecided": text_or_null(),
    }));
    let log = closed(&json!({
        "requests": count(), "consumers": {"type": "object", "additionalProperties": count()}, "others": count(), "at_most": {"type": "boolean"}, "estimated": {"type": "boolean"},
    }));
    let reaches = closed(&json!({
        "count": {"type": "integer", "minimum": 1}, "operations": {"type": "array", "maxItems": 100, "items": text()},
    }));
    let change = closed(&json!({
        "section": {"enum": plan::Section::ALL.map(plan::Section::name)},
        "class": {"enum": plan::Class::ALL.map(plan::Class::name)},
        "id": text(), "level": {"enum": ["error", "warn", "info"]},
        "operation": or_null(&operation), "message": or_null(&message), "operations": list(&text()), "reaches": or_null(&reaches), "environments": list(&text()), "subject": text(), "old": {}, "new": {},
        "cause": text_or_null(),
        "source": closed(&json!({"old": place_or_null, "new": place_or_null})),
        "count": {"type": "integer", "minimum": 1}, "templates": count(), "paths": list(&text()), "listeners": list(&text()), "witness": or_null(&witness), "log": or_null(&log), "why_none": text_or_null(),
        "fingerprint": fingerprint, "acked": or_null(&acked),
    }));
    let counts: serde_json::Map<String, Value> = plan::Class::ALL
        .iter()
        .map(|class| (class.name().to_owned(), count()))
        .collect();
    let given = closed(&json!({
        "fingerprint": fingerprint, "kind": text_or_null(), "operation": text_or_null(), "state": {"enum": ["used", "unused", "expired", "mismatched"]},
        "reason": text_or_null(), "by": text_or_null(), "until": text_or_null(), "file": text_or_null(), "line": number_or_null,
    }));
    let mut schema = document(
        "plan",
        &["ok", "changes", "blocked"],
        json!({
            "no_op": {"type": "boolean"},
            "base": closed(&json!({"channel": text_or_null(), "serial": number_or_null, "record": digest_or_null(), "bundle": digest_or_null(), "from": origin})),
            "target": closed(&json!({"bundle": digest_or_null(), "from": origin})),
            "environments": list(&closed(&json!({
                "name": text_or_null(), "target": closed(&json!({"bundle": digest_or_null()})),
                "base": closed(&json!({"channel": text_or_null(), "serial": number_or_null, "record": digest_or_null(), "bundle": digest_or_null()})),
            }))),
            "counts": closed(&counts.into()),
            "changes": list(&change),
            "schemas": {"type": "object", "additionalProperties": {"type": ["object", "boolean"]}},
            "gates": list(&closed(&json!({"name": {"enum": plan::review::GATES}, "tripped": {"type": "boolean"}, "by": list(&fingerprint)}))),
            "acknowledgements": list(&given),
            "missing": list(&json!({"enum": ["source", "schemas"]})),
            "notes": list(&text()),
        }),
    );
    // This field exists only in the plan of a rollback: SHA-256 of withdrawn credentials that the
    // rollback would admit again.
    schema["properties"]["admitted_again"] =
        list(&json!({"type": "string", "pattern": "^[0-9a-f]{64}$"}));
    schema["additionalProperties"] = false.into();
    schema
}

/// Schema of an object with only these fields. The fields of `needed` are required. The fields of
/// `more` are optional, because responses of a running gateway (`POST /v1/explain`) lack them.
fn closed_beside(needed: &Value, more: &Value) -> Value {
    let mut schema = closed(needed);
    if let (Value::Object(properties), Value::Object(more)) =
        (&mut schema["properties"], more.clone())
    {
        properties.extend(more);
    }
    schema
}

fn changelog() -> Value {
    let kinds = plan::changelog::Kind::ALL.map(plan::changelog::Kind::name);
    let change = closed(&json!({
        "kind": {"enum": kinds}, "level": {"enum": ["error", "warn", "info"]}, "id": text(),
        "operations": list(&text()), "count": {"type": "integer", "minimum": 1}, "path": text(), "text": text(),
        "old": text_or_null(), "new": text_or_null(), "environments": text_or_null(),
    }));
    let mut schema = document(
        "changelog",
        &["ok", "changes"],
        json!({"apis": list(&closed(&json!({"name": text(), "changes": list(&change)})))}),
    );
    schema["additionalProperties"] = false.into();
    schema
}

fn replay() -> Value {
    use plan::replay::Effect;
    let counts: serde_json::Map<String, Value> = Effect::ALL
        .iter()
        .map(|effect| (effect.name().to_owned(), count()))
        .collect();
    let group = closed(&json!({
        "effect": {"enum": Effect::ALL.map(Effect::name)}, "count": {"type": "integer", "minimum": 1},
        "old": text(), "new": text(), "sample": text(),
        "classes": list(&json!({"enum": plan::Class::ALL.map(plan::Class::name)})),
    }));
    document(
        "replay",
        &["ok", "changes"],
        json!({
            "requests": count(), "sampled": count(), "unread": count(), "counts": closed(&counts.into()), "groups": list(&group),
            "left_out": count(),
        }),
    )
}

fn route() -> Value {
    use ::plan::route::candidates::KINDS;
    let place_or_null = or_null(&place());
    let number_or_null = json!({"type": ["integer", "null"]});
    let texts = json!({"type": "object", "additionalProperties": text_or_null()});
    let operation = closed_beside(
        &json!({"key": text(), "method": text(), "path": text(), "mount": text(), "api": text()}),
        &json!({"id": text_or_null(), "host": text(), "source": place_or_null}),
    );
    let candidate = closed(&json!({"operation": operation, "by": {"enum": KINDS}, "lost": text()}));
    let step = closed_beside(
        &json!({"policy": text(), "phase": text(), "outcome": text()}),
        &json!({"kind": text(), "from": {"enum": ["required", "defaults", "document", "path", "operation", null]},
                "source": place_or_null, "settings": texts, "status": number_or_null, "reason": text_or_null()}),
    );
    let target = closed(
        &json!({"name": text(), "weight": {"type": "integer", "minimum": 1}, "url": text(), "host": text()}),
    );
    let request = closed(&json!({"method": text(), "path": text(), "headers": texts}));
    let changed = closed(&json!({"old": text(), "new": text()}));
    let upstream = closed_beside(
        &json!({"name": text(), "request": or_null(&request)}),
        &json!({"source": place_or_null, "targets": list(&target), "added": texts,
                "changed": {"type": "object", "additionalProperties": changed}, "removed": list(&text()),
                "max_body_bytes": number_or_null, "timeout_ms": count(),
                "shares": list(&closed(&json!({"upstream": text(), "weight": number_or_null}))),
                "by_request": {"type": "boolean"}, "mirrors": list(&text())}),
    );
    let response = closed(&json!({
        "status": count(), "headers": list(&closed(&json!({"name": text(), "value": text()}))),
    }));
    let source = json!({"anyOf": [place(), closed(&json!({"default": text()})), {"type": "null"}]});
    let mut schema = document(
        "route",
        &["ok"],
        json!({
            "bundle": digest(), "decision": {"enum": ["forward", "respond", "reject", "depends", "none"]}, "status": number_or_null,
            "reason": text_or_null(), "operation": or_null(&operation), "candidates": list(&candidate), "chain": list(&step),
            "upstream": or_null(&upstream),
            "effective": list(&closed(&json!({"field": text(), "value": text(), "source": source, "overrides": list(&place())}))),
        }),
    );
    let more = json!({
        "listener": text(), "why": text_or_null(), "allow": text_or_null(), "owner": text_or_null(), "consumer": text_or_null(),
        "near": list(&candidate), "response": or_null(&response), "left_out": list(&text()),
    });
    if let (Value::Object(properties), Value::Object(more)) = (&mut schema["properties"], more) {
        properties.extend(more);
    }
    schema["additionalProperties"] = false.into();
    schema
}

fn test() -> Value {
    let failure = closed(&json!({
        "what": text_or_null(), "expected": text_or_null(), "actual": text(), "help": text_or_null(),
        "source": or_null(&place()),
    }));
    let request = closed(&json!({
        "request": text(), "decision": text_or_null(), "operation": text_or_null(), "failures": list(&failure),
    }));
    let one = closed(&json!({
        "name": text(), "passed": {"type": "boolean"}, "skipped": text_or_null(), "source": place(),
        "requests": list(&request),
    }));
    let share = closed(&json!({"all": count(), "reached": count(), "missed": list(&text())}));
    document(
        "test",
        &["ok", "blocked"],
        json!({
            "passed": count(), "failed": count(), "skipped": count(), "not_compared": count(),
            "tests": list(&one),
            "coverage": or_null(&closed(&json!({
                "operations": share, "templates": share, "alternatives": share, "policies": share,
            }))),
        }),
    )
}

fn history() -> Value {
    let ran = object(&json!({"node": text(), "since": text_or_null()}));
    let approvals = object(
        &json!({"owners": list(&text()), "required": {"type": "boolean"}, "reason": text_or_null()}),
    );
    let record = object(&json!({
        "serial": {"type": "integer", "minimum": 1}, "kind": {"enum": ["release", "rollback", "pin"]}, "bundle": digest(),
        "previous": text_or_null(), "actor": text(), "reason": text(), "created": text(), "git": {"type": ["object", "null"]},
        "expires": text_or_null(), "withdraw": list(&digest()), "ran": {"type": ["array", "null"], "items": ran},
        "approvals": or_null(&approvals),
        "rollout": or_null(&object(&json!({"step": count(), "of": count(), "nodes": text(), "traffic": text(), "shadow": text_or_null(),
            "base": object(&json!({"serial": count(), "record": digest()}))}))),
    }));
    document(
        "history",
        &["ok", "blocked", "error"],
        json!({"records": list(&record)}),
    )
}

fn gc() -> Value {
    document(
        "gc",
        &["ok", "changes", "error"],
        json!({"store": text(), "dry_run": {"type": "boolean"}, "keep": {"type": "integer", "minimum": 1}, "kept": count(),
               "bundles": list(&digest()), "temporary": count(), "files": count(), "bytes": count()}),
    )
}

/// Documents of `gwc push` and `gwc pull`.
fn copied(name: &str) -> Value {
    let copy = json!({"store": text(), "links": count(), "bundles": count(), "approvals": count(), "bytes": count()});
    document(
        name,
        &["ok", "error"],
        json!({"from": text(), "to": list(&object(&copy))}),
    )
}

fn error() -> Value {
    document(
        "error",
        &["error"],
        json!({"error": object(&json!({"code": text(), "message": text(), "exit": count()}))}),
    )
}
