//! Tests of edits that look stricter but admit more, and of edits whose effect depends on the
//! meaning of a name.

use std::collections::BTreeSet;

use model::acknowledge::Acknowledgement;
use plan::environments::{Pair, compare_each};
use plan::{Plan, Review};

use crate::gates::{both, gateway};
use crate::{DOCUMENT, GATEWAY, edit, lines, plan, side};

const CALLERS: &str = r#"version: 1
name: shop
apis: {a: {path: api.yaml}}
listeners:
  public:
    address: "127.0.0.1:8443"
    protocol: https
    tls: {certificates: {main: {cert: "${file:/run/tls.pem}", key: "${file:/run/tls.key}"}}, client_auth: {ca: "${file:/run/ca.pem}", mode: optional}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9000"}}}}
auth:
  named: {kind: mtls, sans: [a.test]}
  tokens: {kind: jwt, issuer: i, audience: [a], consumer_claim: client_id, algorithms: [EdDSA], jwks: {keys: [{kty: OKP, crv: Ed25519, x: 11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo}]}}
  keys: {kind: api_key}
consumers:
  acme: {certificates: [{san: a.test, not_after: 2027-01-01}]}
  late: {certificates: [{san: late.a.test}]}
  app: {groups: [ops]}
  shop: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}], groups: [gold, held], claims: {tier: gold}}
policies:
  each: {kind: rate_limit, limit: 10/s, key: consumer}
  all: {kind: rate_limit, limit: 10/s, key: address}
  free: {kind: authorize, expression: "!('held' in auth.groups)"}
defaults: {upstream: u, policies: [each, all, free]}
"#;

const CALLED: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
paths:
  /named: {get: {operationId: named, security: [{named: []}], responses: {"200": {description: fine}}}}
  /tokens: {get: {operationId: tokens, security: [{tokens: []}], responses: {"200": {description: fine}}}}
  /keys: {get: {operationId: keys, security: [{key: []}], responses: {"200": {description: fine}}}}
components:
  securitySchemes:
    named: {type: mutualTLS, x-gateway: {auth: named}}
    tokens: {type: http, scheme: bearer, x-gateway: {auth: tokens, forward_as: X-Caller}}
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
"#;

/// Lines of the plan for an edit of a gateway whose callers may have certificates, tokens and keys.
fn callers(from: &str, to: &str) -> Vec<String> {
    lines(&plan((CALLERS, CALLED), (&edit(CALLERS, from, to), CALLED)))
}

#[test]
fn certificate_without_entry_is_still_admitted() {
    // The entry is valid until the end of 2027-01-01. Without the entry, the certificate is
    // admitted as long as it is valid.
    let entry = "  acme: {certificates: [{san: a.test, not_after: 2027-01-01}]}\n";
    let removed = "security grant credential-removed consumer acme";
    let looser = "policy relax limit-key-changed policy each key, consumer acme";
    assert_eq!(callers(entry, "  acme: {}\n"), [removed, looser]);
    // A token may also name the consumer.
    assert_eq!(
        callers(entry, ""),
        [
            "security incomparable identity-field-changed consumer acme request header x-caller",
            removed,
            "security strengthen consumer-removed consumer acme",
            looser,
        ]
    );
    // If an entry without `not_after` is removed, the caller loses its name, groups and claims.
    assert_eq!(
        callers("late: {certificates: [{san: late.a.test}]}", "late: {}"),
        [
            "security incomparable credential-removed consumer late",
            "policy relax limit-key-changed policy each key, consumer late",
        ]
    );
    // The certificate moves to another consumer.
    let of_late =
        "late: {certificates: [{san: a.test, not_after: 2027-01-01}, {san: late.a.test}]}";
    let moved = edit(CALLERS, entry, "  acme: {}\n");
    let moved = edit(
        &moved,
        "late: {certificates: [{san: late.a.test}]}",
        of_late,
    );
    assert_eq!(
        lines(&plan((CALLERS, CALLED), (&moved, CALLED))),
        [
            "security grant credential-added consumer late",
            "security strengthen credential-removed consumer acme",
        ]
    );
    // A gateway without a verifier of certificates admits no certificate.
    let none = |gateway: &str| edit(gateway, "  named: {kind: mtls, sans: [a.test]}\n", "");
    let document = edit(CALLED, "[{named: []}]", "[{key: []}]");
    let document = edit(
        &document,
        "    named: {type: mutualTLS, x-gateway: {auth: named}}\n",
        "",
    );
    let (old, new) = (none(CALLERS), none(&edit(CALLERS, entry, "  acme: {}\n")));
    assert_eq!(
        lines(&plan((&old, &document), (&new, &document))),
        ["security strengthen credential-removed consumer acme"]
    );
}

#[test]
fn group_that_an_expression_reads_is_no_right() {
    let removed = |class: &str, what: &str| {
        vec![format!(
            "security {class} consumer-right-removed consumer shop {what}"
        )]
    };
    assert_eq!(
        callers("groups: [gold, held]", "groups: [gold]"),
        removed("incomparable", "groups")
    );
    // If no expression reads groups, a group can only admit more requests.
    let silent = edit(
        CALLERS,
        "!('held' in auth.groups)",
        "request.method != 'PUT'",
    );
    let fewer = edit(&silent, "groups: [gold, held]", "groups: [gold]");
    assert_eq!(
        lines(&plan((&silent, CALLED), (&fewer, CALLED))),
        removed("strengthen", "groups")
    );
    // The consumer loses a claim that no token can provide.
    let of_keys = |claim: &str, rights: &str| {
        let policy = format!(
            "policies:\n  free: {{kind: authorize, expression: \"!has(auth.claims.{claim})\"}}\n"
        );
        let gateway = edit(GATEWAY, "policies:\n", &policy);
        edit(&gateway, "acme: {keys", &format!("acme: {{{rights}keys"))
    };
    for (claim, class) in [("tier", "incomparable"), ("seat", "strengthen")] {
        let (old, new) = (of_keys(claim, "claims: {tier: gold}, "), of_keys(claim, ""));
        assert_eq!(
            lines(&plan((&old, DOCUMENT), (&new, DOCUMENT))),
            [format!(
                "security {class} consumer-right-removed consumer acme claims.tier"
            )]
        );
    }
}

#[test]
fn removed_token_consumer_splits_its_limits() {
    let app = "  app: {groups: [ops]}\n";
    assert_eq!(
        callers(app, ""),
        [
            "security incomparable consumer-right-removed consumer app groups",
            "security incomparable identity-field-changed consumer app request header x-caller",
            "security strengthen consumer-removed consumer app",
            "policy relax limit-key-changed policy each key, consumer app",
        ]
    );
    let without = edit(CALLERS, app, "");
    let back = lines(&plan((&without, CALLED), (CALLERS, CALLED)));
    assert!(
        back.contains(&"security grant consumer-added consumer app".to_owned()),
        "{back:?}"
    );
    // Add an expression that admits callers without a consumer.
    let reads = |gateway: &str| {
        edit(
            gateway,
            "!('held' in auth.groups)",
            "auth.consumer != 'app'",
        )
    };
    let (old, new) = (reads(CALLERS), reads(&without));
    let found = lines(&plan((&old, CALLED), (&new, CALLED)));
    assert!(
        found.contains(&"security incomparable consumer-removed consumer app".to_owned()),
        "{found:?}"
    );
    // Compare verifiers whose tokens name no consumer.
    let unnamed = |gateway: &str| edit(gateway, "consumer_claim: client_id, ", "");
    let (old, new) = (unnamed(CALLERS), unnamed(&without));
    assert_eq!(
        lines(&plan((&old, CALLED), (&new, CALLED))),
        [
            "security strengthen consumer-removed consumer app",
            "security strengthen consumer-right-removed consumer app groups",
        ]
    );
}

#[test]
fn removed_key_id_consumer_splits_its_limits() {
    let signed = |id: &str| {
        let verifier = format!(
            "staff: {{kind: basic}}, signed: {{kind: hmac_signature, secrets: {{{id}: \"${{env:GWS_A}}\"}}}}"
        );
        edit(GATEWAY, "staff: {kind: basic}", &verifier)
    };
    let key =
        "{keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}";
    let consumers = format!("consumers:\n  acme: {key}\n");
    let other = format!("consumers:\n  late: {key}\n");
    for (id, splits) in [("acme", true), ("late", false)] {
        let (old, new) = (signed(id), edit(&signed(id), &consumers, &other));
        let found = lines(&plan((&old, DOCUMENT), (&new, DOCUMENT)));
        let relaxed = "policy relax limit-key-changed policy slow key, consumer acme";
        assert_eq!(
            found.iter().any(|line| line == relaxed),
            splits,
            "{found:?}"
        );
    }
}

const EDGE: &str = "edge: {kind: headers, response: {remove: [Server]}}";

#[test]
fn fixed_value_of_any_field_is_access() {
    let with = |request: &str| {
        format!("edge: {{kind: headers, request: {{{request}}}, response: {{remove: [Server]}}}}")
    };
    const OTHER: (&str, &str) = ("incomparable", "incomparable");
    for (old, new, classes) in [
        (
            "set: {X-Privilege: guest}",
            "set: {X-Privilege: admin}",
            OTHER,
        ),
        ("set: {Db-Schema: a}", "set: {Db-Schema: b}", OTHER),
        // The upstream may assign requests without the field to another caller.
        ("set: {X-Privilege: guest}", "remove: [X-Privilege]", OTHER),
        (
            "set: {X-Privilege: guest}",
            "add: {X-Privilege: guest}",
            ("weaken", "strengthen"),
        ),
        (
            "remove: [X-A]",
            "set: {X-Privilege: guest}, remove: [X-A]",
            ("strengthen", "weaken"),
        ),
        // These fields restrict the requests of the client that sends them.
        ("add: {X-A: b}", "add: {X-A: b}, remove: [Origin]", OTHER),
        ("add: {X-A: b}", "add: {X-A: b}, remove: [Cookie]", OTHER),
        (
            "add: {X-A: b}",
            "add: {X-A: b}, remove: [Sec-Fetch-Site]",
            OTHER,
        ),
        ("add: {X-A: b}", "add: {X-A: b}, remove: [If-Match]", OTHER),
        (
            "add: {X-A: b}",
            "add: {X-A: b}, set: {If-Match: \"*\"}",
            OTHER,
        ),
    ] {
        let sides = (with(old), with(new));
        gateway(
            "identity-field-changed",
            EDGE,
            (&sides.0, &sides.1),
            classes,
        );
    }
    // If several policies set a field, the last policy applies.
    let two = format!(
        "one: {{kind: headers, request: {{set: {{X-Level: a}}}}}}\n  two: {{kind: headers, request: {{set: {{X-Level: b}}}}}}\n  {EDGE}"
    );
    let chain = |names: &str| {
        let gateway = edit(GATEWAY, EDGE, &two);
        edit(&gateway, "[slow, edge]", &format!("[slow, {names}, edge]"))
    };
    both(
        "identity-field-changed",
        (&chain("one, two"), DOCUMENT),
        (&chain("two, one"), DOCUMENT),
        OTHER,
    );
}

#[test]
fn value_of_a_harmless_field_is_no_access() {
    let with = |value: &str| {
        let edge = format!(
            "edge: {{kind: headers, request: {{set: {{{value}}}}}, response: {{remove: [Server]}}}}"
        );
        edit(GATEWAY, EDGE, &edge)
    };
    for (old, new) in [
        ("Accept-Language: en", "Accept-Language: de"),
        ("X-Request-Id: one", "X-Request-Id: two"),
    ] {
        let found = lines(&plan((&with(old), DOCUMENT), (&with(new), DOCUMENT)));
        assert!(
            found.iter().all(|line| line.starts_with("policy changed")),
            "{found:?}"
        );
    }
}

#[test]
fn fields_for_caches_servers_and_reports_are_access() {
    let edge = |response: &str| format!("edge: {{kind: headers, response: {{{response}}}}}");
    const ADDS: (&str, &str) = ("weaken", "incomparable");
    for (new, classes) in [
        ("set: {X-Accel-Expires: \"3600\"}", ("weaken", "strengthen")),
        (
            "set: {Expires: \"Thu, 01 Jan 2099 00:00:00 GMT\"}",
            ("weaken", "strengthen"),
        ),
        ("set: {Edge-Control: max-age=100}", ("weaken", "strengthen")),
        ("set: {Edge-Control: no-store}", ("strengthen", "weaken")),
        ("set: {No-Vary-Search: params}", ADDS),
        ("set: {X-Accel-Redirect: /internal}", ADDS),
        ("set: {X-Sendfile: /etc/x}", ADDS),
        ("set: {NEL: \"{}\"}", ADDS),
        ("set: {Report-To: \"{}\"}", ADDS),
        ("set: {Reporting-Endpoints: a}", ADDS),
        (
            "set: {Origin-Agent-Cluster: \"?0\"}",
            ("weaken", "strengthen"),
        ),
        ("set: {Activate-Storage-Access: load}", ADDS),
        ("set: {Supports-Loading-Mode: credentialed-prerender}", ADDS),
        ("set: {X-XSS-Protection: \"0\"}", ("weaken", "strengthen")),
        ("set: {Link: \"<https://e.example>; rel=preload\"}", ADDS),
        ("set: {SourceMap: \"https://e.example\"}", ADDS),
        ("set: {Speculation-Rules: a}", ADDS),
        ("set: {Access-Control-Max-Age: \"600\"}", ADDS),
        ("set: {Allow-CSP-From: \"*\"}", ADDS),
        ("set: {Permissions-Policy-Report-Only: a}", ADDS),
        ("set: {Accept-CH: Sec-CH-UA-Model}", ADDS),
        ("set: {X-LiteSpeed-Location: /internal}", ADDS),
        ("remove: [Integrity-Policy]", ("weaken", "strengthen")),
        ("remove: [Signature]", ("weaken", "strengthen")),
        ("remove: [X-WebKit-CSP]", ("weaken", "strengthen")),
        (
            "set: {X-DNS-Prefetch-Control: \"on\"}",
            ("weaken", "strengthen"),
        ),
        ("set: {X-Robots-Tag: all}", ("weaken", "strengthen")),
        (
            "set: {Document-Isolation-Policy: isolate-and-require-corp}",
            ("strengthen", "weaken"),
        ),
        // The upstream's cookie may end a session.
        ("remove: [Set-Cookie]", ("incomparable", "weaken")),
    ] {
        gateway(
            "response-field-changed",
            EDGE,
            (&edge("set: {X-Base: gwd}"), &edge(new)),
            classes,
        );
    }
}

#[test]
fn renamed_policy_starts_its_counters_again() {
    const SLOW: &str = "slow: {kind: rate_limit, limit: 10/s, burst: 5}";
    let restarted = |old: &str, new: &str| -> Vec<String> {
        let (old, new) = (edit(GATEWAY, SLOW, old), edit(GATEWAY, SLOW, new));
        let new = edit(&new, "[slow, edge]", "[late, edge]");
        let found = lines(&plan((&old, DOCUMENT), (&new, DOCUMENT))).into_iter();
        found.filter(|line| line.contains("restarted")).collect()
    };
    for (limit, class) in [
        ("{kind: quota, limit: 100, period: day}", "relax"),
        ("{kind: quota, limit: 100, period: minute}", "changed"),
        ("{kind: rate_limit, limit: 10/s, burst: 5}", "changed"),
        ("{kind: rate_limit, limit: 10/h, burst: 10}", "relax"),
    ] {
        assert_eq!(
            restarted(&format!("slow: {limit}"), &format!("late: {limit}")),
            [format!(
                "policy {class} policy-restarted policy slow -> late"
            )]
        );
    }
    let limit = "{kind: concurrency, limit: 5}";
    assert_eq!(
        restarted(&format!("slow: {limit}"), &format!("late: {limit}")),
        [""; 0]
    );
}

#[test]
fn leases_of_a_limit_relax_by_their_bound() {
    const SLOW: &str = "slow: {kind: rate_limit, limit: 10/s, burst: 5}";
    let with = |more: &str| {
        let slow = format!("slow: {{kind: rate_limit, limit: 10/s, burst: 5, store: s{more}}}");
        let stores = "stores: {s: {kind: redis, url: \"${env:STORE}\"}}\npolicies:";
        edit(&edit(GATEWAY, SLOW, &slow), "policies:", stores)
    };
    let (exact, synced) = (with(", sync: exact"), with(", sync: synced"));
    let shorter = with(", sync: synced, lease: 250ms");
    let found = |old: &str, new: &str| lines(&plan((old, DOCUMENT), (new, DOCUMENT)));
    assert_eq!(
        found(&exact, &synced),
        [
            "policy relax policy-changed policy slow over_admission",
            "policy relax policy-changed policy slow sync",
        ]
    );
    assert_eq!(
        found(&synced, &exact),
        [
            "policy tighten policy-changed policy slow over_admission",
            "policy tighten policy-changed policy slow sync",
        ]
    );
    assert_eq!(
        found(&synced, &shorter),
        [
            "policy tighten policy-changed policy slow over_admission",
            "policy changed policy-changed policy slow lease",
        ]
    );
}

#[test]
fn x_ratelimit_fields_are_only_changed() {
    const SLOW: &str = "slow: {kind: rate_limit, limit: 10/s, burst: 5}";
    let with = edit(
        GATEWAY,
        SLOW,
        "slow: {kind: rate_limit, limit: 10/s, burst: 5, x_ratelimit: true}",
    );
    let unset = edit(
        GATEWAY,
        SLOW,
        "slow: {kind: rate_limit, limit: 10/s, burst: 5, x_ratelimit: false}",
    );
    for (old, new) in [(GATEWAY, &*with), (&*with, GATEWAY)] {
        let found = lines(&plan((old, DOCUMENT), (new, DOCUMENT)));
        assert_eq!(
            found,
            ["policy changed policy-changed policy slow x_ratelimit"]
        );
    }
    let found = lines(&plan((GATEWAY, DOCUMENT), (&unset, DOCUMENT)));
    assert!(
        found.iter().all(|line| line.contains("restated")),
        "{found:?}"
    );
}

#[test]
fn later_sunset_relaxes() {
    let with = |sunset: &str| {
        edit(
            DOCUMENT,
            "{operationId: listOrders, summary: List,",
            &format!(
                "{{operationId: listOrders, x-gateway: {{deprecated: {{{sunset}}}}}, summary: List,"
            ),
        )
    };
    let (soon, late) = (with("sunset: 2098-01-01"), with("sunset: 2099-01-01"));
    for (old, new) in [(&soon, &late), (&soon, &with("since: 2026-01-01"))] {
        both(
            "sunset-changed",
            (GATEWAY, old),
            (GATEWAY, new),
            ("relax", "tighten"),
        );
    }
    // The policy is added, removed, or replaced by another policy.
    let policy = |sunset: &str| {
        let policy = format!("policies:\n  leaving: {{kind: deprecation, sunset: {sunset}}}\n");
        let used = edit(
            GATEWAY,
            "policies: [slow, edge]",
            "policies: [slow, edge, leaving]",
        );
        edit(&used, "policies:\n", &policy)
    };
    let (soon, late) = (policy("2098-01-01"), policy("2099-01-01"));
    let late = late.replace("leaving", "later");
    for (old, new) in [(&*soon, GATEWAY), (&soon, &late)] {
        both(
            "sunset-changed",
            (old, DOCUMENT),
            (new, DOCUMENT),
            ("relax", "tighten"),
        );
    }
    // Both dates are in the past, so no version serves the operation.
    let (old, new) = (with("sunset: 2020-01-01"), with("sunset: 2021-01-01"));
    let mut plan = plan((GATEWAY, &old), (GATEWAY, &new));
    plan.ended_by("2031-05-01");
    assert_eq!(lines(&plan), ["policy changed sunset-changed a/listOrders"]);
}

#[test]
fn rewritten_cookies_are_incomparable() {
    const UPSTREAM: &str = "u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}";
    let with = UPSTREAM.replace("}}}", "}}, rewrite_responses: [cookies]}");
    gateway(
        "upstream-setting-changed",
        UPSTREAM,
        (UPSTREAM, &with),
        ("incomparable", "incomparable"),
    );
}

#[test]
fn longer_introspection_relaxes() {
    const STAFF: &str = "staff: {kind: basic}";
    let with = |timeout: &str| {
        format!(
            "{STAFF}, asked: {{kind: introspection, url: \"https://i.test/in\", client_id: g, client_secret: \"${{env:GWS_I}}\"{timeout}}}"
        )
    };
    gateway(
        "verifier-changed",
        STAFF,
        (&with(""), &with(", timeout: 20s")),
        ("relax", "tighten"),
    );
}

#[test]
fn review_of_a_new_operation_covers_no_larger_body() {
    let exposed = |limit: &str| {
        let added = format!(
            "  /status:\n    post: {{operationId: putStatus, x-gateway: {{max_body: {limit}}}, responses: {{\"200\": {{description: fine}}}}}}\n"
        );
        let document = edit(DOCUMENT, "  /status:\n", &added);
        let plan = plan((GATEWAY, DOCUMENT), (GATEWAY, &document));
        let mut all = plan.changes.into_iter();
        let exposed = all.find(|change| change.id == "operation-exposed");
        exposed.expect("it is exposed").fingerprint
    };
    assert_eq!(exposed("1MiB"), exposed("1024KiB"));
    assert_ne!(exposed("1MiB"), exposed("100GiB"));
}

/// Plan of a project whose environments (name, rate) change the rate from 10/s to these rates.
fn rates(rates: &[(&str, &str)]) -> Plan {
    let of = |rate: &str| {
        let text = edit(GATEWAY, "limit: 10/s", &format!("limit: {rate}"));
        side(&[("gateway.yaml", &text), ("api.yaml", DOCUMENT)])
    };
    let pairs = rates.iter().map(|(environment, rate)| Pair {
        environment: (*environment).to_owned(),
        old: Some(of("10/s")),
        new: Some(of(rate)),
        is_beside: false,
    });
    let pairs: Vec<Pair> = pairs.collect();
    compare_each(&pairs, None)
        .expect("it builds")
        .expect("a plan")
}

#[test]
fn review_of_an_environment_covers_no_other() {
    let line = |plan: &Plan| {
        let mut all = plan.changes.iter();
        let line = all.find(|change| change.id == "rate-changed");
        line.expect("the rate differs").clone()
    };
    let (test, prod) = (rates(&[("test", "20/s")]), rates(&[("prod", "20/s")]));
    let all = rates(&[("test", "20/s"), ("prod", "20/s")]);
    let stage = rates(&[("test", "20/s"), ("prod", "20/s"), ("stage", "20/s")]);
    let fingerprints: BTreeSet<String> = [&test, &prod, &all, &stage]
        .map(|plan| line(plan).fingerprint)
        .into();
    assert_eq!(fingerprints.len(), 4);
    let none = rates(&[("", "20/s")]);
    assert_eq!(line(&none).fingerprint, line(&none).base);
    let ack = |plan: &Plan| Acknowledgement {
        fingerprint: line(plan).fingerprint,
        environments: Some(line(plan).environments),
        reason: Some("meant".into()),
        ..Acknowledgement::default()
    };
    let goes = |plan: &Plan, given: &[Acknowledgement]| {
        let gates = vec!["relax".to_owned()];
        let review = Review::new(plan, gates, None, given.to_vec(), 0);
        review.tripped(plan).is_empty()
    };
    // The acknowledgement for two environments also applies to each of them alone.
    for plan in [&test, &prod, &all] {
        assert!(goes(plan, &[ack(&all)]));
    }
    assert!(!goes(&stage, &[ack(&all)]));
    assert!(!goes(&prod, &[ack(&test)]));
    assert!(!goes(&all, &[ack(&test)]));
    assert!(goes(&all, &[ack(&test), ack(&prod)]));
    // The names of environments are part of the fingerprint.
    let wider = Acknowledgement {
        environments: Some(line(&all).environments),
        ..ack(&test)
    };
    assert!(!goes(&prod, &[wider]));
    // An acknowledgement on the command line applies to the environments of the plan.
    let option = |plan: &Plan| Acknowledgement {
        environments: None,
        ..ack(plan)
    };
    assert!(goes(&all, &[option(&all)]));
    assert!(!goes(&prod, &[option(&all)]));
}

#[test]
fn requests_of_a_sliding_window_count_as_its_rate() {
    // Cases: old limit, new limit, and the classes of the expected lines.
    for (old, new, expected) in [
        ("5/s", "5/s", &[][..]),
        ("5/s", "300/min", &["relax window-limit-changed"]),
        ("300/min", "18000/h", &["relax window-limit-changed"]),
        ("300/min", "5/s", &["tighten window-limit-changed"]),
        (
            "5/s",
            "17999/h",
            &["tighten rate-changed", "relax window-limit-changed"],
        ),
        ("5/s", "5/min", &["tighten rate-changed"]),
        (
            "5/s",
            "6/s",
            &["relax rate-changed", "relax window-limit-changed"],
        ),
    ] {
        let of = |limit: &str| {
            let slow = format!("limit: {limit}, algorithm: sliding_window");
            edit(&edit(GATEWAY, "limit: 10/s", &slow), ", burst: 5", "")
        };
        let plan = plan((&of(old), DOCUMENT), (&of(new), DOCUMENT));
        let lines = plan.changes.iter();
        let lines = lines.filter(|change| change.id.ends_with("-changed"));
        let mut found: Vec<String> = lines
            .map(|change| format!("{} {}", change.class.name(), change.id))
            .collect();
        found.sort();
        let mut expected: Vec<&str> = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{old} {new}");
        let relaxes = expected.iter().any(|line| line.starts_with("relax"));
        assert_eq!(
            plan.tripped(&["relax".into()], &[]).is_empty(),
            !relaxes,
            "{old} {new}"
        );
    }
}

#[test]
fn forwarding_field_that_is_dropped_is_incomparable() {
    let with = |fields: &str| {
        format!(
            "{GATEWAY}listeners: {{public: {{address: \"127.0.0.1:8080\", \
             trusted_proxies: [10.0.0.0/8], forwarding_fields: [{fields}]}}}}\n"
        )
    };
    let (all, few) = (
        with("x-forwarded-for, x-forwarded-host"),
        with("x-forwarded-for"),
    );
    let other = with("x-forwarded-for, x-forwarded-proto");
    for (old, new, class) in [
        (&all, &few, "incomparable"),
        (&few, &all, "weaken"),
        (&all, &other, "incomparable"),
    ] {
        let line =
            format!("security {class} forwarding-fields-changed listener public forwarding_fields");
        assert_eq!(lines(&plan((old, DOCUMENT), (new, DOCUMENT))), [line]);
    }
}
