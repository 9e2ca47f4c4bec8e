//! Tests of the pairs of operations whose contracts a plan compares. Clients call paths, so no
//! renaming of an operation, API or mount may hide a break. The same holds if another operation
//! receives the requests.

use plan::{Class, Plan, Section};

use crate::side;

/// gateway.yaml with these APIs.
fn gateway(apis: &str) -> String {
    format!(
        "version: 1
name: shop
apis: {{{apis}}}
upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}
defaults: {{upstream: u, security: upstream}}
"
    )
}

/// Document with these paths and other keys.
fn document(paths: &str, others: &str) -> String {
    format!("openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths: {{{paths}}}\n{others}\n")
}

/// Operation with a JSON body and a response. `id`: operationId; empty: none.
fn operation(id: &str, schema: &str) -> String {
    let id = match id {
        "" => String::new(),
        id => format!("operationId: {id}, "),
    };
    format!(
        "{{{id}requestBody: {{required: true, content: {{application/json: {{schema: {{type: object, properties: {{n: {schema}}}}}}}}}}}, responses: {{\"200\": {{description: d}}}}}}"
    )
}

/// Operation with an id, parameters and a response.
fn read(id: &str, parameters: &str, schema: &str) -> String {
    format!(
        "{{operationId: {id}, parameters: [{parameters}], responses: {{\"200\": {{description: d, content: {{application/json: {{schema: {schema}}}}}}}}}}}"
    )
}

/// Path parameter `id` with a schema.
fn id(schema: &str) -> String {
    format!("{{name: id, in: path, required: true, schema: {schema}}}")
}

/// Plan of two projects. The first file of each is gateway.yaml.
fn planned(old: &[&str], new: &[&str]) -> Plan {
    let of = |texts: &[&str]| {
        let names = ["gateway.yaml", "a.yaml", "b.yaml"];
        let files: Vec<(&str, &str)> = names.into_iter().zip(texts.iter().copied()).collect();
        side(&files)
    };
    let plan = plan::compare(Some(&of(old)), &of(new)).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    plan
}

/// `ID OPERATIONS SUBJECT: OLD -> NEW` of each line that breaks clients.
fn breaks(plan: &Plan) -> Vec<String> {
    let changes = plan.changes.iter();
    let breaks = changes.filter(|change| change.class == Class::Break);
    let line = |change: &plan::Change| {
        let operations = change.operations.join("+");
        let (id, subject) = (change.id, &change.subject);
        format!(
            "{id} {operations} {subject}: {} -> {}",
            change.old, change.new
        )
    };
    breaks.map(line).collect()
}

const NARROWED: &str = r#"request-property-type-changed {} body.n type: "string" -> "integer""#;
const OTHER: &str = r#"request-property-type-changed {} body.n type: "integer" -> "string""#;

fn narrowed(operations: &str) -> String {
    NARROWED.replace("{}", operations)
}

const STRING: &str = "{type: string}";
const INTEGER: &str = "{type: integer}";

#[test]
fn exchanged_operation_ids_hide_no_break() {
    let apis = gateway("a: {path: a.yaml}");
    let both =
        |x: String, y: String| document(&format!("/x: {{post: {x}}}, /y: {{post: {y}}}"), "");
    let old = both(operation("one", STRING), operation("two", INTEGER));
    // Each operation keeps its contract, and gets the path of the other operation.
    let moved = both(operation("two", INTEGER), operation("one", STRING));
    let plan = planned(&[&apis, &old], &[&apis, &moved]);
    assert_eq!(
        breaks(&plan),
        [OTHER.replace("{}", "a/one"), narrowed("a/two")]
    );
    // Each path keeps its contract, and its operation gets the id of the other operation.
    let renamed = both(operation("two", STRING), operation("one", INTEGER));
    let plan = planned(&[&apis, &old], &[&apis, &renamed]);
    assert_eq!(
        crate::lines(&plan),
        [
            "docs changed operation-renamed a/one",
            "docs changed operation-renamed a/two"
        ]
    );
}

/// An acknowledgement of a break of one operation does not cover the same break of the operation that
/// gets its id.
#[test]
fn break_under_the_id_of_another_has_its_own_name() {
    let apis = gateway("a: {path: a.yaml}");
    let both =
        |x: String, y: String| document(&format!("/x: {{post: {x}}}, /y: {{post: {y}}}"), "");
    let old = both(operation("one", STRING), operation("two", STRING));
    let of_one = both(operation("one", INTEGER), operation("two", STRING));
    let of_two = both(operation("three", STRING), operation("one", INTEGER));
    let names = [of_one, of_two].map(|new| {
        let plan = planned(&[&apis, &old], &[&apis, &new]);
        assert_eq!(breaks(&plan), [narrowed("a/one")]);
        let mut changes = plan.changes.into_iter();
        let change = changes.find(|change| change.class == Class::Break);
        change.expect("there is a break").fingerprint
    });
    assert_ne!(names[0], names[1]);
}

#[test]
fn merged_apis_hide_no_break() {
    let apart = gateway(
        "a: {path: a.yaml, mount: {base_path: /a}}, b: {path: b.yaml, mount: {base_path: /b}}",
    );
    let merged =
        gateway("m: {path: a.yaml, mounts: [{name: a, base_path: /a}, {name: b, base_path: /b}]}");
    let one = |schema: &str| document(&format!("/x: {{post: {}}}", operation("x", schema)), "");
    let (wide, narrow) = (one(STRING), one(INTEGER));
    // Only the second of the merged APIs had a wider contract.
    let plan = planned(&[&apart, &narrow, &wide], &[&merged, &narrow]);
    assert_eq!(breaks(&plan), [narrowed("m/x")]);
    // Both merged APIs had a wider contract. The plan has one line, which counts the message of the
    // new operation once.
    let plan = planned(&[&apart, &wide, &wide], &[&merged, &narrow]);
    assert_eq!(breaks(&plan), [narrowed("m/x")]);
    let messages = plan.changes.iter().find_map(|one| one.message.as_ref());
    assert_eq!(messages.map(|message| message.messages), Some(1));
    // Split the merged API again.
    let plan = planned(&[&merged, &wide], &[&apart, &wide, &narrow]);
    assert_eq!(breaks(&plan), [narrowed("b/x")]);
    let plan = planned(&[&merged, &wide], &[&apart, &narrow, &narrow]);
    assert_eq!(breaks(&plan), [narrowed("a/x+b/x")]);
}

#[test]
fn captured_requests_hide_no_break() {
    let apis = gateway("a: {path: a.yaml}");
    let user = |schema| {
        read(
            "user",
            &id(schema),
            "{type: object, required: [n], properties: {n: {}}}",
        )
    };
    let me = |schema: &str| read("me", "", schema);
    let wide = |schema| document(&format!("'/users/{{id}}': {{get: {}}}", user(schema)), "");
    let both = |schema, own: &str| {
        let paths = format!(
            "/users/me: {{get: {}}}, '/users/{{id}}': {{get: {}}}",
            me(own),
            user(schema)
        );
        document(&paths, "")
    };
    let same = "{type: object, required: [n], properties: {n: {}}}";
    let other = "{type: object, properties: {n: {}}}";
    let captured = |schema, own| planned(&[&apis, &wide(schema)], &[&apis, &both(schema, own)]);
    assert_eq!(breaks(&captured(STRING, same)), [""; 0]);
    assert_eq!(
        breaks(&captured(STRING, other)),
        ["response-property-became-optional a/me response 200 body.n required: true -> false"]
    );
    // No client that follows the old contract sends `me` as the id.
    assert_eq!(breaks(&captured(INTEGER, other)), [""; 0]);
    assert_eq!(
        breaks(&captured("{type: string, maxLength: 1}", other)),
        [""; 0]
    );
    // A client can write the path in any letter case, and each form is a value of the old
    // parameter.
    let code = "{type: string, pattern: '^[A-Z]{2}$'}";
    let any_case = both(code, other).replace(
        "/users/me: {",
        "/users/me: {x-gateway: {case_insensitive: true}, ",
    );
    assert_eq!(
        breaks(&planned(&[&apis, &wide(code)], &[&apis, &any_case])),
        ["response-property-became-optional a/me response 200 body.n required: true -> false"]
    );
    // The template receives the requests of the removed path.
    let back = |schema, own| planned(&[&apis, &both(schema, own)], &[&apis, &wide(schema)]);
    assert_eq!(breaks(&back(STRING, same)), [""; 0]);
    assert_eq!(
        breaks(&back(
            STRING,
            "{type: object, required: [m], properties: {m: {}}}"
        )),
        ["response-required-property-removed a/user response 200 body.m properties: {} -> null"]
    );
    let plan = back(INTEGER, same);
    assert_eq!(
        breaks(&plan),
        [r#"request-schema-narrowed a/user path id schema: "me" -> {"schema":{"type":"integer"}}"#]
    );
    // No request of the removed operation is lost.
    let removed = |change: &plan::Change| change.class == Class::Removed;
    assert!(
        !plan.changes.iter().any(removed),
        "{:?}",
        crate::lines(&plan)
    );
}

#[test]
fn split_hosts_of_a_renamed_api_hide_no_break() {
    let old = gateway("a: {path: a.yaml, mount: {hosts: [x.example, y.example]}}");
    let new = gateway(
        "b: {path: a.yaml, mounts: [{name: x, hosts: [x.example]}, {name: y, hosts: [y.example]}]}",
    );
    let one = |schema: &str| document(&format!("/x: {{post: {}}}", operation("x", schema)), "");
    let plan = planned(&[&old, &one(STRING)], &[&new, &one(INTEGER)]);
    assert_eq!(breaks(&plan), [narrowed("b/x")]);
    // All hosts differ too.
    let elsewhere = gateway("b: {path: a.yaml, mount: {hosts: [z.example]}}");
    let plan = planned(&[&old, &one(STRING)], &[&elsewhere, &one(INTEGER)]);
    assert_eq!(breaks(&plan), [narrowed("b/x")]);
}

#[test]
fn webhooks_of_a_renamed_api_hide_no_break() {
    let [a, b] = ["a", "b"].map(|name| gateway(&format!("{name}: {{path: a.yaml}}")));
    let event = |schema: &str| {
        format!(
            "{{post: {{requestBody: {{content: {{application/json: {{schema: {{type: object, properties: {{n: {schema}}}}}}}}}}}, responses: {{\"200\": {{description: d}}}}}}}}"
        )
    };
    let with = |path: &str, schema: &str| {
        let callback = format!(
            "callbacks: {{paid: {{'{{$request.body#/url}}': {}}}}}",
            event(schema)
        );
        let own = operation("x", STRING).replacen('{', &format!("{{{callback}, "), 1);
        document(
            &format!("{path}: {{post: {own}}}"),
            &format!("webhooks: {{sent: {}}}", event(schema)),
        )
    };
    let expected = [
        r#"response-property-type-changed  webhook sent POST body.n type: "string" -> "integer""#,
        r#"response-property-type-changed b/x callback paid POST {$request.body#/url} body.n type: "string" -> "integer""#,
    ];
    let plan = planned(&[&a, &with("/x", STRING)], &[&b, &with("/x", INTEGER)]);
    assert_eq!(breaks(&plan), expected);
    // An API with webhooks only.
    let only = |schema: &str| document("", &format!("webhooks: {{sent: {}}}", event(schema)));
    let plan = planned(&[&a, &only(STRING)], &[&b, &only(INTEGER)]);
    assert_eq!(
        breaks(&plan),
        [r#"response-property-type-changed  webhook sent POST body.n type: "string" -> "integer""#]
    );
    // The webhooks of a removed API are removed.
    let two = gateway(
        "a: {path: a.yaml, mount: {base_path: /a}}, b: {path: b.yaml, mount: {base_path: /b}}",
    );
    let plain = document(&format!("/x: {{post: {}}}", operation("x", STRING)), "");
    let plan = planned(
        &[&two, &plain, &only(STRING)],
        &[
            &gateway("a: {path: a.yaml, mount: {base_path: /a}}"),
            &plain,
        ],
    );
    let removed = plan
        .changes
        .iter()
        .filter(|one| one.id == "webhook-removed");
    assert_eq!(removed.count(), 1, "{:?}", crate::lines(&plan));
}

#[test]
fn callback_of_a_renamed_operation_hides_no_break() {
    let apis = gateway("a: {path: a.yaml}");
    let with = |id: &str, schema: &str| {
        let body = format!("requestBody: {{content: {{application/json: {{schema: {schema}}}}}}}");
        let callback = format!(
            "callbacks: {{paid: {{'{{$request.body#/url}}': {{post: {{{body}, responses: {{\"200\": {{description: d}}}}}}}}}}}}"
        );
        let own = operation(id, STRING).replacen('{', &format!("{{{callback}, "), 1);
        document(&format!("/x: {{post: {own}}}"), "")
    };
    let plan = planned(&[&apis, &with("x", STRING)], &[&apis, &with("y", INTEGER)]);
    assert_eq!(breaks(&plan).len(), 1, "{:?}", breaks(&plan));
}

#[test]
fn moved_base_path_and_parameter_hide_no_break() {
    let [v1, v2] = ["/v1", "/v2"].map(|base| {
        gateway(&format!(
            "a: {{path: a.yaml, mount: {{base_path: {base}}}}}"
        ))
    });
    let item = |name: &str, id: &str, schema: &str, path: &str| {
        let own = operation(id, schema);
        let parameter = format!(
            "parameters: [{{name: {name}, in: path, required: true, schema: {{type: string}}}}]"
        );
        document(
            &format!("'{path}/{{{name}}}': {{{parameter}, post: {own}}}"),
            "",
        )
    };
    // Without an operationId, the name of the parameter is a part of the operation's name.
    for id in ["", "x"] {
        let key = if id.is_empty() {
            "POST a:/users/{key}"
        } else {
            "a/x"
        };
        let (old, new) = (
            item("id", id, STRING, "/users"),
            item("key", id, INTEGER, "/users"),
        );
        let plan = planned(&[&v1, &old], &[&v2, &new]);
        assert_eq!(breaks(&plan), [narrowed(key)], "{id}");
        // The base path becomes a part of the path.
        let root = gateway("a: {path: a.yaml}");
        let new = item("key", id, INTEGER, "/v1/users");
        let plan = planned(&[&v1, &old], &[&root, &new]);
        let key = key.replace("/users", "/v1/users");
        assert_eq!(breaks(&plan), [narrowed(&key)], "{id}");
        // The API also gets another name.
        let renamed = gateway("b: {path: a.yaml, mount: {base_path: /v2}}");
        let plan = planned(
            &[&v1, &old],
            &[&renamed, &item("key", id, INTEGER, "/users")],
        );
        assert_eq!(breaks(&plan).len(), 1, "{id}: {:?}", breaks(&plan));
    }
    // Also change the operation's id.
    let (old, new) = (
        item("id", "x", STRING, "/users"),
        item("key", "y", INTEGER, "/users"),
    );
    assert_eq!(
        breaks(&planned(&[&v1, &old], &[&v2, &new])),
        [narrowed("a/y")]
    );
}

#[test]
fn renamed_operation_is_a_docs_line() {
    let apis = gateway("a: {path: a.yaml}");
    let one = |id| document(&format!("/x: {{post: {}}}", operation(id, STRING)), "");
    let plan = planned(&[&apis, &one("x")], &[&apis, &one("y")]);
    let [change] = &plan.changes[..] else {
        panic!("{:?}", crate::lines(&plan))
    };
    assert_eq!(
        (change.section, change.class),
        (Section::Docs, Class::Changed)
    );
    assert_eq!(
        (change.old.as_str(), change.new.as_str()),
        (Some("a/x"), Some("a/y"))
    );
}

#[test]
fn partly_served_operation_is_not_removed() {
    let old = gateway("a: {path: a.yaml, mount: {hosts: [x.example, y.example]}}");
    let new = gateway("a: {path: a.yaml, mount: {hosts: [x.example]}}");
    let one = |id| document(&format!("/x: {{post: {}}}", operation(id, STRING)), "");
    let plan = planned(&[&old, &one("x")], &[&new, &one("y")]);
    let removed: Vec<&str> = plan
        .changes
        .iter()
        .filter(|change| change.class == Class::Removed)
        .map(|change| change.id)
        .collect();
    assert_eq!(removed, ["requests-removed"]);
}

#[test]
fn explicit_head_has_no_body_to_compare() {
    let apis = gateway("a: {path: a.yaml}");
    let get = read("get", "", STRING);
    let head = "{operationId: head, responses: {\"200\": {description: d}}}";
    let old = document(&format!("/x: {{get: {get}}}"), "");
    let new = document(&format!("/x: {{get: {get}, head: {head}}}"), "");
    let plan = planned(&[&apis, &old], &[&apis, &new]);
    assert_eq!(breaks(&plan), [""; 0]);
}
