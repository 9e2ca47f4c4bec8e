//! Tests of the plans of consumers: their limits in the bundle, and findings.

use model::compile::{self, Compiled};
use sources::project::files::Files;
use sources::syntax::Limits;

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: a, version: \"1\"}
security: [{key: []}]
paths:
  /p: {get: {operationId: p, responses: {\"200\": {description: ok}}}}
  /open: {get: {operationId: open, security: [], x-gateway: {public: true}, responses: {\"200\": {description: ok}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
";

fn project(plans: &str, consumer: &str, policies: &str) -> Compiled {
    let gateway = format!(
        "version: 1
name: s
apis: {{a: {{path: a.yaml}}}}
upstreams: {{u: {{targets: {{x: {{url: \"http://127.0.0.1:9001\"}}}}}}}}
auth: {{keys: {{kind: api_key}}}}
consumers:
  acme: {{{consumer}keys: [{{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}}]}}
policies:
  fast: {{kind: rate_limit, limit: 100/s}}
  few: {{kind: concurrency, limit: 3, key: consumer}}
  page: {{kind: respond, status: 204}}
  peer: {{kind: rate_limit, limit: 5/s, key: address}}
  set: {{kind: headers, request: {{set: {{X-A: b}}}}}}
plans: {{{plans}}}
defaults: {{upstream: u, timeout: 5s, policies: [{policies}]}}
required: {{allow_public: [\"a/open\"]}}
"
    );
    let texts = [("gateway.yaml", gateway.as_str()), ("a.yaml", DOCUMENT)];
    compile::project(Files::in_memory(texts, Limits::default()), &Vec::new())
}

fn chain(compiled: &Compiled, key: &str) -> Vec<String> {
    let messages: Vec<_> = compiled.findings.iter().map(|one| &one.message).collect();
    let lowered = compiled.lowered.as_ref();
    let gateway = &lowered.unwrap_or_else(|| panic!("{messages:?}")).gateway;
    let api = gateway.apis.get("a").unwrap();
    let operation = api.operations.get(key).unwrap();
    let links = api.treatments[operation.treatment as usize].chain.iter();
    let name = |link: &bundle::ir::Link| match link {
        bundle::ir::Link::Authenticate => "authenticate".to_owned(),
        bundle::ir::Link::Shared(name) | bundle::ir::Link::Own(name) => name.clone(),
    };
    links.map(name).collect()
}

#[test]
fn limits_of_plans_follow_those_of_the_operation() {
    let compiled = project(
        "gold: {policies: [fast, few]}, silver: {policies: [fast]}",
        "plan: gold, ",
        "set, fast, peer",
    );
    let expected = [
        "peer",
        "authenticate",
        "fast",
        "plan:fast",
        "plan:few",
        "set",
    ];
    assert_eq!(chain(&compiled, "a/p"), expected);
    assert_eq!(chain(&compiled, "a/open"), ["peer", "fast", "set"]);
    let shared = &compiled.lowered.as_ref().unwrap().gateway.shared;
    let policies: Vec<&str> = shared
        .policies
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    // Only a plan uses `few`, so the bundle contains only its copy `plan:few`. `page` is unused.
    assert_eq!(
        policies,
        ["fast", "page", "peer", "plan:fast", "plan:few", "set"]
    );
    let of = |name: &str| shared.policies.get(name).unwrap();
    assert_ne!(
        of("fast").state,
        of("plan:fast").state,
        "counters of their own"
    );
    let plans = of("plan:fast").checked.settings();
    assert_eq!(plans.texts(&["plans"]), Some(vec!["gold", "silver"]));
    assert_eq!(of("plan:fast").checked.need(), "policy:rate_limit:plans");
    let acme = shared.consumers.get("acme").unwrap();
    assert_eq!(acme.plan.as_deref(), Some("gold"));
}

#[test]
fn mistakes_in_plans_are_reported_at_their_place() {
    for (plans, consumer, lint, message, place) in [
        (
            "gold: {policies: [page]}",
            "plan: gold, ",
            "wrong-kind",
            "a plan cannot have `page`: it is of kind `respond`",
            "page",
        ),
        (
            "gold: {policies: [peer]}",
            "plan: gold, ",
            "bad-value",
            "`peer` counts by address, before the caller and its plan are known",
            "peer",
        ),
        (
            "gold: {policies: [fats]}",
            "plan: gold, ",
            "unknown-policy",
            "there is no policy `fats`",
            "fats",
        ),
        (
            "gold: {policies: [fast]}",
            "plan: gld, ",
            "unknown-plan",
            "there is no plan `gld`",
            "gld",
        ),
        (
            "gold: {policies: [fast]}",
            "",
            "unused-definition",
            "the plan `gold` is never used",
            "gold",
        ),
    ] {
        let compiled = project(plans, consumer, "set");
        let mut found = compiled.findings.iter();
        let found = found.find(|one| one.lint.name == lint && one.message == message);
        let messages: Vec<_> = compiled.findings.iter().map(|one| &one.message).collect();
        let found = found.unwrap_or_else(|| panic!("{plans}: {messages:?}"));
        assert_eq!(compiled.files.sources.text(found.span), place);
    }
}

/// The copy of a limit has the groups of all plans that name it, and needs a gateway that knows
/// groups. Groups of tokens are not known to gwc, so that a plan with groups counts as used.
#[test]
fn limits_of_plans_have_the_groups_of_their_plans() {
    let compiled = project(
        "gold: {policies: [fast], groups: [ops, dev]}, silver: {policies: [fast, few]}, \
         lead: {policies: [fast], groups: [dev, all]}, none: {policies: [few], groups: []}",
        "plan: silver, ",
        "set",
    );
    assert_eq!(
        chain(&compiled, "a/p"),
        ["authenticate", "plan:fast", "plan:few", "set"]
    );
    let shared = &compiled.lowered.as_ref().unwrap().gateway.shared;
    let of = |name: &str| &shared.policies.get(name).unwrap().checked;
    let fast = of("plan:fast").settings();
    assert_eq!(fast.texts(&["plans"]), Some(vec!["gold", "lead", "silver"]));
    assert_eq!(fast.texts(&["groups"]), Some(vec!["all", "dev", "ops"]));
    assert_eq!(of("plan:fast").need(), "policy:rate_limit:groups");
    assert_eq!(of("plan:few").settings().texts(&["groups"]), None);
    assert_eq!(of("plan:few").need(), "policy:concurrency:plans");
    let unused = compiled.findings.iter();
    let unused = unused.filter(|one| one.lint.name == "unused-definition");
    let unused: Vec<&str> = unused.map(|one| one.message.as_str()).collect();
    assert!(
        unused.contains(&"the plan `none` is never used"),
        "{unused:?}"
    );
    assert!(
        !unused
            .iter()
            .any(|one| one.contains("`gold`") || one.contains("`lead`")),
        "{unused:?}"
    );
}
