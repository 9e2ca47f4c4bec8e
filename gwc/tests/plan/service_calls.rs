//! Tests of services that receive credentials: introspection endpoints, to which the gateway sends
//! its secret, and authorization services.

use plan::Plan;

use crate::{DOCUMENT, GATEWAY, edit, lines, plan};

const ENDPOINT: &str = "https://idp.example/ask";

/// gateway.yaml with a verifier `intro`, which sends requests with a secret to an introspection
/// endpoint.
fn gateway(url: &str, secret: &str, more: &str) -> String {
    edit(
        GATEWAY,
        "auth: {",
        &format!(
            "auth: {{intro: {{kind: introspection, url: \"{url}\", client_id: gw, client_secret: \"${{env:{secret}}}\"{more}}}, "
        ),
    )
}

/// Document with the security scheme `token`, which has the keys `scheme` and is verified by
/// `intro`. The operation `getOrder` has the security requirement `requirement`.
fn document(scheme: &str, requirement: &str) -> String {
    let document = edit(
        DOCUMENT,
        "operationId: getOrder,",
        &format!("operationId: getOrder, security: [{requirement}],"),
    );
    format!("{document}    token: {{{scheme}, x-gateway: {{auth: intro}}}}\n")
}

/// Lines about credentials and secrets, as `CLASS SUBJECT: OLD -> NEW OPERATIONS`.
fn credential_lines(plan: &Plan) -> Vec<String> {
    let about = ["credentials-sent", "secret-flow-added", "service-asked"];
    let changes = plan.changes.iter();
    let changes = changes.filter(|change| about.contains(&change.id));
    changes
        .map(|change| {
            format!(
                "{} {}: {} -> {} {}",
                change.class.name(),
                change.subject,
                change.old,
                change.new,
                change.operations.join("+")
            )
        })
        .collect()
}

#[test]
fn introspection_beside_an_api_key_sends_credentials() {
    let new = gateway(ENDPOINT, "A", "");
    for (scheme, place) in [
        ("type: apiKey, in: header, name: X-Key", "x-key"),
        ("type: apiKey, in: query, name: token", "query token"),
        ("type: http, scheme: bearer", "authorization"),
    ] {
        let document = document(scheme, "{key: [], token: []}");
        let plan = plan((GATEWAY, DOCUMENT), (&new, &document));
        assert_eq!(
            credential_lines(&plan),
            [
                "weaken auth intro client_secret: null -> \"${env:A}\" ".to_owned(),
                format!("moved credentials to idp.example: null -> \"{place}\" a/getOrder")
            ],
            "{:?}",
            lines(&plan)
        );
        for gate in ["weaken", "move"] {
            assert!(!plan.tripped(&[gate.into()], &[]).is_empty(), "{gate}");
        }
    }
}

#[test]
fn introspection_at_another_host_sends_the_secret() {
    let document = document("type: http, scheme: bearer", "{token: []}");
    let old = gateway(ENDPOINT, "A", "");
    // Send the same secret to another host.
    let new = gateway("https://other.example/ask", "A", "");
    let plan_of = |new: &str| plan((&old, &document), (new, &document));
    assert_eq!(
        credential_lines(&plan_of(&new)),
        [
            "weaken auth intro client_secret: null -> \"${env:A} to upstream https://other.example, other.example\" a/getOrder",
            "moved credentials to other.example: null -> \"authorization\" a/getOrder"
        ]
    );
    // Send another secret to the same host.
    assert_eq!(
        credential_lines(&plan_of(&gateway(ENDPOINT, "B", ""))),
        ["weaken auth intro client_secret: null -> \"${env:B}\" "]
    );
    // Rename the verifier. It sends the same secret to the same endpoint.
    let renamed = edit(&old, "intro: {", "query: {");
    let document_of = edit(&document, "auth: intro", "auth: query");
    let renamed = plan((&old, &document), (&renamed, &document_of));
    assert_eq!(
        credential_lines(&renamed),
        ["changed auth query client_secret: null -> \"${env:A}\" "]
    );
    // A verifier that no operation uses does not send its secret.
    let unused = plan((GATEWAY, DOCUMENT), (&old, DOCUMENT));
    assert_eq!(
        credential_lines(&unused),
        ["changed auth intro client_secret: null -> \"${env:A}\" "]
    );
}

#[test]
fn signatures_of_answers_are_compared() {
    let document = document("type: http, scheme: bearer", "{token: []}");
    let of = |more: &str| {
        gateway(
            ENDPOINT,
            "A",
            &format!(", issuer: \"https://i.example\"{more}"),
        )
    };
    let keys = |host: &str| format!(", signed: [ES256], jwks_url: \"https://{host}.example/keys\"");
    let class = |old: &str, new: &str| {
        let plan = plan((&of(old), &document), (&of(new), &document));
        assert_eq!(plan.bugs, Vec::<String>::new(), "{old} {new}");
        let changes = plan.changes.iter();
        let changes = changes.filter(|change| change.id == "verifier-changed");
        let classes: Vec<&str> = changes.map(|change| change.class.name()).collect();
        classes.join(" ")
    };
    for (old, new, expected) in [
        ("", ", signed: [ES256]", "strengthen"),
        (", signed: [ES256]", "", "weaken"),
        (", signed: [ES256]", ", signed: [ES256, RS256]", "weaken"),
        (
            ", signed: [ES256, RS256]",
            ", signed: [RS256]",
            "strengthen",
        ),
        (", signed: [ES256]", ", signed: [RS256]", "incomparable"),
        (", signed: [ES256, RS256]", ", signed: [RS256, ES256]", ""),
        (&keys("a"), &keys("b"), "incomparable"),
    ] {
        assert_eq!(class(old, new), expected, "{old} {new}");
    }
}

/// gateway.yaml with the policy `ask` in each chain of policies.
fn asking(policy: &str) -> String {
    let gateway = edit(
        GATEWAY,
        "policies:\n",
        &format!("policies:\n  ask: {{kind: forward_auth, {policy}}}\n"),
    );
    edit(&gateway, "[slow, edge]", "[slow, ask, edge]")
}

#[test]
fn fields_named_like_credentials_are_credentials() {
    for field in [
        "apikey",
        "X-Apikey",
        "X-Auth",
        "X-Secret",
        "X-Password",
        "X-Access",
        "X-Signature",
        "X_Session_Id",
        "X-CSRFToken",
        "Client-Cert",
    ] {
        let new = asking(&format!(
            "url: \"https://ask.example/c\", request_headers: [Accept, {field}]"
        ));
        let sent = credential_lines(&plan((GATEWAY, DOCUMENT), (&new, DOCUMENT)));
        let place = field.to_ascii_lowercase();
        assert!(
            matches!(&*sent, [one] if one.starts_with(&format!(
                "moved credentials to ask.example: null -> \"{place}\""
            ))),
            "{sent:?}"
        );
    }
}

#[test]
fn credential_in_the_query_reaches_the_service() {
    let document = edit(
        DOCUMENT,
        "{type: apiKey, in: header, name: X-Key",
        "{type: apiKey, in: query, name: pass",
    );
    let new = asking("url: \"https://ask.example/c\", request_headers: [Accept]");
    let sent = credential_lines(&plan((GATEWAY, &document), (&new, &document)));
    let keyed = "a/createOrder+a/deleteOrder+a/getOrder+a/listOrders";
    assert_eq!(
        sent,
        [
            format!("moved credentials to ask.example: null -> \"query pass\" {keyed}"),
            "moved answers of ask.example: null -> \"https://ask.example\" a/getStatus".to_owned(),
        ]
    );
}

#[test]
fn service_without_credentials_answers_clients() {
    let new = asking("url: \"https://ask.example/c\", request_headers: [Accept]");
    let plan_of = |old: &str, new: &str| credential_lines(&plan((old, DOCUMENT), (new, DOCUMENT)));
    let all = "a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders";
    assert_eq!(
        plan_of(GATEWAY, &new),
        [format!(
            "moved answers of ask.example: null -> \"https://ask.example\" {all}"
        )]
    );
    let other = edit(&new, "ask.example", "other.example");
    assert_eq!(
        plan_of(&new, &other),
        [format!(
            "moved answers of other.example: null -> \"https://other.example\" {all}"
        )]
    );
    assert_eq!(plan_of(&new, GATEWAY), [""; 0]);
}

#[test]
fn new_operation_with_another_service_is_named() {
    let added = |policy: &str| {
        edit(
            DOCUMENT,
            "  /status:\n",
            &format!(
                "  /new:\n    get: {{operationId: getNew, {policy}responses: {{\"200\": {{description: fine}}}}}}\n  /status:\n"
            ),
        )
    };
    let with = |gateway: &str| {
        edit(
            gateway,
            "policies:\n",
            "policies:\n  more: {kind: forward_auth, url: \"https://more.example/c\"}\n",
        )
    };
    let document = added("x-gateway: {+policies: [more]}, ");
    let sent = credential_lines(&plan((GATEWAY, DOCUMENT), (&with(GATEWAY), &document)));
    assert_eq!(
        sent,
        ["moved credentials to more.example: null -> \"authorization, cookie\" a/getNew"]
    );
    // The old version already calls the service.
    let old = asking("url: \"https://ask.example/c\"");
    let sent = credential_lines(&plan((&old, DOCUMENT), (&old, &added(""))));
    assert_eq!(sent, [""; 0]);
}

/// gateway.yaml with two authorization services in each chain, which set these fields.
fn two(one: &str, other: &str) -> String {
    let policy = |name: &str, upstream: &str, fields: &str| {
        format!(
            "  {name}: {{kind: forward_auth, upstream: {upstream}, request_headers: [Accept], response_headers: [{fields}]}}\n"
        )
    };
    let gateway = edit(
        GATEWAY,
        "policies:\n",
        &format!(
            "policies:\n{}{}",
            policy("ask", "u", one),
            policy("more", "v", other)
        ),
    );
    edit(&gateway, "[slow, edge]", "[slow, ask, more, edge]")
}

#[test]
fn service_that_takes_over_a_field_trips_the_gate() {
    let is_reported = |old: &str, new: &str| {
        let plan = plan((old, DOCUMENT), (new, DOCUMENT));
        let mut changes = plan.changes.iter();
        let is_identity = changes.any(|change| change.id == "identity-field-changed");
        is_identity && !plan.tripped(&["weaken".into()], &[]).is_empty()
    };
    // The two services exchange the fields that they set.
    assert!(is_reported(
        &two("X-User", "X-Tier"),
        &two("X-Tier", "X-User")
    ));
    // The second service overwrites the field of the first service.
    assert!(is_reported(
        &two("X-User", "X-Tier"),
        &two("X-User", "X-Tier, X-User")
    ));
    assert!(is_reported(
        &two("X-User, X-A", "X-Tier"),
        &two("X-A", "X-Tier, X-User")
    ));
    // Compare with the same services under other names.
    let old = two("X-User", "X-Tier");
    let new = old
        .replace("  u: {", "  w: {")
        .replace("upstream: u", "upstream: w");
    assert!(!is_reported(&old, &new));
}

#[test]
fn claim_of_another_issuer_trips_the_gate() {
    let issuer = |name: &str| {
        format!(
            "{name}: {{kind: jwt, issuer: \"https://{name}.example\", audience: [a], algorithms: [ES256], jwks_url: \"https://{name}.example/k\"}}, "
        )
    };
    let gateway = edit(
        GATEWAY,
        "auth: {",
        &format!("auth: {{{}{}", issuer("one"), issuer("two")),
    );
    let document = |one: &str, two: &str| {
        let document = edit(
            DOCUMENT,
            "operationId: getOrder,",
            "operationId: getOrder, security: [{one: []}, {two: []}],",
        );
        format!(
            "{document}    one: {{type: http, scheme: bearer, x-gateway: {{auth: one{one}}}}}\n    two: {{type: apiKey, in: header, name: X-T, x-gateway: {{auth: two{two}}}}}\n"
        )
    };
    let claims = ", claims_to_headers: {email: X-Email}";
    let name = ", forward_as: X-Email";
    for (old, new, class) in [
        ((claims, ""), ("", claims), "incomparable"),
        // Callers of `two` start or stop to have a value. An upstream may treat a missing field as
        // another caller.
        ((claims, ""), (claims, claims), "incomparable"),
        ((claims, claims), (claims, ""), "incomparable"),
        ((name, ""), ("", name), "incomparable"),
        ((name, ""), (name, name), "incomparable"),
    ] {
        let (old, new) = (document(old.0, old.1), document(new.0, new.1));
        let plan = plan((&gateway, &old), (&gateway, &new));
        assert_eq!(
            lines(&plan),
            [format!(
                "security {class} identity-field-changed a/getOrder"
            )]
        );
    }
}

/// gateway.yaml with an authorization service at the upstream `v`. An outage of the service admits
/// every request.
fn open(upstream: &str) -> String {
    let gateway = edit(
        GATEWAY,
        "v: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}",
        &format!("v: {{targets: {{a: {{url: \"{upstream}}}"),
    );
    let gateway = edit(
        &gateway,
        "policies:\n",
        "policies:\n  ask: {kind: forward_auth, upstream: v, on_outage: open}\n",
    );
    edit(&gateway, "[slow, edge]", "[slow, ask, edge]")
}

#[test]
fn any_setting_of_a_service_that_may_fail_weakens() {
    let all = "a/createOrder+a/deleteOrder+a/getOrder+a/getStatus+a/listOrders";
    let plain = "http://v.example:9001\"}}";
    let secure = "https://v.example:9001\"}}";
    for (old, new) in [
        (plain, format!("{plain}, protocol: h2c")),
        (plain, format!("{plain}, proxy_protocol: v2")),
        (plain, format!("{plain}, host_header: x.example")),
        (plain, secure.to_owned()),
        (secure, format!("{secure}, tls: {{sni: x.example}}")),
        (
            plain,
            format!("{plain}, health: {{active: {{path: /only}}}}"),
        ),
    ] {
        let plan = plan((&open(old), DOCUMENT), (&open(&new), DOCUMENT));
        let found = lines(&plan);
        let is_reported =
            |line: &String| line.starts_with("security weaken") && line.ends_with(all);
        assert!(found.iter().any(is_reported), "{new}: {found:?}");
    }
    let looser = format!("{plain}, limits: {{requests: 100000}}");
    let plan = plan((&open(plain), DOCUMENT), (&open(&looser), DOCUMENT));
    assert!(
        lines(&plan).iter().all(|line| !line.contains("weaken")),
        "{:?}",
        lines(&plan)
    );
}

#[test]
fn longer_cache_of_answers_weakens() {
    let cached = |time: &str| asking(&format!("upstream: u, cache: {time}"));
    let between = |old: &str, new: &str| {
        let plan = plan((&cached(old), DOCUMENT), (&cached(new), DOCUMENT));
        lines(&plan)
    };
    assert_eq!(
        between("1m", "1h"),
        ["security weaken policy-changed policy ask cache"]
    );
    assert_eq!(
        between("1h", "1m"),
        ["security strengthen policy-changed policy ask cache"]
    );
}

#[test]
fn weaker_connections_of_all_upstreams_weaken() {
    let upstreams = |keys: &str| {
        edit(
            GATEWAY,
            "upstreams:\n",
            &format!(
                "upstreams:\n  one: {{targets: {{a: {{url: \"https://n.example\"}}}}, tls: {{client_cert: {{cert: \"${{file:/c}}\", key: \"${{file:/k}}\"}}}}}}\n  two: {{targets: {{a: {{url: \"{keys}}}\n"
            ),
        )
    };
    let of = |operation: &str| {
        edit(
            DOCUMENT,
            "operationId: getOrder,",
            &format!("operationId: getOrder, x-gateway: {{{operation}}},"),
        )
    };
    let certificate = "client_cert: {cert: \"${file:/c}\", key: \"${file:/k}\"}";
    for keys in [
        "http://n.example\"}}".to_owned(),
        "https://n.example\"}}".to_owned(),
        format!("https://n.example\"}}}}, tls: {{verify: false, {certificate}}}"),
        format!("https://n.example\"}}}}, tls: {{sni: x.example, {certificate}}}"),
    ] {
        let gateway = upstreams(&keys);
        for use_of in [
            "upstream: X",
            "split: [{upstream: u}, {upstream: X}]",
            "mirror: {upstream: X}",
        ] {
            let (old, new) = (
                of(&use_of.replace('X', "one")),
                of(&use_of.replace('X', "two")),
            );
            let plan = plan((&gateway, &old), (&gateway, &new));
            let found = lines(&plan);
            let expected = |line: &String| {
                let ends = line.ends_with("upstream-transport-changed a/getOrder");
                ends && (line.contains("weaken") || line.contains("incomparable"))
            };
            assert!(found.iter().any(expected), "{keys} {use_of}: {found:?}");
        }
        // Use the same upstreams as authorization services.
        let policy = |name: &str| {
            let gateway = edit(
                &gateway,
                "policies:\n",
                &format!("policies:\n  ask: {{kind: forward_auth, upstream: {name}}}\n"),
            );
            edit(&gateway, "[slow, edge]", "[slow, ask, edge]")
        };
        let plan = plan((&policy("one"), DOCUMENT), (&policy("two"), DOCUMENT));
        let found = lines(&plan);
        let expected = |line: &String| line.contains("upstream-transport-changed");
        assert!(found.iter().any(expected), "{keys}: {found:?}");
    }
}

#[test]
fn short_timeout_with_old_answers_weakens() {
    let document = document("type: http, scheme: bearer", "{token: []}");
    let between = |old: &str, new: &str| {
        let (old, new) = (gateway(ENDPOINT, "A", old), gateway(ENDPOINT, "A", new));
        let plan = plan((&old, &document), (&new, &document));
        let mut changes = plan.changes.iter();
        let change = changes.find(|change| change.id == "verifier-changed");
        change.map(|change| change.class.name().to_owned())
    };
    let cached = ", on_outage: cached";
    let short = ", on_outage: cached, timeout: 1ms";
    assert_eq!(between(cached, short).as_deref(), Some("weaken"));
    assert_eq!(between(short, cached).as_deref(), Some("strengthen"));
    assert_eq!(between("", short).as_deref(), Some("weaken"));
    assert_eq!(between("", ", timeout: 1ms").as_deref(), Some("tighten"));
}
