//! Tests of plans of small projects. An edit must have exactly the expected lines, and a
//! refactoring none.

mod access;
mod addresses;
mod affected;
mod algebra;
mod alternatives;
mod ambiguous;
mod bindings;
mod cells;
mod certificates;
mod checks;
mod chosen;
mod consumer_claims;
mod contracts;
mod counters;
mod deadlines;
mod declared;
mod described_messages;
mod destinations;
mod dice;
mod discriminators;
mod disguises;
mod edits;
mod enforced_responses;
mod equal_changes;
mod examples;
mod excerpts;
mod fields;
mod first;
mod forwarded;
mod gates;
mod golden;
mod guards;
mod hidden;
mod hidden_breaks;
mod history;
mod holders;
mod identities;
mod inherited;
mod inputs;
mod issuers;
mod left_to_others;
mod limits;
mod listener_senders;
mod listener_trust;
mod listeners;
mod located;
mod logins;
mod long;
mod lookalikes;
mod meaning;
mod members;
mod messages;
mod naive;
mod nearer;
mod no_difference;
mod no_witness;
mod ordered;
mod outgoing;
mod overlaps;
mod own_upstreams;
mod own_verifiers;
mod paired;
mod path_readings;
mod plans;
mod presence;
mod principals;
mod processors;
mod proofs;
mod queries;
mod random_places;
mod reaches;
mod redefined;
mod refactor;
mod refactorings;
mod refusals;
mod refused_paths;
mod relaxations;
mod remainders;
mod replaced;
mod replies;
mod resembling;
mod respelled;
mod responses;
mod rest;
mod retries;
mod reviewed;
mod roles;
mod rounds;
mod separators;
mod sequences;
mod served;
mod servers;
mod service_calls;
mod services;
mod signatures;
mod single;
mod successors;
mod text_values;
mod undecided;
mod unreadable;
mod variables;
mod verifier_pairs;
mod versions;
mod virtual_hosts;
mod written;

use gwc::assemble::assemble;
use model::compile::{self, Purpose};
use model::source_map::SourceMap;
use plan::{self, Plan, Side};
use sources::project::files::Files;
use sources::syntax::Limits;

/// gateway.yaml of the test projects.
pub(crate) const GATEWAY: &str = "version: 1
name: shop
apis: {a: {path: api.yaml}}
auth: {keys: {kind: api_key}, staff: {kind: basic}}
upstreams:
  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}
  v: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}
consumers:
  acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}
policies:
  slow: {kind: rate_limit, limit: 10/s, burst: 5}
  edge: {kind: headers, response: {remove: [Server]}}
defaults: {upstream: u, policies: [slow, edge], timeout: 5s}
";

/// Document of the test projects.
pub(crate) const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{key: []}]
paths:
  /orders:
    get: {operationId: listOrders, summary: List, responses: {\"200\": {description: fine}}}
    post: {operationId: createOrder, security: [{key: []}, {pair: []}], responses: {\"201\": {description: made}}}
  /orders/{id}:
    parameters: [{$ref: \"#/components/parameters/Id\"}]
    get: {operationId: getOrder, responses: {\"200\": {description: fine}}}
    delete: {operationId: deleteOrder, security: [{key: [], pair: []}], responses: {\"204\": {description: gone}}}
  /status:
    get: {operationId: getStatus, security: [], x-gateway: {public: true}, responses: {\"200\": {description: fine}}}
components:
  parameters:
    Id: {name: id, in: path, required: true, schema: {type: string}}
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
    pair: {type: http, scheme: basic, x-gateway: {auth: staff}}
";

/// Compiles a project of these files for a purpose.
///
/// # Errors
/// Returns the messages of the findings of level error.
pub(crate) fn compiled(files: &[(&str, &str)], purpose: Purpose) -> Result<Side, String> {
    let files = Files::in_memory(files.iter().copied(), Limits::default());
    let compiled = compile::project_for(files, &Vec::new(), None, purpose).expect("no environment");
    let errors = compiled.findings.iter();
    let errors: Vec<&str> = errors
        .filter(|finding| finding.level == diag::Level::Error)
        .map(|finding| finding.message.as_str())
        .collect();
    let source = SourceMap::of(&compiled);
    let lowered = compiled.lowered.ok_or_else(|| errors.join("; "))?;
    Ok(Side {
        bundle: assemble(&lowered).expect("a bundle").id(),
        lowered,
        source: Some(source),
    })
}

/// Version of a project for a plan. The project must compile.
pub(crate) fn side(files: &[(&str, &str)]) -> Side {
    compiled(files, Purpose::Run).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Version of a project for a plan, with settings that gwd does not support yet.
pub(crate) fn later(files: &[(&str, &str)]) -> Side {
    assert!(compiled(files, Purpose::Run).is_err(), "it runs");
    compiled(files, Purpose::Route).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Plan between two versions of the project.
pub(crate) fn plan(old: (&str, &str), new: (&str, &str)) -> Plan {
    let old = side(&[("gateway.yaml", old.0), ("api.yaml", old.1)]);
    let new = side(&[("gateway.yaml", new.0), ("api.yaml", new.1)]);
    let plan = plan::compare(Some(&old), &new).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    plan
}

/// Changes as lines `SECTION CLASS ID OPERATIONS`.
pub(crate) fn lines(plan: &Plan) -> Vec<String> {
    let line = |change: &plan::Change| {
        let of = if change.operations.is_empty() {
            change.subject.clone()
        } else {
            change.operations.join("+")
        };
        format!(
            "{} {} {} {of}",
            change.section.name(),
            change.class.name(),
            change.id
        )
    };
    plan.changes.iter().map(line).collect()
}

/// Replaces the first occurrence of a text. Panics if the text does not occur.
pub(crate) fn edit(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from} is not in the text");
    text.replacen(from, to, 1)
}
