//! Tests of expressions whose text is unchanged while the values that they read change.

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

/// gateway.yaml with a policy with this expression in every chain.
fn asking(expression: &str) -> String {
    let gateway = edit(
        GATEWAY,
        "policies:\n",
        &format!("policies:\n  rule: {{kind: authorize, expression: \"{expression}\"}}\n"),
    );
    edit(&gateway, "[slow, edge]", "[rule, slow, edge]")
}

/// True if a change between these projects trips the gate `weaken`.
fn weakens(old: (&str, &str), new: (&str, &str)) -> bool {
    !plan(old, new).tripped(&["weaken".into()], &[]).is_empty()
}

#[test]
fn renamed_verifier_changes_an_expression() {
    let renamed = |gateway: &str| edit(gateway, "keys: {kind", "tokens: {kind");
    let document = edit(DOCUMENT, "auth: keys", "auth: tokens");
    for (expression, expected) in [
        ("auth.scheme != 'header x-key by keys'", true),
        ("auth.consumer != 'acme'", false),
        ("request.method != 'GET'", false),
    ] {
        let old = asking(expression);
        let new = renamed(&old);
        let weakens = weakens((&old, DOCUMENT), (&new, &document));
        assert_eq!(weakens, expected, "{expression}");
    }
}

#[test]
fn renamed_operation_changes_an_expression() {
    let id = edit(DOCUMENT, "operationId: getOrder", "operationId: fetchOrder");
    let api = |gateway: &str| edit(gateway, "apis: {a:", "apis: {b:");
    let mount = |gateway: &str, name: &str| {
        let mounts = format!("{{path: api.yaml, mounts: [{{name: {name}, base_path: /}}]}}");
        edit(gateway, "{path: api.yaml}", &mounts)
    };
    let old = asking("route.operation != 'a/getOrder'");
    let changes = plan((&old, DOCUMENT), (&old, &id));
    let expected = "security incomparable authorization-changed a/fetchOrder";
    assert!(
        lines(&changes).contains(&expected.to_owned()),
        "{:?}",
        lines(&changes)
    );
    assert!(weakens((&old, DOCUMENT), (&api(&old), DOCUMENT)));
    let (one, two) = (mount(&old, "one"), mount(&old, "two"));
    assert!(!weakens((&one, DOCUMENT), (&two, DOCUMENT)));
    let old = asking("route.mount != 'one'");
    assert!(!weakens((&old, DOCUMENT), (&old, &id)));
    let (one, two) = (mount(&old, "one"), mount(&old, "two"));
    assert!(weakens((&one, DOCUMENT), (&two, DOCUMENT)));
}

#[test]
fn renamed_consumer_changes_an_expression() {
    let renamed = |gateway: &str| edit(gateway, "  acme: {keys", "  other: {keys");
    for (expression, expected) in [
        ("auth.consumer != 'acme'", true),
        ("auth.claims.tier != 'gold'", false),
    ] {
        let old = asking(expression);
        let weakens = weakens((&old, DOCUMENT), (&renamed(&old), DOCUMENT));
        assert_eq!(weakens, expected, "{expression}");
    }
}

#[test]
fn other_address_changes_a_condition() {
    let at = |gateway: &str, trusted: &str| {
        format!("{gateway}listeners: {{public: {{address: \"127.0.0.1:8080\"{trusted}}}}}\n")
    };
    let service = edit(
        GATEWAY,
        "policies:\n",
        "policies:\n  rule: {kind: forward_auth, upstream: v}\n",
    );
    let service = edit(&service, "[slow, edge]", "[rule, slow, edge]");
    let trusted = ", trusted_proxies: [10.0.0.0/8]";
    let header = ", proxy_protocol: {from: [10.0.0.0/8]}";
    for (gateway, expected) in [
        (asking("!request.address.startsWith('203.0.113.')"), true),
        (asking("request.headers['x-forwarded-for'] != 'a'"), true),
        (service, true),
        (asking("request.path != '/a'"), false),
    ] {
        let (old, new) = (at(&gateway, trusted), at(&gateway, ""));
        let lines = lines(&plan((&old, DOCUMENT), (&new, DOCUMENT)));
        let ids = ["authorization-changed", "client-address-changed"];
        let mut of_operations = lines.iter();
        let found = of_operations.any(|line| ids.iter().any(|id| line.contains(id)));
        assert_eq!(found, expected, "{gateway}: {lines:?}");
    }
    let gateway = asking("!request.address.startsWith('203.0.113.')");
    let both = at(&gateway, &format!("{trusted}{header}"));
    assert!(weakens(
        (&both, DOCUMENT),
        (&at(&gateway, header), DOCUMENT)
    ));
}

#[test]
fn fields_of_the_gateway_change_an_expression() {
    let with = |settings: &str| {
        let scheme = format!("{{auth: keys{settings}}}");
        edit(DOCUMENT, "{auth: keys}", &scheme)
    };
    for (expression, settings) in [
        ("!('x-key' in request.headers)", ", strip_credential: true"),
        ("request.headers['x-deny'] != 'a'", ", forward_as: X-Deny"),
        ("size(request.headers) < 5", ", forward_as: X-Deny"),
    ] {
        let old = asking(expression);
        assert!(
            weakens((&old, DOCUMENT), (&old, &with(settings))),
            "{expression}"
        );
    }
    let old = asking("request.headers['x-other'] != 'a'");
    let new = with(", strip_credential: true");
    // The upstream no longer receives the credential, but the expression reads another field, so
    // its result does not change.
    let found = lines(&plan((&old, DOCUMENT), (&old, &new)));
    let is_about = |line: &String| line.contains("authorization-");
    assert!(!found.iter().any(is_about), "{found:?}");
}

/// A policy decides by the path, and the operation newly serves other spellings of its path.
#[test]
fn other_spellings_change_a_path_condition() {
    let with = |id: &str, settings: &str| {
        let document = edit(
            DOCUMENT,
            "operationId: getOrder",
            &format!("operationId: {id}"),
        );
        let path = "  /orders/{id}:\n";
        edit(
            &document,
            path,
            &format!("{path}    x-gateway: {{{settings}}}\n"),
        )
    };
    let old = with("getOrder", "path_readings: strict");
    let service = edit(
        GATEWAY,
        "policies:\n",
        "policies:\n  rule: {kind: forward_auth, upstream: v}\n",
    );
    let service = edit(&service, "[slow, edge]", "[rule, slow, edge]");
    for (gateway, is_reading) in [
        (asking("request.path != '/orders/1'"), true),
        (service, true),
        (asking("request.method != 'POST'"), false),
    ] {
        for (settings, is_wider) in [
            ("case_insensitive: true", true),
            ("trailing_slash: ignore", true),
            ("trailing_slash: redirect", false),
        ] {
            for id in ["getOrder", "fetchOrder"] {
                let new = with(id, settings);
                let key = format!("a/{id}");
                let found = |from: &str, to: &str| -> Vec<String> {
                    let plan = plan((&gateway, from), (&gateway, to));
                    let changes = plan.changes.iter();
                    let about = changes.filter(|one| {
                        one.subject.contains("other spellings") && one.operations.contains(&key)
                    });
                    let lines = about.map(|one| format!("{} {}", one.class.name(), one.id));
                    lines.collect()
                };
                let line = "weaken authorization-changed".to_owned();
                let expected = Vec::from_iter((is_reading && is_wider).then_some(line));
                assert_eq!(found(&old, &new), expected, "{settings} {gateway}");
                assert_eq!(found(&new, &old), [""; 0], "{settings} {gateway}");
            }
        }
    }
}
