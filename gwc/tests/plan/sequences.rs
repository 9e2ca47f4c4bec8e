//! Tests of enforced descriptions of sequences (`itemSchema`): each change that affects which
//! messages `validate` refuses must have a line with a class.

use crate::{edit, plan};

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml, mount: {name: m, base_path: /v1}}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream, validate: {request: block, response: block}}
";

const DOCUMENT: &str = "openapi: 3.2.0
info: {title: t, version: \"1\"}
paths:
  /lines:
    post:
      operationId: lines
      requestBody:
        required: true
        content:
          application/x-ndjson:
            itemSchema: {type: object, required: [id], properties: {id: {type: integer, maximum: 9}}}
      responses: {\"200\": {description: fine}}
  /events:
    get:
      operationId: events
      responses:
        \"200\":
          description: fine
          content:
            text/event-stream:
              itemSchema: {properties: {event: {enum: [a, b]}, data: {type: string, contentMediaType: application/json, contentSchema: {type: integer, minimum: 5}}}}
";

/// Lines about checks of messages, as `CLASS ID SUBJECT BODY`.
fn checks(old: &str, new: &str) -> Vec<String> {
    let plan = plan((GATEWAY, old), (GATEWAY, new));
    let all = plan.changes.iter();
    let all = all.filter(|one| {
        one.message.is_none() && (one.id.starts_with("request-") || one.id.starts_with("response-"))
    });
    all.map(|one| {
        let witness = one.witness.as_ref();
        let body = witness.and_then(|witness| witness.body.as_deref());
        let body = body.unwrap_or("none").replace('\n', "\\n");
        format!("{} {} {}: {body}", one.class.name(), one.id, one.subject)
    })
    .collect()
}

#[test]
fn changed_item_schemas_have_lines() {
    for (from, to, forth, back) in [
        (
            "maximum: 9",
            "maximum: 10",
            "relax request-check-widened body application/x-ndjson: {\"id\":10}\\n",
            "tighten request-check-narrowed body application/x-ndjson: {\"id\":10}\\n",
        ),
        (
            "            itemSchema: {type: object, required: [id], properties: {id: {type: integer, maximum: 9}}}\n",
            "            schema: {type: array}\n",
            "weaken request-body-unchecked body application/x-ndjson: []\\n",
            "tighten request-check-narrowed body application/x-ndjson: []\\n",
        ),
        (
            "enum: [a, b]",
            "enum: [a]",
            "tighten response-check-narrowed response 200 body text/event-stream: none",
            "relax response-check-widened response 200 body text/event-stream: none",
        ),
        (
            "minimum: 5",
            "minimum: 4",
            "relax response-check-widened response 200 body text/event-stream: none",
            "tighten response-check-narrowed response 200 body text/event-stream: none",
        ),
        (
            ", contentMediaType: application/json, contentSchema: {type: integer, minimum: 5}",
            "",
            "relax response-check-widened response 200 body text/event-stream: none",
            "tighten response-check-narrowed response 200 body text/event-stream: none",
        ),
    ] {
        let changed = edit(DOCUMENT, from, to);
        assert_eq!(checks(DOCUMENT, &changed), [forth], "{from} -> {to}");
        assert_eq!(checks(&changed, DOCUMENT), [back], "{to} -> {from}");
    }
}

#[test]
fn bundle_with_item_schemas_needs_a_feature() {
    let needs = |document: &str| {
        let side = crate::side(&[("gateway.yaml", GATEWAY), ("api.yaml", document)]);
        side.lowered.gateway.needs()
    };
    let need = "media_type:item_schema".to_owned();
    assert!(needs(DOCUMENT).contains(&need));
    assert!(!needs(&DOCUMENT.replace("itemSchema", "schema")).contains(&need));
}
