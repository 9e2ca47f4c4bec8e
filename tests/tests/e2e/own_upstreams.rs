//! Test of two APIs that each define an upstream with the same name. Each API uses its own
//! upstream, and reports name the right upstream.

use e2e::gateway::Options;
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};
use e2e::wait;

fn named(name: &'static str) -> Upstream {
    Upstream::scripted(move |_| Answer::ok(name))
}

fn document(upstream: &Upstream) -> String {
    format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\n\
         x-gateway:\n  upstreams: {{orders: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n  \
         defaults: {{upstream: orders}}\n\
         paths: {{/get: {{get: {{operationId: get, x-gateway: {{public: true}}, responses: {{}}}}}}}}\n",
        upstream.url()
    )
}

#[test]
fn each_api_has_its_own_upstream_and_upstream_name() {
    let (north, south) = (named("north"), named("south"));
    let project = Project::with(
        "version: 1\nname: own\napis:\n  \
         north: {path: openapi.yaml, mount: {base_path: /n, strip_base_path: true}}\n  \
         south: {path: south.yaml, mount: {base_path: /s, strip_base_path: true}}\n",
        &document(&north),
    );
    project.write("south.yaml", document(&south));
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).start();
    for (path, from) in [
        ("/n/get", "north"),
        ("/s/get", "south"),
        ("/n/get", "north"),
    ] {
        let answer = gateway.ask(&format!("GET {path} HTTP/1.1\r\nHost: h\r\n\r\n"));
        assert_eq!((answer.status, answer.text()), (200, from.to_owned()));
    }
    let lines = wait::until("the access log has all lines", || {
        let lines = gateway.access_log().lines();
        (lines.len() >= 3).then_some(lines)
    });
    let of = |name: &str| lines.iter().filter(|line| line["upstream"] == name).count();
    assert_eq!((of("north/orders"), of("south/orders")), (2, 1));
    let count = "http_client_request_duration_seconds_count";
    let of = |name: &str| {
        gateway
            .metrics()
            .sum(count, &[&format!("upstream=\"{name}\"")])
    };
    assert_eq!((of("north/orders"), of("south/orders")), (2.0, 1.0));
    let status = gateway.status();
    let upstreams = status["upstreams"].as_array().expect("a list");
    let names: Vec<&str> = upstreams
        .iter()
        .filter_map(|one| one["upstream"].as_str())
        .collect();
    assert_eq!(names, ["north/orders", "south/orders"]);
    gateway.stops_clean();
}
