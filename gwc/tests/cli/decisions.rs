//! Tests of `gwc test`: expected decisions of a project, compared with the decisions of the engine.

use serde_json::{Value, json};

use crate::git::{commit, git};
use crate::project::{Ended, Project};
use crate::route::shop;

/// Creates the project of the `gwc route` tests, with this text as its test file.
pub(crate) fn tested(tests: &str) -> Project {
    let project = shop();
    let gateway = project.read("gateway.yaml");
    project.write("gateway.yaml", format!("{gateway}tests: [tests/*.yaml]\n"));
    std::fs::create_dir(project.path().join("tests")).expect("there is room");
    project.write("tests/shop.yaml", tests);
    project
}

/// Runs one test with this request and expectation. Returns its failures.
pub(crate) fn failures(project: &Project, request: &str, expect: &str) -> Vec<String> {
    project.write(
        "tests/shop.yaml",
        format!("- {{name: t, request: {request}, expect: {{{expect}}}}}\n"),
    );
    let ended = project.run(&["test", "--format", "json"]);
    let document = ended.json("test/v1");
    let failed = ended.code == 1;
    assert!(failed || ended.code == 0, "{}", ended.err);
    let test = &document["tests"][0];
    assert_eq!(test["passed"], json!(!failed));
    let requests = test["requests"].as_array().expect("a list").iter();
    let all = requests.flat_map(|one| one["failures"].as_array().expect("a list"));
    all.map(|one| {
        let text = |key: &str| one[key].as_str().unwrap_or("null").to_owned();
        format!(
            "{}: {} / {}",
            text("what"),
            text("expected"),
            text("actual")
        )
    })
    .collect()
}

#[test]
fn expected_message_without_a_key_is_an_error() {
    for (expect, keys) in [
        ("sent: {}", "needs one of `url`, `headers` or `without`"),
        ("response: {}", "needs one of `headers` or `without`"),
    ] {
        let test = format!("- {{name: t, request: GET /orders, expect: {{{expect}}}}}\n");
        let ended = tested(&test).run(&["lint", "--format", "concise"]);
        assert_ne!(ended.code, 0, "{expect}");
        ended.contains(keys);
    }
}

#[test]
fn each_property_passes_and_fails() {
    let project = tested("[]\n");
    let key = "headers: {X-Key: test}";
    for (request, right, wrong, expected) in [
        (
            "GET /orders",
            "decision: reject",
            "decision: forward",
            "decision: forward / reject",
        ),
        (
            "GET /orders",
            "status: 401",
            "status: 403",
            "status: 403 / 401",
        ),
        (
            "GET /orders",
            "reason: credential_*",
            "reason: credential_invalid",
            "reason: credential_invalid / credential_missing",
        ),
        (
            "GET /orders",
            "operation: orders/listOrders",
            "operation: orders/addOrder",
            "operation: orders/addOrder / orders/listOrders",
        ),
        (
            "GET http://api.shop.example/v1/orders",
            "mount: main",
            "mount: any",
            "mount: any / main",
        ),
        (
            "GET /nowhere",
            "decision: none",
            "status: 200",
            "status: 200 / 404",
        ),
        (
            &format!("GET /orders, {key}"),
            "consumer: acme",
            "consumer: hobby",
            "consumer: hobby / acme",
        ),
        (
            &format!("GET /orders, {key}"),
            "policies: [slow, mark]",
            "policies: [mark, slow]",
            "policies: [mark, slow] / [slow, mark]",
        ),
        (
            "GET /orders",
            "policies: []",
            "policies: [slow]",
            "policies: [slow] / []",
        ),
        (
            &format!("GET /orders, {key}"),
            "upstream: orders",
            "upstream: other",
            "upstream: other / orders",
        ),
        (
            &format!("GET /orders?a=1, {key}"),
            "sent: {url: \"http://127.0.0.2:9000/orders?a=1\"}",
            "sent: {url: \"http://127.0.0.2:9000/v1/*\"}",
            "sent.url: http://127.0.0.2:9000/v1/* / http://127.0.0.1:9000/api/orders?a=1",
        ),
        (
            &format!("GET /orders, {key}"),
            "sent: {headers: {Via: \"*gwd*\"}, without: [Connection]}",
            "sent: {headers: {Via: \"2*\"}, without: [Via]}",
            "sent.headers.via: 2* / 1.1 gwd",
        ),
        (
            "DELETE /orders",
            "response: {headers: {Allow: \"*POST*\"}, without: [Location]}",
            "response: {headers: {Location: \"/\"}}",
            "response.headers.location: / / (none)",
        ),
    ] {
        let none: [String; 0] = [];
        assert_eq!(
            failures(&project, request, right),
            none,
            "{request} {right}"
        );
        let found = failures(&project, request, wrong);
        assert_eq!(found[0], expected, "{request} {wrong}: {found:?}");
    }
    let both = "headers: {Via: \"2*\"}, without: [Via]";
    let found = failures(
        &project,
        &format!("GET /orders, {key}"),
        &format!("sent: {{{both}}}"),
    );
    assert_eq!(found.len(), 2, "{found:?}");
    // The gateway refuses the request, so no request is sent to the upstream. Every expectation
    // `sent` fails, even with `without` alone.
    let found = failures(&project, "GET /orders", "sent: {without: [X-Key]}");
    assert_eq!(
        found,
        ["sent.headers.x-key: (no such field) / (no message)"]
    );
}

#[test]
fn message_without_fields_must_exist() {
    let project = tested("[]\n");
    let none: [String; 0] = [];
    let key = "GET /orders, headers: {X-Key: test}";
    for given in ["{headers: {}}", "{without: []}"] {
        let sent = format!("sent: {given}");
        assert_eq!(
            failures(&project, "GET /orders", &sent),
            ["sent: (any message) / (no message)"]
        );
        assert_eq!(failures(&project, key, &sent), none);
        let response = format!("response: {given}");
        assert_eq!(
            failures(&project, key, &response),
            ["response: (any message) / (no message)"]
        );
        assert_eq!(failures(&project, "DELETE /orders", &response), none);
    }
}

#[test]
fn star_in_a_field_name_matches_any_text() {
    let project = tested("[]\n");
    let key = "GET /orders, headers: {X-Key: test, X-Other: a}";
    assert_eq!(
        failures(&project, key, "sent: {without: [\"X-O*\"]}"),
        ["sent.headers.x-o*: (no such field) / a"]
    );
    let none: [String; 0] = [];
    for right in [
        "sent: {without: [\"Y-*\"]}",
        "sent: {headers: {\"X-*\": a}}",
    ] {
        assert_eq!(failures(&project, key, right), none, "{right}");
    }
}

#[test]
fn every_request_of_a_list_is_decided() {
    let project = tested(
        "- {name: two, request: [GET /orders, GET /orders/7, GET /none], expect: {status: 401}}\n",
    );
    let ended = project.run(&["test"]).with(1);
    assert!(ended.out.contains("  GET /none\n"), "{}", ended.out);
    assert!(!ended.out.contains("GET /orders\n"), "{}", ended.out);
    ended.contains("0 passed, 1 failed");
}

#[test]
fn credentials_belong_to_the_named_consumer() {
    let project = tested(
        "- name: valid
  request: GET /orders
  credentials: {key: valid}
  expect: {decision: forward}
- name: of acme
  request: GET /orders
  credentials: {key: valid}
  consumer: acme
  expect: {decision: forward, consumer: acme}
- name: forged
  request: GET /orders
  credentials: {key: forged}
  expect: {status: 401, reason: credential_invalid}
- name: with a real key
  request: GET /orders
  headers: {X-Key: test}
  expect: {consumer: acme}
",
    );
    project
        .run(&["test"])
        .with(0)
        .contains("4 passed, 0 failed");
}

#[test]
fn test_request_has_its_written_time_and_peer_address() {
    let project = tested(
        "- {name: before, request: GET /orders, headers: {X-Key: test}, at: \"2030-01-01T23:59:59Z\", expect: {decision: forward}}
- {name: after, request: GET /orders, headers: {X-Key: test}, at: \"2030-01-02T00:00:01Z\", expect: {status: 401}}
- {name: inside, request: GET /orders, headers: {X-Key: test}, at: \"2029-01-01T00:00:00Z\", peer: 10.0.0.7, expect: {status: 403, reason: ip_denied}}
",
    );
    project.edit(
        "gateway.yaml",
        "0f00a08}",
        "0f00a08, not_after: 2030-01-01}",
    );
    project.edit(
        "gateway.yaml",
        "required: {policies: [slow]}",
        "required: {policies: [slow, outside]}",
    );
    project.edit(
        "gateway.yaml",
        "policies: {",
        "policies: {outside: {kind: ip_filter, deny: [10.0.0.0/8]}, ",
    );
    project
        .run(&["test"])
        .with(0)
        .contains("3 passed, 0 failed");
}

#[test]
fn assumed_answer_of_a_service_decides_a_request() {
    let project = tested(
        "- {name: open, request: GET /orders, expect: {decision: depends}}
- {name: allowed, request: GET /orders, assume: {ask: allow}, expect: {decision: forward}}
- {name: denied, request: GET /orders, assume: {ask: deny}, expect: {status: 403}}
- {name: gone, request: GET /orders, assume: {ask: outage}, expect: {status: 503}}
- {name: no such answer, request: GET /orders, assume: {ask: valid}, expect: {status: 503}}
- {name: no such policy, request: GET /orders, assume: {aks: allow}, expect: {status: 503}}
",
    );
    project.edit(
        "gateway.yaml",
        "required: {policies: [slow]}",
        "required: {policies: [ask]}",
    );
    project.edit(
        "gateway.yaml",
        "policies: {",
        "policies: {ask: {kind: forward_auth, url: \"http://127.0.0.1:9100/check\"}, ",
    );
    project.edit("orders.yaml", "security: [{key: []}]", "security: []");
    project.edit(
        "gateway.yaml",
        "required: {policies: [ask]}",
        "required: {policies: [ask], allow_public: [\"orders/*\"]}",
    );
    project.edit(
        "gateway.yaml",
        "defaults: {upstream: orders, policies: [mark]",
        "defaults: {upstream: orders, security: upstream, policies: [mark]",
    );
    let ended = project
        .run(&["test"])
        .with(1)
        .contains("4 passed, 2 failed");
    assert!(
        ended.out.contains("`valid` is not an answer to `ask`"),
        "{}",
        ended.out
    );
    assert!(
        ended.out.contains("no policy or verifier `aks`"),
        "{}",
        ended.out
    );
}

#[test]
fn unknown_names_in_tests_list_the_known_ones() {
    let project = tested(
        "- {name: a, request: GET /orders, expect: {operation: orders/listOrder}}
- {name: b, request: GET /orders, consumer: acne, credentials: {key: valid}, expect: {status: 200}}
- {name: c, request: GET /orders, credentials: {kee: valid}, expect: {status: 200}}
- {name: d, request: GET /orders, listener: pubic, expect: {status: 200}}
- {name: e, request: \"GET http://h:1/orders\", expect: {status: 200}}
",
    );
    let out = project
        .run(&["test"])
        .with(1)
        .contains("0 passed, 5 failed")
        .out;
    for expected in [
        "there is no operation `orders/listOrder`: one of `orders/addOrder`",
        "there is no consumer `acne`: only `acme` is known",
        "no security scheme `kee`: only `key` is known",
        "there is no listener `pubic`: only `public` is known",
        "no listener has the port of",
    ] {
        assert!(out.contains(expected), "{expected}\n{out}");
    }
}

#[test]
fn mistakes_in_a_test_file_have_a_place() {
    for (text, expected) in [
        (
            "- {name: a, request: GET /, expect: {decision: forwrd}}\n",
            "did you mean `forward`",
        ),
        (
            "- {name: a, requst: GET /, expect: {status: 200}}\n",
            "did you mean `request`",
        ),
        (
            "- {name: a, request: /orders, expect: {status: 200}}\n",
            "a method and a URL",
        ),
        ("- {name: a, request: GET /, expect: {}}\n", "expectation"),
        (
            "- {name: a, request: GET /, at: noon, expect: {status: 200}}\n",
            "a time in UTC",
        ),
        (
            "- {name: a, request: GET /, peer: me, expect: {status: 200}}\n",
            "an address such as",
        ),
        (
            "- {name: a, request: GET /, expect: {status: 200}}\n- {name: a, request: GET /, expect: {status: 200}}\n",
            "two tests of this file have the same name",
        ),
        ("name: a\n", "a list"),
    ] {
        let project = tested(text);
        let ended = project.run(&["lint"]).with(1).contains(expected);
        assert!(ended.out.contains("tests/shop.yaml:"), "{}", ended.out);
        project.run(&["test"]).with(1).contains(expected);
    }
    let project = tested("[]\n");
    project.edit("gateway.yaml", "tests/*.yaml", "test/*.yaml");
    project
        .run(&["lint"])
        .with(0)
        .contains("no file matches `test/*.yaml`");
    project
        .run(&["test"])
        .with(1)
        .contains("no file matches `tests`");
}

#[test]
fn files_and_names_select_tests() {
    let project = tested("- {name: one, request: GET /orders, expect: {status: 401}}\n");
    project.write(
        "tests/more.yaml",
        "- {name: two, request: GET /orders, expect: {status: 401}}\n- {name: twelve, request: GET /orders, expect: {status: 401}}\n",
    );
    project.write(
        "draft.yaml",
        "- {name: draft, request: GET /orders, expect: {status: 200}}\n",
    );
    project
        .run(&["test"])
        .with(0)
        .contains("3 passed, 0 failed");
    project
        .run(&["test", "--name", "tw*"])
        .with(0)
        .contains("2 passed, 0 failed");
    project
        .run(&["test", "--name", "three"])
        .with(64)
        .contains("no test has this name");
    let shop = project.path().join("tests/shop.yaml");
    project
        .run(&["test", &shop.to_string_lossy()])
        .with(0)
        .contains("1 passed, 0 failed");
    let draft = project.path().join("draft.yaml");
    project
        .run(&["test", &draft.to_string_lossy()])
        .with(1)
        .contains("0 passed, 1 failed");
    project
        .run(&["test", "/etc/hostname"])
        .with(64)
        .contains("is outside the project's folder");
    project.edit(
        "gateway.yaml",
        "tests: [tests/*.yaml]",
        "tests: [tests/*.yaml, \"!tests/more.yaml\"]",
    );
    project
        .run(&["test"])
        .with(0)
        .contains("1 passed, 0 failed");
    project.edit(
        "gateway.yaml",
        "tests: [tests/*.yaml, \"!tests/more.yaml\"]\n",
        "",
    );
    project
        .run(&["test"])
        .with(0)
        .contains("there are no tests");
}

#[test]
fn coverage_lists_what_no_test_reached() {
    let project = tested(
        "- {name: one, request: GET /orders, headers: {X-Key: test}, expect: {decision: forward}}
- {name: two, request: POST /orders, expect: {status: 401}}
",
    );
    let covered = |ended: &Ended| ended.json("test/v1")["coverage"].clone();
    let all = covered(&project.run(&["test", "--format", "json"]));
    let share = |kind: &str| (all[kind]["reached"].clone(), all[kind]["all"].clone());
    assert_eq!(share("operations"), (json!(2), json!(5)));
    assert_eq!(share("templates"), (json!(1), json!(4)));
    // A refused request does not count as coverage of an alternative of `security`.
    assert_eq!(share("alternatives"), (json!(1), json!(5)));
    assert_eq!(share("policies"), (json!(2), json!(2)));
    let missed = |kind: &str| -> Vec<String> {
        let all = all[kind]["missed"].as_array().expect("a list").iter();
        all.map(|one| one.as_str().unwrap_or_default().to_owned())
            .collect()
    };
    assert_eq!(
        missed("operations"),
        ["orders/getOrder", "orders/headAny", "orders/latest"]
    );
    let ended = project.run(&["test", "--coverage"]).with(0);
    assert!(
        ended
            .out
            .contains("operations that no test reached:\n  orders/getOrder\n")
    );
    project.run(&["test", "--min", "40"]).with(0);
    project
        .run(&["test", "--min", "41"])
        .with(1)
        .contains("reach 40 % of the operations");
}

#[test]
fn formats_hold_names_that_need_escapes() {
    let project = tested(
        "- {name: 'a <b> & \"c\" # d \\', request: GET /orders, expect: {status: 200}}
- {name: fine, request: GET /orders, expect: {status: 401}}
",
    );
    let junit = project.run(&["test", "--format", "junit"]).with(1).out;
    let document = roxmltree::Document::parse(&junit).expect("XML");
    let cases: Vec<(&str, bool)> = document
        .descendants()
        .filter(|node| node.has_tag_name("testcase"))
        .map(|node| {
            let name = node.attribute("name").expect("a name");
            (
                name,
                node.children().any(|child| child.has_tag_name("failure")),
            )
        })
        .collect();
    assert_eq!(cases, [("a <b> & \"c\" # d \\", true), ("fine", false)]);
    let tap = project.run(&["test", "--format", "tap"]).with(1).out;
    assert!(
        tap.starts_with("TAP version 14\n1..2\nnot ok 1 - a <b> & \"c\" \\# d \\\\\n  ---\n"),
        "{tap}"
    );
    assert!(tap.ends_with("\nok 2 - fine\n"), "{tap}");
    let json = project
        .run(&["test", "--format", "json"])
        .with(1)
        .json("test/v1");
    assert_eq!(json["result"], Value::from("blocked"));
}

#[test]
fn tests_of_an_old_version_are_not_read() {
    let project = tested("- {name: a, requst: GET /}\n");
    git(project.path(), &["init", "-q", "-b", "main"]);
    commit(&project, "one");
    project.write(
        "tests/shop.yaml",
        "- {name: a, request: GET /orders, expect: {status: 401}}\n",
    );
    project
        .run(&["plan", "--against", "git:main"])
        .with(0)
        .contains("No changes");
    // Test files are not APIs, even if a pattern of `apis_glob` matches them.
    let gateway = project.read("gateway.yaml");
    project.write(
        "gateway.yaml",
        format!("{gateway}apis_glob: [\"tests/*.yaml\", \"orders.yaml\"]\n"),
    );
    project
        .run(&["lint"])
        .contains("no file matches `tests/*.yaml`");
}

#[test]
fn examples_of_a_document_are_requests() {
    let project = tested("[]\n");
    project.write(
        "orders.yaml",
        "openapi: 3.1.0
info: {title: Orders, version: \"1\"}
security: [{key: []}]
paths:
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}, examples: {first: {value: latest}, second: {$ref: \"#/components/examples/slash\"}}}]
    get:
      operationId: getOrder
      parameters:
        - {name: tag, in: query, required: true, schema: {type: array}, example: [a, b c]}
        - {name: X-Page, in: header, schema: {type: integer, default: 3}}
      responses: {\"200\": {description: fine}}
  /orders/latest:
    get: {operationId: latest, responses: {\"200\": {description: fine}}}
  /codes/{code}:
    parameters: [{name: code, in: path, required: true, schema: {type: string, pattern: \"^[A-Z]+[0-9]+$\"}}]
    get: {operationId: code, responses: {\"200\": {description: fine}}}
  /keys/{key}:
    parameters: [{name: key, in: path, required: true, schema: {type: string, pattern: \"^never-[0-9]{9}$\"}}]
    get: {operationId: key, responses: {\"200\": {description: fine}}}
components:
  examples: {slash: {value: \"a/b?\"}}
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
",
    );
    let ended = project.run(&["test", "--from-examples", "--format", "json"]);
    assert!(
        ended
            .err
            .contains("1 operation without a test from examples"),
        "{}",
        ended.err
    );
    let document = ended.with(1).json("test/v1");
    let tests = document["tests"].as_array().expect("a list").iter();
    let run: Vec<(String, String, bool)> = tests
        .map(|test| {
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            let passed = test["passed"].as_bool().expect("a decision");
            (
                text(&test["name"]),
                text(&test["requests"][0]["request"]),
                passed,
            )
        })
        .filter(|(name, ..)| name.contains(" at main"))
        .collect();
    let case = |name: &str, request: &str, passed| (name.to_owned(), request.to_owned(), passed);
    assert_eq!(
        run,
        [
            // The path of this example matches another operation.
            case(
                "orders/getOrder at main: first",
                "GET /v1/orders/latest?tag=a%2Cb%20c",
                false
            ),
            case(
                "orders/getOrder at main: second",
                "GET /v1/orders/a%2Fb%3F?tag=a%2Cb%20c",
                true
            ),
            case("orders/latest at main", "GET /v1/orders/latest", true),
            case("orders/code at main", "GET /v1/codes/ABC123", true),
        ]
    );
}

#[test]
fn named_range_files_decide_about_an_address() {
    let project = Project::new();
    project.edit(
        "gateway.yaml",
        "policies: {slow:",
        "tests: [t.yaml]\npolicies: {office: {kind: ip_filter, allow_file: \"${file:/run/allow}\", deny_file: \"${env:GWS_DENY}\"}, slow:",
    );
    project.edit(
        "gateway.yaml",
        "policies: [slow]",
        "policies: [office, slow]",
    );
    project.write("allow.txt", "192.0.2.0/24 # office\n");
    project.write("deny.txt", "192.0.2.66\n");
    let reason = |peer: &str, files: &[&str]| {
        let mut words = vec![
            "route", "GET", "/orders", "--peer", peer, "--format", "json",
        ];
        words.extend(files.iter().flat_map(|file| ["--range-file", file]));
        let answer = project.run(&words).with(0).json("route/v1");
        answer["reason"].as_str().unwrap_or_default().to_owned()
    };
    let both = ["/run/allow=allow.txt", "env:GWS_DENY=deny.txt"];
    // Without `--range-file`, gwc assumes that the files admit every address. The request is then
    // refused because it has no credential.
    assert_eq!(reason("203.0.113.9", &[]), "credential_missing");
    assert_eq!(reason("203.0.113.9", &both), "ip_denied");
    assert_eq!(reason("192.0.2.7", &both), "credential_missing");
    assert_eq!(reason("192.0.2.66", &both), "ip_denied");
    assert_eq!(reason("192.0.2.66", &both[..1]), "credential_missing");
    project.write(
        "t.yaml",
        "- {name: others, peer: 203.0.113.9, request: GET /orders, expect: {reason: ip_denied}}\n",
    );
    project.run(&["test"]).with(1);
    project.run(&["test", "--range-file", both[0]]).with(0);
    for (option, code, expected) in [
        ("/run/allow", 64, "write PATH=FILE"),
        (
            "/run/other=allow.txt",
            64,
            "one of `${env:GWS_DENY}` or `${file:/run/allow}`",
        ),
        ("/run/allow=missing.txt", 65, "cannot read"),
        (
            "/run/allow=gateway.yaml",
            65,
            "is not a list of address ranges",
        ),
    ] {
        let ended = project.run(&["route", "GET", "/orders", "--range-file", option]);
        ended.with(code).contains(expected);
    }
}
