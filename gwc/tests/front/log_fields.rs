//! Tests of the sources that fields of the access log (`kind: log_fields`) can have.

use diag::Level;
use model::compile;
use sources::project::files::Files;
use sources::syntax::Limits;

const GATEWAY: &str = "version: 1
name: s
apis: {a: {path: a.yaml}, b: {path: b.yaml}}
auth: {keys: {kind: api_key}}
upstreams: {u: {targets: {a: {url: \"http://127.0.0.1:9000\"}}}}
policies:
  one: {kind: log_fields, fields: {ONE}}
  two: {kind: log_fields, fields: {TWO}}
defaults: {upstream: u, policies: [one]}
";

const DOCUMENT: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
security: [{one: []}, {two: []}, {three: []}]
paths:
  /a/{id}:
    get:
      operationId: get
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      x-gateway: {+policies: [two]}
      responses: {\"200\": {description: fine}}
components:
  securitySchemes:
    one: {type: apiKey, in: header, name: X-Pass, x-gateway: {auth: keys}}
    two: {type: apiKey, in: query, name: pass, x-gateway: {auth: keys}}
    three: {type: apiKey, in: cookie, name: entry, x-gateway: {auth: keys}}
";

const OTHER: &str = "openapi: 3.1.0
info: {title: t, version: \"1\"}
paths:
  /b: {get: {operationId: other, x-gateway: {public: true}, responses: {\"200\": {description: fine}}}}
";

/// Errors of a project whose policies have these fields.
fn errors(one: &str, two: &str) -> Vec<String> {
    let gateway = GATEWAY.replace("ONE", one).replace("TWO", two);
    let files = [
        ("gateway.yaml", gateway.as_str()),
        ("a.yaml", DOCUMENT),
        ("b.yaml", OTHER),
    ];
    let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let findings = compiled.findings.iter();
    findings
        .filter(|one| one.level == Level::Error)
        .map(|finding| finding.message.clone())
        .collect()
}

#[test]
fn credential_as_a_log_field_is_found() {
    let usual = |source: &str| {
        [format!(
            "`{source}` has a usual name of a credential, and logs do not show its values"
        )]
    };
    for source in [
        "header:x-api-key",
        "header:x-auth-request-token",
        "cookie:sessionid",
        "query:access_token",
        "claim:csrf",
    ] {
        assert_eq!(
            errors(&format!("f: '{source}'"), "g: 'header:x'"),
            usual(source)
        );
        let hashed = format!("f: {{from: '{source}', form: hash}}");
        assert_eq!(errors(&hashed, "g: 'header:x'"), usual(source));
        let kept = format!("f: {{from: '{source}', form: keep}}");
        assert_eq!(errors(&kept, "g: 'header:x'"), [""; 0], "{source}");
    }
    for source in [
        "header:authorization",
        "header:cookie",
        "header:proxy-authorization",
        "header:dpop",
        "header:referer",
        "cookie:__Host-session",
    ] {
        let kept = format!("f: {{from: '{source}', form: keep}}");
        let expected = format!("`{source}` contains credentials, and logs do not show them");
        assert_eq!(errors(&kept, "g: 'header:x'"), [expected]);
    }
    for (source, scheme) in [
        ("header:x_pass", "header x-pass by keys"),
        ("query:pass", "query pass by keys"),
        ("cookie:entry", "cookie entry by keys"),
    ] {
        let kept = format!("f: {{from: '{source}', form: keep}}");
        let expected = format!(
            "`{source}` is the credential of the security scheme `{scheme}`, and logs do not show \
             credentials"
        );
        assert_eq!(errors(&kept, "g: 'header:x'"), [expected]);
    }
}

#[test]
fn log_field_without_a_possible_value_is_found() {
    // The policy `one` also applies to an operation without path parameters.
    assert_eq!(errors("f: 'path:id'", "g: 'header:x'"), [""; 0]);
    let expected = ["no operation with this policy has a path parameter `ip`"];
    assert_eq!(errors("f: 'path:ip'", "g: 'header:x'"), expected);
}

#[test]
fn log_field_with_a_name_of_another_is_found() {
    let expected = ["`a/get` already gets a log field `f` from the policy `one`"];
    assert_eq!(errors("f: 'header:x'", "f: 'header:y'"), expected);
}

#[test]
fn malformed_log_field_is_found() {
    for fields in [
        "F: 'header:x'",
        "f-1: 'header:x'",
        "f: 'field:x'",
        "f: 'header:a b'",
        "f: x",
        "f: {form: hash}",
        "f: {from: 'header:x', form: redact}",
    ] {
        assert_eq!(errors(fields, "g: 'header:x'").len(), 1, "{fields}");
    }
    let all: Vec<String> = (0..17)
        .map(|number| format!("f{number}: 'header:x'"))
        .collect();
    assert_eq!(errors(&all[..16].join(", "), "g: 'header:x'"), [""; 0]);
    assert_eq!(
        errors(&all.join(", "), "g: 'header:x'"),
        ["17 fields are more than 16"]
    );
}
