//! What gateway.yaml and documents say of retries, breakers and balancing, through both programs.

use e2e::gateway::Options;
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: what is tried again, version: \"1\"}
paths:
  /again: {get: {operationId: again, responses: {}}}
  /once: {get: {operationId: once, x-gateway: {retries: {attempts: 0}}, responses: {}}}
  /fused: {get: {operationId: fused, x-gateway: {policies: [fuse], retries: {attempts: 0}}, responses: {}}}
";

#[test]
fn retries_and_breakers_that_are_written_run_and_an_operation_s_word_comes_first() {
    let upstream = Upstream::scripted(|_| {
        let mut answer = Answer::ok("no");
        answer.status = 503;
        answer
    });
    let project = Project::new();
    project.write("openapi.yaml", DOCUMENT);
    project.write(
        "gateway.yaml",
        format!(
            "version: 1\nname: judging\napis: {{a: {{path: openapi.yaml}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}, lb: least_request, \
               retries: {{attempts: 2, \"on\": [gateway-error], backoff: {{base: 1ms, max: 2ms}}}}}}}}\n\
             policies: {{fuse: {{kind: circuit_breaker, consecutive_failures: 2, open: 1h, open_max: 1h}}}}\n\
             defaults: {{upstream: u, security: upstream}}\n",
            upstream.url()
        ),
    );
    project.keygen();
    project.apply();
    let gwd = Options::of(&project).start();
    let get = |path: &str| gwd.ask(&format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
    assert_eq!(get("/again").status, 503);
    assert_eq!(upstream.take().len(), 3, "one and two more");
    assert_eq!(get("/once").status, 503);
    assert_eq!(upstream.take().len(), 1);
    for _ in 0..2 {
        assert_eq!(get("/fused").text(), "no");
    }
    assert_eq!(get("/fused").json()["code"], "circuit_open");
    assert_eq!(upstream.take().len(), 2);
    assert_eq!(get("/once").text(), "no", "another chain, another breaker");
}

#[test]
fn a_health_check_that_is_written_keeps_requests_from_a_host_that_fails_it() {
    let told = |name: &'static str, status: u16| {
        Upstream::scripted(move |seen| {
            let mut answer = Answer::ok(name);
            if seen.target == "/health" {
                answer.status = status;
            }
            answer
        })
    };
    let (sick, well) = (told("sick", 500), told("well", 202));
    let project = Project::new();
    project.write(
        "openapi.yaml",
        "openapi: 3.1.0\ninfo: {title: who works, version: \"1\"}\npaths:\n  /a: {get: {operationId: a, responses: {}}}\n",
    );
    project.write(
        "gateway.yaml",
        format!(
            "version: 1\nname: judging\napis: {{a: {{path: openapi.yaml}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}, b: {{url: \"{}\"}}}}, \
               health: {{active: {{path: /health, statuses: [200, 202], interval: 50ms, timeout: 50ms}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream}}\n",
            sick.url(),
            well.url()
        ),
    );
    project.keygen();
    project.apply();
    let gwd = Options::of(&project).start();
    let get = || gwd.ask("GET /a HTTP/1.1\r\nhost: h\r\n\r\n");
    e2e::wait::until("the sick one is left out", || {
        (0..10).all(|_| get().text() == "well").then_some(())
    });
}
