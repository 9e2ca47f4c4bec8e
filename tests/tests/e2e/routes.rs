//! Tests of the destinations of an operation's requests (split and mirror), through gwc and gwd.
//! `gwc route` must also describe the destinations.

use e2e::gateway::Options;
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};
use e2e::wait;

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: where requests go, version: \"1\"}
paths:
  /shared: {get: {operationId: shared, x-gateway: {policies: [canary]}, responses: {}}}
  /copied: {post: {operationId: copied, x-gateway: {policies: [shadow]}, responses: {}}}
";

fn project(main: &Upstream, next: &Upstream) -> Project {
    let gateway = format!(
        "version: 1\nname: routes\napis: {{s: {{path: openapi.yaml}}}}\n\
         upstreams:\n  main: {{targets: {{a: {{url: \"{}\"}}}}}}\n  \
         next: {{targets: {{a: {{url: \"{}\"}}}}}}\n\
         policies:\n  \
         canary: {{kind: split, among: [{{upstream: main, weight: 3}}, {{upstream: next}}, \
         {{upstream: next, when: {{headers: {{X-Canary: {{present: true}}}}}}}}]}}\n  \
         shadow: {{kind: mirror, upstream: next}}\n\
         defaults: {{upstream: main, security: upstream}}\n",
        main.url(),
        next.url()
    );
    Project::with(&gateway, DOCUMENT)
}

fn named(name: &'static str) -> Upstream {
    Upstream::scripted(move |_| Answer::ok(name))
}

#[test]
fn split_follows_weights_after_a_condition() {
    let (main, next) = (named("main"), named("next"));
    let project = project(&main, &next);
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).start();
    let mut to_next = 0;
    for _ in 0..200 {
        let answer = gateway.ask("GET /shared HTTP/1.1\r\nHost: h\r\n\r\n");
        to_next += usize::from(answer.text() == "next");
    }
    // The expected count is 50 of 200. A random count is outside these limits with a probability of
    // one in a hundred million.
    assert!((15..=90).contains(&to_next), "{to_next}");
    for _ in 0..10 {
        let answer = gateway.ask("GET /shared HTTP/1.1\r\nHost: h\r\nX-Canary: 1\r\n\r\n");
        assert_eq!(answer.text(), "next");
    }
    gateway.stops_clean();
}

#[test]
fn a_mirror_gets_a_copy_of_what_the_upstream_gets() {
    let (main, next) = (named("main"), named("next"));
    let project = project(&main, &next);
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).start();
    let answer =
        gateway.ask("POST /copied?q=1 HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello");
    assert_eq!(answer.text(), "main");
    let copy = wait::until("the copy comes", || next.take().pop());
    assert_eq!(
        (copy.target.as_str(), &*copy.body),
        ("/copied?q=1", &b"hello"[..])
    );
    assert_eq!(
        copy.header("forwarded"),
        Some("for=127.0.0.1;host=h;proto=http")
    );
    gateway.stops_clean();
}

#[test]
fn route_shows_the_shares_and_the_mirrors() {
    let (main, next) = (named("main"), named("next"));
    let project = project(&main, &next);
    let route = |arguments: &[&str]| {
        let ended = project.gwc(&[&["route", "--format", "json"][..], arguments].concat());
        ended.succeeds().json()
    };
    let shared = route(&["GET", "/shared"]);
    let shares = &shared["upstream"]["shares"];
    assert_eq!(shares[0]["upstream"], "main", "{shared:#}");
    assert_eq!(shares[0]["weight"], 3);
    let canary = route(&["GET", "/shared", "-H", "X-Canary: 1"]);
    assert_eq!(canary["upstream"]["name"], "next", "{canary:#}");
    let copied = route(&["POST", "/copied"]);
    assert_eq!(copied["upstream"]["mirrors"][0], "next", "{copied:#}");
    assert!(main.take().is_empty() && next.take().is_empty());
}
