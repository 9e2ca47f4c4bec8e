//! Tests of changes that affect the callers of one alternative of a security requirement, while the
//! operation as a whole has the same settings.

use crate::{edit, lines, plan};

const GATEWAY: &str = "version: 1
name: s
apis: {a: {path: api.yaml}}
upstreams: {u: {targets: {a: {url: \"http://u.internal\"}}}}
auth:
  one: {kind: jwt, issuer: \"https://one.example\", audience: [s], algorithms: [ES256], jwks_url: \"https://one.example/keys\"}
  two: {kind: jwt, issuer: \"https://two.example\", audience: [s], algorithms: [ES256], jwks_url: \"https://two.example/keys\"}
  keys: {kind: api_key}
  people: {kind: basic}
consumers:
  proxy: {groups: [admin], keys: [{sha256: \"0000000000000000000000000000000000000000000000000000000000000001\"}]}
  user: {groups: [users], basic: [{sha256: \"0000000000000000000000000000000000000000000000000000000000000002\"}]}
policies: {admins: {kind: authorize, groups: [admin]}}
defaults: {upstream: u, timeout: 5s}
";

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
paths:
  /a: {get: {operationId: a, security: [{be: []}, {xt: []}], x-gateway: {}, responses: {\"200\": {description: ok}}}}
components:
  securitySchemes:
    be: {type: http, scheme: bearer, x-gateway: {auth: one, claims_to_headers: {sub: X-User}}}
    xt: {type: apiKey, in: header, name: X-Token, x-gateway: {auth: one, claims_to_headers: {nick: X-User}}}
    pa: {type: http, scheme: bearer, x-gateway: {auth: one, strip_credential: true}}
    pb: {type: http, scheme: bearer, x-gateway: {auth: two, strip_credential: false}}
    ke: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
    k2: {type: apiKey, in: header, name: X-Key2, x-gateway: {auth: keys}}
    k3: {type: apiKey, in: header, name: X-Key3, x-gateway: {auth: keys}}
    pe: {type: http, scheme: basic, x-gateway: {auth: people}}
    up: {type: apiKey, in: header, name: X-Own, x-gateway: {verify: upstream}}
";

const SECURITY: &str = "[{be: []}, {xt: []}]";

fn secured(security: &str, gateway: &str) -> String {
    let document = edit(DOCUMENT, SECURITY, security);
    edit(&document, "x-gateway: {}", gateway)
}

/// Lines of the plan from `old` to `new`, which trip the gates of access. `is_renamed`: true to
/// give the operation another name in the same change.
fn opening(old: &str, new: &str, is_renamed: bool) -> Vec<String> {
    let new = match is_renamed {
        true => edit(new, "operationId: a", "operationId: b"),
        false => new.to_owned(),
    };
    let lines = lines(&plan((GATEWAY, old), (GATEWAY, &new)));
    let opens = |line: &String| line.contains(" incomparable ") || line.contains(" weaken ");
    lines.into_iter().filter(opens).collect()
}

#[test]
fn claims_that_two_alternatives_exchange_have_a_line() {
    let old = edit(DOCUMENT, "nick: X-User", "nick: X-User, tid: X-Tid");
    let new = edit(&old, "{sub: X-User}", "{nick: X-User}");
    let new = edit(
        &new,
        "{nick: X-User, tid: X-Tid}",
        "{sub: X-User, tid: X-Tid}",
    );
    let further = edit(&new, "{nick: X-User}", "{nick: X-User, role: X-Role}");
    for (new, is_renamed) in [
        (&new, false),
        (&new, true),
        (&further, false),
        (&further, true),
    ] {
        let lines = opening(&old, new, is_renamed);
        let key = if is_renamed { "a/b" } else { "a/a" };
        let line = format!("security incomparable identity-field-changed {key}");
        assert!(lines.contains(&line), "{lines:?}");
    }
}

#[test]
fn claim_that_one_alternative_takes_over_has_a_line() {
    // The field has fewer sources, but the tokens of one alternative write another claim.
    let new = edit(DOCUMENT, "{sub: X-User}", "{nick: X-User}");
    for is_renamed in [false, true] {
        let lines = opening(DOCUMENT, &new, is_renamed);
        let is_meant = |line: &String| line.contains("incomparable identity-field-changed");
        assert!(lines.iter().any(is_meant), "{lines:?}");
    }
}

#[test]
fn removed_scheme_no_longer_strips_its_credential() {
    let scheme =
        "    pa: {type: http, scheme: bearer, x-gateway: {auth: one, strip_credential: true}}\n";
    let alone = "    be: {type: http, scheme: bearer, x-gateway: {auth: one, claims_to_headers: {sub: X-User}}}\n";
    let other =
        "    pb: {type: http, scheme: bearer, x-gateway: {auth: two, strip_credential: false}}\n";
    let old = secured("[{pa: []}, {ke: []}]", "x-gateway: {}");
    let old = edit(&edit(&old, alone, ""), other, "");
    let new = edit(&edit(&old, scheme, ""), "{pa: []}, ", "");
    let lines = opening(&old, &new, false);
    let is_meant = |line: &String| line.contains("weaken credential-forwarded");
    assert!(lines.iter().any(is_meant), "{lines:?}");
    assert_eq!(opening(&new, &old, false).len(), 1);
}

#[test]
fn credential_of_one_alternative_is_newly_forwarded() {
    let old = secured("[{pa: []}, {pb: []}]", "x-gateway: {}");
    let new = edit(
        &old,
        "auth: one, strip_credential: true",
        "auth: one, strip_credential: false",
    );
    let further = edit(
        &new,
        "auth: two,",
        "auth: two, claims_to_headers: {tid: X-Tid},",
    );
    for (new, is_renamed) in [
        (&new, false),
        (&new, true),
        (&further, false),
        (&further, true),
    ] {
        let lines = opening(&old, new, is_renamed);
        let is_meant = |line: &String| line.contains("weaken credential-forwarded");
        assert!(lines.iter().any(is_meant), "{lines:?}");
    }
    // The requests that the new alternative admits lose their credential.
    let lines = opening(&new, &old, false);
    assert!(
        lines
            .iter()
            .any(|line| line.contains("incomparable credential-stripped")),
        "{lines:?}"
    );
}

#[test]
fn key_at_an_operation_that_refused_everybody() {
    let admins = "x-gateway: {policies: [admins], public: true}";
    let gated = "x-gateway: {policies: [admins]}";
    for (old, new) in [
        (secured("[]", admins), secured("[{ke: []}]", gated)),
        (secured("[{up: []}]", gated), secured("[{ke: []}]", gated)),
        (
            secured("[{up: []}]", gated),
            secured("[{ke: [], up: []}]", gated),
        ),
        // The upstream decided by its own credential alone.
        (
            secured("[{up: []}]", "x-gateway: {}"),
            secured("[{up: [], be: []}]", "x-gateway: {}"),
        ),
    ] {
        let lines = opening(&old, &new, false);
        assert!(!lines.is_empty(), "{old} {new}");
    }
    let without = (
        secured("[]", "x-gateway: {public: true}"),
        secured("[{ke: []}]", gated),
    );
    assert_eq!(opening(&without.0, &without.1, false), Vec::<String>::new());
}

#[test]
fn credentials_of_two_callers_fall_to_the_next() {
    let gated = "x-gateway: {policies: [admins]}";
    let side = |security: &str| secured(security, gated);
    let old = side("[{pe: []}, {ke: []}]");
    for new in [
        "[{pe: [], ke: []}, {ke: []}]",
        "[{ke: [], pe: []}, {ke: []}]",
    ] {
        let lines = opening(&old, &side(new), false);
        assert_eq!(lines.len(), 1, "{new}: {lines:?}");
        assert!(
            lines[0].contains("incomparable security-requirement-changed"),
            "{lines:?}"
        );
    }
    // Two tokens of one issuer can belong to two subjects.
    let old = side("[{be: []}, {xt: []}, {be: [], xt: []}]");
    let lines = opening(&old, &side("[{be: [], xt: []}, {xt: []}]"), false);
    let is_meant = |line: &String| line.contains("incomparable security-requirement-changed");
    assert!(lines.iter().any(is_meant), "{lines:?}");
    // Two of three credentials belong to one caller.
    let old = side("[{ke: [], k3: []}, {ke: [], k2: []}, {k3: []}]");
    let lines = opening(&old, &side("[{k3: []}]"), false);
    assert!(lines.iter().any(is_meant), "{lines:?}");
    let old = side("[{ke: [], k3: []}, {k2: [], k3: []}, {ke: [], k2: []}, {k3: []}]");
    let lines = opening(&old, &side("[{k3: []}]"), false);
    assert!(lines.iter().any(is_meant), "{lines:?}");
    // If the credentials contradict, both sides use the password.
    let stays = opening(
        &side("[{pe: []}]"),
        &side("[{pe: [], ke: []}, {pe: []}]"),
        false,
    );
    assert_eq!(stays, Vec::<String>::new());
}

#[test]
fn tokens_that_were_refused_together_write_a_field() {
    // The old side refuses requests with both tokens.
    let new = edit(DOCUMENT, "{sub: X-User}", "{nick: X-User}");
    let new = edit(&new, SECURITY, "[{be: [], up: [], xt: []}]");
    let old = edit(DOCUMENT, SECURITY, "[{be: [], up: []}, {up: [], xt: []}]");
    assert!(!opening(&old, &new, false).is_empty());
    // The token alone had the same effect.
    let fewer = edit(DOCUMENT, SECURITY, "[{xt: []}]");
    assert_eq!(opening(DOCUMENT, &fewer, false), Vec::<String>::new());
}

#[test]
fn order_of_alternatives_that_become_stricter_counts() {
    let side = |security: &str| secured(security, "x-gateway: {}");
    let old = side("[{pe: []}, {ke: []}]");
    for new in ["[{ke: []}, {pe: []}]", "[{ke: []}, {pe: [], up: []}]"] {
        let lines = opening(&old, &side(new), false);
        assert_eq!(lines.len(), 1, "{new}: {lines:?}");
    }
    assert_eq!(
        opening(&old, &side("[{pe: []}]"), false),
        Vec::<String>::new()
    );
}

#[test]
fn refusal_of_a_new_operation_is_access() {
    let gateway = |response: &str| {
        let policy = format!("policies: {{gone: {{kind: respond, status: 404{response}}}, admins");
        edit(GATEWAY, "policies: {admins", &policy)
    };
    let served = "  /a: {get: {operationId: a,";
    let added = format!(
        "  /b: {{get: {{operationId: b, security: [{{be: []}}], x-gateway: {{policies: [gone]}}, responses: {{}}}}}}\n{served}"
    );
    let new = edit(DOCUMENT, served, &added);
    let found = |response: &str| {
        let gateway = gateway(response);
        let lines = lines(&plan((&gateway, DOCUMENT), (&gateway, &new)));
        let opens = |line: &&String| line.contains(" weaken ") || line.contains(" incomparable ");
        lines.iter().filter(opens).count()
    };
    assert_eq!(found(""), 0);
    assert_eq!(found(", headers: {X-Reason: gone}, body: gone"), 0);
    let script = ", content_type: text/html, body: \"<script>run()</script>\"";
    for hostile in [script, ", headers: {Set-Cookie: \"session=1\"}"] {
        assert!(found(hostile) > 0, "{hostile}");
    }
}
