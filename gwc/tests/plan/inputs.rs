//! Tests of changes in what limits, splits and services read of a request: the gateway newly
//! removes or writes a field or parameter before a policy reads it.

use crate::{lines, plan};

/// gateway.yaml with these further keys of the listener, and these policies.
fn gateway(listener: &str, policies: &str) -> String {
    format!(
        r#"version: 1
name: shop
apis: {{a: {{path: api.yaml}}}}
listeners: {{public: {{address: "127.0.0.1:8080", {listener}}}}}
auth: {{keys: {{kind: api_key}}, other: {{kind: api_key}}}}
consumers: {{acme: {{keys: [{{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}}], claims: {{tenant: t}}}}}}
upstreams:
  u: {{targets: {{a: {{url: "http://127.0.0.1:9000"}}}}}}
  w: {{targets: {{a: {{url: "http://127.0.0.1:9001"}}}}}}
  asked: {{targets: {{a: {{url: "http://127.0.0.1:9002"}}}}}}
policies:
  p: {{{policies}}}
defaults: {{upstream: u, policies: [p]}}
"#
    )
}

/// Document whose scheme `key` has these further keys. `operation`: keys of `x-gateway` of the
/// operation.
fn document(scheme: &str, operation: &str) -> String {
    format!(
        r#"openapi: 3.1.0
info: {{title: t, version: "1"}}
security: [{{key: []}}]
paths:
  /orders:
    get:
      operationId: list
      parameters:
        - {{name: beta, in: query, schema: {{type: string}}, x-gateway: {{forward: true}}}}
      x-gateway: {{{operation}}}
      responses: {{"200": {{description: fine}}}}
components:
  securitySchemes:
    key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys, {scheme}}}}}
    unused: {{type: apiKey, in: cookie, name: sid, x-gateway: {{auth: other, strip_credential: true}}}}
"#
    )
}

/// Lines of the plan that begin with one of these texts.
fn found(old: (&str, &str), new: (&str, &str)) -> Vec<String> {
    let all = lines(&plan(old, new)).into_iter();
    let gated = [
        "policy relax limit-key-changed",
        "policy moved traffic-moved",
        "security incomparable authorization-changed",
        "security incomparable csrf-changed",
    ];
    all.filter(|line| gated.iter().any(|begin| line.starts_with(begin)))
        .collect()
}

#[test]
fn written_key_of_a_limit_counts_others() {
    let gateway = gateway("", "kind: rate_limit, limit: 2/h, key: \"header:X-Tenant\"");
    for scheme in [
        "forward_as: X-Tenant",
        "claims_to_headers: {tenant: X-Tenant}",
    ] {
        let (old, new) = (document("", ""), document(scheme, ""));
        let line = "policy relax limit-key-changed a/list";
        assert_eq!(
            found((&gateway, &old), (&gateway, &new)),
            [line],
            "{scheme}"
        );
        assert_eq!(
            found((&gateway, &new), (&gateway, &old)),
            [line],
            "{scheme}"
        );
    }
    // Another field is no input of the limit.
    let (old, new) = (document("", ""), document("forward_as: X-Other", ""));
    assert!(found((&gateway, &old), (&gateway, &new)).is_empty());
}

#[test]
fn stripped_key_of_a_limit_counts_others() {
    for (key, from, to) in [
        ("cookie:sid", "name: sid", "name: other"),
        (
            "header:X-Sid",
            "in: header, name: X-Sid",
            "in: header, name: X-Other",
        ),
        (
            "query:sid",
            "in: query, name: sid",
            "in: query, name: other",
        ),
    ] {
        let policy = format!("kind: rate_limit, limit: 2/h, key: \"{key}\"");
        let gateway = gateway("", &policy);
        let plain = document("", "");
        let with = |scheme: &str| match scheme.starts_with("in") {
            true => plain.replace("in: cookie, name: sid", scheme),
            false => plain.replace("name: sid", scheme),
        };
        let (stripped, other) = (with(from), with(to));
        let line = "policy relax limit-key-changed a/list";
        assert_eq!(
            found((&gateway, &other), (&gateway, &stripped)),
            [line],
            "{key}"
        );
    }
}

#[test]
fn written_condition_of_a_split_moves_requests() {
    let entries =
        "[{upstream: u, when: {headers: {X-Tenant: {present: true}}}}, {upstream: w, weight: 1}]";
    let of_policy = format!("kind: split, among: {entries}");
    let of_operation = format!("split: {entries}");
    let limit = "kind: rate_limit, limit: 2/h";
    for (policy, operation) in [(&*of_policy, ""), (limit, &*of_operation)] {
        let gateway = gateway("", policy);
        let (old, new) = (
            document("", operation),
            document("forward_as: X-Tenant", operation),
        );
        let line = "policy moved traffic-moved a/list";
        assert_eq!(found((&gateway, &old), (&gateway, &new)), [line]);
    }
}

#[test]
fn removed_condition_of_a_split_moves_requests() {
    let entries =
        "[{upstream: u, when: {query: {beta: {present: true}}}}, {upstream: w, weight: 1}]";
    let gateway = gateway("", &format!("kind: split, among: {entries}"));
    let (old, new) = (document("", ""), document("", ""));
    let new = new.replace("forward: true", "forward: false");
    let line = "policy moved traffic-moved a/list";
    assert_eq!(found((&gateway, &old), (&gateway, &new)), [line]);
    let strips = |document: &str| format!("x-gateway: {{undeclared_params: strip}}\n{document}");
    assert!(found((&gateway, &old), (&gateway, &strips(&old))).is_empty());
    let old = old.replace("name: beta", "name: other");
    assert_eq!(found((&gateway, &old), (&gateway, &strips(&old))), [line]);
}

#[test]
fn written_hash_input_moves_requests() {
    let gateway = gateway("", "kind: rate_limit, limit: 2/h");
    let hashed = gateway.replace(
        "u: {targets",
        "u: {lb: ketama, hash_on: \"header:X-Tenant\", targets",
    );
    let (old, new) = (document("", ""), document("forward_as: X-Tenant", ""));
    let line = "policy moved traffic-moved a/list";
    assert_eq!(found((&hashed, &old), (&hashed, &new)), [line]);
    assert!(found((&gateway, &old), (&gateway, &new)).is_empty());
}

#[test]
fn hash_input_of_a_share_moves_requests() {
    let split = "kind: split, among: [{upstream: u, weight: 1}, {upstream: w, weight: 1}]";
    let gateway = gateway("", split);
    let hashed = gateway.replace(
        "w: {targets",
        "w: {lb: ketama, hash_on: \"header:X-Tenant\", targets",
    );
    let (old, new) = (document("", ""), document("forward_as: X-Tenant", ""));
    let line = "policy moved traffic-moved a/list";
    assert_eq!(found((&hashed, &old), (&hashed, &new)), [line]);
}

#[test]
fn address_of_another_peer_moves_requests() {
    let proxies = "trusted_proxies: [10.0.0.0/8]";
    let limit = "kind: rate_limit, limit: 2/h, key: address";
    let [trusting, plain] = [proxies, "http2: true"].map(|listener| {
        let hashed = "u: {lb: ketama, hash_on: address, targets";
        gateway(listener, limit).replace("u: {targets", hashed)
    });
    let document = document("", "");
    let line = "policy moved traffic-moved a/list";
    assert_eq!(found((&trusting, &document), (&plain, &document)), [line]);
}

#[test]
fn other_name_of_a_split_draws_its_shares_anew() {
    for (more, is_moved) in [("", true), (", sticky: false", false)] {
        let among = "among: [{upstream: u, weight: 1}, {upstream: w, weight: 1}]";
        let old = gateway("", &format!("kind: split, {among}{more}"));
        let new = old.replace("\n  p: {", "\n  q: {");
        let new = new.replace("policies: [p]", "policies: [q]");
        let document = document("", "");
        let lines = found((&old, &document), (&new, &document));
        assert_eq!(!lines.is_empty(), is_moved, "{more}: {lines:?}");
    }
}

#[test]
fn field_of_a_service_that_is_lost_is_incomparable() {
    let asks = "kind: forward_auth, upstream: asked, path: /check, request_headers: [X-Forwarded-Client-Cert]";
    let proxies = "trusted_proxies: [10.0.0.0/8]";
    let pass = format!("{proxies}, forward_client_cert: pass");
    let document = document("", "");
    let (old, new) = (gateway(&pass, asks), gateway(proxies, asks));
    let line = "security incomparable authorization-changed a/list";
    let lines = found((&old, &document), (&new, &document));
    assert!(lines.contains(&line.to_owned()), "{lines:?}");
}

#[test]
fn expressions_see_which_proxies_are_trusted() {
    for field in [
        "cf-connecting-ip",
        "true-client-ip",
        "x-azure-clientip",
        "x-real-ip",
    ] {
        let policy = format!(
            "kind: authorize, expression: \"!('{field}' in request.headers) || request.headers['{field}'] != '192.0.2.1'\""
        );
        let document = document("", "");
        let wide = gateway("trusted_proxies: [10.0.0.0/8]", &policy);
        let narrow = gateway("trusted_proxies: [10.0.0.0/9]", &policy);
        let line = "security incomparable authorization-changed a/list";
        let lines = found((&wide, &document), (&narrow, &document));
        assert!(lines.contains(&line.to_owned()), "{field}: {lines:?}");
    }
}

#[test]
fn lost_parameter_of_a_service_is_incomparable() {
    let asks = "kind: forward_auth, upstream: asked, path: /check";
    let gateway = gateway("", asks);
    let stripped = document("", "").replace("in: cookie, name: sid", "in: query, name: token");
    let line = "security incomparable authorization-changed a/list";
    let lines = found((&gateway, &document("", "")), (&gateway, &stripped));
    assert_eq!(lines, [line]);
}

#[test]
fn csrf_reads_the_origin_that_a_service_writes() {
    let with = |chain: &str| {
        let asks = "kind: forward_auth, upstream: asked, path: /check, response_headers: [Origin, Sec-Fetch-Site, Cookie]";
        let more =
            "c: {kind: csrf}\n  l: {kind: rate_limit, limit: 2/h, key: \"cookie:sid\"}\n  p:";
        let text = gateway("", asks).replace("\n  p:", &format!("\n  {more}"));
        text.replace("policies: [p]", &format!("policies: [{chain}]"))
    };
    let document = document("", "").replace("strip_credential: true", "strip_credential: false");
    let (first, last) = (with("c, p, l"), with("p, c, l"));
    let lines = found((&first, &document), (&last, &document));
    let line = "security incomparable csrf-changed a/list";
    assert_eq!(lines, [line; 2], "Origin and Sec-Fetch-Site");
    let (without, with) = (with("c, l"), with("c, p, l"));
    let lines = found((&without, &document), (&with, &document));
    let line = "policy relax limit-key-changed a/list";
    assert!(lines.contains(&line.to_owned()), "{lines:?}");
}

#[test]
fn field_of_another_source_is_incomparable() {
    // Two services that write one field change places.
    let asks = "kind: forward_auth, path: /check, response_headers: [X-T], upstream";
    let judge = "z: {kind: authorize, expression: \"request.headers['x-t'] == 'admin'\"}\n  \
        h: {kind: headers, request: {remove: [X-T]}}";
    let with = |chain: &str| {
        let text = gateway("", &format!("{asks}: asked"));
        let more = format!("\n  f: {{{asks}: w}}\n  {judge}\n  p: {{");
        let text = text.replace("\n  p: {", &more);
        text.replace("policies: [p]", &format!("policies: [{chain}]"))
    };
    let document = document("", "");
    let (old, new) = (with("f, p, z, h"), with("p, f, z, h"));
    let line = "security incomparable authorization-changed a/list".to_owned();
    let lines = found((&old, &document), (&new, &document));
    assert!(lines.contains(&line), "{lines:?}");
}

/// Pairs of a scheme's place and a part that its removal also removes.
const REMOVED_TOO: [(&str, &str); 6] = [
    ("in: header, name: X-T", "header:X_T"),
    ("in: header, name: X_T", "header:X-T"),
    ("in: query, name: tok", "query:Tok"),
    ("in: query, name: tok", "query:tok[]"),
    ("in: cookie, name: sid", "cookie:Sid"),
    ("in: header, name: Cookie", "cookie:sid"),
];

#[test]
fn parts_that_servers_read_alike_are_inputs() {
    for (place, key) in REMOVED_TOO {
        let policy = format!("kind: rate_limit, limit: 2/h, key: \"{key}\"");
        let gateway = gateway("", &policy);
        let unused = "in: cookie, name: sid";
        let other = document("", "").replace(unused, "in: header, name: X-Unrelated");
        let stripped = document("", "").replace(unused, place);
        let line = "policy relax limit-key-changed a/list";
        for (old, new) in [(&other, &stripped), (&stripped, &other)] {
            let found = found((&gateway, old), (&gateway, new));
            assert_eq!(found, [line], "{place} {key}");
        }
    }
}

#[test]
fn newly_described_parameter_is_an_input() {
    let entries =
        "[{upstream: u, when: {query: {tag: {present: true}}}}, {upstream: w, weight: 1}]";
    let gateway = gateway("", &format!("kind: split, among: {entries}"));
    let (hidden, beta) = (document("", ""), "- {name: beta, in: query,");
    let hidden = format!("x-gateway: {{undeclared_params: strip}}\n{hidden}");
    let parameter = "- {name: tag, in: query, schema: {type: string}}";
    let described = hidden.replace(beta, &format!("{parameter}\n        {beta}"));
    let line = "policy moved traffic-moved a/list";
    for (old, new) in [(&hidden, &described), (&described, &hidden)] {
        assert_eq!(found((&gateway, old), (&gateway, new)), [line]);
    }
}

#[test]
fn declared_override_field_is_an_input() {
    let policy = "kind: rate_limit, limit: 2/h, key: \"header:X-HTTP-Method-Override\"";
    let gateway = gateway("", policy);
    let (hidden, beta) = (document("", ""), "- {name: beta, in: query,");
    let field = "- {name: X-HTTP-Method-Override, in: header, schema: {type: string}}";
    let declared = hidden.replace(beta, &format!("{field}\n        {beta}"));
    let line = "policy relax limit-key-changed a/list";
    for (old, new) in [(&hidden, &declared), (&declared, &hidden)] {
        assert_eq!(found((&gateway, old), (&gateway, new)), [line]);
    }
}

#[test]
fn field_that_is_newly_decisive_removes_lookalikes() {
    let gateway = |limit: &str| {
        let gateway = gateway("", &format!("kind: rate_limit, limit: 2/h{limit}"));
        let hashed = "u: {lb: ketama, hash_on: \"header:X_T\", targets";
        gateway.replace("u: {targets", hashed)
    };
    let (old, new) = (gateway(""), gateway(", key: \"header:X-T\""));
    let document = document("", "");
    let line = "policy moved traffic-moved a/list";
    assert!(found((&old, &document), (&new, &document)).contains(&line.to_owned()));
}

#[test]
fn processors_before_a_reader_are_its_inputs() {
    let gateway = |reader: &str, order: &str| {
        let gateway = gateway("", "kind: rate_limit, limit: 2/h");
        let more = format!(
            "  norm: {{kind: ext_proc, upstream: asked}}\n  reader: {{{reader}}}\ndefaults:"
        );
        let gateway = gateway.replace("defaults:", &more);
        let h2c = |name: &str| {
            (
                format!("{name}: {{targets"),
                format!("{name}: {{protocol: h2c, targets"),
            )
        };
        let [(w, of_w), (other, of_other)] = ["w", "asked"].map(h2c);
        let gateway = gateway.replace(&w, &of_w).replace(&other, &of_other);
        gateway.replace("policies: [p]", &format!("policies: [{order}]"))
    };
    for (reader, line) in [
        (
            "kind: ext_proc, upstream: w, request_headers: [x-t]",
            "security incomparable authorization-changed a/list",
        ),
        (
            "kind: validate, request: block",
            "security incomparable request-validation-changed a/list",
        ),
    ] {
        let (before, after) = (
            gateway(reader, "reader, norm"),
            gateway(reader, "norm, reader"),
        );
        let document = document("", "");
        for (old, new) in [(&before, &after), (&after, &before)] {
            let found = lines(&plan((old, &document), (new, &document)));
            assert!(found.contains(&line.to_owned()), "{reader}: {found:?}");
        }
    }
}

#[test]
fn readers_of_one_field_do_not_exchange_its_origins() {
    let gateway = |order: &str| {
        let gateway = gateway("", "kind: rate_limit, limit: 2/h");
        let more = "  strict: {kind: csrf}\n  \
             lenient: {kind: csrf, origins: [\"https://other.test\"]}\n  \
             ask: {kind: forward_auth, upstream: asked, response_headers: [Origin, Sec-Fetch-Site]}\n\
             defaults:";
        let gateway = gateway.replace("defaults:", more);
        gateway.replace("policies: [p]", &format!("policies: [{order}]"))
    };
    let (old, new) = (
        gateway("strict, ask, lenient"),
        gateway("lenient, ask, strict"),
    );
    let document = document("", "");
    let line = "security incomparable csrf-changed a/list";
    assert!(found((&old, &document), (&new, &document)).contains(&line.to_owned()));
}

#[test]
fn session_cookie_of_another_login_is_an_input() {
    let gateway = |cookie: &str| {
        let policy = "kind: rate_limit, limit: 2/h, key: \"cookie:__Host-tenant\"";
        let gateway = gateway("", policy);
        let login = format!(
            "auth: {{login: {{kind: oidc, issuer: \"https://id.test\", client_id: shop, \
             client_secret: \"${{env:GWS_S}}\", redirect_path: /cb, \
             session: {{secret: \"${{env:GWS_K}}\", cookie: {cookie}}}}}, keys:"
        );
        gateway.replace("auth: {keys:", &login)
    };
    let (old, new) = (gateway("__Host-other"), gateway("__Host-tenant"));
    let document = document("", "");
    let line = "policy relax limit-key-changed a/list".to_owned();
    for (old, new) in [(&old, &new), (&new, &old)] {
        assert!(found((old, &document), (new, &document)).contains(&line));
    }
}
