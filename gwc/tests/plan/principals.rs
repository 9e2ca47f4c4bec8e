//! Tests of changes of the credentials that determine the identity of a caller.

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
    up: {type: apiKey, in: header, name: X-Own, x-gateway: {verify: upstream}}
";

/// Security requirement of the operation in [`DOCUMENT`].
const SECURITY: &str = "[{xt: []}]";

/// The policy of the operation in [`DOCUMENT`].
const POLICIES: &str = "x-gateway: {policies: [admins]}";

/// Classes of the lines in the section SECURITY about a change of the operation's requirement in
/// [`DOCUMENT`], with these policies of the operation.
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
    let bare = "x-gateway: {}";
    for (new, alone) in [
        ("[{xt: [], be: []}]", "strengthen"),
        // The key adds the name of a consumer, which the upstream receives.
        ("[{xt: [], ke: []}]", "incomparable"),
    ] {
        assert_eq!(classes(SECURITY, new, POLICIES), ["incomparable"], "{new}");
        assert_eq!(classes(SECURITY, new, bare), [alone], "{new}");
    }
}

#[test]
fn optional_key_beside_a_token_names_a_consumer() {
    let bare = "x-gateway: {}";
    let named = "[{xt: [], ke: []}, {xt: []}]";
    assert_eq!(classes(SECURITY, named, bare), ["weaken"]);
    assert_eq!(classes(named, SECURITY, bare), ["strengthen"]);
    let upstream = "[{up: []}]";
    let named = "[{up: [], ke: []}, {up: []}]";
    assert_eq!(classes(upstream, named, bare), ["weaken"]);
}

#[test]
fn another_token_beside_writes_its_own_fields() {
    let passing = |document: &str, scheme: &str| {
        let with = format!("{scheme}, forward_as: X-User, claims_to_headers: {{mail: X-Mail}}}}");
        edit(document, &format!("{scheme}}}"), &with)
    };
    let bare = edit(DOCUMENT, POLICIES, "x-gateway: {}");
    let one = passing(&bare, "{auth: one");
    let two = passing(&bare, "{auth: two");
    let sides = |document: &str, old: &str, new: &str| {
        let side = |security: &str| edit(document, SECURITY, security);
        found((GATEWAY, &side(old)), (GATEWAY, &side(new)))
    };
    let (alone, both) = (SECURITY, "[{xt: [], be: []}]");
    // Only the first token's scheme writes fields.
    assert_eq!(sides(&one, alone, both), ["strengthen"]);
    // The other token's scheme writes the same fields, in addition or instead.
    assert_eq!(
        sides(&passing(&one, "{auth: two"), alone, both),
        ["incomparable"]
    );
    assert_eq!(sides(&two, alone, both), ["incomparable"]);
    // The name of a consumer takes precedence over the subject of the token.
    assert_eq!(sides(&one, alone, "[{xt: [], ke: []}]"), ["incomparable"]);
    // Another alternative writes the field too, but not for this request.
    let (from, to) = ("[{xt: []}]", "[{ke: [], yt: []}, {up: [], xt: []}]");
    assert_eq!(sides(&one, from, to), ["incomparable"]);
}

/// [`GATEWAY`] with two verifiers of certificates: of the connection, and of a trusted proxy.
fn certified(direct: &str, proxied: &str) -> String {
    let gateway = edit(
        GATEWAY,
        "  keys: {kind: api_key}\n",
        &format!("  keys: {{kind: api_key}}\n  {direct}\n  {proxied}\n"),
    );
    let listener = "listeners:
  public:
    address: \"127.0.0.1:8443\"
    protocol: https
    trusted_proxies: [10.0.0.0/8]
    tls: {certificates: {main: {cert: \"${file:/run/tls.pem}\", key: \"${file:/run/tls.key}\"}}, client_auth: {ca: \"${file:/run/ca.pem}\", mode: optional}}
";
    format!("{gateway}{listener}")
}

#[test]
fn proxy_and_user_have_different_credentials() {
    let (first, second) = ("[{xt: []}, {ke: []}]", "[{ke: []}, {xt: []}]");
    assert_eq!(classes(first, second, POLICIES), ["incomparable"]);
    assert_eq!(classes(first, second, "x-gateway: {}"), ["weaken"]);
    let gateway = certified(
        "direct: {kind: mtls}",
        "proxied: {kind: mtls, header: Client-Cert}",
    );
    let document = edit(
        DOCUMENT,
        "    ke: ",
        "    di: {type: mutualTLS, x-gateway: {auth: direct}}\n    pr: {type: mutualTLS, x-gateway: {auth: proxied}}\n    ke: ",
    );
    let side = |security: &str| edit(&document, SECURITY, security);
    let (first, second) = (side("[{pr: []}, {di: []}]"), side("[{di: []}, {pr: []}]"));
    assert_eq!(
        found((&gateway, &first), (&gateway, &second)),
        ["incomparable"]
    );
}

#[test]
fn certificates_of_proxy_and_user_are_apart() {
    let (proxy, user) = ("sans: [proxy.internal]", "sans: [end.example.org]");
    let verifiers = |direct: &str, proxied: &str| {
        certified(
            &format!("direct: {{kind: mtls, {direct}}}"),
            &format!("proxied: {{kind: mtls, header: Client-Cert, {proxied}}}"),
        )
    };
    let document = edit(
        DOCUMENT,
        "    ke: ",
        "    di: {type: mutualTLS, x-gateway: {auth: direct}}\n    pr: {type: mutualTLS, x-gateway: {auth: proxied}}\n    ke: ",
    );
    let document = edit(&document, SECURITY, "[{di: [], pr: []}]");
    let document = edit(&document, POLICIES, "x-gateway: {}");
    let (old, new) = (verifiers(proxy, user), verifiers(user, proxy));
    assert_eq!(
        found((&old, &document), (&new, &document)),
        ["incomparable"]
    );
}

#[test]
fn first_verifier_of_a_token_reads_its_groups() {
    let document = edit(DOCUMENT, SECURITY, "[{xt: [], yt: []}]");
    let first = "one: {kind: jwt, issuer: \"https://one.example\", ";
    let swapped = edit(GATEWAY, ", groups_claim: teams}", "}");
    let swapped = edit(&swapped, first, &format!("{first}groups_claim: teams, "));
    assert_eq!(
        found((GATEWAY, &document), (&swapped, &document)),
        ["incomparable"]
    );
}

#[test]
fn public_operation_that_needs_a_key_is_stronger() {
    let bare = edit(DOCUMENT, POLICIES, "x-gateway: {}");
    let key = edit(&bare, SECURITY, "[{ke: []}]");
    let public = edit(&bare, SECURITY, "[]");
    let public = edit(
        &public,
        "x-gateway: {}, responses",
        "x-gateway: {public: true}, responses",
    );
    assert_eq!(found((GATEWAY, &public), (GATEWAY, &key)), ["strengthen"]);
    assert_eq!(found((GATEWAY, &key), (GATEWAY, &public)), ["weaken"]);
}

#[test]
fn earlier_alternative_decides_about_groups() {
    let (one, both) = (SECURITY, "[{xt: [], be: []}, {xt: []}]");
    assert_eq!(classes(one, both, POLICIES), ["incomparable"]);
    assert_eq!(classes(both, one, POLICIES), ["incomparable"]);
    // An alternative that is never reached has no effect.
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
    // No request has tokens of both issuers, so the order of the alternatives has no effect.
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

/// A token is refused if its claim names one consumer while another consumer lists the token.
#[test]
fn consumer_that_disputes_a_token_is_removed() {
    let claimed = edit(
        GATEWAY,
        "audience: [s]",
        "audience: [s], consumer_claim: client_id",
    );
    let document = edit(DOCUMENT, POLICIES, "x-gateway: {}");
    let without_beta = |gateway: &str| edit(gateway, ", beta: {}}", "}");
    let removed = |gateway: &str, new: &str| found((gateway, &document), (new, &document));
    let listing = "acme: {tokens: [{issuer: \"https://one.example\", subject: s}], ";
    let listed = edit(&claimed, "acme: {", listing);
    assert_eq!(removed(&listed, &without_beta(&listed)), ["weaken"]);
    assert_eq!(removed(&without_beta(&listed), &listed), ["strengthen"]);
    // A stricter verifier does not hide that the token is accepted.
    let strict = edit(
        &without_beta(&listed),
        "audience: [s], consumer_claim",
        "audience: [s], required_claims: [mfa], consumer_claim",
    );
    assert_eq!(removed(&listed, &strict), ["incomparable"]);
    // No consumer contradicts a token that no consumer lists, or whose issuer has no consumer
    // claim.
    assert_eq!(removed(&claimed, &without_beta(&claimed)), [""; 0]);
    let foreign = listing.replace("one.example", "two.example");
    let foreign = edit(&claimed, "acme: {", &foreign);
    assert_eq!(removed(&foreign, &without_beta(&foreign)), [""; 0]);
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

/// Clients cannot set this field, so the upstream receives it only from the scheme.
#[test]
fn other_issuer_hides_no_dropped_identity_field() {
    let passing = "x-gateway: {auth: one, forward_as: X-Forwarded-User}";
    let document = edit(DOCUMENT, POLICIES, "x-gateway: {}");
    let before = edit(&document, "x-gateway: {auth: one}", passing);
    for after in ["x-gateway: {auth: two}", "x-gateway: {auth: one}"] {
        let after = edit(&document, "x-gateway: {auth: one}", after);
        let found = lines(&plan((GATEWAY, &before), (GATEWAY, &after)));
        let expected = "security incomparable identity-field-changed a/a";
        assert!(found.iter().any(|line| line == expected), "{found:?}");
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
    // Without the claim, tokens of this issuer belong to no consumer.
    assert_eq!(sides(GATEWAY), [""; 0]);
}
