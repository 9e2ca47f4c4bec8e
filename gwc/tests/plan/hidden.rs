//! Tests of changes that a renaming, a default or another file could hide.

use model::compile::Purpose;
use plan::{self, Plan, Side};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: t, version: "1"}
security: [{token: []}]
paths:
  /a: {get: {operationId: one, responses: {"200": {description: fine}}}}
  /b: {get: {operationId: two, x-gateway: {upstream: v, policies: []}, responses: {"200": {description: fine}}}}
components: {securitySchemes: {token: {type: http, scheme: bearer, x-gateway: {auth: VERIFIER}}}}
"#;

/// Settings of a gateway.yaml: upstreams, verifiers, policies, and the policies of every operation.
struct Project {
    upstreams: &'static str,
    auth: &'static str,
    policies: &'static str,
    keys: &'static str,
    hosts: &'static str,
}

const PLAIN: Project = Project {
    upstreams: r#"u: {targets: {a: {url: "http://u.org:80"}}}, v: {targets: {a: {url: "http://v.org:80"}}}"#,
    auth: "idp: {kind: api_key}",
    policies: "p: {kind: timeout, request: 5s}",
    keys: "{}",
    hosts: "api.org",
};

fn side(project: &Project) -> Side {
    let Project {
        upstreams,
        auth,
        policies,
        keys,
        hosts,
    } = project;
    let (name, _) = policies.split_once(':').expect("a policy");
    let verifier = if auth.contains("bound:") {
        "bound"
    } else {
        "idp"
    };
    let gateway = format!(
        "version: 1\nname: s\napis: {{a: {{path: api.yaml, mount: {{hosts: [{hosts}]}}}}}}\nupstreams: {{{upstreams}}}\nauth: {{{auth}}}\npolicies: {{{policies}}}\ndefaults: {{upstream: u, policies: [{name}]}}\n"
    );
    built(&gateway, verifier, keys)
}

fn built(gateway: &str, verifier: &str, keys: &str) -> Side {
    let document = DOCUMENT.replace("VERIFIER", verifier);
    let files = [
        ("gateway.yaml", gateway),
        ("api.yaml", document.as_str()),
        ("keys.json", keys),
    ];
    crate::compiled(&files, Purpose::Route).unwrap_or_else(|errors| panic!("{errors}"))
}

fn planned(old: &Project, new: &Project) -> Plan {
    let plan = plan::compare(Some(&side(old)), &side(new)).expect("both sides build");
    assert_eq!(plan.bugs, Vec::<String>::new());
    plan
}

/// Changes as lines `CLASS ID SUBJECT`.
fn lines(old: &Project, new: &Project) -> Vec<String> {
    let plan = planned(old, new);
    let line =
        |change: &plan::Change| format!("{} {} {}", change.class.name(), change.id, change.subject);
    plan.changes.iter().map(line).collect()
}

#[test]
fn unset_keys_of_a_verifier_have_their_defaults() {
    let dpop = r#"idp: {kind: jwt, issuer: "https://i", audience: [a], jwks_url: "https://i/k", algorithms: [RS256]}, bound: {kind: dpop, token: idp"#;
    let oidc = r#"idp: {kind: oidc, issuer: "https://i", client_id: c, client_secret: "${env:GWS_S}", redirect_path: /cb, session: {secret: "${env:GWS_K}"}"#;
    let jwt = r#"idp: {kind: jwt, issuer: "https://i", audience: [a], jwks_url: "https://i/k", algorithms: [RS256]"#;
    let cases = [
        (dpop, "algorithms: [ES256]", "equal"),
        (dpop, "algorithms: [ES256, RS256]", "weaken"),
        (oidc, "audience: [x]", "weaken"),
        (oidc, "audience: [c]", "equal"),
        (
            jwt,
            "scope_claim: scope, groups_claim: groups, leeway: 60s",
            "equal",
        ),
        (jwt, "consumer_claim: email", "incomparable"),
    ];
    let opposite = |class: &str| {
        match class {
            "weaken" => "strengthen",
            "strengthen" => "weaken",
            same => same,
        }
        .to_owned()
    };
    let mut wrong = Vec::new();
    for (verifier, key, expected) in cases {
        let with = |text: String| Project {
            auth: text.leak(),
            ..PLAIN
        };
        let without = with(format!("{verifier}}}"));
        let written = with(format!("{verifier}, {key}}}"));
        for (old, new, expected) in [
            (&without, &written, expected.to_owned()),
            (&written, &without, opposite(expected)),
        ] {
            let plan = planned(old, new);
            let classes = plan
                .changes
                .iter()
                .filter(|change| change.id == "verifier-changed" && change.subject == "security");
            let classes: Vec<&str> = classes.map(|change| change.class.name()).collect();
            let found = match classes[..] {
                [] if plan
                    .changes
                    .iter()
                    .all(|change| change.id == "setting-restated") =>
                {
                    "equal"
                }
                [class] => class,
                _ => "several",
            };
            if found != expected {
                wrong.push(format!(
                    "{key}: {found}, not {expected}: {:?}",
                    plan.changes
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn sni_equal_to_the_host_is_restated_only() {
    let with = |upstreams| Project { upstreams, ..PLAIN };
    let silent = with(
        r#"u: {targets: {a: {url: "https://u.org:443"}}}, v: {targets: {a: {url: "http://v.org:80"}}}"#,
    );
    let own = with(
        r#"u: {targets: {a: {url: "https://u.org:443"}}, tls: {sni: u.org}}, v: {targets: {a: {url: "http://v.org:80"}}}"#,
    );
    let other = with(
        r#"u: {targets: {a: {url: "https://u.org:443"}}, tls: {sni: w.org}}, v: {targets: {a: {url: "http://v.org:80"}}}"#,
    );
    assert_eq!(
        lines(&silent, &own),
        ["changed setting-restated upstream u tls.sni"]
    );
    assert_eq!(
        lines(&silent, &other),
        ["incomparable upstream-name-changed upstream u tls.sni"]
    );
}

#[test]
fn a_new_name_of_a_policy_hides_none_of_its_numbers() {
    let with = |policies| Project { policies, ..PLAIN };
    let old = with("p: {kind: rate_limit, limit: 10/s, burst: 5}");
    let new = with("q: {kind: rate_limit, limit: 1000000/s, burst: 2}");
    assert_eq!(
        lines(&old, &new),
        [
            "relax rate-changed policies p -> q limit",
            "tighten burst-changed policies p -> q burst",
            "changed policy-restarted policy p -> q",
            "changed policies-changed policies",
        ]
    );
    let other_kind = with("q: {kind: timeout, request: 5s}");
    let found = lines(&old, &other_kind);
    assert!(!found.iter().any(|line| line.contains("->")), "{found:?}");
}

#[test]
fn a_new_name_of_a_target_hides_no_downgrade() {
    let with = |upstreams| Project { upstreams, ..PLAIN };
    let old = with(
        r#"u: {targets: {a: {url: "https://u.org:443"}}}, v: {targets: {a: {url: "http://v.org:80"}}}"#,
    );
    let renamed = with(
        r#"u: {targets: {b: {url: "http://u.org:80"}}}, v: {targets: {a: {url: "http://v.org:80"}}}"#,
    );
    let beside = with(
        r#"u: {targets: {a: {url: "https://u.org:443"}, b: {url: "http://u.org:80"}}}, v: {targets: {a: {url: "http://v.org:80"}}}"#,
    );
    let weaker = "weaken upstream-protocol-changed upstream u targets".to_owned();
    assert!(lines(&old, &renamed).contains(&weaker));
    assert!(lines(&old, &beside).contains(&weaker));
    let stronger = "strengthen upstream-protocol-changed upstream u targets".to_owned();
    assert!(lines(&beside, &old).contains(&stronger));
}

#[test]
fn a_secret_that_reaches_another_host_is_a_change() {
    let policies = r#"p: {kind: headers, request: {set: {X-T: "${env:GWS_T}"}}}"#;
    let old = Project { policies, ..PLAIN };
    let moved = Project {
        policies,
        upstreams: r#"u: {targets: {a: {url: "http://w.org:80"}}}, v: {targets: {a: {url: "http://v.org:80"}}}"#,
        ..PLAIN
    };
    let plan = planned(&old, &moved);
    let mut flows = plan
        .changes
        .iter()
        .filter(|change| change.id == "secret-flow-added");
    let flow = flows.next().expect("a line");
    assert_eq!(flow.subject, "policy p request.set.x-t");
    assert_eq!(flow.new, "${env:GWS_T} to upstream u, w.org");
    assert_eq!(flow.operations, ["a/one"]);
    assert!(flows.next().is_none());
    // The renamed upstream has the same hosts, so the secret goes to the same hosts as before.
    assert_eq!(planned(&old, &old).changes.len(), 0);
}

#[test]
fn changed_content_of_a_key_file_is_reported() {
    let auth = r#"idp: {kind: jwt, issuer: "https://i", audience: [a], jwks_file: keys.json, algorithms: [EdDSA]}"#;
    let key = |x: &str| format!(r#"{{"keys": [{{"kty": "OKP", "crv": "Ed25519", "x": "{x}"}}]}}"#);
    let old = Project {
        auth,
        keys: key("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").leak(),
        ..PLAIN
    };
    let other = Project {
        auth,
        keys: key("O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik").leak(),
        ..PLAIN
    };
    assert_eq!(
        lines(&old, &other),
        ["incomparable verifier-changed security"]
    );
}

#[test]
fn host_of_a_wildcard_reports_its_own_mount() {
    let old = Project {
        hosts: r#""*.x.org""#,
        ..PLAIN
    };
    let new = Project {
        hosts: r#""*.x.org", api.x.org"#,
        ..PLAIN
    };
    let plan = planned(&old, &new);
    let change = plan.changes.first().expect("a line");
    assert_eq!((change.id, plan.changes.len()), ("mount-hosts-changed", 1));
    assert_eq!(change.section.name(), "routing");
    let place = change.source_new.as_ref().expect("a place");
    assert_eq!((place.file.as_str(), place.line), ("gateway.yaml", 3));
}

/// Fingerprint of the only change with this id.
fn fingerprint(plan: &Plan, id: &str) -> String {
    let found: Vec<&plan::Change> = plan.changes.iter().filter(|one| one.id == id).collect();
    assert_eq!(found.len(), 1, "{id}");
    found[0].fingerprint.clone()
}

#[test]
fn acknowledged_policy_list_binds_their_definitions() {
    let with = |policies| Project { policies, ..PLAIN };
    let few = with("q: {kind: headers, request: {set: {X-A: a}}}");
    let many = with("q: {kind: headers, request: {set: {X-A: b}}}");
    let named = |new: &Project| fingerprint(&planned(&PLAIN, new), "policies-changed");
    assert_ne!(named(&few), named(&many));
    assert_eq!(named(&few), named(&few));
}

#[test]
fn acknowledged_drop_binds_the_remaining_users() {
    let gateway = |rest: &str| {
        let text = format!(
            "version: 1\nname: s\napis: {{a: {{path: api.yaml}}}}\nupstreams: {{u: {{targets: {{a: {{url: \"http://u.org\"}}}}}}, v: {{targets: {{a: {{url: \"http://v.org\"}}}}}}}}\nauth: {{idp: {{kind: api_key}}}}\npolicies: {{waf: {{kind: threat, json: {{depth: 32}}}}}}\n{rest}"
        );
        built(&text, "idp", "{}")
    };
    let required = gateway("required: {policies: [waf]}\ndefaults: {upstream: u}\n");
    let kept = gateway("defaults: {upstream: u, policies: [waf]}\n");
    let lost = gateway("defaults: {upstream: u}\nrequired: {auth: [idp]}\n");
    let named = |new: &Side| {
        let plan = plan::compare(Some(&required), new).expect("both sides build");
        fingerprint(&plan, "required-policy-dropped")
    };
    assert_ne!(named(&kept), named(&lost));
}
