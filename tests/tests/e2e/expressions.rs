//! Tests of expressions in `authorize`: clients get a refusal, and the access log contains the
//! error of the expression.

use e2e::gateway::Options;
use e2e::project::Project;
use e2e::upstream::Upstream;
use e2e::wait;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
paths:
  /a: {get: {operationId: a, security: [], x-gateway: {public: true, +policies: [small]}, responses: {"200": {description: ok}}}}
"#;

#[test]
fn reason_without_a_value_is_for_the_operator_only() {
    let main = Upstream::start();
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
         upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         policies:\n  small:\n    kind: authorize\n    expression: |\n      \
           int(request.query.limit) <= 100\n        && request.headers[\"x-planted\"] != \"hunter2\"\n\
         defaults: {{upstream: main}}\nrelease: {{store: releases, channel: prod}}\n",
        main.url()
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).start();
    let ask = |target: &str| {
        let request = format!("GET {target} HTTP/1.1\nhost: h\nx-planted: secret-of-the-client");
        let response = gateway.ask(&request);
        (response.status, response.text())
    };
    assert_eq!(ask("/a?limit=7").0, 200);
    for (target, fault) in [
        ("/a?limit=101", None),
        ("/a", Some("absent")),
        ("/a?limit=1&limit=2", Some("ambiguous")),
        ("/a?limit=planted", Some("range")),
    ] {
        let (status, body) = ask(target);
        assert_eq!(status, 403, "{target}");
        assert!(body.contains("not_authorized"), "{body}");
        let fault_text = fault.unwrap_or("expression");
        assert!(
            !body.contains(fault_text) && !body.contains("limit"),
            "{body}"
        );
    }
    let log = gateway.access_log();
    let lines = wait::until("the lines of all requests", || {
        let lines = log.lines();
        (lines.len() == 5).then_some(lines)
    });
    // Workers write their log lines in any order.
    let faults = lines.iter();
    let mut faults: Vec<&str> = faults
        .filter_map(|line| line["expression_fault"].as_str())
        .collect();
    faults.sort_unstable();
    assert_eq!(faults, ["absent", "ambiguous", "range"]);
    let metrics = gateway.metrics();
    let count = |reason: &str| {
        let label = format!("reason=\"{reason}\"");
        metrics.sum("gwd_rejections_total", &[&label])
    };
    assert_eq!(count("expression_failed"), 3.0);
    assert_eq!(count("not_authorized"), 1.0);
    for text in [format!("{lines:?}"), gateway.log(), metrics.0.clone()] {
        for planted in ["secret-of-the-client", "hunter2"] {
            assert!(!text.contains(planted), "{planted} in {text}");
        }
    }
    assert_eq!(main.take().len(), 1);
}
