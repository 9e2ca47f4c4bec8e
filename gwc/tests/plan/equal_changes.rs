//! Tests of equal changes at several places of a contract: a line for each schema that is written
//! in place, and one line for a component.

use plan::{Plan, Section, compare};

use crate::side;

const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
defaults: {upstream: u, security: upstream}
";

/// Document with texts of these maximum lengths: the properties `age` and `name` of one body, the
/// property `word` of another body, the parameters `from` and `to`, and the component `Code`.
fn document([age, name, word, from, to, code]: [u32; 6]) -> String {
    let text = |length: u32| format!("{{type: string, maxLength: {length}}}");
    let body = |properties: String| {
        format!(
            "requestBody: {{content: {{application/json: {{schema: {{type: object, properties: {{{properties}}}}}}}}}}}"
        )
    };
    let x = body(format!("age: {}, name: {}", text(age), text(name)));
    let y = body(format!("word: {}", text(word)));
    let code_twice =
        "a: {$ref: '#/components/schemas/Code'}, z: {$ref: '#/components/schemas/Code'}";
    let z = body(code_twice.to_owned());
    let parameter =
        |name: &str, length| format!("{{name: {name}, in: query, schema: {}}}", text(length));
    let parameters = [parameter("from", from), parameter("to", to)].join(", ");
    format!(
        "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /x: {{post: {{operationId: x, {x}, responses: {{}}}}}}
  /y: {{post: {{operationId: y, {y}, responses: {{}}}}}}
  /z: {{post: {{operationId: z, {z}, responses: {{}}}}, get: {{operationId: q, parameters: [{parameters}], responses: {{}}}}}}
components: {{schemas: {{Code: {}}}}}
",
        text(code)
    )
}

fn between(old: [u32; 6], new: [u32; 6]) -> Plan {
    let side = |lengths| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(lengths))]);
    compare(Some(&side(old)), &side(new)).expect("both sides build")
}

/// Operations and subject of each line about clients, sorted, with the line of the new schema.
fn lines(plan: &Plan) -> Vec<String> {
    let changes = plan.changes.iter();
    let changes = changes.filter(|one| one.section == Section::Breaking);
    let mut lines: Vec<String> = changes
        .map(|one| {
            let messages = one.message.as_ref().map_or(0, |message| message.messages);
            format!("{} {} {messages}", one.operations.join("+"), one.subject)
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn equal_changes_are_a_line_each() {
    let plan = between([10; 6], [9; 6]);
    assert_eq!(
        lines(&plan),
        [
            "a/q query from maxLength 1",
            "a/q query to maxLength 1",
            "a/x body.age maxLength 1",
            "a/x body.name maxLength 1",
            "a/y body.word maxLength 1",
            "a/z body.a maxLength 1",
        ]
    );
    // Each line is at its own schema.
    let mut columns: Vec<u32> = Vec::new();
    for change in plan
        .changes
        .iter()
        .filter(|one| one.section == Section::Breaking)
    {
        let place = change.source_new.as_ref().expect("a place");
        columns.push(place.line * 1_000 + place.column);
    }
    columns.sort_unstable();
    columns.dedup();
    assert_eq!(columns.len(), 6, "{columns:?}");
}

#[test]
fn further_equal_change_has_a_fingerprint_of_its_own() {
    let fingerprints = |plan: &Plan| -> Vec<String> {
        let changes = plan.changes.iter();
        let changes = changes.filter(|one| one.section == Section::Breaking);
        let mut all: Vec<String> = changes.map(|one| one.fingerprint.clone()).collect();
        all.sort();
        all
    };
    let (one, two) = ([9, 10, 10, 10, 10, 10], [9, 9, 10, 10, 10, 10]);
    let (first, both) = (between([10; 6], one), between([10; 6], two));
    let (first, both) = (fingerprints(&first), fingerprints(&both));
    assert_eq!((first.len(), both.len()), (1, 2));
    assert!(both.contains(&first[0]), "the acknowledged change stays");
}

/// A component that another property newly uses, with an equal change, is a wider change.
#[test]
fn wider_use_of_a_component_has_another_fingerprint() {
    let old = document([10; 6]).replace(
        "z: {$ref: '#/components/schemas/Code'}",
        "z: {type: string, maxLength: 10}",
    );
    let narrow = document([10, 10, 10, 10, 10, 9]);
    let inline = narrow.replace(
        "z: {$ref: '#/components/schemas/Code'}",
        "z: {type: string, maxLength: 10}",
    );
    let side = |text: &str| side(&[("gateway.yaml", GATEWAY), ("api.yaml", text)]);
    let plan = |new: &str| compare(Some(&side(&old)), &side(new)).expect("both sides build");
    let (one, two) = (plan(&inline), plan(&narrow));
    assert_eq!(lines(&one), ["a/z body.a maxLength 1"]);
    assert_eq!(lines(&two), ["a/z body.a maxLength 1"]);
    let fingerprint = |plan: &Plan| {
        let mut changes = plan.changes.iter();
        let change = changes.find(|one| one.section == Section::Breaking);
        change.expect("a line").fingerprint.clone()
    };
    assert_ne!(fingerprint(&one), fingerprint(&two));
}

#[test]
fn line_names_the_operation_of_its_body() {
    let document = |length: u32| {
        let code = "{$ref: '#/components/schemas/Code'}";
        let post = |id: &str, schema: &str| {
            format!(
                "{{post: {{operationId: {id}, requestBody: {{content: {{application/json: {{schema: {schema}}}}}}}, responses: {{}}}}}}"
            )
        };
        let outer = format!("{{type: object, properties: {{code: {code}}}}}");
        let (first, last) = (post("first", &outer), post("last", code));
        format!(
            "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /first: {first}
  /last: {last}
components: {{schemas: {{Code: {{type: object, properties: {{word: {{type: string, maxLength: {length}}}}}}}}}}}
"
        )
    };
    let side = |length| side(&[("gateway.yaml", GATEWAY), ("api.yaml", &document(length))]);
    let plan = compare(Some(&side(9)), &side(5)).expect("both sides build");
    let change = plan.changes.iter().find(|one| one.class.name() == "break");
    let change = change.expect("a break");
    assert_eq!(change.operations, ["a/first", "a/last"]);
    let message = change.message.as_ref().expect("a message");
    let named = change.operation.as_ref().map(|one| &*one.key);
    let body = message.body.as_ref().map(ToString::to_string);
    assert_eq!(
        (named, body.as_deref(), &*message.path),
        (Some("a/last"), Some("{\"word\":\"000000\"}"), "body.word")
    );
}
