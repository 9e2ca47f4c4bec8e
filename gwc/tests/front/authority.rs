//! Tests of `required` settings of the operator, which documents cannot override.

use model::compile;
use sources::project::files::Files;
use sources::syntax::Limits;

/// Names of the errors in a project with these requirements, defaults and operation settings.
fn errors(required: &str, defaults: &str, operation: &str) -> Vec<&'static str> {
    let gateway = format!(
        "version: 1\nname: s\napis: {{a: {{path: api.yaml}}}}\nauth: {{keys: {{kind: api_key}}}}\n\
         upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:9000\"}}}}}}}}\n\
         required: {required}\ndefaults: {{upstream: u{defaults}}}\n"
    );
    let document = format!(
        "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\nsecurity: [{{key: []}}]\n\
         paths: {{/a: {{get: {{operationId: getA, {operation}responses: {{\"200\": {{description: fine}}}}}}}}}}\n\
         components:\n  securitySchemes:\n    key: {{type: apiKey, in: header, name: X-Key, x-gateway: {{auth: keys}}}}\n    \
         held: {{type: apiKey, in: header, name: X-Held, x-gateway: {{verify: upstream}}}}\n"
    );
    let files = [("gateway.yaml", &*gateway), ("api.yaml", &*document)];
    let compiled = compile::project(Files::in_memory(files, Limits::default()), &Vec::new());
    let errors = compiled
        .findings
        .iter()
        .filter(|finding| finding.level == diag::Level::Error);
    errors.map(|finding| finding.lint.name).collect()
}

#[test]
fn required_verifier_survives_public_operations() {
    let required = "{auth: [keys]}";
    assert_eq!(errors(required, "", ""), [""; 0]);
    assert_eq!(
        errors(required, "", "security: [{held: []}], "),
        ["required-auth-missing"]
    );
    assert_eq!(
        errors(
            required,
            "",
            "security: [{held: []}], x-gateway: {public: true}, "
        ),
        ["required-auth-missing"]
    );
    assert_eq!(
        errors(required, "", "security: [], x-gateway: {public: true}, "),
        ["public-not-allowed"]
    );
    assert_eq!(
        errors(
            required,
            "",
            "security: [{key: []}, {}], x-gateway: {public: true}, "
        ),
        ["public-not-allowed"]
    );
    assert_eq!(
        errors(required, ", security: upstream", "security: [], "),
        ["public-not-allowed"]
    );
}

#[test]
fn allow_public_applies_in_every_security_mode() {
    let listed = "{auth: [keys], allow_public: [a/getA]}";
    for security in ["security: [], ", "security: [{key: []}, {}], "] {
        let operation = format!("{security}x-gateway: {{public: true}}, ");
        assert_eq!(errors(listed, "", &operation), [""; 0], "{security}");
    }
    let other = "{allow_public: [a/getB]}";
    for defaults in ["", ", security: upstream"] {
        assert_eq!(
            errors(other, defaults, "security: [], x-gateway: {public: true}, "),
            ["public-not-allowed"]
        );
    }
    assert_eq!(
        errors(other, ", security: upstream", "security: [], "),
        ["public-not-allowed"]
    );
}
