//! Tests of the witnesses in plans with running gateways. A witness is a request that shows the
//! effect of a change.
//!
//! A client sends the witness of every plan line to a gateway with the old version and to a gateway
//! with the new version. The test's own provider issues the credentials.

mod asked;
mod proven;
mod tokens;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use e2e::gateway::{Gateway, Options};
use e2e::openssl;
use e2e::project::Project;
use e2e::upstream::{Answer, Seen, Upstream};
use e2e::wait;
use serde_json::{Value, json};

/// Issuer of credentials. Only the issuer knows the keys whose hashes are in `consumers_file`.
struct Provider {
    key: &'static str,
    user: &'static str,
    password: &'static str,
}

const PROVIDER: Provider = Provider {
    key: "k-5f1d0c77-alice",
    user: "alice",
    password: "correct horse",
};

impl Provider {
    fn consumers(&self) -> String {
        let pair = format!("{}:{}", self.user, self.password);
        json!({"alice": {
            "keys": [{"sha256": openssl::sha256(self.key.as_bytes())}],
            "basic": [{"sha256": openssl::sha256(pair.as_bytes())}],
        }})
        .to_string()
    }

    /// `Authorization` field of the user (RFC 7617).
    fn basic(&self) -> String {
        let pair = format!("{}:{}", self.user, self.password);
        let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::from("basic ");
        for three in pair.as_bytes().chunks(3) {
            let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
            let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
            for at in 0..4 {
                let letter = letters[(bits >> (18 - 6 * at) & 63) as usize];
                text.push(if at <= three.len() {
                    char::from(letter)
                } else {
                    '='
                });
            }
        }
        text
    }

    /// Text of a witness request. Real credentials replace the credential names of the witness.
    fn request(&self, witness: &Value) -> String {
        let url = witness["url"].as_str().expect("a url");
        let url = url.strip_prefix("http://").expect("of http");
        let (host, target) = url.split_once('/').expect("a path");
        let mut target = format!("/{target}");
        let headers = witness["headers"].as_object().expect("fields");
        let mut headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()))
            .collect();
        let credentials = witness["facts"]["credentials"].as_array().expect("a list");
        for credential in credentials.iter().filter(|one| one["state"] == "valid") {
            let scheme = credential["scheme"].as_str().expect("a name");
            let words: Vec<&str> = scheme.split(' ').collect();
            match words[..] {
                ["basic", ..] => set(&mut headers, "authorization", &self.basic()),
                ["header", name, ..] => set(&mut headers, name, self.key),
                ["cookie", name, ..] => {
                    set(&mut headers, "cookie", &format!("{name}={}", self.key))
                }
                ["query", name, ..] => {
                    let shown = format!("{name}=valid");
                    assert!(target.contains(&shown), "{shown} is not in {target}");
                    target = target.replacen(&shown, &format!("{name}={}", self.key), 1);
                }
                _ => panic!("the provider knows no {scheme}"),
            }
        }
        let method = witness["method"].as_str().expect("a method");
        let fields = headers
            .iter()
            .map(|(name, value)| format!("\n{name}: {value}"));
        let body = witness["facts"]["body"].as_str();
        let length = body.map(|body| format!("\ncontent-length: {}", body.len()));
        let body = body.map(|body| format!("\n\n{body}"));
        format!(
            "{method} {target} HTTP/1.1\nhost: {host}{}{}{}",
            fields.collect::<String>(),
            length.unwrap_or_default(),
            body.unwrap_or_default()
        )
    }
}

/// Replaces the value of a witness field. Panics if the witness does not have the field.
fn set(headers: &mut [(String, String)], name: &str, value: &str) {
    let field = headers.iter_mut().find(|(known, _)| known == name);
    field.unwrap_or_else(|| panic!("{name} is not sent")).1 = value.to_owned();
}

/// Text of gateway.yaml in the old version. Each edit in [`EDITS`] creates a new version.
fn gateway(upstreams: [&Upstream; 2]) -> String {
    let [u, v] = upstreams.map(Upstream::url);
    format!(
        "version: 1
name: witnesses
apis: {{a: {{path: openapi.yaml, mount: {{name: m, hosts: [api.test], base_path: /v1}}}}}}
auth: {{keys: {{kind: api_key}}, staff: {{kind: basic}}}}
upstreams:
  u: {{targets: {{a: {{url: \"{u}\"}}}}}}
  v: {{targets: {{a: {{url: \"{v}\"}}}}}}
consumers_file: consumers.json
defaults: {{upstream: u, timeout: 5s}}
release: {{store: ./releases, channel: prod}}
"
    )
}

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{key: []}]
paths:
  /orders:
    get: {operationId: list, responses: {\"200\": {description: fine}}}
    post: {operationId: create, security: [{key: []}, {pair: []}], responses: {\"201\": {description: made}}}
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: one, responses: {\"200\": {description: fine}}}
    delete: {operationId: drop, security: [{key: [], pair: []}], responses: {\"204\": {description: gone}}}
  /orders/{id}/lines:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: lines, responses: {\"200\": {description: fine}}}
  /files/{name}.txt:
    parameters: [{name: name, in: path, required: true, schema: {type: string}}]
    get: {operationId: file, responses: {\"200\": {description: fine}}}
  /files/a{any}:
    parameters: [{name: any, in: path, required: true, schema: {type: string}}]
    get: {operationId: any, responses: {\"200\": {description: fine}}}
  /status:
    get: {operationId: status, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}
  /answers:
    get: {operationId: answers, security: [], x-gateway: {public: true, validate: {response: block}}, responses: {\"200\": {description: fine, headers: {X-Page: {required: true, schema: {type: integer, maximum: 60}}}, content: {application/json: {schema: {type: object, required: [id], properties: {id: {type: integer, minimum: 7}}}}}}}}
  /checked/{size}:
    parameters: [{name: size, in: path, required: true, schema: {type: integer, maximum: 9}}]
    put: {operationId: check, x-gateway: {validate: {request: block}}, requestBody: {required: true, content: {application/json: {schema: {type: object, properties: {a: {type: string, maxLength: 3}}}}}}, responses: {\"200\": {description: fine}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
    pair: {type: http, scheme: basic, x-gateway: {auth: staff}}
";

/// Edit of a source. Members: name, file, old text, new text, and minimum number of plan lines with
/// a witness.
type Edit = (
    &'static str,
    &'static str,
    &'static str,
    &'static str,
    usize,
);

const GATEWAY: &str = "gateway.yaml";
const OPENAPI: &str = "openapi.yaml";

const EDITS: &[Edit] = &[
    (
        "open to everyone",
        OPENAPI,
        "{operationId: list,",
        "{operationId: list, security: [], x-gateway: {public: true},",
        1,
    ),
    (
        "closed to everyone",
        OPENAPI,
        "security: [], x-gateway: {public: true}, ",
        "",
        1,
    ),
    (
        "an alternative comes",
        OPENAPI,
        "{operationId: list,",
        "{operationId: list, security: [{key: []}, {pair: []}],",
        1,
    ),
    (
        "an alternative goes",
        OPENAPI,
        "[{key: []}, {pair: []}]",
        "[{key: []}]",
        1,
    ),
    (
        "a combination is split",
        OPENAPI,
        "[{key: [], pair: []}]",
        "[{pair: []}]",
        1,
    ),
    (
        "a credential moves to the query",
        OPENAPI,
        "in: header, name: X-Key",
        "in: query, name: api_key",
        3,
    ),
    (
        "a credential moves to a cookie",
        OPENAPI,
        "in: header, name: X-Key",
        "in: cookie, name: sid",
        3,
    ),
    (
        "a credential is left to the upstream",
        OPENAPI,
        "{auth: keys}",
        "{verify: upstream}",
        3,
    ),
    (
        "a path captures another's requests",
        OPENAPI,
        "  /status:",
        "  /orders/latest: {get: {operationId: latest, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}}\n  /status:",
        2,
    ),
    (
        "an operation goes",
        OPENAPI,
        "    get: {operationId: one, responses: {\"200\": {description: fine}}}\n",
        "",
        1,
    ),
    ("a path is renamed", OPENAPI, "  /status:", "  /health:", 3),
    (
        "an operationId is renamed",
        OPENAPI,
        "operationId: lines",
        "operationId: rows",
        0,
    ),
    (
        "another upstream",
        OPENAPI,
        "{operationId: one,",
        "{operationId: one, x-gateway: {upstream: v},",
        1,
    ),
    (
        "a condition comes",
        OPENAPI,
        "{operationId: lines,",
        "{operationId: lines, x-gateway: {match: {headers: {X-Mode: {exact: full}}}},",
        1,
    ),
    (
        "a priority turns two paths",
        OPENAPI,
        "  /files/a{any}:\n",
        "  /files/a{any}:\n    x-gateway: {priority: 1}\n",
        1,
    ),
    (
        "a final slash is forgiven",
        OPENAPI,
        "  /status:\n",
        "  /status:\n    x-gateway: {trailing_slash: ignore}\n",
        2,
    ),
    (
        "a final slash redirects",
        OPENAPI,
        "  /status:\n",
        "  /status:\n    x-gateway: {trailing_slash: redirect}\n",
        0,
    ),
    (
        "a host comes",
        GATEWAY,
        "hosts: [api.test]",
        "hosts: [api.test, www.test]",
        8,
    ),
    (
        "the base path is another",
        GATEWAY,
        "base_path: /v1",
        "base_path: /v2",
        16,
    ),
    (
        "a checked path widens",
        OPENAPI,
        "maximum: 9",
        "maximum: 10",
        1,
    ),
    (
        "a checked body narrows",
        OPENAPI,
        "maxLength: 3",
        "maxLength: 2",
        1,
    ),
    (
        "a body is checked no more",
        OPENAPI,
        "{schema: {type: object, properties: {a: {type: string, maxLength: 3}}}}",
        "{}",
        1,
    ),
    (
        "a checked response widens",
        OPENAPI,
        "minimum: 7",
        "minimum: 6",
        1,
    ),
    (
        "a checked response field narrows",
        OPENAPI,
        "schema: {type: integer, maximum: 60}}}, content",
        "schema: {type: integer, maximum: 50}}}, content",
        1,
    ),
    (
        "a checked status comes",
        OPENAPI,
        "responses: {\"200\": {description: fine, headers",
        "responses: {\"201\": {description: made}, \"200\": {description: fine, headers",
        1,
    ),
    (
        "the base path goes",
        GATEWAY,
        "base_path: /v1",
        "base_path: /v1, strip_base_path: true",
        0,
    ),
];

#[test]
fn two_gateways_answer_witnesses_as_the_plan_says() {
    let responded: Arc<Mutex<Option<Value>>> = Arc::default();
    let script = Arc::clone(&responded);
    let responds = move |seen: &Seen| match &*script.lock().expect("no panic") {
        Some(response) => of_witness(response),
        None => Answer::as_requested(seen),
    };
    let upstreams = [
        Upstream::scripted(responds),
        Upstream::scripted(Answer::as_requested),
    ];
    let versions: Vec<(&Edit, String, String)> = EDITS
        .iter()
        .map(|edit| {
            let gateway = gateway([&upstreams[0], &upstreams[1]]);
            let changed = |file: &str, text: &str| match edit.1 == file {
                true => {
                    assert!(text.contains(edit.2), "{} is not in {file}", edit.2);
                    text.replacen(edit.2, edit.3, 1)
                }
                false => text.to_owned(),
            };
            (edit, changed(GATEWAY, &gateway), changed(OPENAPI, DOCUMENT))
        })
        .collect();
    let project = released(&gateway([&upstreams[0], &upstreams[1]]), DOCUMENT);
    let old = Options::of(&project).workers(1).start();
    let mut sent = 0;
    for (edit, gateway, document) in versions {
        // Plan the new sources against the released version.
        project.write(GATEWAY, &gateway);
        project.write(OPENAPI, &document);
        let plan = project.gwc(&["plan", "--format", "json"]).succeeds().json();
        let changes = plan["changes"].as_array().expect("changes");
        assert!(!changes.is_empty(), "{}: the plan has no change", edit.0);
        let shown: Vec<&Value> = changes
            .iter()
            .filter(|one| !one["witness"].is_null())
            // Skip the other lines of `a/check`: their witnesses assume a message that matches the
            // API description.
            .filter(|one| {
                let id = one["id"].as_str().expect("an id");
                one["operation"]["key"] != "a/check" || id.starts_with("request-")
            })
            .collect();
        // At least this number of plan lines must have a witness.
        assert!(shown.len() >= edit.4, "{}: {changes:#?}", edit.0);
        let of_new = released(&gateway, &document);
        let mut new = Options::of(&of_new).workers(1).start();
        for change in shown {
            let witness = &change["witness"];
            let request = PROVIDER.request(witness);
            let response = &witness["facts"]["response"];
            let is_response = !response.is_null();
            *responded.lock().expect("no panic") = is_response.then(|| response.clone());
            let mut answers = BTreeSet::new();
            for (side, running) in [("old", &old), ("new", &new)] {
                let expected = &witness["expect"][side];
                let what = format!("{}: {request:?} of {change:#} at the {side} one", edit.0);
                if is_response {
                    let status = response_status(running, &request, (response, &upstreams[0]));
                    let passes = expected["status"].as_u64().is_none();
                    let wanted = if passes {
                        &response["status"]
                    } else {
                        &expected["status"]
                    };
                    assert_eq!(&status, wanted, "{what}");
                    answers.insert(status.to_string());
                    continue;
                }
                let answer = answer(running, &request, upstreams.each_ref());
                match expected["status"].as_u64() {
                    Some(status) => assert_eq!(answer["status"], status, "{what}"),
                    None => {
                        assert_eq!(answer["operation"], expected["operation"], "{what}");
                        assert_eq!(answer["upstream"], expected["upstream"], "{what}");
                    }
                }
                answers.insert(answer.to_string());
            }
            assert_eq!(answers.len(), 2, "{}: {request:?} shows nothing", edit.0);
            sent += 1;
        }
        new.stop();
    }
    println!("{} edits, {sent} witnesses", EDITS.len());
    assert!(sent >= 40, "{sent}");
}

/// Response of the upstream that a witness describes.
fn of_witness(response: &Value) -> Answer {
    let status = response["status"].as_u64().expect("a status");
    let fields = response["headers"].as_object().expect("fields").iter();
    let fields =
        fields.map(|(name, value)| (name.clone(), value.as_str().expect("a text").to_owned()));
    let mut answer = Answer::ok(response["body"].as_str().unwrap_or_default());
    answer.status = u16::try_from(status).expect("a status");
    answer.headers = fields.collect();
    answer
}

/// Sends a request to a gateway, whose upstream answers with the response of a witness. Returns the
/// status that the client receives. A response that is not replaced must be that of the witness.
fn response_status(
    gateway: &Gateway,
    request: &str,
    (response, upstream): (&Value, &Upstream),
) -> Value {
    let received = wait::until("a compiled validator", || {
        // Compiling a validator may take longer than a response waits for it.
        let received = gateway.ask(request);
        assert_eq!(upstream.take().len(), 1, "{request}");
        (received.status != 503).then_some(received)
    });
    if received.status != 502 {
        assert_eq!(
            received.text(),
            response["body"].as_str().unwrap_or_default()
        );
    }
    json!(received.status)
}

/// Creates a project from `gateway` and `document`, and releases it.
fn released(gateway: &str, document: &str) -> Project {
    let project = Project::with(gateway, document);
    project.write("consumers.json", PROVIDER.consumers());
    project.keygen();
    project.apply();
    project
}

/// Text of gateway.yaml and of the API description.
type Sources = (String, String);

/// Plans the change from the first version to the second, and the change back. Calls `check` with
/// each change that has a witness, and with the indexes of the old and the new version. Returns the
/// classes of these changes.
fn each_witness(
    name: &str,
    projects: &[Project; 2],
    versions: [&Sources; 2],
    mut check: impl FnMut(&Value, [usize; 2]),
) -> Vec<String> {
    let mut classes = Vec::new();
    for (old, new) in [(0, 1), (1, 0)] {
        // Plan the sources of one version against the release of the other version.
        projects[old].write(GATEWAY, &versions[new].0);
        projects[old].write(OPENAPI, &versions[new].1);
        let plan = projects[old].gwc(&["plan", "--format", "json"]);
        let plan = plan.succeeds().json();
        let changes = plan["changes"].as_array().expect("changes");
        let shown = changes.iter().filter(|one| !one["witness"].is_null());
        let shown: Vec<&Value> = shown.collect();
        assert!(!shown.is_empty(), "{name}: {plan:#}");
        for change in shown {
            classes.push(shown_class(change));
            check(change, [old, new]);
        }
    }
    classes
}

/// Class of a change. Requires that the outcomes of its witness show the class: only the new
/// version serves the witness of a change that admits more, and only the old version the witness of
/// a change that admits less.
fn shown_class(change: &Value) -> String {
    let served = |side| change["witness"]["expect"][side]["status"].is_null();
    let class = change["class"].as_str().expect("a class");
    match class {
        "weaken" | "expose" => {
            assert!(!served("old") && served("new"), "{change:#}");
        }
        "strengthen" => assert!(served("old") && !served("new"), "{change:#}"),
        _ => {}
    }
    class.to_owned()
}

/// Text of a witness request. `value_of` returns the value of each field.
fn text_of(witness: &Value, mut value_of: impl FnMut(&str, &str) -> String) -> String {
    let url = witness["url"].as_str().expect("a url");
    let url = url.strip_prefix("http://").expect("of http");
    let (host, target) = url.split_once('/').expect("a path");
    let method = witness["method"].as_str().expect("a method");
    let mut request = format!("{method} /{target} HTTP/1.1\nhost: {host}");
    for (name, value) in witness["headers"].as_object().expect("fields") {
        let value = value_of(name, value.as_str().expect("a text"));
        request.push_str(&format!("\n{name}: {value}"));
    }
    request
}

/// Requires that the answer of a gateway is the expected outcome of a witness.
fn is_expected(answer: &Value, expected: &Value, what: &str) {
    match expected["status"].as_u64() {
        Some(status) => assert_eq!(answer["status"], status, "{what}"),
        None => assert_eq!(answer["operation"], expected["operation"], "{what}"),
    }
}

/// Requires that a gateway refuses a request with 401. `fault`: key and value of the reason in the
/// access log. `None`: any reason.
fn is_refused(gateway: &Gateway, request: &str, fault: Option<(&str, &str)>) {
    let response = gateway.ask(request);
    assert_eq!(response.status, 401, "{request:?}: {}", response.text());
    let id = response.header("x-request-id").expect("an id");
    let line = gateway.access_log().line(id);
    if let Some((key, reason)) = fault {
        assert_eq!(line[key], reason, "{request:?}: {line:#}");
    }
}

/// Sends a request to a gateway. Returns the status of a refusal. For a forwarded request, returns
/// the operation and the upstream that received the request.
fn answer(gateway: &Gateway, request: &str, upstreams: [&Upstream; 2]) -> Value {
    let response = gateway.ask(request);
    let got: Vec<&str> = ["u", "v"]
        .into_iter()
        .zip(upstreams)
        .filter(|(_, upstream)| !upstream.take().is_empty())
        .map(|(name, _)| name)
        .collect();
    match got[..] {
        [] => json!({"status": response.status}),
        [upstream] => {
            let id = response.header("x-request-id").expect("an id");
            let line = gateway.access_log().line(id);
            json!({"operation": line["operation_id"], "upstream": upstream})
        }
        _ => panic!("both upstreams got {request:?}"),
    }
}
