//! Changes of the credentials that determine who a caller is.

use crate::{edit, lines, plan};

const GATEWAY: &str = "version: 1
name: s
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://u.internal\"}}}}
auth:
  one: {kind: jwt, issuer: \"https://one.example\", audience: [s], algorithms: [ES256], jwks_url: \"https://one.example/keys\"}
  again: {kind: jwt, issuer: \"https://one.example\", audience: [s], algorithms: [ES256], jwks_url: \"https://one.example/keys\", groups_claim: teams}
  two: {kind: jwt, issuer: \"https://two.example\", audience: [s], algorithms: [ES256], jwks_url: \"https://two.example/keys\"}
  keys: {kind: api_key}
consumers: {acme: {groups: [admin], keys: [{sha256: \"0000000000000000000000000000000000000000000000000000000000000001\"}]}, beta: {}}
policies: {admins: {kind: authorize, groups: [admin]}}
defaults: {upstream: u, timeout: 5s}
";

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
paths:
  /a: {get: {operationId: a, security: [{xt: []}], x-gateway: {policies: [admins]}, responses: {\"200\": {description: ok}}}}
components:
  securitySchemes:
    xt: {type: apiKey, in: header, name: X-Token, x-gateway: {auth: one}}
    yt: {type: apiKey, in: header, name: X-Token, x-gateway: {auth: again}}
    be: {type: http, scheme: bearer, x-gateway: {auth: two}}
    ke: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
";

/// Requirement of the operation in [`DOCUMENT`].
const SECURITY: &str = "[{xt: []}]";

/// The policy of the operation in [`DOCUMENT`].
const POLICIES: &str = "x-gateway: {policies: [admins]}";

/// Classes of the lines in the section SECURITY about the requirement of the operation, for a
/// changed requirement of [`DOCUMENT`] with these policies.
fn classes(old: &str, new: &str, policies: &str) -> Vec<String> {
    let document = edit(DOCUMENT, POLICIES, policies);
    let side = |security: &str| edit(&document, SECURITY, security);
    found((GATEWAY, &side(old)), (GATEWAY, &side(new)))
}

fn found(old: (&str, &str), new: (&str, &str)) -> Vec<String> {
    let mut classes: Vec<String> = lines(&plan(old, new))
        .iter()
        .filter_map(|line| line.strip_prefix("security "))
        .filter(|line| line.contains("security-requirement-") || line.contains("verifier-changed"))
        .filter_map(|line| Some(line.split_once(' ')?.0.to_owned()))
        .collect();
    classes.dedup();
    classes
}

#[test]
fn another_token_beside_decides_about_groups() {
    for new in ["[{xt: [], be: []}]", "[{xt: [], ke: []}]"] {
        assert_eq!(classes(SECURITY, new, POLICIES), ["incomparable"], "{new}");
        assert_eq!(
            classes(SECURITY, new, "x-gateway: {}"),
            ["strengthen"],
            "{new}"
        );
    }
}

#[test]
fn another_token_beside_decides_about_passed_claims() {
    let passing = "x-gateway: {auth: one, claims_to_headers: {email: X-Email}}";
    let document = edit(DOCUMENT, "x-gateway: {auth: one}", passing);
    let document = edit(&document, POLICIES, "x-gateway: {}");
    let after = edit(&document, SECURITY, "[{xt: [], be: []}]");
    assert_eq!(
        found((GATEWAY, &document), (GATEWAY, &after)),
        ["incomparable"]
    );
}

#[test]
fn earlier_alternative_decides_about_groups() {
    let (one, both) = (SECURITY, "[{xt: [], be: []}, {xt: []}]");
    assert_eq!(classes(one, both, POLICIES), ["weaken"]);
    assert_eq!(classes(both, one, POLICIES), ["strengthen"]);
    // An alternative that is never reached decides about nothing.
    let absorbed = "[{xt: []}, {xt: [], be: []}]";
    assert_eq!(classes(one, absorbed, POLICIES), [""; 0]);
    assert_eq!(
        classes(absorbed, "[{xt: [], be: []}]", POLICIES),
        ["incomparable"]
    );
}

#[test]
fn order_of_verifiers_decides_about_groups() {
    let (first, second) = ("[{xt: []}, {yt: []}]", "[{yt: []}, {xt: []}]");
    assert_eq!(classes(first, second, POLICIES), ["incomparable"]);
    assert_eq!(classes(first, second, "x-gateway: {}"), [""; 0]);
    // Tokens of different issuers never satisfy both.
    assert_eq!(
        classes("[{xt: []}, {be: []}]", "[{be: []}, {xt: []}]", POLICIES),
        [""; 0]
    );
    assert_eq!(classes(SECURITY, second, POLICIES), ["incomparable"]);
}

#[test]
fn optional_tokens_decide_about_groups() {
    let optional = edit(DOCUMENT, SECURITY, "[{xt: []}, {}]");
    let public = edit(
        &optional,
        POLICIES,
        "x-gateway: {policies: [admins], public: true}",
    );
    let unread = edit(&optional, POLICIES, "x-gateway: {public: true}");
    let strict = edit(
        GATEWAY,
        "audience: [s], ",
        "audience: [s], required_claims: [mfa], ",
    );
    for (old, from, to, class) in [
        (
            GATEWAY,
            "https://one.example/keys",
            "https://evil.example/keys",
            "incomparable",
        ),
        (
            GATEWAY,
            "issuer: \"https://one.example\"",
            "issuer: \"https://evil.example\"",
            "incomparable",
        ),
        (GATEWAY, "audience: [s]", "audience: [s, t]", "weaken"),
        (GATEWAY, "audience: [s, t]", "audience: [s]", "strengthen"),
        (&strict, "required_claims: [mfa], ", "", "weaken"),
        (
            GATEWAY,
            "[ES256], jwks_url: \"https://one",
            "[ES256], groups_claim: g, jwks_url: \"https://one",
            "incomparable",
        ),
        (
            GATEWAY,
            "algorithms: [ES256]",
            "algorithms: [ES256, RS256]",
            "weaken",
        ),
    ] {
        let (old, new) = match old.contains(from) {
            true => (old.to_owned(), old.replacen(from, to, 1)),
            false => (old.replacen(to, from, 1), old.to_owned()),
        };
        let sides = |document| found((&old, document), (&new, document));
        assert_eq!(sides(&public), [class], "{from} {to}");
        // Consumers exist, and upstreams receive their names.
        assert_eq!(sides(&unread), [class], "{from} {to}");
    }
}

#[test]
fn consumer_that_contradicts_another_is_removed() {
    let claimed = edit(
        GATEWAY,
        "audience: [s]",
        "audience: [s], consumer_claim: client_id",
    );
    let document = edit(DOCUMENT, SECURITY, "[{xt: [], ke: []}]");
    let fewer = edit(&claimed, ", beta: {}}", "}");
    assert_eq!(
        found((&claimed, &document), (&fewer, &document)),
        ["weaken"]
    );
    // The id of a signature's key names a consumer, too.
    let signed = edit(
        GATEWAY,
        "  keys: {kind: api_key}\n",
        "  keys: {kind: api_key}\n  signed: {kind: hmac_signature, secrets: {beta: \"${env:GWS_B}\"}}\n",
    );
    let document = edit(
        &document,
        "    ke: ",
        "    si: {type: apiKey, in: header, name: Signature, x-gateway: {auth: signed}}\n    ke: ",
    );
    let document = edit(&document, "[{xt: [], ke: []}]", "[{si: [], ke: []}]");
    let fewer = edit(&signed, ", beta: {}}", "}");
    assert_eq!(found((&signed, &document), (&fewer, &document)), ["weaken"]);
}

#[test]
fn alternative_that_passes_no_name_has_a_line() {
    let both = edit(
        DOCUMENT,
        "x-gateway: {auth: one}",
        "x-gateway: {auth: one, forward_as: X-User}",
    );
    let both = edit(
        &both,
        "x-gateway: {auth: two}",
        "x-gateway: {auth: two, forward_as: X-User}",
    );
    let both = edit(&both, SECURITY, "[{xt: []}, {be: []}]");
    let one = edit(&both, "auth: two, forward_as: X-User", "auth: two");
    for (old, new) in [(&both, &one), (&one, &both)] {
        let found = lines(&plan((GATEWAY, old), (GATEWAY, new)));
        let is_reported = |line: &String| {
            line.starts_with("security incomparable identity-field-changed")
                || line.starts_with("security weaken identity-field-changed")
        };
        assert!(found.iter().any(is_reported), "{found:?}");
    }
}

#[test]
fn signatures_without_consumers_name_callers() {
    let gateway = edit(
        GATEWAY,
        "  keys: {kind: api_key}\n",
        "  keys: {kind: api_key}\n  signed: {kind: hmac_signature, secrets: {acme: \"${env:GWS_A}\"}}\n",
    );
    let consumers = gateway.find("consumers: ").expect("consumers");
    let end = consumers + gateway[consumers..].find('\n').expect("a line") + 1;
    let gateway = [&gateway[..consumers], &gateway[end..]].concat();
    let document = edit(
        DOCUMENT,
        "    ke: ",
        "    si: {type: apiKey, in: header, name: Signature, x-gateway: {auth: signed, forward_as: X-User}}\n    ke: ",
    );
    let document = edit(&document, SECURITY, "[{si: []}, {}]");
    let document = edit(&document, POLICIES, "x-gateway: {public: true}");
    let more = edit(
        &gateway,
        "{acme: \"${env:GWS_A}\"}",
        "{acme: \"${env:GWS_A}\", beta: \"${env:GWS_B}\"}",
    );
    assert_eq!(found((&gateway, &document), (&more, &document)), ["weaken"]);
}

#[test]
fn second_factor_is_stronger() {
    // The first token still determines the principal, and the second one names no consumer.
    let both = "[{be: [], xt: []}]";
    assert_eq!(classes("[{be: []}]", both, POLICIES), ["strengthen"]);
    assert_eq!(classes(both, "[{be: []}]", POLICIES), ["weaken"]);
}

#[test]
fn issuer_that_newly_names_consumers_has_a_line() {
    let two = "issuer: \"https://two.example\", ";
    let naming = format!("{two}consumer_claim: client_id, ");
    let gateway = edit(GATEWAY, two, &naming);
    let document = edit(DOCUMENT, POLICIES, "x-gateway: {}");
    let both = edit(&document, SECURITY, "[{xt: [], be: []}, {xt: []}]");
    let sides = |gateway: &str| found((gateway, &document), (gateway, &both));
    assert_eq!(sides(&gateway), ["weaken"]);
    // Without a claim, tokens of the issuer belong to no consumer.
    assert_eq!(sides(GATEWAY), [""; 0]);
}
