//! Steps of a progressive release with a share of the requests, from gateway.yaml to `gwc promote`: a
//! shadow step finds a change of access with real requests, and affects none of them. A guard judges
//! a step.

use e2e::gateway::{Gateway, Options};
use e2e::project::{Ended, Project};
use e2e::upstream::Upstream;
use e2e::wait;
use serde_json::{Value, json};

const KEY: [&str; 3] = ["--key", "keys/release.pem", "--yes"];

/// Steps that first compare the decisions about all requests.
const SHADOW: &str = "steps: [{shadow: 100%}, {traffic: 50%}]";

/// gateway.yaml with these policies, whose releases have these steps.
fn gateway(upstream: &Upstream, policies: &str, steps: &str) -> String {
    format!(
        "version: 1\nname: shop\napis: {{shop: {{path: openapi.yaml}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"http://{}\"}}}}}}}}\n\
         auth: {{keys: {{kind: api_key}}}}\n\
         consumers: {{acme: {{keys: [{{sha256: \"{}\"}}]}}}}\n\
         policies: {{{policies}}}\n\
         defaults: {{upstream: u, security: enforce}}\n\
         release: {{{steps}}}\n",
        upstream.address(),
        "0".repeat(64),
    )
}

/// `order`: keys of the operation `getOrder`. `items`: further gateway keys of `listItems`.
fn document(order: &str, items: &str) -> String {
    format!(
        "openapi: 3.1.0\ninfo: {{title: Shop, version: \"1\"}}\n\
         components:\n  securitySchemes:\n    \
         key: {{type: apiKey, in: header, name: x-key, x-gateway: {{auth: keys}}}}\n\
         paths:\n  /orders/{{id}}:\n    \
         parameters: [{{name: id, in: path, required: true, schema: {{type: string}}}}]\n    \
         get: {{operationId: getOrder, {order}, responses: {{\"200\": {{description: Order}}}}}}\n  \
         /items:\n    \
         get: {{operationId: listItems, x-gateway: {{public: true{items}}}, \
         responses: {{\"200\": {{description: Items}}}}}}\n"
    )
}

/// Runs a command that signs, with an acknowledgement of each change.
fn signed(project: &Project, command: &str, gateway: &Gateway) -> Ended {
    let node = format!("unix:{}", gateway.admin().display());
    let mut arguments = vec![command.to_owned(), "--node".to_owned(), node];
    arguments.extend(KEY.map(str::to_owned));
    if command == "apply" {
        let plan = project.gwc(&["plan", "--format", "json"]).json();
        let changes = plan["changes"].as_array().expect("a list").clone();
        let fingerprints = changes.iter().map(|one| one["fingerprint"].as_str());
        let acks = fingerprints.map(|one| format!("--ack={}=agreed", one.expect("a text")));
        arguments.extend(acks);
    }
    project.gwc(&arguments)
}

/// Output of a command that names a gateway.
fn shown(project: &Project, command: &[&str], gateway: &Gateway) -> String {
    let node = format!("unix:{}", gateway.admin().display());
    let arguments = [command, &["--node", &node]].concat();
    project.gwc(&arguments).succeeds().stdout.clone()
}

#[test]
fn shadow_step_finds_a_change_of_access() {
    let upstream = Upstream::start();
    let limit = "few: {kind: rate_limit, limit: 100/s, key: address}, \
                 mark: {kind: headers, request: {set: {x-mark: new}}}";
    let project = Project::with(
        &gateway(&upstream, limit, SHADOW),
        &document("x-gateway: {public: true}", ", policies: [few]"),
    );
    project.keygen();
    let base = project.apply();
    let gwd = Options::of(&project).start();
    let items = ", policies: [few, mark]";
    project.write("openapi.yaml", document("security: [{key: []}]", items));
    let applied = signed(&project, "apply", &gwd).succeeds().stdout.clone();
    let compares = "every gateway of the share compares the decisions of";
    assert!(applied.contains(compares), "{applied}");

    for path in ["/orders/s3cret?q=s3cret", "/items", "/items"] {
        let response = gwd.ask(&format!("GET {path} HTTP/1.1\nhost: h"));
        assert_eq!(response.status, 200, "{path}: {}", response.text());
    }
    let json = ["release", "status", "--format", "json"];
    let comparison = wait::until("the requests are compared", || {
        let document: Value = serde_json::from_str(&shown(&project, &json, &gwd)).expect("JSON");
        let node = document["nodes"][0].clone();
        assert_eq!(
            (&node["bundle"], &node["agrees"]),
            (&json!(base), &json!(true))
        );
        let comparison = node["comparison"].clone();
        (comparison["requests"] == 3).then_some(comparison)
    });
    let differences = json!({"decision": 1, "operation": 0, "request": 2, "upstream": 0});
    assert_eq!(comparison["differences"], differences, "{comparison:#}");
    assert_eq!(comparison["undetermined_steps"], json!({"rate_limit": 2}));
    assert!(!comparison.to_string().contains("s3cret"), "{comparison:#}");
    // The upstream got three requests, and none of the candidate.
    let seen = upstream.take();
    let marked = seen.iter().filter(|seen| seen.header("x-mark").is_some());
    assert_eq!((seen.len(), marked.count()), (3, 0));

    let texts = [
        "3 requests compared: 0 equal, 3 different (decision 1, request 2), at 1 gateway",
        "GET /orders/{id}: base shop/getOrder: forwarded to u; release shop/getOrder: refused \
         with 401 credential_missing",
        "release shop/listItems: forwarded to u; differs in field x-mark",
    ];
    let status = shown(&project, &["release", "status"], &gwd);
    let promoted = signed(&project, "promote", &gwd).succeeds().stdout.clone();
    for text in texts {
        assert!(status.contains(text), "`{text}` in {status}");
        assert!(promoted.contains(text), "`{text}` in {promoted}");
    }
    assert!(
        promoted.contains("step 2 of 3: 50% of the requests"),
        "{promoted}"
    );
    assert!(gwd.status()["rollout"]["requests"].is_object());
    gwd.stops_clean();
}

#[test]
fn step_of_requests_is_promoted_after_its_guard() {
    let upstream = Upstream::start();
    let guard = "guard: {errors: 5%, requests: 20, for: 1s}";
    let steps = format!("steps: [{{traffic: 50%}}], sticky: {{header: x-user}}, {guard}");
    let public = "x-gateway: {public: true}";
    let project = Project::with(&gateway(&upstream, "", &steps), &document(public, ""));
    project.keygen();
    let base = project.apply();
    let gwd = Options::of(&project).start();
    project.write("openapi.yaml", document(public, ", timeout: 5s"));
    signed(&project, "apply", &gwd).succeeds();
    assert_eq!(gwd.status()["bundle"], base);
    for user in 0..80 {
        let head = format!("GET /items HTTP/1.1\nhost: h\nx-user: {user}");
        assert_eq!(gwd.ask(&head).status, 200);
    }
    let node = format!("unix:{}", gwd.admin().display());
    let promote = ["promote", "--node", &node, "--wait-guard", "30s"];
    let promoted = project.gwc(&[&promote[..], &KEY].concat());
    let promoted = promoted.succeeds().stdout.clone();
    assert!(promoted.contains("all gateways"), "{promoted}");
    assert_ne!(gwd.status()["bundle"], base);
    gwd.stops_clean();
}
