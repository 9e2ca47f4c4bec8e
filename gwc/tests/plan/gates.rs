//! Regression tests of changes that gates did not detect: each edit must have a class, and the
//! reverse edit the opposite class.

use model::compile::Purpose;
use plan::Plan;

use crate::addresses::planned;
use crate::{DOCUMENT, GATEWAY, compiled, edit, lines, plan};

/// Checks the classes of the changes with this id, for an edit and its reverse.
#[track_caller]
pub(crate) fn both(id: &str, old: (&str, &str), new: (&str, &str), classes: (&str, &str)) {
    let of = |plan: &Plan| -> Vec<String> {
        let changes = plan.changes.iter().filter(|change| change.id == id);
        let mut classes: Vec<String> = changes
            .map(|change| change.class.name().to_owned())
            .collect();
        classes.dedup();
        classes
    };
    let (forwards, backwards) = (plan(old, new), plan(new, old));
    assert_eq!(of(&forwards), [classes.0], "{:?}", lines(&forwards));
    assert_eq!(of(&backwards), [classes.1], "{:?}", lines(&backwards));
}

/// Compares two versions of [`GATEWAY`], in which `old` and `new` replace the text `from`.
#[track_caller]
pub(crate) fn gateway(id: &str, from: &str, (old, new): (&str, &str), classes: (&str, &str)) {
    let (old, new) = (edit(GATEWAY, from, old), edit(GATEWAY, from, new));
    both(id, (&old, DOCUMENT), (&new, DOCUMENT), classes);
}

pub(crate) const UPSTREAM: &str = "u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}";

pub(crate) fn upstream(more: &str) -> String {
    UPSTREAM.replace("}}}", &format!("}}}}{more}}}"))
}

#[test]
fn other_host_and_balance_of_an_upstream_move() {
    for (id, old, new) in [
        (
            "host-header-changed",
            ", host_header: a.example",
            ", host_header: upstream",
        ),
        ("upstream-setting-changed", "", ", lb: least_request"),
        (
            "upstream-setting-changed",
            ", lb: maglev, hash_on: address",
            ", lb: maglev, hash_on: \"header:X-A\"",
        ),
    ] {
        let sides = (upstream(old), upstream(new));
        gateway(id, UPSTREAM, (&sides.0, &sides.1), ("moved", "moved"));
    }
}

#[test]
fn stripped_base_path_moves() {
    let mount = |strip: &str| format!("{{path: api.yaml, mount: {{base_path: /v1{strip}}}}}");
    gateway(
        "strip-base-path-changed",
        "{path: api.yaml}",
        (&mount(""), &mount(", strip_base_path: true")),
        ("moved", "moved"),
    );
}

#[test]
fn rewritten_query_moves() {
    let with = |query: &str| {
        format!(
            "policies:\n  goes: {{kind: rewrite, path: /x, query: {{set: {{tenant: {query}}}}}}}\n"
        )
    };
    let chain = edit(GATEWAY, "[slow, edge]", "[slow, edge, goes]");
    let (old, new) = (
        edit(&chain, "policies:\n", &with("one")),
        edit(&chain, "policies:\n", &with("two")),
    );
    both(
        "traffic-moved",
        (&old, DOCUMENT),
        (&new, DOCUMENT),
        ("moved", "moved"),
    );
}

#[test]
fn identity_fields_of_requests_are_access() {
    let edge = "edge: {kind: headers, response: {remove: [Server]}}";
    let with = |request: &str| {
        format!("edge: {{kind: headers, request: {{{request}}}, response: {{remove: [Server]}}}}")
    };
    for (old, new, classes) in [
        ("remove: [X-User]", "", ("weaken", "strengthen")),
        // In the new version, the gateway does not remove or replace these fields of clients.
        ("set: {X-Debug: off}", "", ("weaken", "strengthen")),
        ("remove: [X-Debug]", "", ("weaken", "strengthen")),
        (
            "remove: [Cookie, X-A]",
            "remove: [X-A]",
            ("incomparable", "incomparable"),
        ),
        ("", "set: {X-User: root}", ("incomparable", "incomparable")),
        ("", "add: {X-User: root}", ("weaken", "strengthen")),
        (
            "set: {Authorization: one}",
            "set: {Authorization: two}",
            ("incomparable", "incomparable"),
        ),
        (
            "set: {X-Consumer-Name: a}",
            "remove: [X-Consumer-Name]",
            ("incomparable", "incomparable"),
        ),
        (
            "remove: [X-Forwarded-For]",
            "set: {X-Forwarded-For: \"10.0.0.1\"}",
            ("incomparable", "incomparable"),
        ),
    ] {
        let sides = (with(old), with(new));
        gateway(
            "identity-field-changed",
            edge,
            (&sides.0, &sides.1),
            classes,
        );
    }
}

#[test]
fn field_without_identity_is_no_access() {
    let (old, new) = (
        GATEWAY.to_owned(),
        edit(
            GATEWAY,
            "edge: {kind: headers,",
            "edge: {kind: headers, request: {add: {X-Gateway: gwd}, remove: [X-Forwarded-For]},",
        ),
    );
    let plan = plan((&old, DOCUMENT), (&new, DOCUMENT));
    let found = lines(&plan);
    assert!(
        found.iter().all(|line| line.starts_with("policy changed")),
        "{found:?}"
    );
}

#[test]
fn secret_in_another_field_or_place_weakens() {
    let edge = "edge: {kind: headers, response: {remove: [Server]}}";
    let with = |edits: &str| edit(GATEWAY, edge, &format!("edge: {{kind: headers, {edits}}}"));
    let sent = with("request: {set: {X-Token: \"${env:GWS_T}\"}}");
    let plain = with("request: {set: {X-Token: none}}");
    let answered = with(
        "request: {set: {X-Token: \"${env:GWS_T}\"}}, response: {set: {X-Debug: \"${env:GWS_T}\"}}",
    );
    for (old, new) in [(&plain, &sent), (&sent, &answered)] {
        let plan = plan((old, DOCUMENT), (new, DOCUMENT));
        let found = lines(&plan);
        assert!(
            found
                .iter()
                .any(|line| line.starts_with("security weaken secret-flow-added policy edge")),
            "{found:?}"
        );
    }
    // A renamed policy sends the same secret to the same hosts in the same field.
    let renamed = edit(&sent, "edge: {kind", "rim: {kind");
    let renamed = edit(&renamed, "[slow, edge]", "[slow, rim]");
    let plan = plan((&sent, DOCUMENT), (&renamed, DOCUMENT));
    let found = lines(&plan);
    assert!(
        found.iter().all(|line| !line.contains("weaken")),
        "{found:?}"
    );
    // The secret goes to another upstream.
    let moved = edit(&sent, "defaults: {upstream: u", "defaults: {upstream: v");
    let plan = self::plan((&sent, DOCUMENT), (&moved, DOCUMENT));
    let found = lines(&plan);
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("security weaken secret-flow-added a/")),
        "{found:?}"
    );
}

#[test]
fn credential_that_is_forwarded_weakens() {
    let stripped = edit(
        DOCUMENT,
        "x-gateway: {auth: keys}",
        "x-gateway: {auth: keys, strip_credential: true}",
    );
    let forwarded = edit(
        DOCUMENT,
        "x-gateway: {auth: keys}",
        "x-gateway: {auth: keys, strip_credential: false}",
    );
    let plan = plan((GATEWAY, &stripped), (GATEWAY, &forwarded));
    assert!(
        lines(&plan)
            .iter()
            .any(|line| line.starts_with("security weaken credential-forwarded")),
        "{:?}",
        lines(&plan)
    );
    let plan = self::plan((GATEWAY, &forwarded), (GATEWAY, &stripped));
    assert!(
        lines(&plan)
            .iter()
            .any(|line| line.starts_with("security incomparable credential-stripped")),
        "{:?}",
        lines(&plan)
    );
}

#[test]
fn further_retries_relax() {
    const LIST: &str = "{operationId: listOrders, summary: List,";
    let with = |settings: &str| {
        edit(
            DOCUMENT,
            LIST,
            &format!("{{operationId: listOrders, x-gateway: {{{settings}}}, summary: List,"),
        )
    };
    for (old, new) in [
        ("timeout: 5s", "timeout: 5s, idempotent: true"),
        (
            "retries: {attempts: 2, on: [connect-failure]}",
            "retries: {attempts: 2, on: [connect-failure, gateway-error]}",
        ),
        (
            "retries: {attempts: 2}",
            "retries: {attempts: 2, on: [connect-failure, refused-stream, 5xx]}",
        ),
    ] {
        both(
            "operation-setting-changed",
            (GATEWAY, &with(old)),
            (GATEWAY, &with(new)),
            ("relax", "tighten"),
        );
    }
    let (old, new) = (
        upstream(", retries: {attempts: 2, on: [connect-failure]}"),
        upstream(", retries: {attempts: 2, on: [gateway-error]}"),
    );
    // With other conditions, gwd retries some requests that it did not retry before.
    gateway(
        "upstream-setting-changed",
        UPSTREAM,
        (&old, &new),
        ("relax", "relax"),
    );
}

#[test]
fn more_ejected_targets_are_relax() {
    let (old, new) = (
        upstream(", health: {passive: {max_ejected: 20%}}"),
        upstream(", health: {passive: {max_ejected: 50%}}"),
    );
    gateway(
        "upstream-setting-changed",
        UPSTREAM,
        (&old, &new),
        ("relax", "tighten"),
    );
}

#[test]
fn certificate_checks_of_upstreams_weaken() {
    let tls = |tls: &str| {
        format!("u: {{targets: {{a: {{url: \"https://shop.example\"}}}}, tls: {{{tls}}}}}")
    };
    for (id, old, new, classes) in [
        (
            "upstream-verification-changed",
            "verify: true",
            "verify: false",
            ("weaken", "strengthen"),
        ),
        (
            "upstream-authority-changed",
            "ca: \"${file:/ca/a.pem}\"",
            "ca: \"${file:/ca/b.pem}\"",
            ("incomparable", "incomparable"),
        ),
    ] {
        let sides = (tls(old), tls(new));
        gateway(id, UPSTREAM, (&sides.0, &sides.1), classes);
    }
}

#[test]
fn cors_that_goes_is_incomparable() {
    let with = "policies:\n  web: {kind: cors, origins: [\"https://a.example\"]}\n";
    let defined = edit(GATEWAY, "policies:\n", with);
    let used = edit(&defined, "[slow, edge]", "[slow, edge, web]");
    let side = |gateway: &str| {
        let files = [("gateway.yaml", gateway), ("api.yaml", DOCUMENT)];
        compiled(&files, Purpose::Route).expect("it compiles")
    };
    let plan = plan::compare(Some(&side(&used)), &side(&defined)).expect("both build");
    assert!(
        lines(&plan)
            .iter()
            .any(|line| line.starts_with("security incomparable cors-removed")),
        "{:?}",
        lines(&plan)
    );
}

#[test]
fn listener_that_goes_or_moves_is_removed() {
    let at = |listeners: &str| format!("{GATEWAY}listeners: {{{listeners}}}\n");
    let one = at("public: {address: \"127.0.0.1:8080\"}");
    let two = at("public: {address: \"127.0.0.1:8080\"}, inner: {address: \"127.0.0.1:8081\"}");
    let plan = plan((&two, DOCUMENT), (&one, DOCUMENT));
    assert!(
        lines(&plan).contains(&"routing removed listener-removed listener inner".to_owned()),
        "{:?}",
        lines(&plan)
    );
    assert!(!plan.tripped(&["remove".into()], &[]).is_empty());
    let wide = at("public: {address: \"10.0.0.1:8080\"}");
    let moved = self::plan((&one, DOCUMENT), (&wide, DOCUMENT));
    for gate in ["expose", "remove"] {
        assert_eq!(moved.tripped(&[gate.into()], &[]).len(), 1, "{gate}");
    }
}

#[test]
fn renamed_listener_hides_no_longer_timeout() {
    let at = |name: &str, timeout: &str| {
        format!(
            "{GATEWAY}listeners: {{{name}: {{address: \"127.0.0.1:8080\", trusted_proxies: [10.0.0.0/8], limits: {{header_timeout: {timeout}}}}}}}\n"
        )
    };
    let (old, new) = (at("public", "5s"), at("front", "50s"));
    let plan = plan((&old, DOCUMENT), (&new, DOCUMENT));
    let found = lines(&plan);
    let relaxed = "policy relax listener-header-timeout-changed listener public -> front limits.header_timeout";
    assert!(found.contains(&relaxed.to_owned()), "{found:?}");
    // The renamed listener has the same trusted proxies, so the plan must not have a line about
    // them.
    assert!(
        found.iter().all(|line| !line.contains("trusted-proxy")),
        "{found:?}"
    );
}

#[test]
fn renamed_upstream_hides_no_longer_timeout() {
    let old = edit(GATEWAY, UPSTREAM, &upstream(", timeouts: {connect: 1s}"));
    let new = edit(GATEWAY, UPSTREAM, &upstream(", timeouts: {connect: 9s}"));
    let new = edit(&new, "  u: {targets", "  w: {targets");
    let new = edit(&new, "upstream: u,", "upstream: w,");
    let plan = plan((&old, DOCUMENT), (&new, DOCUMENT));
    let found = lines(&plan);
    assert!(
        found
            .iter()
            .any(|line| line.starts_with("policy relax connect-timeout-changed a/")),
        "{found:?}"
    );
}

const LIST: &str = "{operationId: listOrders, summary: List,";
const SLOW: &str = "slow: {kind: rate_limit, limit: 10/s, burst: 5}";

#[test]
fn shared_limit_that_is_split_is_relax() {
    let two = edit(
        GATEWAY,
        SLOW,
        &format!("{SLOW}\n  late: {{kind: rate_limit, limit: 10/s, burst: 5}}"),
    );
    let own = edit(
        DOCUMENT,
        LIST,
        "{operationId: listOrders, x-gateway: {policies: [late, edge]}, summary: List,",
    );
    let split = planned_with((&two, DOCUMENT), (&two, &own));
    assert!(
        lines(&split).contains(&"policy relax limit-split a/listOrders".to_owned()),
        "{:?}",
        lines(&split)
    );
    let joined = planned_with((&two, &own), (&two, DOCUMENT));
    assert!(
        lines(&joined).iter().all(|line| !line.contains("relax")),
        "{:?}",
        lines(&joined)
    );
    // A limit that is renamed in all positions is still the same limit.
    let renamed = edit(GATEWAY, "  slow: {kind", "  slower: {kind");
    let renamed = edit(&renamed, "[slow, edge]", "[slower, edge]");
    let renamed = planned(GATEWAY, &renamed);
    assert!(
        lines(&renamed).iter().all(|line| !line.contains("relax")),
        "{:?}",
        lines(&renamed)
    );
}

#[test]
fn changed_order_of_limits_is_no_relax() {
    let two = edit(
        GATEWAY,
        SLOW,
        &format!("{SLOW}\n  tight: {{kind: rate_limit, limit: 1/s, burst: 1}}"),
    );
    let (old, new) = (
        edit(&two, "[slow, edge]", "[slow, tight, edge]"),
        edit(&two, "[slow, edge]", "[tight, slow, edge]"),
    );
    for plan in [planned(&old, &new), planned(&new, &old)] {
        let found = lines(&plan);
        assert!(
            found
                .iter()
                .all(|line| line.starts_with("policy changed policies-changed")),
            "{found:?}"
        );
    }
}

#[test]
fn own_retries_are_compared_with_the_upstreams() {
    let gateway = edit(GATEWAY, UPSTREAM, &upstream(", retries: {attempts: 3}"));
    let own = |attempts: u8| {
        edit(
            DOCUMENT,
            LIST,
            &format!(
                "{{operationId: listOrders, x-gateway: {{retries: {{attempts: {attempts}}}}}, summary: List,"
            ),
        )
    };
    for (attempts, there, back) in [(2, "tighten", "relax"), (5, "relax", "tighten")] {
        both(
            "operation-setting-changed",
            (&gateway, DOCUMENT),
            (&gateway, &own(attempts)),
            (there, back),
        );
    }
}

#[test]
fn scopes_that_the_upstream_checks_do_not_weaken() {
    let upstream = edit(GATEWAY, "defaults: {", "defaults: {security: upstream, ");
    let bearer = |scopes: &str| {
        let text = edit(
            DOCUMENT,
            "    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}",
            "    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}\n    idp: {type: oauth2, x-gateway: {verify: upstream}, flows: {clientCredentials: {tokenUrl: \"https://idp.example/token\", scopes: {read: r, write: w}}}}",
        );
        edit(
            &text,
            LIST,
            &format!("{{operationId: listOrders, security: [{{idp: [{scopes}]}}], summary: List,"),
        )
    };
    for (old, new) in [("read, write", "read"), ("read", "write"), ("read", "")] {
        let plan = planned_with((&upstream, &bearer(old)), (&upstream, &bearer(new)));
        let found = lines(&plan);
        assert!(
            !found.is_empty() && found.iter().all(|line| line.starts_with("policy changed")),
            "{found:?}"
        );
    }
    // With another token URL, clients send their secrets to another server. Other scopes trip no
    // gate.
    let elsewhere = bearer("read").replace("https://idp.example/token", "https://other.example/t");
    let fewer = bearer("read").replace("{read: r, write: w}", "{read: r}");
    for (new, class, subject) in [
        (
            elsewhere,
            "moved",
            "a: oauth flow clientCredentials tokenUrl",
        ),
        (fewer, "doc", "a: oauth flow clientCredentials scopes"),
    ] {
        let plan = planned_with((&upstream, &bearer("read")), (&upstream, &new));
        assert_eq!(
            lines(&plan),
            [format!("breaking {class} oauth-flow-changed {subject}")]
        );
        assert_eq!(plan.no_op, class == "doc");
        assert_eq!(
            plan.count(plan::Class::Moved),
            usize::from(class == "moved")
        );
    }
    let oidc = |url: &str| {
        let scheme = format!(
            "idp: {{type: openIdConnect, openIdConnectUrl: \"{url}\", x-gateway: {{verify: upstream}}}}\n    key: {{type: apiKey"
        );
        edit(DOCUMENT, "key: {type: apiKey", &scheme)
    };
    let (old, new) = (
        oidc("https://idp.example/x"),
        oidc("https://evil.example/x"),
    );
    let plan = planned_with((&upstream, &old), (&upstream, &new));
    assert_eq!(
        lines(&plan),
        ["breaking moved oauth-flow-changed a: oauth openIdConnectUrl"]
    );
}

/// Plan of two gateways and documents with settings that gwd may not support yet.
fn planned_with(old: (&str, &str), new: (&str, &str)) -> Plan {
    let side = |(gateway, document)| {
        let files = [("gateway.yaml", gateway), ("api.yaml", document)];
        compiled(&files, Purpose::Route).expect("it compiles")
    };
    plan::compare(Some(&side(old)), &side(new)).expect("both sides build")
}

#[test]
fn acknowledged_exposure_binds_its_treatment() {
    let with = |settings: &str| {
        edit(
            DOCUMENT,
            "  /status:\n",
            &format!(
                "  /fresh:\n    get: {{operationId: fresh, security: [], x-gateway: {{public: true{settings}}}, responses: {{\"200\": {{description: fine}}}}}}\n  /status:\n"
            ),
        )
    };
    let gateway = GATEWAY.replace(
        "  v: {targets",
        "  w: {targets: {a: {url: \"http://127.0.0.1:9002\"}}}\n  v: {targets",
    );
    let other = gateway.replace(":9002", ":9003");
    let fingerprint = |gateway: &str, settings: &str| {
        let plan = planned_with((GATEWAY, DOCUMENT), (gateway, &with(settings)));
        let changes = plan.changes.into_iter();
        let mut changes = changes.filter(|change| change.id == "operation-exposed");
        changes.next().expect("the plan has the change").fingerprint
    };
    let plain = fingerprint(&gateway, "");
    assert_eq!(plain, fingerprint(&gateway, ", timeout: 2s"));
    for settings in [
        ", rewrite: {path: /admin}",
        ", upstream: v",
        ", policies: [edge]",
        ", mirror: {upstream: v}",
    ] {
        assert_ne!(plain, fingerprint(&gateway, settings), "{settings}");
    }
    // The fingerprint depends on the address of a new upstream.
    let new = ", upstream: w";
    assert_ne!(fingerprint(&gateway, new), fingerprint(&other, new));
}

#[test]
fn split_with_shares_is_one_line() {
    let with = |weight: u8| {
        edit(
            DOCUMENT,
            LIST,
            &format!(
                "{{operationId: listOrders, x-gateway: {{split: [{{upstream: u, weight: {weight}}}, {{upstream: v, weight: 1}}]}}, summary: List,"
            ),
        )
    };
    for (old, new) in [
        (DOCUMENT.to_owned(), with(9)),
        (with(9), with(5)),
        (with(9), DOCUMENT.to_owned()),
    ] {
        let plan = plan((GATEWAY, &old), (GATEWAY, &new));
        assert_eq!(lines(&plan), ["policy moved traffic-moved a/listOrders"]);
        let change = &plan.changes[0];
        assert_eq!(change.subject, "split");
        let values = format!("{} {}", change.old, change.new);
        for part in ["127.0.0.1:9000", "127.0.0.1:9001", "weight"] {
            assert!(values.contains(part), "{values}");
        }
    }
}

#[test]
fn merged_slashes_and_tunnels_weaken() {
    let listener = |more: &str| {
        format!(
            "listeners: {{public: {{address: \"127.0.0.1:8080\"{more}}}}}\nupstreams:\n  {UPSTREAM}\n"
        )
    };
    gateway(
        "listener-setting-changed",
        &format!("upstreams:\n  {UPSTREAM}\n"),
        (&listener(""), &listener(", merge_slashes: true")),
        ("weaken", "incomparable"),
    );
    let operation = |more: &str| {
        edit(
            DOCUMENT,
            "{operationId: listOrders,",
            &format!("{{operationId: listOrders, x-gateway: {{timeout: 5s{more}}},"),
        )
    };
    for (more, classes) in [
        (", websocket: true", ("weaken", "break")),
        (", stream: true", ("relax", "tighten")),
        (", streams: close", ("strengthen", "weaken")),
    ] {
        let (old, new) = (operation(""), operation(more));
        both(
            "operation-setting-changed",
            (GATEWAY, &old),
            (GATEWAY, &new),
            classes,
        );
    }
}

/// Clients depend on the status of an error, for example on 401 for a login.
#[test]
fn changed_status_of_errors_breaks_clients() {
    let errors =
        |status: &str| format!("errors: {{credential_missing: {{{status}}}}}\nupstreams:\n");
    let with = |status: &str| edit(GATEWAY, "upstreams:\n", &errors(status));
    for (old, new) in [
        (with("status: 401"), with("status: 404")),
        (with("body: x"), with("body: x, status: 403")),
    ] {
        both(
            "gateway-setting-changed",
            (&old, DOCUMENT),
            (&new, DOCUMENT),
            ("break", "break"),
        );
    }
}

#[test]
fn unclassified_difference_trips_every_gate() {
    let new = edit(GATEWAY, "timeout: 5s", "timeout: 6s");
    let plan = plan::ids::without("timeout-changed", || planned(GATEWAY, &new));
    let ids: Vec<&str> = plan.changes.iter().map(|change| change.id).collect();
    assert_eq!(ids, ["unclassified"]);
    let seen = [plan.changes[0].fingerprint.clone()];
    for gate in [
        "weaken", "expose", "grant", "relax", "remove", "move", "rules",
    ] {
        assert_eq!(plan.tripped(&[gate.into()], &[]).len(), 1, "{gate}");
        assert!(plan.tripped(&[gate.into()], &seen).is_empty(), "{gate}");
    }
}

#[test]
fn other_documented_host_is_moved() {
    let servers = |list: &str| edit(DOCUMENT, "paths:", &format!("servers: [{list}]\npaths:"));
    let old = servers("{url: \"https://api.example/v1\"}");
    let variable = |values: &str| {
        let server = "{url: \"https://{region}.example/v1\", variables: {region: {default: eu";
        servers(&format!("{server}{values}}}}}}}"))
    };
    for (old, new, class) in [
        (&old, servers("{url: \"https://api.example/v2\"}"), "moved"),
        (&old, servers("{url: \"HTTPS://API.example/v1/\"}"), "doc"),
        (&old, servers("{url: /v1}"), "moved"),
        (&old, servers("{url: \"https://evil.example/v1\"}"), "moved"),
        (&old, servers("{url: \"http://api.example/v1\"}"), "moved"),
        (&old, servers("{url: \"//api.example:81/v1\"}"), "moved"),
        (&old, variable(""), "moved"),
        (&variable(""), variable(", enum: [eu, us]"), "moved"),
        (&variable(""), variable(", description: A region"), ""),
    ] {
        let plan = planned_with((GATEWAY, old), (GATEWAY, &new));
        let lines = lines(&plan);
        let expected = match class {
            "" => vec![],
            _ => vec![format!("breaking {class} servers-changed a: servers")],
        };
        assert_eq!(lines, expected, "{new}");
    }
}
