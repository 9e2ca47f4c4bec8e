//! Tests of `gwc test` with bodies: of test files, and of the examples in documents.

use serde_json::{Value, json};

use crate::project::Project;

const GATEWAY: &str = r#"version: 1
name: shop
tests: [tests.yaml]
apis: {orders: {path: orders.yaml, mount: {base_path: /v1, listeners: [public]}}}
listeners: {public: {address: "127.0.0.1:8080"}}
upstreams: {orders: {targets: {a: {url: "http://127.0.0.1:9000"}}}}
auth: {keys: {kind: api_key}}
consumers: {acme: {keys: [{sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}]}}
defaults: {upstream: orders}
"#;

const ORDERS: &str = r##"openapi: 3.1.0
info: {title: Orders, version: "1"}
security: [{key: []}]
paths:
  /orders:
    post:
      operationId: add
      x-gateway: {validate: {request: block}}
      parameters: [{name: X-Key, in: header, schema: {type: string}, example: ignored}]
      requestBody:
        required: true
        content:
          application/json:
            schema: {$ref: "#/components/schemas/Order"}
            examples:
              pens: {value: {item: pen, count: 2}}
              nothing: {$ref: "#/components/examples/nothing"}
          application/x-www-form-urlencoded:
            schema: {$ref: "#/components/schemas/Order"}
            example: {item: a & b, count: 7}
          application/xml:
            schema: {type: object}
            example: {item: not serialised}
      responses: {"201": {description: made}}
  /names/{id}:
    put:
      operationId: rename
      x-gateway: {validate: {request: block}}
      parameters: [{name: id, in: path, required: true, schema: {type: integer}, examples: {first: {value: 1}, pair: {value: 2}}}]
      requestBody:
        content:
          "*/*":
            schema: {type: array, items: {type: string, maxLength: 3}, examples: [[abc], [unused]]}
      responses: {"204": {description: done}}
components:
  examples: {nothing: {value: {item: pen, count: 0}}}
  schemas:
    Order: {type: object, required: [item], properties: {item: {type: string}, count: {type: integer, minimum: 1}}}
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
"##;

fn shop(tests: &str) -> Project {
    let project = Project::bare();
    project.write("gateway.yaml", GATEWAY);
    project.write("orders.yaml", ORDERS);
    project.write("tests.yaml", tests);
    project
}

/// Test file with one test of `POST /v1/orders` that has these further keys.
fn order(keys: &str, expect: &str) -> String {
    format!(
        "- {{name: t, request: POST /v1/orders, credentials: {{key: valid}}, {keys}expect: {{{expect}}}}}\n"
    )
}

#[test]
fn body_above_max_body_is_refused() {
    let project = shop("[]\n");
    let limited = "defaults: {upstream: orders, max_body: 1KiB}";
    project.edit("gateway.yaml", "defaults: {upstream: orders}", limited);
    let body = |bytes: usize, count: i32| {
        format!("body: {{item: {}, count: {count}}}, ", "p".repeat(bytes))
    };
    let (small, large) = (900, 1_100);
    for (body, expect) in [
        (body(small, 2), "decision: forward"),
        (body(large, 2), "status: 413, reason: body_too_large"),
        // gwd reads the body before it checks it.
        (body(large, 0), "status: 413, reason: body_too_large"),
        (body(small, 0), "status: 400, reason: request_invalid"),
    ] {
        project.write("tests.yaml", order(&body, expect));
        project.run(&["test"]).with(0);
    }
}

#[test]
fn body_decides_what_validation_refuses() {
    let project = shop("[]\n");
    let json = "headers: {Content-Type: application/json}, ";
    let form = "headers: {Content-Type: application/x-www-form-urlencoded}, ";
    let valid = "decision: forward";
    let invalid = "status: 400, reason: request_invalid";
    let other = "status: 415, reason: media_type_unsupported";
    for (keys, expect) in [
        (String::new(), "decision: depends"),
        ("body: {item: pen, count: 2}, ".into(), valid),
        ("body: {item: pen, count: 0}, ".into(), invalid),
        ("body: [1], ".into(), invalid),
        ("body: null, ".into(), invalid),
        ("body: \"\", ".into(), invalid),
        (format!("{json}body: '{{\"item\": \"pen\"}}', "), valid),
        (format!("{json}body: '{{\"item\": 1}}', "), invalid),
        (format!("{json}body: '{{\"item\": ', "), invalid),
        (format!("{form}body: 'item=pen&count=2', "), valid),
        (format!("{form}body: 'item=pen&count=0', "), invalid),
        (
            "headers: {Content-Type: text/plain}, body: pen, ".into(),
            other,
        ),
    ] {
        project.write("tests.yaml", order(&keys, expect));
        let ended = project.run(&["test"]);
        assert_eq!(ended.code, 0, "{keys} {expect}: {}{}", ended.out, ended.err);
    }
    // The failure names the value that the schema refuses.
    project.write("tests.yaml", order("body: {item: pen, count: 0}, ", valid));
    let document = project.run(&["test", "--format", "json"]).with(1);
    let document = document.json("test/v1");
    let help = &document["tests"][0]["requests"][0]["failures"][0]["help"];
    let help = help.as_str().expect("a help");
    assert!(help.starts_with("body #/count "), "{help}");
}

#[test]
fn body_has_its_length_and_media_type() {
    let sent = |keys: &str, fields: &str| {
        let expect = format!("sent: {{headers: {{{fields}}}}}");
        shop(&order(keys, &expect)).run(&["test"]).with(0);
    };
    // {"item": "pen"}
    sent(
        "body: {item: pen}, ",
        "content-type: application/json, content-length: \"15\"",
    );
    let own = "application/json; charset=utf-8";
    sent(
        &format!("body: {{item: pen}}, headers: {{content-type: {own}}}, "),
        &format!("content-type: {own}"),
    );
}

#[test]
fn body_above_its_limit_is_a_mistake() {
    let text = "x".repeat(1 << 20);
    let fits = order(&format!("body: {text}, "), "decision: reject");
    shop(&fits).run(&["lint"]).with(0);
    for long in [format!("{text}x"), format!("[{text}]")] {
        let project = shop(&order(&format!("body: {long}, "), "decision: reject"));
        let ended = project.run(&["lint"]).with(1);
        ended.contains("the body of a test has at most 1048576 bytes");
    }
}

/// Name, request, and failed property with its actual value, of each test.
fn run(project: &Project) -> Vec<(String, String, String)> {
    let ended = project.run(&["test", "--from-examples", "--format", "json"]);
    let document = ended.json("test/v1");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tests = document["tests"].as_array().expect("a list").iter();
    tests
        .map(|test| {
            let request = &test["requests"][0];
            let failed = &request["failures"][0];
            let failed = format!("{} {}", text(&failed["what"]), text(&failed["actual"]));
            (
                text(&test["name"]),
                text(&request["request"]),
                failed.trim().to_owned(),
            )
        })
        .collect()
}

/// Document with examples that gwc cannot send, or that gwd refuses for every caller.
const EXAMPLES: &str = r##"openapi: 3.1.0
info: {title: Orders, version: "1"}
security: []
paths:
  /f3:
    post:
      operationId: f3
      x-gateway: {public: true, validate: {request: block}}
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema: {type: object, required: [a], properties: {a: {type: array, items: {type: integer}}}}
            example: {a: [1, x]}
      responses: {"200": {description: fine}}
  /f2:
    post:
      operationId: f2
      x-gateway: {public: true}
      requestBody:
        content:
          multipart/form-data: {schema: {type: object, properties: {a: {type: integer}}}, example: {a: x}}
      responses: {"200": {description: fine}}
  /d/{id}/x:
    get:
      operationId: d
      x-gateway: {public: true}
      parameters: [{name: id, in: path, required: true, schema: {type: string}, examples: {ok: {value: seven}, empty: {value: ""}}}]
      responses: {"200": {description: fine}}
  /n/{id}:
    get:
      operationId: n
      x-gateway: {public: true}
      parameters: [{name: id, in: path, required: true, schema: {type: string}, example: a/b}]
      responses: {"200": {description: fine}}
"##;

#[test]
fn examples_that_are_not_sent_are_noted() {
    let project = shop("[]\n");
    project.write("orders.yaml", EXAMPLES);
    let mut all = run(&project);
    all.sort();
    let known: Vec<(&str, &str)> = all
        .iter()
        .map(|(name, request, _)| (name.as_str(), request.as_str()))
        .collect();
    assert_eq!(
        known,
        [
            ("orders/d at default: ok", "GET /v1/d/seven/x"),
            ("orders/f2 at default", "POST /v1/f2"),
            (
                "orders/f3 at default (application/x-www-form-urlencoded)",
                "POST /v1/f3"
            ),
            ("orders/n at default", "GET /v1/n/a%2Fb"),
        ]
    );
    // The second item of the list is no integer.
    let failed: Vec<&str> = all.iter().map(|one| one.2.as_str()).collect();
    assert!(failed[2].starts_with("body body #/a"), "{failed:?}");
    assert_eq!([failed[0], failed[1], failed[3]], [""; 3]);
    let ended = project.run(&["test", "--from-examples"]).with(1);
    for note in [
        "note: 2 examples are not sent:\n",
        "  `orders/f2`: gwc cannot serialise the body (multipart/form-data)\n",
        "  `orders/d`: the example `empty` has no value for `id` of the path\n",
        "note: 1 example is refused for every caller:\n  \
         `orders/n at default`: `GET /v1/n/a%2Fb` gets `path_ambiguous`\n",
    ] {
        assert!(ended.err.contains(note), "{note}: {}", ended.err);
    }
}

#[test]
fn examples_of_bodies_are_sent_and_judged() {
    let project = shop("[]\n");
    let at = |name: &str, request: &str, failed: &str| {
        (name.to_owned(), request.to_owned(), failed.to_owned())
    };
    let all = run(&project);
    let (failed, passed): (Vec<_>, Vec<_>) = all.into_iter().partition(|one| !one.2.is_empty());
    assert_eq!(
        passed,
        [
            at(
                "orders/add at default: pens (application/json)",
                "POST /v1/orders",
                ""
            ),
            at(
                "orders/add at default (application/x-www-form-urlencoded)",
                "POST /v1/orders",
                ""
            ),
            at(
                "orders/rename at default: first (application/json)",
                "PUT /v1/names/1",
                ""
            ),
            at(
                "orders/rename at default: pair (application/json)",
                "PUT /v1/names/2",
                ""
            ),
        ]
    );
    let [(name, _, failed)] = &failed[..] else {
        panic!("{failed:?}");
    };
    assert_eq!(name, "orders/add at default: nothing (application/json)");
    assert!(failed.starts_with("body body #/count "), "{failed}");
    // Without a check that blocks, no example is refused.
    project.edit(
        "orders.yaml",
        "{validate: {request: block}}",
        "{validate: {request: log}}",
    );
    let document = project
        .run(&["test", "--from-examples", "--format", "json"])
        .with(0)
        .json("test/v1");
    assert_eq!(document["passed"], json!(5));
}
