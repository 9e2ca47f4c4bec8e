//! Response fields that policies write: CORS fields that let web pages read responses, fields that
//! protect callers, and redirects.

use crate::gates::{both, gateway};
use crate::{DOCUMENT, GATEWAY, edit, lines, plan, side};

const EDGE: &str = "edge: {kind: headers, response: {remove: [Server]}}";

fn edge(response: &str) -> String {
    format!("edge: {{kind: headers, response: {{{response}}}}}")
}

#[test]
fn response_fields_trip_the_gate_of_access() {
    const WEAKEN: (&str, &str) = ("weaken", "strengthen");
    const LOST: (&str, &str) = ("weaken", "incomparable");
    const OTHER: (&str, &str) = ("incomparable", "incomparable");
    let origin = |origin: &str| format!("set: {{Access-Control-Allow-Origin: \"{origin}\"}}");
    for (old, new, classes) in [
        ("set: {X-Base: gwd}", &*origin("*"), LOST),
        ("set: {X-Base: gwd}", &origin("https://a.example"), LOST),
        (
            "remove: [Access-Control-Allow-Origin]",
            "set: {X-Base: gwd}",
            WEAKEN,
        ),
        (&origin("https://a.example"), &origin("*"), WEAKEN),
        (
            &origin("https://a.example"),
            &origin("https://b.example"),
            OTHER,
        ),
        (
            "remove: [Access-Control-Allow-Credentials]",
            "set: {Access-Control-Allow-Credentials: \"true\"}",
            WEAKEN,
        ),
        (
            "set: {Access-Control-Allow-Methods: \"GET\"}",
            "set: {Access-Control-Allow-Methods: \"PUT, get\"}",
            WEAKEN,
        ),
        ("remove: [Set-Cookie]", "add: {Set-Cookie: \"a=b\"}", LOST),
        (
            "set: {Set-Cookie: \"a=b\"}",
            "set: {Set-Cookie: \"a=B\"}",
            OTHER,
        ),
        (
            "set: {Strict-Transport-Security: \"max-age=600\"}",
            "set: {X-Base: gwd}",
            LOST,
        ),
        // The upstream's own value may be stricter than the gateway's.
        (
            "set: {Content-Security-Policy: \"default-src 'self'\"}",
            "set: {X-Base: gwd}",
            LOST,
        ),
        (
            "set: {X-Frame-Options: SAMEORIGIN}",
            "set: {X-Base: gwd}",
            LOST,
        ),
        ("set: {X-Frame-Options: DENY}", "set: {X-Base: gwd}", WEAKEN),
        // All policies of a response apply, so removing one of them weakens the protection.
        (
            "add: {Content-Security-Policy: \"default-src 'self'\"}",
            "set: {X-Base: gwd}",
            WEAKEN,
        ),
        (
            "set: {Strict-Transport-Security: \"max-age=600\"}",
            "set: {Strict-Transport-Security: \"max-age=0\"}",
            WEAKEN,
        ),
        (
            "set: {Strict-Transport-Security: \"max-age=600; includeSubDomains\"}",
            "set: {Strict-Transport-Security: \"max-age=600\"}",
            WEAKEN,
        ),
        (
            "set: {X-Base: gwd}",
            "remove: [Content-Security-Policy]",
            WEAKEN,
        ),
        (
            "set: {Content-Security-Policy: \"default-src 'self'\"}",
            "set: {Content-Security-Policy: \"default-src *\"}",
            OTHER,
        ),
        (
            "set: {X-Frame-Options: DENY}",
            "set: {X-Frame-Options: SAMEORIGIN}",
            WEAKEN,
        ),
        (
            "set: {X-Content-Type-Options: nosniff}",
            "set: {X-Base: gwd}",
            WEAKEN,
        ),
        (
            "set: {X-Base: gwd}",
            "set: {Content-Type: \"text/html; charset=utf-8\"}",
            WEAKEN,
        ),
        (
            "set: {Content-Type: text/html}",
            "set: {Content-Type: text/javascript}",
            OTHER,
        ),
        ("set: {X-Base: gwd}", "remove: [Content-Type]", WEAKEN),
        (
            "set: {Content-Type: text/html}",
            "remove: [Content-Type]",
            OTHER,
        ),
        (
            "set: {X-Base: gwd}",
            "set: {Service-Worker-Allowed: /}",
            LOST,
        ),
        (
            "set: {X-Permitted-Cross-Domain-Policies: none}",
            "set: {X-Permitted-Cross-Domain-Policies: all}",
            WEAKEN,
        ),
    ] {
        let sides = (edge(old), edge(new));
        gateway(
            "response-field-changed",
            EDGE,
            (&sides.0, &sides.1),
            classes,
        );
    }
}

#[test]
fn field_without_protection_is_no_access() {
    for (old, new) in [
        ("set: {X-Base: gwd}", "set: {X-Served-By: gwd}"),
        (
            "set: {X-Base: gwd}",
            "set: {Content-Type: application/json}",
        ),
        (
            "set: {Strict-Transport-Security: \"max-age=0\"}",
            "remove: [Strict-Transport-Security]",
        ),
        (
            "set: {Access-Control-Allow-Methods: \"get\"}",
            "set: {Access-Control-Allow-Methods: GET}",
        ),
        // The values differ only in letter case.
        (
            "set: {X-Frame-Options: DENY}",
            "set: {X-Frame-Options: deny}",
        ),
        (
            "set: {Strict-Transport-Security: \"max-age=60; includeSubDomains\"}",
            "set: {Strict-Transport-Security: \"includesubdomains;Max-Age=60\"}",
        ),
        (
            "set: {Cache-Control: \"no-store, private\"}",
            "set: {Cache-Control: \"Private,No-Store\"}",
        ),
        (
            "set: {Set-Cookie: \"a=b; Path=/; Secure\"}",
            "set: {Set-Cookie: \"a=b; secure; path=/\"}",
        ),
        (
            "set: {Content-Security-Policy: \"img-src *; default-src 'self'\"}",
            "set: {Content-Security-Policy: \"Default-Src 'self'; img-src *\"}",
        ),
        // The gateway sets a value that did not exist before.
        ("remove: [X-Powered-By]", "set: {X-Powered-By: gwd}"),
    ] {
        let (old, new) = (
            edit(GATEWAY, EDGE, &edge(old)),
            edit(GATEWAY, EDGE, &edge(new)),
        );
        let found = lines(&plan((&old, DOCUMENT), (&new, DOCUMENT)));
        assert!(
            found.iter().all(|line| line.starts_with("policy changed")),
            "{found:?}"
        );
    }
}

#[test]
fn removed_field_that_returns_weakens() {
    for (old, new) in [
        ("remove: [Server]", "set: {X-Base: gwd}"),
        ("remove: [X-Powered-By, Server]", "remove: [server]"),
        ("remove: [X-Powered-By]", "add: {X-Powered-By: gwd}"),
    ] {
        let sides = (edge(old), edge(new));
        gateway(
            "response-field-changed",
            EDGE,
            (&sides.0, &sides.1),
            ("weaken", "strengthen"),
        );
    }
    // The policy is removed from the chain.
    let without = edit(GATEWAY, "[slow, edge]", "[slow]");
    both(
        "response-field-changed",
        (GATEWAY, DOCUMENT),
        (&without, DOCUMENT),
        ("weaken", "strengthen"),
    );
    let plan = plan((GATEWAY, DOCUMENT), (&without, DOCUMENT));
    assert!(!plan.tripped(&["weaken".into()], &[]).is_empty());
}

#[test]
fn caching_of_protected_responses_weakens() {
    for (old, new) in [
        (
            "set: {Cache-Control: no-store}",
            "set: {Cache-Control: \"public, max-age=60\"}",
        ),
        ("set: {Cache-Control: private}", "remove: [Cache-Control]"),
        (
            "set: {Vercel-CDN-Cache-Control: no-store}",
            "set: {X-Base: gwd}",
        ),
        ("set: {X-Base: gwd}", "set: {Cache-Control: max-age=60}"),
        ("set: {X-Base: gwd}", "remove: [Vary]"),
        ("set: {Vary: \"Cookie, Origin\"}", "set: {Vary: origin}"),
    ] {
        let (old, new) = (
            edit(GATEWAY, EDGE, &edge(old)),
            edit(GATEWAY, EDGE, &edge(new)),
        );
        let found = plan((&old, DOCUMENT), (&new, DOCUMENT));
        // `getStatus` is public, so every caller already receives the same response.
        assert!(
            lines(&found).contains(
                &"security weaken response-field-changed a/createOrder+a/deleteOrder+a/getOrder+a/listOrders"
                    .to_owned()
            ),
            "{:?}",
            lines(&found)
        );
        let back = lines(&plan((&new, DOCUMENT), (&old, DOCUMENT)));
        assert!(
            back.iter().all(|line| !line.contains(" weaken ")),
            "{back:?}"
        );
    }
}

#[test]
fn fields_that_cors_replaces_are_no_access() {
    let with = |edge: &str, cors: &str| {
        let policies = format!("policies:\n  web: {{kind: cors, origins: [\"{cors}\"]}}\n");
        let gateway = edit(GATEWAY, "policies:\n", &policies);
        let gateway = edit(
            &gateway,
            "policies: [slow, edge]",
            "policies: [slow, edge, web]",
        );
        edit(&gateway, EDGE, &self::edge(edge))
    };
    let lines_of =
        |old: &str, new: &str| -> Vec<String> { lines(&plan((old, DOCUMENT), (new, DOCUMENT))) };
    let any = "remove: [Server], set: {Access-Control-Allow-Origin: \"*\"}";
    let quiet = lines_of(
        &with("remove: [Server]", "https://a.example"),
        &with(any, "https://a.example"),
    );
    assert!(
        !quiet.iter().any(|line| line.contains("response-field")),
        "{quiet:?}"
    );
    let wider = lines_of(
        &with(any, "https://a.example"),
        &with(any, "https://*.example"),
    );
    assert!(
        wider.iter().any(|line| line.contains("cors-changed")),
        "{wider:?}"
    );
}

#[test]
fn last_step_of_a_chain_edits_responses_first() {
    let policies = |first: &str, second: &str| {
        let policies = format!(
            "policies:\n  first: {{kind: headers, response: {{{first}}}}}\n  second: {{kind: headers, response: {{{second}}}}}\n"
        );
        let gateway = edit(GATEWAY, "policies:\n", &policies);
        edit(
            &gateway,
            "policies: [slow, edge]",
            "policies: [slow, first, second]",
        )
    };
    let (deny, allow) = ("set: {X-Frame-Options: DENY}", "remove: [X-Frame-Options]");
    both(
        "response-field-changed",
        (&policies(deny, allow), DOCUMENT),
        (&policies(allow, deny), DOCUMENT),
        ("weaken", "strengthen"),
    );
}

#[test]
fn response_field_that_redirects_clients_moves() {
    for name in ["Location", "Refresh", "Alt-Svc"] {
        let to = |host: &str| edge(&format!("set: {{{name}: \"https://{host}/\"}}"));
        gateway(
            "traffic-moved",
            EDGE,
            (EDGE, &to("b.example")),
            ("moved", "moved"),
        );
        gateway(
            "traffic-moved",
            EDGE,
            (&to("a.example"), &to("b.example")),
            ("moved", "moved"),
        );
    }
    let away = |host: &str| {
        format!(
            "away: {{kind: respond, status: 302, headers: {{Location: \"https://{host}/\"}}}}\n  {EDGE}"
        )
    };
    let used = edit(GATEWAY, "[slow, edge]", "[slow, edge, away]");
    let (old, new) = (
        edit(&used, EDGE, &away("a.example")),
        edit(&used, EDGE, &away("b.example")),
    );
    both(
        "traffic-moved",
        (&old, DOCUMENT),
        (&new, DOCUMENT),
        ("moved", "moved"),
    );
}

#[test]
fn added_policy_that_sends_elsewhere_moves() {
    let defined = edit(
        GATEWAY,
        EDGE,
        &format!(
            "away: {{kind: headers, response: {{set: {{Location: \"https://b.example/\"}}}}}}\n  {EDGE}"
        ),
    );
    let used = edit(&defined, "[slow, edge]", "[slow, edge, away]");
    both(
        "traffic-moved",
        (GATEWAY, DOCUMENT),
        (&used, DOCUMENT),
        ("moved", "moved"),
    );
}

#[test]
fn protection_of_a_respond_policy_is_access() {
    let with = |headers: &str| {
        let gateway = edit(
            GATEWAY,
            EDGE,
            &format!("says: {{kind: respond, status: 200, headers: {{{headers}}}}}\n  {EDGE}"),
        );
        edit(&gateway, "[slow, edge]", "[slow, edge, says]")
    };
    both(
        "response-field-changed",
        (&with("X-Frame-Options: DENY"), DOCUMENT),
        (&with("X-A: b"), DOCUMENT),
        ("weaken", "strengthen"),
    );
}

/// An operation that refuses all requests serves no caller, but browsers execute and store its
/// responses.
#[test]
fn responses_of_an_operation_that_refuses_are_access() {
    let with = |origin: &str, headers: &str| {
        let pages =
            format!("pages: {{kind: cors, origins: [\"https://{origin}\"], credentials: true}}");
        let says = format!("says: {{kind: respond, status: 403, body: \"<b>\", {headers}}}");
        let gateway = edit(GATEWAY, EDGE, &format!("{pages}\n  {says}\n  {EDGE}"));
        edit(&gateway, "[slow, edge]", "[slow, edge, pages, says]")
    };
    let plain = "content_type: text/plain";
    let old = with("a.example", plain);
    for (new, id) in [
        (
            with("a.example", "content_type: text/html"),
            "response-field-changed",
        ),
        (
            with(
                "a.example",
                &format!("{plain}, headers: {{Set-Cookie: \"a=b\"}}"),
            ),
            "response-field-changed",
        ),
        (with("b.example", plain), "cors-changed"),
    ] {
        let found = lines(&plan((&old, DOCUMENT), (&new, DOCUMENT)));
        let is_reported = |line: &String| {
            let opens = ["security weaken ", "security incomparable "];
            opens
                .iter()
                .any(|start| line.starts_with(&format!("{start}{id} ")))
        };
        assert!(found.iter().any(is_reported), "{id}: {found:?}");
    }
}

#[test]
fn error_body_that_browsers_run_weakens() {
    let errors = |text: &str| {
        edit(
            GATEWAY,
            "defaults: {upstream",
            &format!("{text}defaults: {{upstream"),
        )
    };
    let page = |media_type: &str| {
        errors(&format!(
            "errors: {{no_route: {{body: \"<script src=/x></script>\"{media_type}}}}}\n"
        ))
    };
    let (plain, html, svg) = (
        page(""),
        page(", content_type: text/html"),
        page(", content_type: image/svg+xml"),
    );
    for (old, new, classes) in [
        (GATEWAY, &*html, ("weaken", "strengthen")),
        (&plain, &html, ("weaken", "strengthen")),
        (&html, &svg, ("incomparable", "incomparable")),
    ] {
        both(
            "response-field-changed",
            (old, DOCUMENT),
            (new, DOCUMENT),
            classes,
        );
    }
    // Plain text cannot be executed, and a content type without a body is not sent. A change of the
    // status breaks clients, regardless of the body.
    let typed = errors("errors: {no_route: {status: 410, content_type: text/html}}\n");
    let status = "policy break gateway-setting-changed errors.no_route.status";
    for (new, breaks) in [(&plain, false), (&typed, true)] {
        let mut found = lines(&plan((GATEWAY, DOCUMENT), (new, DOCUMENT)));
        assert_eq!(found.iter().any(|line| line == status), breaks, "{found:?}");
        found.retain(|line| line != status);
        assert!(
            found.iter().all(|line| line.starts_with("policy changed")),
            "{found:?}"
        );
    }
}

#[test]
fn error_body_of_the_gateway_counts_without_the_apis() {
    let gateway = edit(
        GATEWAY,
        "defaults: {upstream",
        "errors: {rate_limited: {body: \"<p>\", content_type: text/html}}\ndefaults: {upstream",
    );
    let own = |text: &str| {
        edit(
            DOCUMENT,
            "paths:",
            &format!("x-gateway: {{errors: {{rate_limited: {{{text}}}}}}}\npaths:"),
        )
    };
    let (text, html) = (
        own("body: slow"),
        own("body: \"<b>\", content_type: text/html"),
    );
    let found = |old: &str, new: &str| lines(&plan((&gateway, old), (&gateway, new)));
    assert_eq!(
        found(&text, DOCUMENT),
        [
            "security weaken response-field-changed api a errors.rate_limited.content_type",
            "policy changed api-setting-changed api a errors.rate_limited.body",
        ]
    );
    // Replace the HTML page in the body by another page.
    assert_eq!(
        found(&html, DOCUMENT),
        [
            "policy changed api-setting-changed api a errors.rate_limited.body",
            "policy changed api-setting-changed api a errors.rate_limited.content_type",
        ]
    );
}

#[test]
fn secret_in_a_response_is_compared_by_operation() {
    let of = |open: &str| {
        let gateway = "version: 1
name: shop
apis: {a: {path: api.yaml}}
listeners: {public: {address: \"127.0.0.1:8080\"}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
auth: {keys: {kind: api_key}}
consumers: {c: {keys: [{sha256: \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"}]}}
policies:
  token: {kind: headers, response: {set: {X-Token: \"${env:GWS_T}\"}}}
  other: {kind: headers, response: {set: {X-Token: \"${env:GWS_U}\"}}}
  strip: {kind: headers, response: {remove: [X-Token]}}
  plain: {kind: headers, response: {set: {X-Token: none}}}
defaults: {upstream: u}
";
        let document = format!(
            "openapi: 3.1.0
info: {{title: t, version: \"1\"}}
paths:
  /closed: {{get: {{operationId: closed, security: [{{key: []}}], x-gateway: {{policies: [token]}}, responses: {{\"200\": {{description: fine}}}}}}}}
  /changed: {{get: {{operationId: changed, security: [{{key: []}}], x-gateway: {{policies: [other]}}, responses: {{\"200\": {{description: fine}}}}}}}}
  /open: {{get: {{operationId: open, security: [], x-gateway: {{public: true, policies: [{open}]}}, responses: {{\"200\": {{description: fine}}}}}}}}
components: {{securitySchemes: {{key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}}}}}
"
        );
        side(&[("gateway.yaml", gateway), ("api.yaml", &document)])
    };
    for (old, new, class) in [
        ("", "token", "weaken"),
        ("plain", "token", "weaken"),
        ("strip, token", "token", "weaken"),
        ("strip, token", "token, strip", "weaken"),
        ("other", "token", "incomparable"),
    ] {
        let plan = plan::compare(Some(&of(old)), &of(new)).expect("both sides build");
        let expected = format!("security {class} response-field-changed a/open");
        let found = lines(&plan);
        assert!(
            found.iter().any(|line| line.contains(&expected)),
            "{old} to {new}: {found:?}"
        );
        let plan = plan::compare(Some(&of(new)), &of(old)).expect("both sides build");
        let found = lines(&plan);
        let gated = |line: &String| line.contains(&format!("{class} response-field-changed"));
        let is_back = class == "incomparable";
        assert_eq!(
            found.iter().any(gated),
            is_back,
            "{new} to {old}: {found:?}"
        );
    }
}
