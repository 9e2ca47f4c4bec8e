//! Time of the validation of messages, for docs/performance.md (`bench/limits`). Run with
//! `--nocapture`.

use std::time::{Duration, Instant};

use super::*;

/// Shortest average time of one call of `run`, over ten rounds.
fn best(mut run: impl FnMut()) -> Duration {
    // A build with debug assertions makes few calls, because its times are meaningless.
    const CALLS: u32 = if cfg!(debug_assertions) { 20 } else { 2_000 };
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let began = Instant::now();
        for _ in 0..CALLS {
            run();
        }
        best = best.min(began.elapsed() / CALLS);
    }
    best
}

/// Schema of an order with lines.
fn order() -> Json {
    json!({
        "type": "object",
        "required": ["id", "customer", "lines"],
        "additionalProperties": false,
        "properties": {
            "id": {"type": "string", "format": "uuid"},
            "customer": {"type": "string", "minLength": 1, "maxLength": 64},
            "placed": {"type": "string", "format": "date-time"},
            "lines": {"type": "array", "maxItems": 1_000, "items": {
                "type": "object",
                "required": ["sku", "count"],
                "properties": {
                    "sku": {"type": "string", "pattern": "^[A-Z]{3}-[0-9]{4}$"},
                    "count": {"type": "integer", "minimum": 1, "maximum": 99},
                    "note": {"type": "string", "maxLength": 200},
                },
            }},
        },
    })
}

/// JSON of an order with this number of lines.
fn text(lines: usize) -> String {
    let line = json!({"sku": "ABC-1234", "count": 7, "note": "leave at the door"});
    json!({
        "id": "123e4567-e89b-12d3-a456-426614174000", "customer": "acme",
        "placed": "2026-02-03T04:05:06Z", "lines": vec![line; lines],
    })
    .to_string()
}

#[test]
fn time_of_a_validation_is_printed() {
    println!("| message | bytes | time |");
    let content = json!({"application/json": {"schema": {"node": 0}}});
    let posted = operation(&Json::Null, &content, &[order()]);
    let media_type = HeaderValue::from_static("application/json");
    let headers = HeaderMap::from_iter([(HeaderName::from_static("content-type"), media_type)]);
    let Ok(BodyUse::Read(kind)) = posted.body_use(&headers, false) else {
        panic!("the body is read");
    };
    for (name, lines) in [("small body", 2), ("body of 10 KiB", 185)] {
        let body = text(lines);
        let time = best(|| assert!(posted.body(&kind, body.as_bytes()).is_empty()));
        println!("| {name} | {} | {time:?} |", body.len());
    }
    let schema = json!({"type": "integer", "minimum": 0, "maximum": 1_000});
    let parameter = |number| json!({"in": "query", "name": format!("p{number}"), "schema": schema});
    let parameters: Vec<Json> = (0..50).map(parameter).collect();
    let listed = operation(&json!(parameters), &Json::Null, &[]);
    let query: Vec<String> = (0..50)
        .map(|number| format!("p{number}={number}"))
        .collect();
    let query = query.join("&");
    let time = best(|| {
        let head = Head {
            path: "/",
            bound: &[],
            query: Some(&query),
            headers: &HeaderMap::new(),
        };
        assert!(listed.head(&head).is_empty());
    });
    println!("| 50 query parameters | {} | {time:?} |", query.len());
}
