//! Tests of requests that no operation describes, through gwc and gwd. Subjects: destination,
//! permitted callers, and reports.

use e2e::gateway::Options;
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};
use e2e::wait;

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: a part of what there is, version: \"1\"}
security: [{key: []}]
paths:
  /orders/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: get, responses: {}}
    delete: {operationId: purge, x-gateway: {internal: true}, responses: {}}
  /inside: {get: {operationId: inside, x-gateway: {internal: true}, responses: {}}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
";

fn named(name: &'static str) -> Upstream {
    Upstream::scripted(move |_| Answer::ok(name))
}

#[test]
fn undeclared_requests_are_forwarded_and_logged() {
    let (main, old) = (named("main"), named("old"));
    let gateway = format!(
        "version: 1\nname: rest\n\
         apis: {{s: {{path: openapi.yaml, unmatched: old, undeclared_methods: pass}}}}\n\
         upstreams:\n  main: {{targets: {{a: {{url: \"{}\"}}}}}}\n  \
         old: {{targets: {{a: {{url: \"{}\"}}}}}}\n\
         auth: {{keys: {{kind: api_key}}}}\n\
         consumers: {{acme: {{keys: [{{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}}]}}}}\n\
         defaults: {{upstream: main}}\n",
        main.url(),
        old.url()
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).start();
    let ask = |line: &str, key: &str| {
        let answer = gateway.ask(&format!(
            "{line} HTTP/1.1\r\nHost: h\r\n{key}Content-Length: 0\r\n\r\n"
        ));
        (answer.status, answer.text())
    };
    let with_key = |line: &str| ask(line, "X-Key: test\r\n");
    for (line, from) in [
        ("GET /orders/1", "main"),
        ("PATCH /orders/1", "main"),
        ("BREW /orders/1", "main"),
        ("GET /anything/else?q=1", "old"),
        ("POST /", "old"),
    ] {
        assert_eq!(with_key(line), (200, from.to_owned()), "{line}");
        assert_eq!(ask(line, "").0, 401, "{line}");
    }
    for (line, status) in [
        ("DELETE /orders/1", 405),
        ("DELETE /orders/%31", 405),
        ("DELETE /orders/1/", 404),
        ("GET /inside", 404),
        ("GET /x/../inside", 404),
        ("POST /inside", 404),
        ("GET /orders%2F1", 400),
        ("PATCH /orders/a%2Fb", 400),
        ("TRACE /anything", 405),
    ] {
        assert_eq!(with_key(line).0, status, "{line}");
    }
    let got = |upstream: &Upstream| -> Vec<String> {
        let all = upstream.take();
        all.iter().map(|request| request.target.clone()).collect()
    };
    assert_eq!(got(&main), ["/orders/1", "/orders/1", "/orders/1"]);
    assert_eq!(got(&old), ["/anything/else?q=1", "/"]);
    let lines = wait::until("the access log has all lines", || {
        let lines = gateway.access_log().lines();
        (lines.len() >= 19).then_some(lines)
    });
    let of = |operation: &str, status: u64| {
        let logged = lines
            .iter()
            .filter(|line| line["operation_id"] == operation);
        logged.filter(|line| line["status"] == status).count()
    };
    assert_eq!((of("s#undeclared", 200), of("s#undeclared", 401)), (2, 2));
    assert_eq!((of("s#unmatched", 200), of("s#unmatched", 401)), (2, 2));
    assert_eq!((of("s#unmatched", 400), of("s#undeclared", 400)), (1, 1));
    let count = "http_server_request_duration_seconds_count";
    let unmatched = "route_id=\"s#unmatched@default\"";
    assert_eq!(gateway.metrics().sum(count, &[unmatched]), 5.0);
    gateway.stops_clean();
}
