//! Tests of `gwc test --against`, which sends the tests of a project to a running gateway.

use std::process::Command;

use e2e::gateway::{Gateway, Options};
use e2e::openssl::sha256;
use e2e::project::{Ended, Project};
use e2e::upstream::Upstream;
use e2e::wait;
use serde_json::json;

const KEY: &str = "k-of-acme-8512";

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: orders, version: "1"}
security: [{key: []}]
paths:
  /orders:
    get: {operationId: list, responses: {"200": {description: ok}}}
    post: {operationId: create, responses: {"201": {description: made}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
"#;

const TESTS: &str = r#"- {name: anonymous, request: GET /orders, expect: {status: 401, reason: credential_missing, decision: reject}}
- {name: forged, request: GET /orders, credentials: {key: forged}, expect: {status: 401, reason: credential_invalid}}
- {name: valid, request: GET /orders, credentials: {key: valid}, consumer: acme, expect: {decision: forward, consumer: acme}}
- {name: nobody, request: GET /other, expect: {decision: none, response: {headers: {content-type: "application/problem+json*"}}}}
- {name: write, request: POST /orders, expect: {status: 401}}
- {name: elsewhere, request: GET /orders, peer: 192.0.2.1, expect: {status: 401}}
- {name: hidden, request: GET /orders, expect: {operation: s/list}}
"#;

/// Options of `gwc test` that send the key, also in requests with unsafe methods.
const UNSAFE: [&str; 3] = ["--credential", "key=env:ORDERS_KEY", "--unsafe-methods"];

struct World {
    project: Project,
    upstream: Upstream,
    certificates: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        Self::of(DOCUMENT, TESTS)
    }

    fn gateway(&self) -> Gateway {
        let secrets = self.certificates.path().display().to_string();
        let options = Options::of(&self.project).listeners(&["public", "secure"]);
        options.arguments(&["--secret-dir", &secrets]).start()
    }

    /// Waits until the gateway can check the body of the test with this name. On a busy machine,
    /// gwd compiles the validator longer than a request waits for it.
    fn wait_validator(&self, url: &str, name: &str) {
        wait::until("a compiled validator", || {
            let ended = self.test(url, &[&UNSAFE[..], &["--name", name]].concat());
            (!ended.stdout.contains("validator_unavailable")).then_some(())
        });
    }

    fn of(document: &str, tests: &str) -> Self {
        let certificates = tempfile::tempdir().expect("a folder");
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            .args([
                "-subj", "/CN=gate", "-keyout", "gate.key", "-out", "gate.pem",
            ])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .current_dir(certificates.path())
            .output()
            .expect("openssl is installed");
        assert!(output.status.success(), "{output:?}");
        let file = |name: &str| {
            let path = certificates.path().join(name);
            format!("\"${{file:{}}}\"", path.display())
        };
        let upstream = Upstream::start();
        let gateway = format!(
            r#"version: 1
name: orders
tests: [tests.yaml]
apis: {{s: {{path: openapi.yaml, mount: {{listeners: [public, secure]}}}}}}
listeners:
  public: {{address: "127.0.0.1:0"}}
  secure: {{address: "127.0.0.1:0", protocol: https, tls: {{certificates: {{main: {{cert: {}, key: {}}}}}}}}}
upstreams: {{u: {{targets: {{a: {{url: "{}"}}}}}}}}
auth: {{keys: {{kind: api_key}}}}
consumers: {{acme: {{keys: [{{sha256: "{}"}}]}}}}
defaults: {{upstream: u}}
"#,
            file("gate.pem"),
            file("gate.key"),
            upstream.url(),
            sha256(KEY.as_bytes()),
        );
        let project = Project::with(&gateway, document);
        project.write("tests.yaml", tests);
        project.keygen();
        project.apply();
        Self {
            project,
            upstream,
            certificates,
        }
    }

    fn test(&self, url: &str, arguments: &[&str]) -> Ended {
        let mut command = self.project.command();
        command.args(["test", "--against", url]).args(arguments);
        Ended::of(command.env("ORDERS_KEY", KEY))
    }
}

#[test]
fn tests_are_sent_to_a_running_gateway() {
    let world = World::new();
    let gateway = world.gateway();
    let url = format!("http://{}", gateway.listener("public"));

    let key = ["--credential", "key=env:ORDERS_KEY", "--format", "json"];
    let document = world.test(&url, &key).succeeds().json();
    let count = |name: &str| document[name].as_u64();
    assert_eq!(count("passed"), Some(4), "{document:#}");
    assert_eq!((count("failed"), count("skipped")), (Some(0), Some(3)));
    // A client cannot see the consumer of the forwarded request, so this expectation is not
    // compared.
    assert_eq!(count("not_compared"), Some(1));
    assert_eq!(document["coverage"], json!(null));
    let seen = world.upstream.take();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].header("x-key"), Some(KEY));

    // Run without a credential, and with requests of all methods.
    let ended = world.test(&url, &["--unsafe-methods", "--format", "tap"]);
    let lines: Vec<&str> = ended.succeeds().stdout.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "ok 1 - anonymous",
            "ok 2 - forged",
            "ok 3 - valid # SKIP no credential was given for `key`: write `--credential key=env:NAME`",
            "ok 4 - nobody",
            "ok 5 - write",
            "ok 6 - elsewhere # SKIP a client cannot choose `peer`",
            "ok 7 - hidden # SKIP a client cannot see any property that the test expects",
        ]
    );

    // Run over TLS with the CA of the gateway. Without the CA, no request is sent.
    let url = format!("https://{}", gateway.listener("secure"));
    let ca = world.certificates.path().join("gate.pem");
    let trusted = ["--ca", &ca.display().to_string(), "--name", "anonymous"];
    let ended = world.test(&url, &trusted);
    assert!(
        ended.succeeds().stdout.contains("1 passed, 0 failed"),
        "{ended}"
    );
    world.test(&url, &[]).exits(69);
}

#[test]
fn body_of_a_test_is_sent_and_validated() {
    let described = "post: {operationId: create, x-gateway: {validate: {request: block}}, requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {count: {type: integer}}}}}},";
    let document = DOCUMENT.replace("post: {operationId: create,", described);
    let test = |name: &str, body: &str, expect: &str| {
        format!(
            "- {{name: {name}, request: POST /orders, credentials: {{key: valid}}, {body}expect: {{{expect}}}}}\n"
        )
    };
    let refused = "status: 400, reason: request_invalid";
    let tests = [
        test("valid", "body: {count: 7}, ", "decision: forward"),
        test("invalid", "body: {count: many}, ", refused),
        test("empty", "", refused),
    ];
    let world = World::of(&document, &tests.concat());
    let gateway = world.gateway();
    let url = format!("http://{}", gateway.listener("public"));
    world.wait_validator(&url, "empty");
    let ended = world.test(&url, &UNSAFE);
    let out = &ended.succeeds().stdout;
    assert!(out.contains("3 passed, 0 failed"), "{out}");
    let seen = world.upstream.take();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].body, b"{\"count\": 7}");
    assert_eq!(seen[0].header("content-type"), Some("application/json"));
}

#[test]
fn body_that_two_steps_refuse_has_the_reason_of_gwd() {
    let described = "post: {operationId: create, x-gateway: {policies: [waf], validate: {request: block}}, requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {a: {type: string}}}}}},";
    let policies =
        "x-gateway: {policies: {waf: {kind: threat, json: {depth: 3, string_bytes: 20B}}}}";
    let document = DOCUMENT
        .replace("post: {operationId: create,", described)
        .replace("paths:\n", &format!("{policies}\npaths:\n"));
    let test = |name: &str, body: &str, reason: &str| {
        format!(
            "- {{name: {name}, request: POST /orders, headers: {{content-type: application/json}}, credentials: {{key: valid}}, consumer: acme, body: '{body}', expect: {{status: 400, reason: {reason}}}}}\n"
        )
    };
    // Both steps refuse the first three bodies. The last one is only invalid.
    let tests = [
        test("deep", r#"{"a":[[[[[]]]]]}"#, "threat_detected"),
        test("trailing", r#"{"a":"a"} x"#, "threat_detected"),
        test(
            "long",
            r#"{"a":1, "b":"aaaaaaaaaaaaaaaaaaaaaaaaa"}"#,
            "threat_detected",
        ),
        test("invalid", r#"{"a":1}"#, "request_invalid"),
    ];
    let world = World::of(&document, &tests.concat());
    let gateway = world.gateway();
    let url = format!("http://{}", gateway.listener("public"));
    world.wait_validator(&url, "invalid");
    let ended = world.test(&url, &UNSAFE);
    let out = &ended.succeeds().stdout;
    assert!(out.contains("4 passed, 0 failed"), "{out}");
    // gwc decides as gwd does.
    let ended = Ended::of(world.project.command().arg("test"));
    let out = &ended.succeeds().stdout;
    assert!(out.contains("4 passed, 0 failed"), "{out}");
}

#[test]
fn differences_of_a_running_gateway_fail_tests() {
    let world = World::new();
    let gateway = world.gateway();
    let url = format!("http://{}", gateway.listener("public"));
    // Change the sources without a release, so that the gateway still runs the old version.
    world.project.write(
        "tests.yaml",
        "- {name: open, request: GET /orders, expect: {decision: forward}}\n",
    );
    let ended = world.test(&url, &[]);
    let out = &ended.exits(1).stdout;
    assert!(out.contains("tests.yaml:1:10"), "{out}");
    assert!(
        out.contains("actual:   status 401, code `credential_missing`"),
        "{out}"
    );
    assert!(out.contains("0 passed, 1 failed, 0 not sent"), "{out}");
}

#[test]
fn wrong_urls_and_absent_gateways_are_reported() {
    let world = World::new();
    for url in [
        "ftp://127.0.0.1",
        "127.0.0.1:80",
        "http://a@127.0.0.1",
        "http://127.0.0.1/path",
    ] {
        world.test(url, &[]).exits(64);
    }
    let ended = world.test("http://127.0.0.1:1", &[]);
    assert!(
        ended
            .exits(69)
            .stderr
            .contains("no connection to http://127.0.0.1:1"),
        "{ended}"
    );
    // Error messages must not repeat a credential from the command line.
    let ended = world.test("http://127.0.0.1:1", &["--credential", KEY]);
    assert!(!ended.exits(64).stderr.contains(KEY), "{ended}");
}

#[test]
fn status_of_the_upstream_is_not_the_gateways() {
    let open = "  /open:
    get: {operationId: open, security: [], x-gateway: {public: true}, responses: {\"200\": {description: ok}}}
components:
";
    let document = DOCUMENT.replace("components:\n", open);
    let tests =
        "- {name: open, request: GET /open, headers: {x-answer: status=401}, expect: {status: 401}}
- {name: head, request: HEAD /orders, expect: {status: 401, reason: credential_missing}}
- {name: absent, request: GET /orders, expect: {response: {without: [proxy-status]}}}
";
    let world = World::of(&document, tests);
    let gateway = world.gateway();
    let url = format!("http://{}", gateway.listener("public"));
    let sent = world.test(&url, &["--format", "json"]).exits(1).json();
    let passed = |document: &serde_json::Value| {
        let tests = document["tests"].as_array().expect("a list").iter();
        tests.map(|one| one["passed"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(passed(&sent), [json!(false), json!(true), json!(false)]);
    let actual = &sent["tests"][0]["requests"][0]["failures"][0]["actual"];
    let text = actual.as_str().unwrap_or_default();
    assert!(text.starts_with("401 from the upstream"), "{sent:#}");
    // A response to HEAD has no body, and thus no reason.
    assert_eq!(sent["not_compared"], json!(1));
    // gwc decides as gwd does.
    let mut command = world.project.command();
    let local = Ended::of(command.args(["test", "--format", "json"]));
    let local = local.exits(1).json();
    assert_eq!(passed(&local), passed(&sent), "{local:#}");
}

#[test]
fn run_that_sends_no_test_fails() {
    let world = World::new();
    let url = "http://127.0.0.1:1";
    let misspelt = ["--credential", "keys=env:ORDERS_KEY"];
    let ended = world.test(url, &misspelt);
    let message = "there is no security scheme `keys`: only `key` is known";
    assert!(ended.exits(64).stderr.contains(message), "{ended}");
    let ended = world.test(url, &["--name", "valid", "--format", "json"]);
    assert_eq!(ended.exits(1).json()["result"], json!("blocked"));
    let message = "no test was sent to the gateway";
    assert!(ended.stderr.contains(message), "{ended}");
}
