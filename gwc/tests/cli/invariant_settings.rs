//! Tests of invariants that select operations by their verifiers and policies.

use crate::git::{commit, git};
use crate::invariants::{violated, with_invariants};
use crate::project::Project;

/// gateway.yaml with a `dpop` verifier.
const PROOFS: &str = "version: 1
name: t
apis: {orders: {path: orders.yaml}}
listeners: {public: {address: \"127.0.0.1:8080\"}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
auth:
  keys: {kind: api_key}
  idp: {kind: jwt, issuer: \"https://i.example\", audience: [x], algorithms: [ES256], jwks_url: \"https://i.example/k\"}
  proof: {kind: dpop, token: idp}
consumers: {acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}}
defaults: {upstream: u, timeout: 5s}
invariants: [rules.yaml]
";

const UNDER_DPOP: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{token: []}]
paths:
  /x: {get: {operationId: x, responses: {\"200\": {description: fine}}}}
components:
  securitySchemes: {token: {type: http, scheme: dpop, x-gateway: {auth: proof}}}
";

#[test]
fn verifiers_and_policies_select_operations() {
    for (selection, keys) in [
        ("{auth: [keys], methods: [POST]}", vec!["orders/addOrder"]),
        ("{auth: [\"k*\"], methods: [POST]}", vec!["orders/addOrder"]),
        ("{auth: [staff]}", vec![]),
        (
            "{policies: [slow], methods: [POST]}",
            vec!["orders/addOrder"],
        ),
        ("{policies: [other]}", vec![]),
        (
            "{kinds: [rate_limit], methods: [POST]}",
            vec!["orders/addOrder"],
        ),
        ("{kinds: [cache]}", vec![]),
    ] {
        let found = violated(selection, "{unreachable: true}");
        assert_eq!(found, keys, "{selection}");
    }
}

#[test]
fn validate_runs_if_it_checks_any_messages() {
    for (settings, violations) in [
        ("request: \"off\", response: \"off\"", 1),
        ("request: \"off\", response: block", 0),
        ("request: block, response: \"off\"", 0),
    ] {
        let project = Project::empty();
        let rule = "- {name: one, require: {policies: [checked]}}\n";
        project.write("rules.yaml", rule);
        let gateway = PROOFS.replace("defaults: {", "defaults: {policies: [checked], ");
        let policies = format!("policies: {{checked: {{kind: validate, {settings}}}}}\n");
        project.write("gateway.yaml", format!("{gateway}{policies}"));
        project.write("orders.yaml", UNDER_DPOP);
        let ended = project.run(&["lint", "--format", "concise"]);
        let found = ended.out.matches("violates the invariant").count();
        assert_eq!(found, violations, "{settings}: {}{}", ended.out, ended.err);
    }
}

/// A token under DPoP is checked by the `dpop` verifier and by the verifier of the token.
#[test]
fn token_under_dpop_has_two_verifiers() {
    for (rule, violations) in [
        ("where: {auth: [idp]}, require: {unreachable: true}", 1),
        ("where: {auth: [proof]}, require: {unreachable: true}", 1),
        ("where: {auth: [keys]}, require: {unreachable: true}", 0),
        ("where: {apis: [orders]}, require: {auth: [idp]}", 0),
        ("where: {apis: [orders]}, require: {auth: [proof]}", 0),
        ("where: {apis: [orders]}, require: {auth: [keys]}", 1),
    ] {
        let project = Project::empty();
        project.write("rules.yaml", format!("- {{name: one, {rule}}}\n"));
        project.write("gateway.yaml", PROOFS);
        project.write("orders.yaml", UNDER_DPOP);
        let ended = project.run(&["lint", "--format", "concise"]);
        let found = ended.out.matches("violates the invariant").count();
        assert_eq!(found, violations, "{rule}: {}{}", ended.out, ended.err);
        assert_eq!(ended.code, i32::from(violations > 0), "{}", ended.out);
    }
}

/// An operation that loses the selecting verifier or policy evades the invariant: a plan reports
/// it.
#[test]
fn operation_that_loses_its_setting_is_reported() {
    for (selection, from, to) in [
        (
            "{auth: [keys]}",
            "operationId: getOrder,",
            "operationId: getOrder, security: [], x-gateway: {public: true},",
        ),
        (
            "{kinds: [headers]}",
            "operationId: getOrder,",
            "operationId: getOrder, x-gateway: {policies: []},",
        ),
        (
            "{policies: [mark]}",
            "operationId: getOrder,",
            "operationId: getOrder, x-gateway: {policies: []},",
        ),
    ] {
        let project = with_invariants(&format!(
            "- {{name: held, where: {selection}, require: {{timeout: 9s}}}}\n"
        ));
        git(project.path(), &["init", "-q", "-b", "main"]);
        commit(&project, "one");
        project.edit("orders.yaml", from, to);
        let ended = project.run(&["plan", "--against", "git:main", "--format", "json"]);
        let plan: serde_json::Value = serde_json::from_str(&ended.out).expect("JSON");
        let changes = plan["changes"].as_array().expect("changes").iter();
        let lines = changes.filter(|change| change["id"] == "invariant-narrowed");
        assert_eq!(lines.count(), 1, "{selection}: {}", ended.out);
    }
}

/// An unreadable document has no operations, so that the invariant may be right.
#[test]
fn empty_selection_beside_errors_is_no_finding() {
    let project = with_invariants(
        "- {name: a, where: {operations: [orders/addOrder]}, require: {authenticated: true}}\n",
    );
    project.run(&["lint"]).with(0).lacks("is selected");
    let document = "orders.yaml";
    let text = project.read(document);
    project.write(document, format!("{text}\n  - : [\n"));
    let ended = project.run(&["lint"]).with(65);
    ended.lacks("no operation is selected");
}

/// Lints an operation with keys that run like policies, whose callers can have a plan. Returns true
/// if the operation violates the invariant.
fn is_violated(keys: &str, invariant: &str) -> bool {
    let project = Project::new();
    project.write(
        "gateway.yaml",
        "version: 1
name: shop
apis: {a: {path: a.yaml}}
upstreams:
  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}
  spy: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}
auth: {keys: {kind: api_key}}
consumers: {acme: {plan: gold, keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}}
policies: {ten: {kind: rate_limit, limit: 10/s}, answer: {kind: respond, status: 200}}
plans: {gold: {policies: [ten]}}
defaults: {upstream: u}
invariants: [rules.yaml]
",
    );
    project.write(
        "a.yaml",
        format!(
            "openapi: 3.1.0
info: {{title: a, version: \"1\"}}
components:
  securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}
security: [{{key: []}}]
paths:
  /x: {{get: {{operationId: x, x-gateway: {keys}, responses: {{\"200\": {{description: ok}}}}}}}}
"
        ),
    );
    project.write("rules.yaml", format!("- {{name: one, {invariant}}}\n"));
    let ended = project.run(&["lint", "--format", "concise"]);
    ended.out.contains("`a/x` violates the invariant `one`")
}

#[test]
fn keys_of_operations_count_as_policies() {
    for (kind, keys) in [
        ("mirror", "{mirror: {upstream: spy}}"),
        (
            "split",
            "{split: [{upstream: u}, {upstream: spy, weight: 1}]}",
        ),
        ("rewrite", "{rewrite: {path: /other}}"),
        ("retry", "{retries: {attempts: 2}}"),
        ("deprecation", "{deprecated: {since: 2026-01-01}}"),
        ("validate", "{validate: {request: block}}"),
    ] {
        let of = |invariant: &str, keys: &str| is_violated(keys, &invariant.replace("KIND", kind));
        let (not, selected, needed) = (
            "require: {not_kinds: [KIND]}",
            "where: {kinds: [KIND]}, require: {unreachable: true}",
            "require: {kinds: [KIND]}",
        );
        assert!(of(not, keys), "{kind}");
        assert!(of(selected, keys), "{kind}");
        assert!(!of(needed, keys), "{kind}");
        assert!(!of(not, "{}"), "{kind}");
        assert!(!of(selected, "{}"), "{kind}");
        assert!(of(needed, "{}"), "{kind}");
    }
    // The policy answers before the request is copied.
    let answered = "{mirror: {upstream: spy}, policies: [answer]}";
    assert!(is_violated(answered, "require: {kinds: [mirror]}"));
    let logged = "{validate: {request: log}}";
    assert!(is_violated(logged, "require: {not_kinds: [validate]}"));
    assert!(is_violated(logged, "require: {kinds: [validate]}"));
}

#[test]
fn limits_of_plans_run_for_some_callers() {
    for (invariant, violates) in [
        ("require: {not_kinds: [rate_limit]}", true),
        (
            "where: {kinds: [rate_limit]}, require: {unreachable: true}",
            true,
        ),
        (
            "where: {policies: [ten]}, require: {unreachable: true}",
            true,
        ),
        // A caller without the plan has no limit.
        ("require: {kinds: [rate_limit]}", true),
        ("require: {not_kinds: [quota]}", false),
    ] {
        assert_eq!(is_violated("{}", invariant), violates, "{invariant}");
    }
}
