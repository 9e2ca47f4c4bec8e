//! Requests against described operations.

use bundle::ir::{Body, ContractOperation, MediaType, Parameter, ParameterPlace, Set, Value};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value as Json, json};
use validator::{BodyUse, Cone, Head, Lost, Operation};

/// Value of a contract that says the same as JSON.
fn value(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Bool(*flag),
        Json::Number(number) => match number.as_i64() {
            Some(whole) => Value::Integer(whole),
            None => Value::Decimal(number.to_string().into()),
        },
        Json::String(text) => Value::Text(text.as_str().into()),
        Json::Array(items) => Value::List(items.iter().map(value).collect()),
        Json::Object(members) => {
            // An edge, as in `{"node": 0}`.
            if let Some(node) = members.get("node").and_then(Json::as_u64) {
                return Value::Node(u32::try_from(node).unwrap());
            }
            let entries = members.iter();
            let entries = entries.map(|(key, one)| (key.as_str().into(), value(one)));
            let mut entries: Vec<(Box<str>, Value)> = entries.collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Map(entries)
        }
    }
}

fn place(name: &str) -> ParameterPlace {
    match name {
        "path" => ParameterPlace::Path,
        "query" => ParameterPlace::Query,
        "header" => ParameterPlace::Header,
        _ => ParameterPlace::Cookie,
    }
}

/// Operation with these parameters and media types of a required body.
fn operation(parameters: &Json, content: &Json, schemas: &[Json]) -> Operation {
    let parameters = parameters.as_array().into_iter().flatten();
    let parameters = parameters.map(|one| Parameter {
        place: place(one["in"].as_str().unwrap()),
        name: one["name"].as_str().unwrap().into(),
        required: one["required"] == true,
        says: value(one),
    });
    let content = content.as_object();
    let body = content.map(|content| Body {
        required: true,
        media_types: Set::new(
            content
                .iter()
                .map(|(name, media)| MediaType {
                    name: name.clone(),
                    says: value(media),
                })
                .collect(),
        )
        .unwrap(),
    });
    let operation = ContractOperation {
        key: "a/b".into(),
        deprecated: false,
        parameters: parameters.collect(),
        body,
        responses: Vec::new(),
    };
    let schemas: Vec<Value> = schemas.iter().map(value).collect();
    Operation::compile(&Cone::of(&operation, &schemas)).unwrap()
}

/// Findings as `IN NAME POINTER DETAIL`.
fn told(findings: &[policy::invalid::Finding]) -> Vec<String> {
    let told = findings.iter().map(|one| {
        let name = one.part.name().unwrap_or("-");
        format!("{} {name} {} {}", one.part.place(), one.pointer, one.detail)
    });
    told.collect()
}

/// Findings of a body of a media type.
fn read(operation: &Operation, media_type: &str, body: &[u8]) -> Vec<String> {
    let value = HeaderValue::from_str(media_type).unwrap();
    let headers = HeaderMap::from_iter([(HeaderName::from_static("content-type"), value)]);
    match operation.body_use(&headers, false) {
        Ok(BodyUse::Read(kind)) => told(&operation.body(&kind, body)),
        Ok(BodyUse::Pass) => Vec::new(),
        Err((reject, finding)) => vec![format!("{} {}", reject.status, told(&[finding])[0])],
    }
}

/// Findings of a JSON body.
fn json_of(operation: &Operation, body: &str) -> Vec<String> {
    read(operation, "application/json", body.as_bytes())
}

/// Findings of a JSON body against a schema.
fn of_body(schema: &Json, body: &str) -> Vec<String> {
    let operation = operation(
        &Json::Null,
        &json!({"application/json": {"schema": {"node": 0}}}),
        std::slice::from_ref(schema),
    );
    json_of(&operation, body)
}

#[test]
fn json_body_is_checked_with_pointers() {
    let schema = json!({
        "type": "object",
        "required": ["name"],
        "additionalProperties": false,
        "properties": {
            "name": {"type": "string", "minLength": 2},
            "tags": {"type": "array", "items": {"enum": ["a", "b"]}},
            "when": {"type": "string", "format": "date-time"},
            "count": {"type": "integer", "format": "int32", "minimum": 1},
        },
    });
    let body = |text: &str| {
        let mut told = of_body(&schema, text);
        told.sort();
        told
    };
    assert_eq!(
        body(r#"{"name": "ab", "tags": ["a"], "count": 1.0}"#),
        [""; 0]
    );
    assert_eq!(
        body(r#"{"tags": ["a", "SECRET"], "x/y": 1}"#),
        [
            "body - # must have the property \"name\"",
            "body - #/tags/1 must be one of \"a\", \"b\"",
            "body - #/x~1y is not described (additionalProperties)",
        ]
    );
    assert_eq!(
        body(r#"{"name": "x", "when": "SECRET", "count": 4294967296}"#),
        [
            "body - #/count must be at most 2147483647",
            "body - #/name must have at least 2 characters",
            "body - #/when must have the format `date-time`",
        ]
    );
    assert_eq!(body("{"), ["body - # is not valid JSON"]);
    assert_eq!(body(""), ["body - # must be present"]);
    let many = format!("{{\"name\": \"ab\", \"tags\": [{}]}}", ["0"; 50].join(","));
    assert_eq!(body(&many).len(), 20);
}

#[test]
fn keywords_of_openapi_3_0_are_converted() {
    let rows = [
        (json!({"type": "string", "nullable": true}), "null", true),
        (json!({"type": "string", "nullable": true}), "1", false),
        (
            json!({"enum": ["a"], "nullable": true, "type": "string"}),
            "null",
            true,
        ),
        (
            json!({"allOf": [{"type": "string"}], "nullable": true}),
            "null",
            true,
        ),
        (json!({"minimum": 1, "exclusiveMinimum": true}), "1", false),
        (json!({"minimum": 1, "exclusiveMinimum": true}), "1.5", true),
        (json!({"minimum": 1, "exclusiveMinimum": false}), "1", true),
        (json!({"maximum": 1, "exclusiveMaximum": true}), "1", false),
        (json!({"exclusiveMaximum": 1}), "1", false),
        (json!({"format": "email", "type": "string"}), "\"x\"", true),
        (json!({"format": "uuid", "type": "string"}), "\"x\"", false),
        (json!({"format": "int64"}), "9223372036854775808", false),
        (json!({"items": [{"type": "string"}]}), "[1]", false),
    ];
    for (schema, body, valid) in rows {
        assert_eq!(of_body(&schema, body).is_empty(), valid, "{schema} {body}");
    }
}

#[test]
fn read_only_properties_are_not_required_of_clients() {
    let schema = json!({
        "required": ["id", "name"],
        "properties": {"id": {"readOnly": true, "type": "integer"}, "name": {"type": "string"}},
    });
    assert_eq!(of_body(&schema, r#"{"name": "x"}"#), [""; 0]);
    assert_eq!(of_body(&schema, r#"{"name": "x", "id": 1}"#), [""; 0]);
    assert_eq!(of_body(&schema, r#"{"id": 1}"#).len(), 1);
    // `required` in another part of the schema than the property.
    let apart = json!({"allOf": [
        {"properties": {"id": {"allOf": [{"readOnly": true}]}}},
        {"required": ["id"]},
    ]});
    let nodes = [apart, json!({"properties": {"id": {"readOnly": true}}})];
    let content =
        json!({"application/json": {"schema": {"allOf": [{"node": 1}, {"required": ["id"]}]}}});
    let operation = operation(&Json::Null, &content, &nodes);
    assert_eq!(json_of(&operation, "{}"), [""; 0]);
}

#[test]
fn discriminator_selects_among_overlapping_schemas() {
    let nodes = [
        json!({
            "oneOf": [{"node": 1}, {"node": 2}],
            "discriminator": {"propertyName": "kind", "mapping": {"cat": {"node": 1}, "dog": {"node": 2}}},
        }),
        json!({"required": ["kind"], "properties": {"lives": {"type": "integer"}}}),
        json!({"required": ["kind"], "properties": {"bark": {"type": "string"}}}),
    ];
    let content = json!({"application/json": {"schema": {"node": 0}}});
    let operation = operation(&Json::Null, &content, &nodes);
    let valid = |body: &str| json_of(&operation, body).is_empty();
    assert!(
        valid(r#"{"kind": "cat", "lives": 9}"#),
        "matches both schemas"
    );
    assert!(!valid(r#"{"kind": "cat", "lives": "x"}"#));
    assert!(!valid(r#"{"kind": "dog", "bark": 1}"#));
    assert!(valid(r#"{"kind": "fish"}"#));
    assert!(!valid("{}"));
}

#[test]
fn unsupported_patterns_and_circles_accept_more() {
    let look = r"^(?!x)";
    let rows = [
        (json!({"pattern": look}), "\"x\"", true),
        (json!({"pattern": "^a"}), "\"x\"", false),
        (json!({"not": {"node": 1}}), "\"y\"", true),
        (
            json!({"oneOf": [{"node": 1}, {"type": "string"}]}),
            "\"y\"",
            true,
        ),
        (
            json!({"patternProperties": {look: {}}, "additionalProperties": false}),
            "{\"y\": 1}",
            true,
        ),
        (json!({"allOf": [{"node": 2}]}), "1", true),
        (
            json!({"properties": {"a": {"node": 3}}}),
            r#"{"a": {"a": 1}}"#,
            false,
        ),
        (
            json!({"properties": {"a": {"node": 3}}}),
            r#"{"a": {"a": {}}}"#,
            true,
        ),
    ];
    let nodes = |schema: &Json| {
        [
            schema.clone(),
            json!({"pattern": look, "type": "string"}),
            json!({"allOf": [{"node": 2}], "type": "integer"}),
            json!({"type": "object", "properties": {"a": {"node": 3}}}),
        ]
    };
    let content = json!({"application/json": {"schema": {"node": 0}}});
    for (schema, body, valid) in rows {
        let operation = operation(&Json::Null, &content, &nodes(&schema));
        let found = json_of(&operation, body);
        assert_eq!(found.is_empty(), valid, "{schema} {body} {found:?}");
    }
    let lossy = operation(&Json::Null, &content, &nodes(&json!({"not": {"node": 1}})));
    assert_eq!(lossy.lost(), [Lost::Pattern(look.into())]);
}

/// Values of the table in OpenAPI 3.1 §4.8.12 and 3.2 (*Style Examples*): style, explode, and the
/// texts of an empty string, a string, an array and an object.
const STYLES: &[(&str, &str, bool, [&str; 3])] = &[
    (
        "path",
        "simple",
        false,
        ["blue", "blue,black,brown", "R,100,G,200,B,150"],
    ),
    (
        "path",
        "simple",
        true,
        ["blue", "blue,black,brown", "R=100,G=200,B=150"],
    ),
    (
        "path",
        "label",
        false,
        ["blue", "blue,black,brown", "R,100,G,200,B,150"],
    ),
    (
        "path",
        "label",
        true,
        ["blue", "blue.black.brown", "R=100.G=200.B=150"],
    ),
    (
        "path",
        "matrix",
        false,
        ["blue", "blue,black,brown", "R,100,G,200,B,150"],
    ),
    (
        "path",
        "matrix",
        true,
        ["blue", "blue;color=black;color=brown", ""],
    ),
    (
        "header",
        "simple",
        false,
        ["blue", "blue,black,brown", "R,100,G,200,B,150"],
    ),
    (
        "header",
        "simple",
        true,
        ["blue", "blue, black, brown", "R=100,G=200,B=150"],
    ),
    (
        "query",
        "form",
        false,
        [
            "color=blue",
            "color=blue,black,brown",
            "color=R,100,G,200,B,150",
        ],
    ),
    (
        "query",
        "form",
        true,
        [
            "color=blue",
            "color=blue&color=black&color=brown",
            "R=100&G=200&B=150",
        ],
    ),
    (
        "query",
        "spaceDelimited",
        false,
        [
            "",
            "color=blue%20black%20brown",
            "color=R%20100%20G%20200%20B%20150",
        ],
    ),
    (
        "query",
        "pipeDelimited",
        false,
        [
            "",
            "color=blue%7Cblack%7Cbrown",
            "color=R%7C100%7CG%7C200%7CB%7C150",
        ],
    ),
    (
        "query",
        "deepObject",
        true,
        ["", "", "color%5BR%5D=100&color%5BG%5D=200&color%5BB%5D=150"],
    ),
    (
        "cookie",
        "form",
        false,
        [
            "color=blue",
            "color=blue,black,brown",
            "color=R,100,G,200,B,150",
        ],
    ),
    (
        "cookie",
        "form",
        true,
        [
            "color=blue",
            "color=blue; color=black; color=brown",
            "R=100; G=200; B=150",
        ],
    ),
];

/// Findings about a parameter whose text is in a request.
fn of_parameter(parameter: &Json, text: &str) -> Vec<String> {
    let operation = operation(&json!([parameter]), &Json::Null, &[]);
    let mut headers = HeaderMap::new();
    let name = parameter["name"].as_str().unwrap().to_owned();
    let (mut path, mut query) = (String::from("/"), None);
    match parameter["in"].as_str().unwrap() {
        "path" => path.push_str(text),
        "query" => query = Some(text),
        "header" => {
            let name = HeaderName::try_from(&name).unwrap();
            headers.insert(name, HeaderValue::from_str(text).unwrap());
        }
        _ => {
            headers.insert("cookie", HeaderValue::from_str(text).unwrap());
        }
    }
    let bound = [(name.as_str(), 1..path.len())];
    told(&operation.head(&Head {
        path: &path,
        bound: &bound,
        query,
        headers: &headers,
    }))
}

#[test]
fn each_style_of_the_specification_is_read() {
    let color = json!({"type": "string", "enum": ["blue", "black", "brown"]});
    let amount = json!({"type": "integer", "minimum": 100});
    let schemas = [
        color.clone(),
        json!({"type": "array", "items": color, "minItems": 3, "maxItems": 3}),
        json!({
            "type": "object",
            "properties": {"R": amount, "G": amount, "B": amount},
            "required": ["R", "G", "B"],
            "additionalProperties": false,
        }),
    ];
    // The same requests are refused if one value of the schema differs.
    let others = [
        json!({"type": "string", "enum": ["black", "brown"]}),
        json!({"type": "array", "items": {"enum": ["blue", "brown"]}}),
        json!({"type": "object", "properties": {"G": {"type": "integer", "maximum": 199}, "R": {}, "B": {}}}),
    ];
    for (place, style, explode, texts) in STYLES {
        for (index, text) in texts.iter().enumerate() {
            if text.is_empty() {
                continue;
            }
            let parameter = |schema: &Json| {
                json!({
                    "in": place, "name": "color", "required": true, "style": style,
                    "explode": explode, "schema": schema,
                })
            };
            let found = of_parameter(&parameter(&schemas[index]), text);
            assert_eq!(found, [""; 0], "{place} {style} {explode} {text}");
            let found = of_parameter(&parameter(&others[index]), text);
            assert_eq!(found.len(), 1, "{place} {style} {explode} {text} {found:?}");
        }
    }
}

#[test]
fn parameters_leave_room_where_clients_differ() {
    let rows = [
        (
            json!({"in": "query", "name": "q", "schema": {"type": "string", "enum": ["a b"]}}),
            "q=a+b",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "string", "enum": ["a+b"]}}),
            "q=a+b",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "string", "format": "date-time"}}),
            "q=2024-01-01T00:00:00+02:00",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "explode": false, "schema": {"type": "array", "items": {"type": "integer"}}}),
            "q=1%2C2",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "integer"}}),
            "q=1&q=2",
            false,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": ["integer", "string"], "maxLength": 1}}),
            "q=12",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "string", "maxLength": 2}}),
            "q=12",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "boolean"}}),
            "q=yes",
            false,
        ),
        (
            json!({"in": "query", "name": "q", "required": true, "schema": {}}),
            "x=1",
            false,
        ),
        (
            json!({"in": "query", "name": "q", "required": true, "schema": {}}),
            "q",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "allowEmptyValue": true, "schema": {"type": "integer"}}),
            "q=",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "schema": {"type": "integer"}}),
            "q=",
            false,
        ),
        (
            json!({"in": "query", "name": "a[]", "schema": {"type": "array", "items": {"type": "integer"}}}),
            "a%5B%5D=1&a[]=2",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "style": "deepObject", "schema": {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}}}}}),
            "q[a][b]=1",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "style": "deepObject", "schema": {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": {"type": "integer"}}}}}}),
            "q[a][b]=x",
            false,
        ),
        (
            json!({"in": "query", "name": "q", "style": "deepObject", "schema": {"type": "object", "properties": {"a": {"type": "array", "items": {"type": "integer"}}}}}),
            "q[a]=1&q[a]=2",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "content": {"application/json": {"schema": {"type": "object", "required": ["a"]}}}}),
            "q=%7B%22a%22:1%7D",
            true,
        ),
        (
            json!({"in": "query", "name": "q", "content": {"application/json": {"schema": {"type": "object", "required": ["a"]}}}}),
            "q=%7B%7D",
            false,
        ),
        (
            json!({"in": "header", "name": "x-a", "schema": {"type": "integer"}}),
            "12",
            true,
        ),
        (
            json!({"in": "header", "name": "x-a", "schema": {"type": "integer"}}),
            "1x",
            false,
        ),
        (
            json!({"in": "header", "name": "accept", "schema": {"type": "integer"}}),
            "1x",
            true,
        ),
        (
            json!({"in": "cookie", "name": "s", "schema": {"type": "string", "pattern": "^[a-f]+$"}}),
            "a=1; s=\"abc\"",
            true,
        ),
        (
            json!({"in": "cookie", "name": "s", "required": true, "schema": {"type": "string"}}),
            "a=1",
            false,
        ),
        (
            json!({"in": "path", "name": "p", "schema": {"type": "string", "enum": ["a/b"]}}),
            "a%2Fb",
            true,
        ),
    ];
    for (parameter, text, valid) in rows {
        let found = of_parameter(&parameter, text);
        assert_eq!(found.is_empty(), valid, "{parameter} {text} {found:?}");
        assert!(!found.concat().contains("SECRET"));
    }
}

#[test]
fn media_type_and_presence_decide_about_the_body() {
    let content = json!({
        "application/json": {"schema": {"type": "object"}},
        "application/octet-stream": {},
        "text/*": {},
    });
    let operation = operation(&Json::Null, &content, &[]);
    let of = |fields: &[(&str, &str)], is_empty: bool| {
        let fields = fields.iter().map(|(name, value)| {
            let name = HeaderName::try_from(*name).unwrap();
            (name, HeaderValue::from_str(value).unwrap())
        });
        let headers: HeaderMap = fields.fold(HeaderMap::new(), |mut all, (name, value)| {
            all.append(name, value);
            all
        });
        match operation.body_use(&headers, is_empty) {
            Ok(BodyUse::Pass) => 0,
            Ok(BodyUse::Read(_)) => 200,
            Err((reject, _)) => reject.status,
        }
    };
    assert_eq!(
        of(
            &[("content-type", "application/json; charset=utf-8")],
            false
        ),
        200
    );
    assert_eq!(
        of(&[("content-type", "application/octet-stream")], false),
        0
    );
    assert_eq!(of(&[("content-type", "text/plain")], false), 0);
    assert_eq!(of(&[("content-type", "application/xml")], false), 415);
    assert_eq!(of(&[("content-type", "x")], false), 415);
    assert_eq!(of(&[], false), 415);
    assert_eq!(of(&[], true), 400);
    let twice = [
        ("content-type", "text/plain"),
        ("content-type", "application/json"),
    ];
    assert_eq!(of(&twice, false), 415);
    let coded = [
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    assert_eq!(of(&coded, false), 415);
    let identity = [
        ("content-type", "application/json"),
        ("content-encoding", "identity"),
    ];
    assert_eq!(of(&identity, false), 200);
}

#[test]
fn urlencoded_form_is_checked_as_an_object() {
    let schema = json!({
        "type": "object",
        "required": ["n"],
        "properties": {
            "n": {"type": "integer"},
            "l": {"type": "array", "items": {"type": "integer"}},
            "c": {"type": "array", "items": {"type": "integer"}},
            "o": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    });
    let content = json!({"application/x-www-form-urlencoded": {
        "schema": schema,
        "encoding": {"c": {"style": "form", "explode": false}},
    }});
    let operation = operation(&Json::Null, &content, &[]);
    let form = |text: &str| {
        read(
            &operation,
            "application/x-www-form-urlencoded",
            text.as_bytes(),
        )
    };
    for valid in [
        "n=1",
        "n=1&l=1&l=2&c=1,2",
        "n=1&l%5B%5D=1&l[]=2&other=a+b",
        "n=1&o[a]=1",
        "n=1&o=%7B%22a%22%3A1%7D",
        "n=1&l=1",
    ] {
        assert_eq!(form(valid), [""; 0], "{valid}");
    }
    for (invalid, pointer) in [
        ("l=1", "#"),
        ("n=x", "#/n"),
        ("n=1&n=2", "#"),
        ("n=1&l=1&l=x", "#/l/1"),
        ("n=1&c=1,x", "#/c/1"),
        ("n=1&o[a]=x", "#/o/a"),
        ("n=1&o=%7B%22a%22%3A%22x%22%7D", "#/o/a"),
        ("n=1&o=%7B", "#"),
    ] {
        let found = form(invalid);
        let expected = format!("body - {pointer} ");
        assert!(
            found.len() == 1 && found[0].starts_with(&expected),
            "{invalid} {found:?}"
        );
    }
}

#[test]
fn multipart_form_is_checked_by_its_parts() {
    let schema = json!({
        "type": "object",
        "required": ["file", "meta"],
        "properties": {
            "file": {"type": "string", "format": "binary"},
            "meta": {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}},
            "tags": {"type": "array", "items": {"type": "string", "maxLength": 2}},
            "count": {"type": "integer"},
        },
    });
    let content = json!({"multipart/form-data": {
        "schema": schema,
        "encoding": {"file": {"contentType": "image/png, image/*"}},
    }});
    let operation = operation(&Json::Null, &content, &[]);
    let form = |parts: &[(&str, &str, &str)]| {
        let mut body = String::new();
        for (name, kind, text) in parts {
            body.push_str(&format!(
                "--b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n"
            ));
            if !kind.is_empty() {
                body.push_str(&format!("Content-Type: {kind}\r\n"));
            }
            body.push_str(&format!("\r\n{text}\r\n"));
        }
        body.push_str("--b--\r\n");
        read(
            &operation,
            "multipart/form-data; boundary=b",
            body.as_bytes(),
        )
    };
    let file = ("file", "image/png", "\u{fffd}PNG");
    let meta = ("meta", "application/json", "{\"n\": 1}");
    assert_eq!(form(&[file, meta]), [""; 0]);
    assert_eq!(
        form(&[
            file,
            meta,
            ("tags", "", "a"),
            ("tags", "", "b"),
            ("count", "", "3")
        ]),
        [""; 0]
    );
    assert_eq!(
        form(&[file, meta, ("tags", "", "abc")]),
        ["body - #/tags/0 must have at most 2 characters"]
    );
    assert_eq!(
        form(&[file, meta, ("count", "", "x")]),
        ["body - #/count must be of type integer"]
    );
    assert_eq!(form(&[meta]), ["body - # must have the property \"file\""]);
    assert_eq!(
        form(&[file, ("meta", "", "{}")]),
        ["body - #/meta must have the property \"n\""]
    );
    assert_eq!(
        form(&[("file", "text/html", "x"), meta]),
        ["body - #/file must have a type of its `contentType`"]
    );
    assert_eq!(form(&[file, file, meta]).len(), 1);
    assert_eq!(read(&operation, "multipart/form-data", b"--b--").len(), 1);
}

#[test]
fn text_body_is_checked_as_a_string() {
    let content = json!({"text/plain": {"schema": {"type": "string", "maxLength": 3}}});
    let operation = operation(&Json::Null, &content, &[]);
    assert_eq!(read(&operation, "text/plain", "äöü".as_bytes()), [""; 0]);
    assert_eq!(read(&operation, "text/plain", b"1234").len(), 1);
    assert_eq!(
        read(&operation, "text/plain", b"\xff"),
        ["body - # is not UTF-8"]
    );
}

/// Operation with one body schema, in node 0.
fn cone(schemas: &[Json]) -> Cone {
    let says = value(&json!({"schema": {"node": 0}}));
    let operation = ContractOperation {
        key: "a/b".into(),
        deprecated: false,
        parameters: Vec::new(),
        body: Some(Body {
            required: true,
            media_types: Set::new(vec![MediaType {
                name: "application/json".into(),
                says,
            }])
            .unwrap(),
        }),
        responses: Vec::new(),
    };
    let schemas: Vec<Value> = schemas.iter().map(value).collect();
    Cone::of(&operation, &schemas)
}

#[test]
fn wider_and_narrower_schemas_are_told_apart() {
    let (wider, narrower, both, neither) =
        ((true, false), (false, true), (true, true), (false, false));
    let object = |more: Json| {
        let mut object =
            json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 5}}});
        object
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        object
    };
    let rows = [
        (
            json!({"type": "string"}),
            json!({"type": ["string", "null"]}),
            wider,
        ),
        (json!({"type": "integer"}), json!({"type": "number"}), wider),
        (json!({"minimum": 2}), json!({"minimum": 1}), wider),
        (json!({"maxLength": 2}), json!({"maxLength": 1}), narrower),
        (json!({"enum": ["a"]}), json!({"enum": ["a", "b"]}), wider),
        (json!({"const": "a"}), json!({"enum": ["a", "b"]}), wider),
        (json!({"pattern": "a"}), json!({"pattern": "b"}), neither),
        (json!({"pattern": "a"}), json!({}), wider),
        (
            object(json!({})),
            object(json!({"required": ["a"]})),
            narrower,
        ),
        (
            object(json!({})),
            object(json!({"additionalProperties": false})),
            narrower,
        ),
        (object(json!({})), object(json!({"properties": {}})), wider),
        (
            object(json!({})),
            object(json!({"properties": {"a": {"type": "string", "maxLength": 9}}})),
            wider,
        ),
        (
            object(json!({})),
            object(json!({"properties": {"a": {"type": "integer"}}})),
            neither,
        ),
        (
            object(json!({"additionalProperties": false})),
            object(
                json!({"additionalProperties": false, "properties": {"a": {"type": "string", "maxLength": 5}, "b": {}}}),
            ),
            wider,
        ),
        (
            json!({"allOf": [{"minimum": 1}, {"maximum": 5}]}),
            json!({"allOf": [{"minimum": 1}]}),
            wider,
        ),
        (
            json!({"anyOf": [{"type": "string"}]}),
            json!({"anyOf": [{"type": "string"}, {"type": "null"}]}),
            wider,
        ),
        (
            json!({"anyOf": [{"const": "a"}, {"const": "b"}]}),
            json!({"anyOf": [{"const": "a"}, {"const": "c"}]}),
            neither,
        ),
        (
            json!({"items": {"minimum": 1}}),
            json!({"items": {"minimum": 0}}),
            wider,
        ),
        (
            json!({"not": {"type": "string"}}),
            json!({"not": {"type": "null"}}),
            neither,
        ),
        (
            json!({"type": "string", "nullable": true}),
            json!({"type": "string"}),
            narrower,
        ),
        (json!({"type": "string"}), json!({"type": "string"}), both),
    ];
    for (old, new, expected) in rows {
        let (was, is) = (cone(&[old.clone()]), cone(&[new.clone()]));
        let found = (
            validator::compare::accepts_all(&is, &was),
            validator::compare::accepts_all(&was, &is),
        );
        assert_eq!(found, expected, "{old} {new}");
    }
    // A recursive schema whose leaf got a looser bound.
    let tree = |most: u32| {
        [
            json!({"type": "object", "properties": {"next": {"node": 0}, "value": {"node": 1}}}),
            json!({"maximum": most}),
        ]
    };
    let (was, is) = (cone(&tree(1)), cone(&tree(2)));
    assert!(validator::compare::accepts_all(&is, &was));
    assert!(!validator::compare::accepts_all(&was, &is));
}
