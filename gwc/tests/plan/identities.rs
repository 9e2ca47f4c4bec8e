//! Tests of fields in which an upstream receives the caller's identity. They come from a scheme
//! (`forward_as`, `claims_to_headers`), from the response of an authorization service
//! (`response_headers`), or from claims of consumers.

use crate::gates::both;
use crate::{DOCUMENT, GATEWAY, edit, lines, plan, side};

const KEY: &str = "name: X-Key, x-gateway: {auth: keys}";

/// Document with these keys at the scheme `key`.
fn scheme(keys: &str) -> String {
    edit(
        DOCUMENT,
        KEY,
        &format!("name: X-Key, x-gateway: {{auth: keys{keys}}}"),
    )
}

#[test]
fn scheme_that_no_longer_names_the_caller_weakens() {
    for (old, new, classes) in [
        // Without the setting, the upstream receives the client's own value.
        (", forward_as: X-Caller", "", ("weaken", "strengthen")),
        (
            ", claims_to_headers: {tier: X-Tier}",
            "",
            ("weaken", "strengthen"),
        ),
        (
            ", claims_to_headers: {tier: X-Tier, seat: X-Seat}",
            ", claims_to_headers: {tier: X-Tier}",
            ("weaken", "strengthen"),
        ),
        // Clients cannot set these fields. Without the setting, the upstream therefore does not
        // receive them.
        (
            "",
            ", forward_as: X-Forwarded-User",
            ("incomparable", "incomparable"),
        ),
        (
            "",
            ", claims_to_headers: {tier: Client-Cert}",
            ("incomparable", "incomparable"),
        ),
        (
            "",
            ", forward_as: X_Consumer_Id",
            ("incomparable", "incomparable"),
        ),
        // The field contains another property of the caller.
        (
            ", claims_to_headers: {tier: X-Who}",
            ", claims_to_headers: {seat: X-Who}",
            ("incomparable", "incomparable"),
        ),
        (
            ", forward_as: X-Who",
            ", claims_to_headers: {seat: X-Who}",
            ("incomparable", "incomparable"),
        ),
    ] {
        let (old, new) = (scheme(old), scheme(new));
        both(
            "identity-field-changed",
            (GATEWAY, &old),
            (GATEWAY, &new),
            classes,
        );
        let plan = plan((GATEWAY, &old), (GATEWAY, &new));
        assert!(!plan.tripped(&["weaken".into()], &[]).is_empty());
    }
}

#[test]
fn rewritten_query_parameters_are_access() {
    let with = |query: &str| {
        let goes = format!("policies:\n  goes: {{kind: rewrite, host: h.example{query}}}\n");
        let gateway = edit(GATEWAY, "policies:\n", &goes);
        edit(&gateway, "[slow, edge]", "[slow, edge, goes]")
    };
    for (old, new, classes) in [
        // In the new version, clients choose the value.
        ("remove: [debug]", "", ("weaken", "strengthen")),
        ("set: {view: own}", "", ("weaken", "strengthen")),
        (
            "set: {view: own}",
            "add: {view: own}",
            ("weaken", "strengthen"),
        ),
        (
            "set: {view: own}",
            "set: {view: all}",
            ("incomparable", "incomparable"),
        ),
        (
            "set: {view: own}",
            "remove: [view]",
            ("incomparable", "incomparable"),
        ),
        // The parameter identifies the caller.
        ("set: {tenant: one}", "", ("incomparable", "incomparable")),
        ("", "add: {tenant: one}", ("weaken", "strengthen")),
    ] {
        let query = |changes: &str| match changes {
            "" => String::new(),
            changes => format!(", query: {{{changes}}}"),
        };
        let (old, new) = (with(&query(old)), with(&query(new)));
        both(
            "identity-field-changed",
            (&old, DOCUMENT),
            (&new, DOCUMENT),
            classes,
        );
        let plan = plan((&old, DOCUMENT), (&new, DOCUMENT));
        assert!(!plan.tripped(&["weaken".into()], &[]).is_empty());
        let mut changes = plan.changes.iter();
        let change = changes.find(|change| change.id == "identity-field-changed");
        let place = change.and_then(|change| change.source_new.as_ref());
        let line = place.and_then(|place| new.lines().nth(place.line as usize - 1));
        assert!(line.is_some_and(|line| line.contains("goes:")), "{line:?}");
    }
    // A description that removes the parameter replaces the rewrite.
    let operation = |extension: &str| {
        edit(
            DOCUMENT,
            "security: [], x-gateway: {public: true}",
            &format!("security: [], {extension}"),
        )
    };
    let rewritten = operation("x-gateway: {public: true, rewrite: {query: {remove: [debug]}}}");
    let described = operation(
        "x-gateway: {public: true}, parameters: [{name: debug, in: query, schema: {type: string}, x-gateway: {forward: false}}]",
    );
    let expected = "security weaken identity-field-changed a/getStatus".to_owned();
    for (new, is_reported) in [(DOCUMENT, true), (&described, false)] {
        let found = lines(&plan((GATEWAY, &rewritten), (GATEWAY, new)));
        assert_eq!(found.contains(&expected), is_reported, "{found:?}");
    }
}

#[test]
fn field_of_an_unused_scheme_is_taken_from_clients() {
    let unused = |keys: &str| {
        let added = format!(
            "    other: {{type: apiKey, in: header, name: X-Other, x-gateway: {{auth: keys{keys}}}}}\n"
        );
        format!("{DOCUMENT}{added}")
    };
    let (with, without) = (unused(", forward_as: X-Caller"), unused(""));
    let added = lines(&plan((GATEWAY, &without), (GATEWAY, &with)));
    let all = "a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders";
    assert_eq!(
        added,
        [format!("security strengthen identity-field-changed {all}")]
    );
    let removed = lines(&plan((GATEWAY, &with), (GATEWAY, &without)));
    assert_eq!(
        removed,
        [format!("security weaken identity-field-changed {all}")]
    );
}

#[test]
fn place_of_a_claim_is_its_line_in_the_scheme() {
    let document = |claims: &str| {
        edit(
            DOCUMENT,
            KEY,
            &format!(
                "name: X-Key,\n      x-gateway: {{auth: keys,\n        claims_to_headers: {{\n          seat: X-Seat{claims}}}}}"
            ),
        )
    };
    let (old, new) = (document(",\n          tier: X-Tier"), document(""));
    let plan = plan((GATEWAY, &old), (GATEWAY, &new));
    let change = plan.changes.first().expect("a change");
    let line = old.lines().position(|line| line.contains("tier: X-Tier"));
    let place = change.source_old.as_ref().expect("a place");
    assert_eq!(Some(place.line as usize), line.map(|line| line + 1));
}

#[test]
fn requirement_with_other_callers_is_one_line() {
    let document = scheme(", forward_as: X-Caller");
    let (old, new) = (
        document.clone(),
        edit(
            &document,
            "operationId: getOrder,",
            "operationId: getOrder, security: [{pair: []}],",
        ),
    );
    let found = lines(&plan((GATEWAY, &old), (GATEWAY, &new)));
    assert_eq!(
        found,
        ["security incomparable security-requirement-changed a/getOrder"]
    );
}

/// gateway.yaml with a policy `ask` that forwards these fields of the service's response.
fn asking(response_headers: &str) -> String {
    let gateway = edit(
        GATEWAY,
        "policies:\n",
        &format!(
            "policies:\n  ask: {{kind: forward_auth, upstream: v, path: /check, request_headers: [Accept]{response_headers}}}\n"
        ),
    );
    edit(&gateway, "[slow, edge]", "[slow, ask, edge]")
}

#[test]
fn answer_that_sets_a_field_is_access() {
    for (old, new, classes) in [
        (
            "",
            ", response_headers: [Authorization]",
            ("incomparable", "weaken"),
        ),
        (
            ", response_headers: [X-User]",
            ", response_headers: [X-User, Cookie]",
            ("incomparable", "weaken"),
        ),
        // The field's name does not suggest an identity, but the service still sets it for the
        // caller.
        (
            "",
            ", response_headers: [X-Colour]",
            ("incomparable", "weaken"),
        ),
    ] {
        let (old, new) = (asking(old), asking(new));
        both(
            "identity-field-changed",
            (&old, DOCUMENT),
            (&new, DOCUMENT),
            classes,
        );
    }
    // Add the policy.
    both(
        "identity-field-changed",
        (GATEWAY, DOCUMENT),
        (&asking(", response_headers: [Authorization]"), DOCUMENT),
        ("incomparable", "weaken"),
    );
}

#[test]
fn claim_of_a_consumer_hides_the_tokens_claim() {
    let gateway = |tokens: &str, rights: &str| {
        let gateway = edit(
            GATEWAY,
            "staff: {kind: basic}}",
            &format!("staff: {{kind: basic}}{tokens}}}"),
        );
        edit(&gateway, "acme: {keys", &format!("acme: {{{rights}keys"))
    };
    let tokens = ", idp: {kind: jwt, issuer: \"https://idp\", audience: [orders], algorithms: [RS256], \
                  jwks_url: \"https://idp/keys\"}";
    let of = |tokens: &str, old: &str, new: &str| -> Vec<String> {
        let (old, new) = (gateway(tokens, old), gateway(tokens, new));
        let found = lines(&plan((&old, DOCUMENT), (&new, DOCUMENT)));
        let found = found.into_iter();
        found
            .filter(|line| line.contains("consumer-right-removed"))
            .collect()
    };
    let removed = |class: &str, claim: &str| {
        format!("security {class} consumer-right-removed consumer acme claims.{claim}")
    };
    let gold = "claims: {tier: gold, org.unit: a}, ";
    assert_eq!(
        of(tokens, gold, "claims: {tier: gold}, "),
        [removed("incomparable", "org.unit")]
    );
    assert_eq!(of("", gold, "claims: {tier: gold}, ").len(), 1);
    assert_eq!(
        of("", gold, "claims: {tier: gold}, "),
        [removed("strengthen", "org.unit")]
    );
    // A claim of the consumer overrides the claim of the token, even if its value changes.
    assert_eq!(
        of(tokens, gold, "claims: {tier: silver, org.unit: a}, "),
        [removed("strengthen", "tier")]
    );
    // Groups of a token are added to those of the consumer.
    assert_eq!(
        of(tokens, "groups: [a], ", ""),
        ["security strengthen consumer-right-removed consumer acme groups"]
    );
}

#[test]
fn field_of_another_api_is_taken_from_clients() {
    let open = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: []
paths: {/open: {get: {operationId: open, x-gateway: {public: true, upstream: UPSTREAM}, responses: {\"200\": {description: fine}}}}}
";
    let gateway = edit(
        GATEWAY,
        "apis: {a: {path: api.yaml}}",
        "apis: {a: {path: api.yaml}, b: {path: open.yaml}}",
    );
    let gateway = edit(
        &gateway,
        "upstreams:\n",
        "upstreams:\n  same: {targets: {z: {url: \"http://127.0.0.1:9000\"}}}\n",
    );
    let of = |document: &str, upstream: &str| {
        let open = open.replace("UPSTREAM", upstream);
        side(&[
            ("gateway.yaml", &gateway),
            ("api.yaml", document),
            ("open.yaml", &open),
        ])
    };
    let named = scheme(", forward_as: X-Caller");
    for (upstream, is_withheld) in [("u", true), ("same", true), ("v", false)] {
        let (plain, named) = (of(DOCUMENT, upstream), of(&named, upstream));
        for (old, new, class) in [(&plain, &named, "strengthen"), (&named, &plain, "weaken")] {
            let plan = plan::compare(Some(old), new).expect("both sides build");
            let line = format!("security {class} identity-field-changed ");
            let found = lines(&plan);
            let mut matching = found.iter().filter(|found| found.starts_with(&line));
            let is_reported = matching.any(|found| found.contains("b/open"));
            assert_eq!(is_reported, is_withheld, "{upstream}: {found:?}");
        }
    }
}

/// An operation of another API can reach the same server by another URL.
#[test]
fn identity_field_is_removed_at_every_url_of_a_server() {
    let named = scheme(", forward_as: X-Caller");
    let open = "openapi: 3.1.0
info: {title: o, version: \"1\"}
paths:
  /open: {get: {operationId: open, security: [], x-gateway: {public: true, upstream: v}, responses: {\"200\": {description: fine}}}}
";
    let apis = "apis: {a: {path: api.yaml}}";
    let withheld = |target: &str, written: &str| {
        let gateway = edit(
            GATEWAY,
            apis,
            "apis: {a: {path: api.yaml}, o: {path: open.yaml}}",
        );
        let gateway = edit(
            &gateway,
            "v: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}",
            &format!("v: {{{target}}}"),
        );
        let gateway = edit(
            &gateway,
            "u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}",
            &format!("u: {{{written}}}"),
        );
        let side = side(&[
            ("gateway.yaml", &gateway),
            ("api.yaml", &named),
            ("open.yaml", open),
        ]);
        let gateway = &side.lowered.gateway;
        let api = gateway.apis.get("o").expect("the API");
        let parts = bundle::ir::IdentityParts {
            schemes: &api.schemes,
            policies: &api.policies,
            treatments: &api.treatments,
        };
        let fields = bundle::ir::IdentityFields::of_gateway(gateway);
        fields
            .withheld(&gateway.shared, parts, &api.treatments[0])
            .contains("x-caller")
    };
    let here = "targets: {a: {url: \"http://127.0.0.1:9000\"}}";
    for target in [
        "targets: {a: {url: \"http://127.0.0.1:9000/base\"}}",
        "targets: {a: {url: \"http://localhost:9000\"}}",
        "targets: {a: {url: \"http://[::ffff:127.0.0.1]:9000\"}}",
        "targets: {a: {url: \"https://127.1:9000\"}}",
        "dns: {name: localhost, port: 9000}",
        "file: {path: /run/hosts.json}",
        "dns: {name: _http._tcp.svc}",
    ] {
        assert!(withheld(target, here), "{target}");
        assert!(withheld(here, target), "{target} writes");
    }
    for target in [
        "targets: {a: {url: \"http://127.0.0.1:9002\"}}",
        "targets: {a: {url: \"http://other.example:9000\"}}",
        "dns: {name: localhost, port: 9002}",
    ] {
        assert!(!withheld(target, here), "{target}");
    }
}
