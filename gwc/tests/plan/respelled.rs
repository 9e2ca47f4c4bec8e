//! Names that gwd refuses since a new version, because they are other spellings of described names,
//! and members of objects that only one side names.

use plan::{Plan, compare};

use crate::meaning::GATEWAY;
use crate::side;

/// Writes an operation with a type at one place.
type Written<'w> = &'w dyn Fn(&str) -> String;

/// Plan between two versions of an operation.
fn between(version: &str, old: &str, new: &str) -> Plan {
    let document = |operation: &str| {
        format!(
            "openapi: {version}\ninfo: {{title: t, version: '1'}}\npaths: {{/x: {{post: {{operationId: x, {operation}}}}}}}\n"
        )
    };
    let side = |text: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(text))]);
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

/// Lines of level `error`: id and path in the message.
fn errors(plan: &Plan) -> Vec<String> {
    let changes = plan.changes.iter();
    let changes = changes.filter_map(|one| Some((one, one.message.as_deref()?)));
    let errors = changes.filter(|(one, _)| one.level() == "error");
    let lines = errors.map(|(one, message)| format!("{} {}", one.id, message.path));
    lines.collect()
}

fn parameters(list: &str) -> String {
    format!("parameters: [{list}], responses: {{}}")
}

fn parameter(place: &str, name: &str, rest: &str) -> String {
    format!("{{name: {name}, in: {place}, schema: {{type: string}}{rest}}}")
}

fn body(media_type: &str, schema: &str) -> String {
    format!("requestBody: {{content: {{{media_type}: {{schema: {schema}}}}}}}, responses: {{}}")
}

#[test]
fn other_spelling_of_a_parameter_is_a_break() {
    for (place, old, new, is_break) in [
        ("query", "q", "Q", true),
        ("query", "na.me", "na_me", true),
        ("query", "model.b", "b", true),
        ("query", "q", "r", false),
        ("cookie", "c", "C", true),
        ("header", "X-A", "X_A", true),
        ("header", "X-A", "X-B", false),
    ] {
        let of = |name: &str, rest: &str| parameters(&parameter(place, name, rest));
        let plan = between("3.1.0", &of(old, ""), &of(new, ""));
        let expected = match place {
            "header" => format!("request-parameter-respelled header {}", old.to_lowercase()),
            _ => format!("request-parameter-respelled {place} {old}"),
        };
        let expected = [expected].into_iter().filter(|_| is_break);
        assert_eq!(errors(&plan), expected.collect::<Vec<_>>(), "{old} {new}");
        // What is deprecated may go.
        let plan = between("3.1.0", &of(old, ", deprecated: true"), &of(new, ""));
        assert!(errors(&plan).is_empty(), "{old} {new}");
    }
    // Both spellings were described. gwd now refuses one of them.
    let both = ["q", "Q"].map(|name| parameter("query", name, ""));
    let plan = between(
        "3.1.0",
        &parameters(&both.join(", ")),
        &parameters(&both[1]),
    );
    assert_eq!(errors(&plan), ["request-parameter-respelled query q"]);
}

#[test]
fn other_spelling_of_a_property_is_a_break() {
    let object = |name: &str| format!("{{type: object, properties: {{{name}: {{type: string}}}}}}");
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    for (media_type, old, new, is_break) in [
        (json, "userId", "userid", true),
        (json, "user.id", "user_id", false),
        (json, "a", "b", false),
        (form, "userId", "userid", true),
        (form, "user.id", "user_id", true),
        ("application/xml", "userId", "userid", false),
    ] {
        let [old_body, new_body] = [old, new].map(|name| body(media_type, &object(name)));
        let plan = between("3.1.0", &old_body, &new_body);
        let expected = format!("request-property-respelled body.{old}");
        let expected = [expected].into_iter().filter(|_| is_break);
        assert_eq!(errors(&plan), expected.collect::<Vec<_>>(), "{old} {new}");
    }
}

/// A text that contains an object: `additionalProperties` described the new property before.
#[test]
fn new_name_of_a_described_member_is_compared() {
    let old = "{type: object, additionalProperties: {type: string}}";
    let new = |kind: &str| {
        format!(
            "{{type: object, additionalProperties: {{type: string}}, properties: {{b: {{type: {kind}}}}}}}"
        )
    };
    let query = |style: &str, schema: &str| {
        parameters(&format!(
            "{{name: q, in: query, {style}, schema: {schema}}}"
        ))
    };
    let header = |schema: &str| parameters(&format!("{{name: q, in: header, schema: {schema}}}"));
    let content = |schema: &str| {
        let content = format!("{{application/json: {{schema: {schema}}}}}");
        parameters(&format!("{{name: q, in: query, content: {content}}}"))
    };
    let deep = |schema: &str| query("style: deepObject", schema);
    let flat = |schema: &str| query("explode: false", schema);
    let form = |schema: &str| body("application/x-www-form-urlencoded", schema);
    let all: [&dyn Fn(&str) -> String; 5] = [&deep, &flat, &header, &content, &form];
    for of in all {
        let plan = between("3.1.0", &of(old), &of(&new("integer")));
        assert!(!errors(&plan).is_empty(), "{}", of(old));
        // The reverse: `additionalProperties` describes the property. An integer is a text, but not
        // in JSON.
        let plan = between("3.1.0", &of(&new("integer")), &of(old));
        let is_json = of(old).contains("json");
        assert_eq!(errors(&plan).is_empty(), !is_json, "{}", of(old));
        let plan = between("3.1.0", &of(old), &of(&new("string")));
        assert!(errors(&plan).is_empty(), "{}", of(old));
    }
    // gwd does not check fields that an exploded object does not describe.
    let exploded = |schema: &str| query("explode: true", schema);
    let plan = between("3.1.0", &exploded(old), &exploded(&new("integer")));
    assert!(errors(&plan).is_empty());
}

/// The `data` of an event is a text, and what it contains is JSON.
#[test]
fn json_inside_of_events_is_compared_as_json() {
    let events = |kind: &str| {
        let inner = format!("{{type: object, properties: {{a: {{type: {kind}}}}}}}");
        let data =
            format!("{{type: string, contentMediaType: application/json, contentSchema: {inner}}}");
        format!(
            "responses: {{'200': {{description: d, content: {{text/event-stream: {{itemSchema: {{type: object, properties: {{data: {data}}}}}}}}}}}}}"
        )
    };
    let plan = between("3.2.0", &events("string"), &events("integer"));
    assert_eq!(
        errors(&plan),
        ["response-property-type-changed response 200 body.data.a"]
    );
}

/// A field, part, parameter or header with JSON is compared as JSON, also inside a message that is
/// text.
#[test]
fn json_in_texts_is_compared_as_json() {
    let object = |kind: &str| format!("{{type: object, properties: {{z: {{type: {kind}}}}}}}");
    let list = |kind: &str| format!("{{type: array, items: {}}}", object(kind));
    let scalar = |kind: &str| format!("{{type: {kind}}}");
    let of_field = |media_type: &str, schema: &str, encoding: &str| {
        let schema = format!("{{type: object, properties: {{a: {schema}}}}}");
        format!(
            "requestBody: {{content: {{{media_type}: {{schema: {schema}{encoding}}}}}}}, responses: {{}}"
        )
    };
    let encoding = ", encoding: {a: {contentType: application/json}}";
    let json = |schema: &str| format!("content: {{application/json: {{schema: {schema}}}}}");
    let given = |place: &str, schema: &str| {
        parameters(&format!("{{name: q, in: {place}, {}}}", json(schema)))
    };
    let answered = |schema: &str| {
        format!(
            "responses: {{'200': {{description: d, headers: {{X-A: {{{}}}}}}}}}",
            json(schema)
        )
    };
    let (multipart, form) = ("multipart/form-data", "application/x-www-form-urlencoded");
    let requests: [(&str, Written<'_>); 8] = [
        ("query", &|kind| given("query", &scalar(kind))),
        ("header", &|kind| given("header", &object(kind))),
        ("part", &|kind| of_field(multipart, &object(kind), "")),
        ("parts", &|kind| of_field(multipart, &list(kind), "")),
        ("encoded part", &|kind| {
            of_field(multipart, &scalar(kind), encoding)
        }),
        ("field", &|kind| of_field(form, &object(kind), "")),
        ("encoded field", &|kind| {
            of_field(form, &scalar(kind), encoding)
        }),
        ("fields", &|kind| of_field(form, &list(kind), "")),
    ];
    for (name, of) in requests {
        let plan = between("3.1.0", &of("integer"), &of("string"));
        assert_eq!(errors(&plan).len(), 1, "{name}");
    }
    let plan = between(
        "3.1.0",
        &answered("{type: string}"),
        &answered("{type: integer}"),
    );
    assert_eq!(errors(&plan).len(), 1);
    // Ranges describe JSON, too.
    for range in ["'*/*'", "application/*"] {
        let of = |kind: &str| body(range, &object(kind));
        let plan = between("3.1.0", &of("integer"), &of("string"));
        let expected = ["request-property-type-changed body.z"];
        assert_eq!(errors(&plan), expected, "{range}");
    }
    // Other scalars are texts: each integer is also a string.
    for of in [
        &|kind: &str| of_field(multipart, &scalar(kind), "") as String,
        &|kind: &str| of_field(form, &scalar(kind), ""),
    ] as [&dyn Fn(&str) -> String; 2]
    {
        let plan = between("3.1.0", &of("integer"), &of("string"));
        assert!(errors(&plan).is_empty());
    }
}

/// A pattern with `.` refuses texts with a line end, unless it also matches a part of each text.
#[test]
fn pattern_of_one_line_may_refuse_texts() {
    let of = |pattern: &str| {
        parameters(&format!(
            "{{name: q, in: query, schema: {{type: string{pattern}}}}}"
        ))
    };
    for (pattern, level) in [("^.*$", "error"), ("^.*", "info"), (".*", "info")] {
        let plan = between("3.1.0", &of(""), &of(&format!(", pattern: '{pattern}'")));
        let found = plan.changes.iter().filter(|one| one.message.is_some());
        let levels: Vec<_> = found.map(plan::Change::level).collect();
        assert_eq!(levels, [level], "{pattern}");
    }
}
