//! Tests of request fields that affect a decision of the gateway, or in which the gateway names the
//! caller to an upstream.

use diag::Level;
use model::compile;
use sources::project::files::Files;
use sources::syntax::Limits;

const GATEWAY: &str = "version: 1
name: s
apis: {a: {path: a.yaml}}
auth:
  keys: {kind: api_key}
  idp: {kind: jwt, issuer: \"https://idp.example\", audience: [a], algorithms: [ES256], jwks_url: \"https://idp.example/k\"}
  other: {kind: jwt, issuer: \"https://other.example\", audience: [a], algorithms: [ES256], jwks_url: \"https://other.example/k\"}
upstreams:
  u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}
  v: {targets: {a: {url: \"http://127.0.0.1:9001\"}}}
policies:
  ask: {kind: forward_auth, upstream: v, response_headers: [X-Role]}
  fixed: {kind: headers, request: {set: {X-Role: guest}}}
  added: {kind: headers, request: {set: {X-Other: guest}}}
  staff: {kind: authorize, expression: \"request.headers['x-role'] == 'staff'\"}
  sent: {kind: forward_auth, upstream: v, request_headers: [X-Tenant]}
defaults: {upstream: u}
";

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{key: []}]
paths:
  /a: {get: {operationId: get, SAID responses: {\"200\": {description: fine}}}}
components:
  securitySchemes:
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys, KEY}}
    token: {type: http, scheme: bearer, x-gateway: {auth: idp, TOKEN}}
    foreign: {type: http, scheme: bearer, x-gateway: {auth: other, FOREIGN}}
";

/// Document with these settings of the operation. `schemes`: replacements for the placeholders of
/// security schemes.
fn document(operation: &str, schemes: &[(&str, &str)]) -> String {
    let mut text = DOCUMENT.replace("SAID", operation);
    for (name, definition) in schemes {
        text = text.replace(name, definition);
    }
    for name in ["KEY", "TOKEN", "FOREIGN"] {
        text = text.replace(&format!(", {name}}}"), "}");
    }
    text
}

/// Findings of one rule, and all errors.
fn found(rule: &str, gateway: &str, document: &str) -> Vec<String> {
    let files = [("gateway.yaml", gateway), ("a.yaml", document)];
    let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let findings = compiled.findings.iter();
    findings
        .filter(|one| one.lint.name == rule || one.level == Level::Error)
        .map(|finding| finding.message.clone())
        .collect()
}

#[test]
fn field_that_is_read_before_it_is_set_is_found() {
    let found = |operation: &str, schemes: &[(&str, &str)]| {
        found("read-before-set", GATEWAY, &document(operation, schemes))
    };
    let reads = |reader: &str, writer: &str| {
        [format!(
            "{reader} reads the client's `x-role`, which {writer} of `a` sets later"
        )]
    };
    let chain = |policies: &str| format!("x-gateway: {{policies: [{policies}]}},");
    assert_eq!(found(&chain("ask, staff"), &[]), [""; 0]);
    assert_eq!(found(&chain("staff, ask"), &[]), reads("`staff`", "`ask`"));
    // A policy that decides runs before a policy that changes the request, regardless of their
    // order in the list.
    for policies in ["fixed, staff", "staff, fixed"] {
        let found = found(&chain(policies), &[]);
        assert_eq!(found, reads("`staff`", "`fixed`"), "{policies}");
    }
    assert_eq!(found(&chain("staff, added"), &[]), [""; 0]);
    // The condition of a route is checked before any policy runs.
    let conditional = "x-gateway: {match: {headers: {X-Role: {exact: staff}}}, policies: [ask]},";
    assert_eq!(
        found(conditional, &[]),
        reads("a condition of `a/get`", "`ask`")
    );
    // Authentication runs before policies that read the field, but after conditions of routes.
    let passed = [("KEY", "forward_as: X-Role")];
    assert_eq!(found(&chain("staff"), &passed), [""; 0]);
    let conditional = "x-gateway: {match: {headers: {X-Role: {present: true}}}},";
    assert_eq!(
        found(conditional, &passed),
        reads(
            "a condition of `a/get`",
            "`claims_to_headers` or `forward_as`"
        )
    );
}

#[test]
fn field_of_several_authorities_is_found() {
    let all = "security: [{key: []}, {token: []}, {foreign: []}],";
    let found =
        |schemes: &[(&str, &str)]| found("mixed-identity", GATEWAY, &document(all, schemes));
    let has = |one: &str, other: &str| {
        format!(
            "`x-caller` contains names of callers of `{one}` and of `{other}`, which may be equal"
        )
    };
    let caller = "forward_as: X-Caller";
    assert_eq!(found(&[("KEY", caller)]), [""; 0]);
    assert_eq!(
        found(&[("KEY", caller), ("TOKEN", caller)]),
        [has("token", "key")]
    );
    assert_eq!(
        found(&[("TOKEN", caller), ("FOREIGN", caller)]).len(),
        1,
        "two issuers"
    );
    let subject = "claims_to_headers: {sub: X-Caller}";
    assert_eq!(
        found(&[("KEY", caller), ("TOKEN", subject)]),
        [has("token", "key")]
    );
    let mail = "claims_to_headers: {email: X-Caller}";
    assert_eq!(found(&[("KEY", caller), ("TOKEN", mail)]), [""; 0]);
    let other = "forward_as: X-Subject";
    assert_eq!(found(&[("KEY", caller), ("TOKEN", other)]), [""; 0]);
}

#[test]
fn parameter_that_cannot_be_kept_back_is_found() {
    let found = |parameter: &str| {
        let operation = format!("parameters: [{{{parameter}, x-gateway: {{forward: false}}}}],");
        found("bad-value", GATEWAY, &document(&operation, &[]))
    };
    let members = "`forward: false` does not remove the members of `q`, which can be sent as \
separate parameters";
    for parameter in [
        "name: q, in: query, schema: {type: string}",
        "name: q, in: query, schema: {type: [array, 'null']}",
        "name: q, in: query, explode: false, schema: {type: object}",
        "name: q, in: query, content: {application/json: {}}",
        "name: X-Q, in: header, schema: {type: object}",
        "name: q, in: cookie, schema: {type: integer}",
    ] {
        assert_eq!(found(parameter), [""; 0], "{parameter}");
    }
    for parameter in [
        "name: q, in: query, schema: {type: object}",
        "name: q, in: query, schema: {}",
        "name: q, in: query, schema: {type: [string, object]}",
        "name: q, in: query, style: deepObject, explode: true, schema: {type: object}",
        "name: q, in: cookie, schema: {type: object}",
    ] {
        assert_eq!(found(parameter), [members], "{parameter}");
    }
    let host = found("name: Host, in: header, schema: {type: string}");
    assert_eq!(host, ["`Host` cannot be edited"]);
}

#[test]
fn form_that_the_log_cannot_have_is_found() {
    let found = |parameter: &str, form: &str| {
        let operation = format!("parameters: [{{{parameter}, x-gateway: {{log: {form}}}}}],");
        found("bad-value", GATEWAY, &document(&operation, &[]))
    };
    for (parameter, form) in [
        ("name: q, in: query, schema: {type: string}", "hash"),
        ("name: token, in: query, schema: {type: string}", "keep"),
        ("name: token, in: query, schema: {type: string}", "redact"),
        (
            "name: q, in: query, style: deepObject, explode: true, schema: {type: object}",
            "redact",
        ),
        (
            "name: user-agent, in: header, schema: {type: string}",
            "hash",
        ),
    ] {
        assert_eq!(found(parameter, form), [""; 0], "{parameter}");
    }
    for (parameter, message) in [
        (
            "name: X-Q, in: header, schema: {type: string}",
            "the log does not contain `X-Q`",
        ),
        (
            "name: q, in: cookie, schema: {type: string}",
            "the log does not contain `q`",
        ),
        (
            "name: q, in: query, schema: {type: object}",
            "`log` does not cover the members of `q`, which can be sent as separate query \
parameters",
        ),
        (
            "name: api-key, in: query, schema: {type: string}",
            "`api-key` is a usual name of a credential, and logs do not show its values",
        ),
    ] {
        assert_eq!(found(parameter, "hash"), [message], "{parameter}");
    }
}

#[test]
fn parameter_that_the_gateway_removes_is_found() {
    let found = |name: &str, more: &str, schemes: &[(&str, &str)]| {
        let operation =
            format!("parameters: [{{name: {name}, in: header, schema: {{type: string}}}}], {more}");
        found("removed-parameter", GATEWAY, &document(&operation, schemes))
    };
    let removes = |name: &str| {
        [format!(
            "the gateway removes the header `{name}` from requests"
        )]
    };
    let caller = [("KEY", "forward_as: X-Caller")];
    let claims = [("KEY", "claims_to_headers: {tier: X-Tier}")];
    for (name, more, schemes) in [
        ("X-Caller", "", &caller[..]),
        ("x_caller", "", &caller),
        ("X-Tier", "", &claims),
        ("X-Role", "x-gateway: {policies: [ask]},", &[]),
        ("X-Consumer-Name", "", &[]),
        ("X.Key", "", &[]),
        ("x_role", "x-gateway: {policies: [staff]},", &[]),
        ("X_Tenant", "x-gateway: {policies: [sent]},", &[]),
    ] {
        assert_eq!(found(name, more, schemes), removes(name));
    }
    for (name, more) in [
        ("X-Role", "x-gateway: {policies: [staff]},"),
        ("X-Tenant", "x-gateway: {policies: [sent]},"),
        ("X_Tenant", "x-gateway: {policies: [staff]},"),
    ] {
        assert_eq!(found(name, more, &[]), [""; 0], "{name}");
    }
    for (name, schemes) in [
        ("X-Caller", &[][..]),
        ("X-Callers", &caller),
        ("X-Role", &[]),
        ("X-Key", &[]),
        ("X-Trace", &caller),
    ] {
        assert_eq!(found(name, "", schemes), [""; 0], "{name}");
    }
}

#[test]
fn cache_of_forward_auth_is_at_most_one_hour() {
    let with = |cache: &str| {
        GATEWAY.replace(
            "response_headers: [X-Role]",
            &format!("response_headers: [X-Role], cache: {cache}"),
        )
    };
    let found = |cache: &str| found("none", &with(cache), &document("", &[]));
    for cache in ["1h", "60m", "1ms"] {
        assert_eq!(found(cache), [""; 0], "{cache}");
    }
    for cache in ["61m", "2h", "3601s"] {
        assert_eq!(
            found(cache),
            ["`cache` must not be longer than 1h"],
            "{cache}"
        );
    }
}
