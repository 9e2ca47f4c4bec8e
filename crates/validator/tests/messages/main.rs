//! Tests of the checks of requests against the description of an operation.

mod bodies;
mod bounds;
mod cones;
mod cost;
mod parameters;
mod resembling;
mod sequences;
mod whole_queries;

use bundle::ir::{Body, ContractOperation, MediaType, Parameter, ParameterPlace, Set, Value};
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value as Json, json};
use validator::{BodyUse, Cone, Head, NotEnforced, Operation};

/// Converts JSON to a value of a contract.
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
            // `{"node": 0}` is a reference to the schema with this index.
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
        "querystring" => ParameterPlace::Querystring,
        _ => ParameterPlace::Cookie,
    }
}

/// Operation with these parameters, and a required body with these media types.
fn operation(parameters: &Json, content: &Json, schemas: &[Json]) -> Operation {
    let parameters = parameters.as_array().into_iter().flatten();
    let parameters = parameters.map(|one| Parameter {
        place: place(one["in"].as_str().unwrap()),
        name: one["name"].as_str().unwrap().into(),
        required: one["required"] == true,
        definition: value(one),
    });
    let content = content.as_object();
    let body = content.map(|content| Body {
        required: true,
        media_types: Set::new(
            content
                .iter()
                .map(|(name, media)| MediaType {
                    name: name.clone(),
                    definition: value(media),
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
        security: None,
    };
    let schemas: Vec<Value> = schemas.iter().map(value).collect();
    Operation::compile(&Cone::of(&operation, &schemas)).unwrap()
}

/// Findings as `IN NAME POINTER DETAIL`.
fn finding_lines(findings: &[policy::invalid::Finding]) -> Vec<String> {
    let lines = findings.iter().map(|one| {
        let name = one.part.name().unwrap_or("-");
        format!("{} {name} {} {}", one.part.place(), one.pointer, one.detail)
    });
    lines.collect()
}

/// Checks a body of a media type and returns the findings.
fn read(operation: &Operation, media_type: &str, body: &[u8]) -> Vec<String> {
    let value = HeaderValue::from_str(media_type).unwrap();
    let headers = HeaderMap::from_iter([(HeaderName::from_static("content-type"), value)]);
    match operation.body_use(&headers, false) {
        Ok(BodyUse::Read(kind)) => finding_lines(&operation.body(&kind, body)),
        Ok(BodyUse::Split(kind)) => finding_lines(&operation.sequence(&kind, body)),
        Ok(BodyUse::Pass) => Vec::new(),
        Err((reject, finding)) => vec![format!(
            "{} {}",
            reject.status,
            finding_lines(&[finding])[0]
        )],
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
        let mut lines = of_body(&schema, text);
        lines.sort();
        lines
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

/// JSON Schema 2020-12, section 8.2.3.1: `$ref` applies beside other keywords.
#[test]
fn target_of_ref_applies_beside_all_of() {
    let nodes = |schema: &Json| [schema.clone(), json!({"type": "object", "required": ["a"]})];
    let content = json!({"application/json": {"schema": {"node": 0}}});
    let target = json!({"node": 1});
    for (schema, body, valid) in [
        (
            json!({"$ref": target, "allOf": [{"minProperties": 1}]}),
            "5",
            false,
        ),
        (
            json!({"$ref": target, "allOf": [{"minProperties": 1}]}),
            r#"{"a": 1}"#,
            true,
        ),
        (
            json!({"$ref": target, "allOf": [{"minProperties": 2}]}),
            r#"{"a": 1}"#,
            false,
        ),
        (
            json!({"$ref": target, "allOf": [{"required": ["q"]}], "anyOf": [true]}),
            r#"{"q": 1}"#,
            false,
        ),
        (
            json!({"properties": {"p": {"$ref": target, "allOf": [true, true]}}}),
            r#"{"p": 5}"#,
            false,
        ),
    ] {
        let operation = operation(&Json::Null, &content, &nodes(&schema));
        let found = json_of(&operation, body);
        assert_eq!(found.is_empty(), valid, "{schema} {body} {found:?}");
    }
}

/// `nullable` beside `type` admits exactly null (OpenAPI 3.0.3, section 4.7.24.1).
#[test]
fn nullable_inside_not_and_one_of_is_exact() {
    let object = |more: Json| json!({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}, "b": more}});
    let not = json!({"not": {"node": 1}});
    let one_of = json!({"oneOf": [{"node": 1}, {"node": 2}]});
    let text = json!({"type": "string", "nullable": true});
    let nullable = object(text.clone());
    let rows = [
        (&not, text.clone(), "\"x\"", false),
        (&not, text.clone(), "null", false),
        (&not, text, "1", true),
        (&one_of, nullable.clone(), r#"{"a": ""}"#, false),
        (&one_of, nullable, r#"{"a": "", "b": null}"#, true),
        // Without `type`, and with an `enum` without null, readers differ.
        (
            &not,
            json!({"enum": ["x"], "type": "string", "nullable": true}),
            "null",
            true,
        ),
        (
            &not,
            json!({"maxLength": 1, "nullable": true}),
            "\"x\"",
            true,
        ),
    ];
    let content = json!({"application/json": {"schema": {"node": 0}}});
    for (schema, inner, body, valid) in rows {
        let nodes = [schema.clone(), inner, object(json!({"type": "string"}))];
        let operation = operation(&Json::Null, &content, &nodes);
        let found = json_of(&operation, body);
        assert_eq!(found.is_empty(), valid, "{schema} {body} {found:?}");
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
    // `required` and the property are in different schemas of an `allOf`.
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
fn read_only_name_of_another_object_changes_nothing() {
    // The root and the inner object have properties of the same name.
    let inner = json!({"type": "object", "properties": {"id": {"readOnly": true}, "name": {}}});
    let nodes = [
        json!({"type": "object", "required": ["id", "customer"], "properties": {"id": {"node": 2}, "customer": {"node": 1}}}),
        inner,
        json!({"type": "string"}),
    ];
    let form = json!({"schema": {"node": 1}});
    let content = json!({"application/json": {"schema": {"node": 0}}, "application/x-www-form-urlencoded": form});
    let operation = operation(&Json::Null, &content, &nodes);
    assert_eq!(
        json_of(&operation, r#"{"id": "a", "customer": {}}"#),
        [""; 0]
    );
    assert_eq!(
        json_of(&operation, r#"{"customer": {"name": "x"}}"#).len(),
        1
    );
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
    assert_eq!(lossy.not_enforced(), [NotEnforced::Pattern(look.into())]);
}

#[test]
fn unevaluated_parts_of_dropped_keywords_are_valid() {
    let look = r"^(?!x)";
    let closed = |mut schema: Json| {
        schema["unevaluatedProperties"] = json!(false);
        schema
    };
    let rows = [
        (json!({"properties": {"a": true}}), false),
        (json!({"allOf": [{"node": 1}]}), true),
        (json!({"$ref": {"node": 2}}), true),
        (json!({"anyOf": [{"node": 3}, {"type": "object"}]}), true),
        (json!({"if": {"node": 4}}), true),
        (json!({"if": {"node": 5}}), false),
        // The dropped keyword is for another value.
        (json!({"properties": {"a": {"node": 1}}}), false),
        (json!({"not": {"required": ["b"]}}), false),
    ];
    let content = json!({"application/json": {"schema": {"node": 0}}});
    for (schema, valid) in rows {
        let nodes = [
            closed(schema.clone()),
            json!({"patternProperties": {look: true}}),
            json!({"allOf": [{"node": 1}]}),
            json!({"$dynamicRef": "#other"}),
            json!({"properties": {"b": {"pattern": look}, "y": true}}),
            json!({"properties": {"a": true}}),
        ];
        let operation = operation(&Json::Null, &content, &nodes);
        let found = json_of(&operation, r#"{"y": 1}"#);
        assert_eq!(found.is_empty(), valid, "{schema} {found:?}");
    }
}
