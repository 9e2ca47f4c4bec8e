//! Items of sequences: lines of JSON, JSON text sequences and event streams.

use super::*;

const LINES: &str = "application/x-ndjson";
const RECORDS: &str = "application/json-seq";
const EVENTS: &str = "text/event-stream";

/// Operation whose bodies are sequences of items with this schema.
fn of_items(item: &Json) -> Operation {
    let media = json!({"itemSchema": {"node": 0}, "schema": false});
    let content = json!({
        "application/x-ndjson": media,
        "application/jsonl": media,
        "application/json-seq": media,
        "application/vnd.a+json-seq": media,
        "text/event-stream": media,
    });
    operation(&Json::Null, &content, std::slice::from_ref(item))
}

#[test]
fn items_are_checked_with_their_index() {
    let schema =
        json!({"type": "object", "required": ["id"], "properties": {"id": {"type": "integer"}}});
    let operation = of_items(&schema);
    for (media_type, begin) in [
        (LINES, ""),
        ("application/jsonl; charset=utf-8", ""),
        (RECORDS, "\x1e"),
        ("application/vnd.a+json-seq", "\x1e"),
    ] {
        let body = |items: &[&str]| {
            let items = items.iter().map(|item| format!("{begin}{item}\n"));
            read(&operation, media_type, items.collect::<String>().as_bytes())
        };
        assert_eq!(body(&[]), [""; 0]);
        assert_eq!(body(&["{\"id\":1}", " {\"id\" : 2} "]), [""; 0]);
        assert_eq!(
            body(&["{\"id\":1}", "", "{\"id\":\"SECRET\"}", "{}", "{\"id\":4}"]),
            [
                "body - #/1/id must be of type integer",
                "body - #/2 must have the property \"id\"",
            ],
            "{media_type}"
        );
        assert_eq!(
            body(&["{\"id\":1,\"id\":2}", "{\"id\":1} {\"id\":2}", "{\"id\":"]),
            [
                "body - #/0 has a member name twice",
                "body - #/1 is not valid JSON",
                "body - #/2 is not valid JSON",
            ],
            "{media_type}"
        );
        assert_eq!(
            body(&["{\"id\":1, \"ID\":2}"]),
            ["body - #/0 has a name that some servers read as `id`"]
        );
        assert_eq!(body(&["{\"id\":1}", "{}"].repeat(50)).len(), 20);
    }
}

#[test]
fn record_must_have_a_separator_and_an_end() {
    let operation = of_items(&json!({"type": ["integer", "string"]}));
    let record = |text: &str| read(&operation, RECORDS, text.as_bytes());
    assert_eq!(record("\x1e12\n\x1e\x1e\n\x1e\"a\""), [""; 0]);
    assert_eq!(record("\x1e12"), ["body - #/0 must end with a line feed"]);
    assert_eq!(
        record("\x1e1\n2\n"),
        ["body - #/1 must begin with a record separator"]
    );
}

#[test]
fn event_is_an_object_of_its_fields() {
    let schema = json!({
        "type": "object",
        "required": ["data"],
        "additionalProperties": false,
        "properties": {
            "data": {"type": "string", "minLength": 2},
            "event": {"enum": ["add", "remove"]},
            "id": {"type": "string", "maxLength": 2},
            "retry": {"type": "integer", "maximum": 1000},
        },
    });
    let operation = of_items(&schema);
    let events = |text: &str| read(&operation, EVENTS, text.as_bytes());
    assert_eq!(
        events(
            "\u{feff}: ping\n\nevent:add\ndata:ab\nid: 1\nretry: 5\nother: SECRET\n\n\
             retry: 5000\n\ndata\ndata\ndata\r\n\r\nid: a\0bc\nretry: x\nevent: remove\rdata: cd"
        ),
        [""; 0]
    );
    // A block without `data` is no event, so it does not increase the index.
    assert_eq!(
        events(
            "event: SECRET\n\nevent: SECRET\ndata: ab\n\ndata: x\n\nid: 123\ndata: ab\n\n\
             retry: 1001\ndata: ab\n\n"
        ),
        [
            "body - #/0/event must be one of \"add\", \"remove\"",
            "body - #/1/data must have at least 2 characters",
            "body - #/2/id must have at most 2 characters",
            "body - #/3/retry must be at most 1000",
        ]
    );
    let findings = read(&operation, EVENTS, b"data: \xff\xff\n\n");
    assert_eq!(findings, ["body - #/0 is not UTF-8"]);
}

#[test]
fn content_of_event_data_is_checked() {
    let data = |schema: &Json| json!({"type": "string", "contentMediaType": "application/json", "contentSchema": schema});
    let schema = json!({
        "required": ["event"],
        "properties": {"event": {"enum": ["one", "other"]}},
        "if": {"properties": {"event": {"const": "one"}}},
        "then": {"properties": {"data": data(&json!({
            "type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}, "additionalProperties": false,
        }))}},
    });
    let operation = of_items(&schema);
    let event = |text: &str| read(&operation, EVENTS, text.as_bytes());
    assert_eq!(
        event("event: one\ndata: {\"n\":\ndata: 1}\n\nevent: other\ndata: {\n\n"),
        [""; 0]
    );
    assert_eq!(
        event(
            "event: one\ndata: {\"n\": \"SECRET\"}\n\nevent: one\ndata: {\n\n\
             event: one\ndata: {}\n\nevent: one\ndata: {\"n\": 1, \"more\": 2}\n\n"
        ),
        [
            "body - #/0/data/n must be of type integer",
            "body - #/1/data is not valid JSON",
            "body - #/2/data must have the property \"n\"",
            "body - #/3/data/more is not described (additionalProperties)",
        ]
    );
    // `contentSchema` is not checked in other formats, or if the content is encoded.
    let lines = of_items(&json!({"properties": {"data": data(&json!(false))}}));
    assert_eq!(read(&lines, LINES, b"{\"data\": \"1\"}\n"), [""; 0]);
    let mut encoded = data(&json!(false));
    encoded["contentEncoding"] = json!("base64");
    let encoded = of_items(&json!({"properties": {"data": encoded}}));
    assert_eq!(read(&encoded, EVENTS, b"data: MQ==\n\n"), [""; 0]);
}

/// The step limit includes the size of the JSON inside a string, even if several alternatives check
/// it.
#[test]
fn long_recursive_content_is_accepted() {
    let tree = json!({"type": "array", "items": {"node": 1}});
    let data = json!({"type": "string", "contentMediaType": "application/json", "contentSchema": {"node": 1}});
    let item = json!({"anyOf": [{"required": ["x"]}, {"properties": {"data": data}}]});
    let media = json!({"itemSchema": {"node": 0}});
    let content = json!({"text/event-stream": media});
    let operation = operation(&Json::Null, &content, &[item, tree]);
    let list = format!("[{}]", vec!["[[]]"; 20_000].join(","));
    let event = |text: &str| read(&operation, EVENTS, format!("data: {text}\n\n").as_bytes());
    assert_eq!(event(&list), [""; 0]);
    assert_eq!(event(&list.replace("[[]]]", "[[1]]]")).len(), 1);
}

#[test]
fn sequence_without_item_schema_is_as_before() {
    let content = json!({
        "application/x-ndjson": {"schema": false},
        "text/event-stream": {"schema": {"type": "string", "maxLength": 3}},
        "multipart/mixed": {"itemSchema": false},
        "application/json": {"schema": {"type": "array"}, "itemSchema": false},
    });
    let operation = operation(&Json::Null, &content, &[]);
    assert_eq!(read(&operation, LINES, b"1\n"), [""; 0]);
    assert_eq!(read(&operation, "multipart/mixed", b"1\n"), [""; 0]);
    assert_eq!(read(&operation, "application/json", b"[1]"), [""; 0]);
    assert_eq!(
        read(&operation, EVENTS, b"data"),
        ["body - # must have at most 3 characters"]
    );
}

#[test]
fn coded_sequence_is_refused() {
    let operation = of_items(&json!(true));
    assert_eq!(
        read(&operation, "application/x-ndjson; charset=utf-16", b"1\n"),
        ["415 header content-type # must have the charset UTF-8"]
    );
    let headers = HeaderMap::from_iter([
        (
            HeaderName::from_static("content-type"),
            HeaderValue::from_static(LINES),
        ),
        (
            HeaderName::from_static("content-encoding"),
            HeaderValue::from_static("gzip"),
        ),
    ]);
    let refused = operation.body_use(&headers, false).map(drop);
    assert_eq!(refused.map_err(|(reject, _)| reject.status), Err(415));
}
