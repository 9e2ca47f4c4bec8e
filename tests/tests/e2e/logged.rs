//! Tests of how parameter values appear in the access log (key `log` of parameters).

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};
use serde_json::json;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
paths:
  /people/{name}/orders/{order}:
    parameters:
      - {name: name, in: path, required: true, schema: {type: string}, x-gateway: {log: redact}}
      - {name: order, in: path, required: true, schema: {type: string}, x-gateway: {log: hash}}
    get:
      operationId: orders
      parameters:
        - {name: email, in: query, schema: {type: string}, x-gateway: {log: redact}}
        - {name: order, in: query, schema: {type: string}, x-gateway: {log: hash}}
        - {name: code, in: query, schema: {type: string}, x-gateway: {log: keep}}
        - {name: User-Agent, in: header, schema: {type: string}, x-gateway: {log: redact}}
      responses: {"200": {description: ok}}
  /notes:
    post:
      operationId: note
      x-gateway: {validate: {request: block, response: log}}
      parameters:
        - {name: about, in: query, explode: false, schema: {$ref: '#/components/schemas/Private'}}
        - {name: deep, in: query, style: deepObject, schema: {$ref: '#/components/schemas/Person'}}
        - {name: list, in: query, schema: {type: array, items: {$ref: '#/components/schemas/Secret'}}}
        - {name: coded, in: query, content: {application/json: {schema: {$ref: '#/components/schemas/Person'}}}}
        - {name: spread, in: query, schema: {$ref: '#/components/schemas/Person'}}
        - {name: X-Person, in: header, content: {application/json: {schema: {$ref: '#/components/schemas/Person'}}}}
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/Note'}}}}
      responses: {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {people: {$ref: '#/components/schemas/Private'}}}}}}}
  /people/all/orders/{order}:
    get:
      operationId: all
      parameters: [{name: order, in: path, required: true, schema: {type: string}}]
      responses: {"200": {description: ok}}
components:
  schemas:
    Private: {x-gateway: {redact: true}, additionalProperties: {type: integer}}
    Secret: {type: string, x-gateway: {redact: true}}
    Person: {type: object, additionalProperties: false, properties: {mail: {$ref: '#/components/schemas/Secret'}, age: {type: integer}}}
    Note:
      type: object
      additionalProperties: false
      properties:
        about: {allOf: [{$ref: '#/components/schemas/Private'}]}
        parts: {type: array, items: {$ref: '#/components/schemas/Note'}}
"#;

fn scene() -> (Upstream, Project, Gateway) {
    scene_with(DOCUMENT)
}

/// Gateway with the API of `document`.
fn scene_with(document: &str) -> (Upstream, Project, Gateway) {
    scene_by(document, |options| options)
}

/// Gateway with the API of `document` and changed options.
fn scene_by(document: &str, edit: impl FnOnce(Options) -> Options) -> (Upstream, Project, Gateway) {
    let upstream = Upstream::scripted(|seen| {
        let mut answer = Answer::ok("{\"people\": {\"PLANTED\": \"x\"}}".to_owned());
        if seen.target.starts_with("/notes") {
            answer.headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        }
        answer
    });
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
         upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         defaults: {{upstream: main, security: upstream}}\n\
         release: {{store: releases, channel: prod}}\n",
        upstream.url(),
    );
    let project = Project::with(&gateway, document);
    project.keygen();
    project.apply();
    let gateway = edit(Options::of(&project).workers(1)).start();
    (upstream, project, gateway)
}

#[test]
fn values_are_logged_in_the_form_of_their_parameter() {
    let (upstream, _project, gateway) = scene();
    let line = |method: &str, target: &str| {
        let request = format!("{method} {target} HTTP/1.1\nhost: h\nuser-agent: PLANTED-agent");
        let response = gateway.ask(&request);
        let id = response.header("x-request-id").expect("an id");
        (response.status, gateway.access_log().line(id))
    };
    let target = "/people/PLANTED-a/orders/PLANTED-7";
    let query = "?email=PLANTED-b&Email[]=PLANTED&order=PLANTED-7&code=DE&token=PLANTED&q=1";
    let (status, first) = line("GET", &format!("{target}{query}"));
    assert_eq!(status, 200);
    let (_, second) = line("GET", target);
    let hash = first["path"]
        .as_str()
        .and_then(|path| path.rsplit('/').next());
    let hash = hash.expect("a path").to_owned();
    assert!(hash.starts_with("hash:") && hash.len() == 21, "{hash}");
    assert_eq!(
        first["path"],
        json!(format!("/people/REDACTED/orders/{hash}"))
    );
    let query = format!("email=REDACTED&Email[]=REDACTED&order={hash}&code=DE&token=REDACTED&q=1");
    assert_eq!(first["query"], json!(query));
    assert_eq!(first["user_agent"], "REDACTED");
    assert_eq!(second["path"], first["path"]);
    // The upstream receives the original values.
    let seen = upstream.take();
    assert_eq!(seen[1].target, target);
    // For a request that no operation describes, the logged path shows only the literals of
    // templates.
    let (status, undescribed) = line("DELETE", &format!("{target}?email=PLANTED&x=1"));
    assert_eq!(status, 405);
    assert_eq!(undescribed["path"], "/people/REDACTED/orders/REDACTED");
    assert_eq!(undescribed["query"], "REDACTED");
    let (status, slashed) = line("GET", &format!("{target}/?email=PLANTED"));
    assert_eq!(status, 404);
    assert_eq!(slashed["path"], "/people/REDACTED/orders/REDACTED/");
    assert_eq!(slashed["query"], "REDACTED");
    // Another operation matches this path, so the access log shows the values of that operation's
    // parameters.
    let (_, other) = line("GET", "/people/all/orders/7?email=a&code=x");
    assert_eq!(other["path"], "/people/all/orders/7");
    assert_eq!(other["query"], "email=a&code=REDACTED");
    assert_eq!(other["user_agent"], "PLANTED-agent");
    gateway.stops_clean();
}

#[test]
fn spans_show_values_as_the_log_does() {
    let collector = Upstream::scripted(|_| Answer::ok(""));
    let (_upstream, _project, gateway) = scene_by(DOCUMENT, |options| {
        options
            .variable("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url())
            .arguments(&["--trace-ratio", "1"])
    });
    for (target, status) in [
        ("/people/PLANTED-a/orders/PLANTED-7?email=PLANTED", 200),
        ("/people/PLANTED-a/orders/PLANTED-7/?email=PLANTED", 404),
        ("/people/PLANTED/%00", 400),
    ] {
        // Only the operation of the first request hides the agent.
        let agent = if status == 200 { "PLANTED" } else { "shown" };
        let request = format!("GET {target} HTTP/1.1\nhost: h\nuser-agent: {agent}");
        assert_eq!(gateway.ask(&request).status, status, "{target}");
    }
    gateway.stops_clean();
    let bodies: Vec<u8> = collector
        .take()
        .into_iter()
        .flat_map(|one| one.body)
        .collect();
    let text = String::from_utf8_lossy(&bodies);
    assert!(text.contains("/people/REDACTED/orders/hash:"), "{text}");
    assert!(text.contains("/people/REDACTED/orders/REDACTED/"), "{text}");
    assert!(!text.contains("PLANTED"), "{text}");
}

#[test]
fn paths_of_no_operation_show_literals_only() {
    let (_upstream, _project, gateway) = scene();
    // Each row: a request path, and the path in the access log. The secret values are in segments
    // of template parameters, in spellings that the template does not match.
    let cases = [
        (
            "/People/PLANTED/orders/1",
            "/REDACTED/REDACTED/orders/REDACTED",
        ),
        (
            "/people/PLANTED/ORDERS/1",
            "/people/REDACTED/REDACTED/REDACTED",
        ),
        ("/people/PLANTED", "/people/REDACTED"),
        (
            "/people/PLANTED/orders/PLANTED/more",
            "/people/REDACTED/orders/REDACTED/REDACTED",
        ),
        (
            "/api/people/PLANTED/orders/1",
            "/REDACTED/people/REDACTED/orders/REDACTED",
        ),
        (
            "/people/PLANTED/orders;v=1/2",
            "/people/REDACTED/REDACTED/REDACTED",
        ),
        ("/p%65ople%2FPLANTED/notes", "/REDACTED/notes"),
        ("/", "/"),
    ];
    for (path, shown) in cases {
        let request = format!(
            "GET {path}?email=PLANTED&EM.ail=PLANTED HTTP/1.1\nhost: h\nuser-agent: PLANTED"
        );
        let response = gateway.ask(&request);
        assert!(
            matches!(response.status, 400 | 404),
            "{path}: {}",
            response.status
        );
        let id = response.header("x-request-id").expect("an id");
        let line = gateway.access_log().line(id);
        assert!(!line.to_string().contains("PLANTED"), "{line}");
        assert_eq!(line["path"], shown, "{path}");
    }
    gateway.stops_clean();
}

#[test]
fn undescribed_requests_show_literals_only() {
    // `POST /{a}/{b}` matches all paths of two segments. The upstream `main` gets the requests that
    // no operation describes. In the last case, the first `orders` is a value of `{name}`.
    let open = r#"
  /{a}/{b}:
    post:
      operationId: open
      parameters:
        - {name: a, in: path, required: true, schema: {type: string}}
        - {name: b, in: path, required: true, schema: {type: string}}
      responses: {"200": {description: ok}}
components:
"#;
    let root = "x-gateway: {unmatched: main, undeclared_methods: pass, public: true}\npaths:\n";
    let document = DOCUMENT
        .replacen("\ncomponents:\n", open, 1)
        .replacen("paths:\n", root, 1);
    let (upstream, _project, gateway) = scene_with(&document);
    // This path is another spelling of an operation's path, so gwd refuses the request.
    let reading = "/x/..%2fpeople%2fPLANTED%2forders%2fPLANTED";
    let response = gateway.ask(&format!("POST {reading}?email=PLANTED HTTP/1.1\nhost: h"));
    assert_eq!(response.status, 400);
    let id = response.header("x-request-id").expect("an id");
    let line = gateway.access_log().line(id);
    assert_eq!(line["reason"], "path_ambiguous");
    assert!(!line.to_string().contains("PLANTED"), "{line}");
    let cases = [
        ("GET", "/People/PLANTED", "/REDACTED/REDACTED"),
        ("GET", "/people/PLANTED/x", "/people/REDACTED/REDACTED"),
        ("GET", "/PLANTED", "/REDACTED"),
        (
            "PUT",
            "/people/orders/orders/PLANTED",
            "/people/REDACTED/orders/REDACTED",
        ),
    ];
    for (method, path, shown) in cases {
        let request = format!("{method} {path}?email=PLANTED HTTP/1.1\nhost: h");
        let response = gateway.ask(&request);
        assert_eq!(response.status, 200, "{method} {path}");
        assert_eq!(
            upstream.take()[0].target,
            format!("{path}?email=PLANTED"),
            "an upstream gets the request"
        );
        let id = response.header("x-request-id").expect("an id");
        let line = gateway.access_log().line(id);
        assert!(!line.to_string().contains("PLANTED"), "{line}");
        assert_eq!(line["path"], shown, "{path}");
    }
    gateway.stops_clean();
}

#[test]
fn refused_head_has_no_hidden_value_in_the_log() {
    let (_upstream, _project, gateway) = scene();
    let heads = [
        "GET /people/PLANTED/orders/1 HTTP/1.1\nhost: a\nhost: b",
        "GET /people/PLANTED HTTP/9\nhost: h",
    ];
    for head in heads {
        assert!((400..506).contains(&gateway.ask(head).status), "{head}");
    }
    let log = gateway.access_log();
    let lines = e2e::wait::until("the lines of the refusals", || {
        Some(log.lines()).filter(|lines| lines.len() == heads.len())
    });
    assert!(!json!(lines).to_string().contains("PLANTED"), "{lines:?}");
    assert_eq!(lines[0]["path"], "REDACTED");
    assert_eq!(lines[1]["head_start"], "GET");
}

#[test]
fn findings_end_at_redacted_values() {
    let (_upstream, _project, gateway) = scene();
    let post = |query: &str, body: &str| {
        let length = body.len();
        let head = format!("POST /notes{query} HTTP/1.1\nhost: h\ncontent-type: application/json");
        let sent = format!("{head}\ncontent-length: {length}\n\n{body}");
        // Compiling the validator may take longer than a request waits for it.
        e2e::wait::until("a compiled validator", || {
            let response = gateway.ask(&sent);
            (response.status != 503).then_some(response)
        })
    };
    for (body, pointer, detail) in [
        (
            r#"{"about": {"PLANTED": "x"}}"#,
            "#/about",
            "does not match the schema",
        ),
        (
            r#"{"parts": [{"about": {"PLANTED": "x", "PLANTED2": 1.5}}]}"#,
            "#/parts/0",
            "does not match the schema",
        ),
        (
            r#"{"other": 1}"#,
            "#/other",
            "is not described (additionalProperties)",
        ),
    ] {
        let refused = post("", body);
        assert_eq!(refused.status, 400, "{body}");
        let expected = json!([{"in": "body", "pointer": pointer, "detail": detail}]);
        assert_eq!(refused.json()["errors"], expected, "{body}");
        let id = refused.header("x-request-id").expect("an id");
        let line = gateway.access_log().line(id);
        assert_eq!(line["invalid"], json!(format!("body {pointer} {detail}")));
    }
    let passed = post("?about=PLANTED", r#"{"about": {"a": 1}}"#);
    assert_eq!(passed.status, 200);
    let line = e2e::wait::until("a finding in the response", || {
        let passed = post("?about=PLANTED", r#"{"about": {"a": 1}}"#);
        let id = passed.header("x-request-id").expect("an id");
        Some(gateway.access_log().line(id)).filter(|line| !line["invalid_response"].is_null())
    });
    let found = "body #/people does not match the schema";
    assert_eq!(line["invalid_response"], found);
    assert_eq!(line["query"], "about=REDACTED");
    assert!(!line.to_string().contains("PLANTED"), "{line}");
}

#[test]
fn parameters_with_redacted_values_are_hidden() {
    let (_upstream, _project, gateway) = scene();
    let post = |query: &str, person: &str| {
        let head = format!("POST /notes?{query} HTTP/1.1\nhost: h\nx-person: {person}");
        let sent = format!("{head}\ncontent-type: application/json\ncontent-length: 2\n\n{{}}");
        let response = e2e::wait::until("a compiled validator", || {
            Some(gateway.ask(&sent)).filter(|response| response.status != 503)
        });
        let line = gateway
            .access_log()
            .line(response.header("x-request-id").expect("an id"));
        assert!(!line.to_string().contains("PLANTED"), "{query} {line}");
        let body = response.text();
        assert!(
            response.status == 200 || !body.contains("PLANTED"),
            "{body}"
        );
        (response.status, line)
    };
    let none = "{}";
    for (query, expected) in [
        ("deep[mail]=PLANTED", "deep[REDACTED]=REDACTED"),
        ("deep[age]=1", "deep[REDACTED]=REDACTED"),
        ("list=PLANTED&list=PLANTED", "list=REDACTED&list=REDACTED"),
        ("coded=%7B%22mail%22:%22PLANTED%22%7D", "coded=REDACTED"),
        ("mail=PLANTED&age=1", "mail=REDACTED&age=1"),
    ] {
        let (status, line) = post(query, none);
        assert_eq!(
            (status, line["query"].as_str()),
            (200, Some(expected)),
            "{line}"
        );
    }
    for (query, person) in [
        ("deep[PLANTED]=1", none),
        ("deep[mail][PLANTED]=1", none),
        ("coded=%7B%22PLANTED%22:1%7D", none),
        ("", r#"{"PLANTED": 1}"#),
    ] {
        assert_eq!(post(query, person).0, 400, "{query}");
    }
}

#[test]
fn explanation_hides_values_that_the_log_hides() {
    let (_upstream, project, gateway) = scene();
    let url = "http://h/people/a/orders/7?email=PLANTED&order=PLANTED&code=DE";
    let explained = gateway.admin_ask("POST", "/v1/explain", &json!({"method": "GET", "url": url}));
    let shown = "/people/a/orders/7?email=(hidden)&order=(hidden)&code=DE";
    assert_eq!(explained.json()["upstream"]["request"]["path"], shown);
    let ended = project.gwc(&["route", "GET", url]);
    assert!(ended.stdout.contains(shown), "{}", ended.stdout);
    for line in ["parameters.header.user-agent.log", "redact"] {
        assert!(ended.stdout.contains(line), "{line}: {}", ended.stdout);
    }
}
