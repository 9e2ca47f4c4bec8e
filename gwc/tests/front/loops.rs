//! Tests of services that the gateway queries for each request, at addresses of the gateway's own
//! listeners.

use model::compile;
use sources::project::files::Files;
use sources::syntax::Limits;

/// Messages of `upstream-loop` for a project with this policy and this verifier.
fn loops(policy: &str, verifier: &str) -> Vec<String> {
    let gateway = format!(
        "version: 1\nname: s\napis: {{a: {{path: a.yaml}}}}\n\
         listeners:\n  public: {{address: \"0.0.0.0:8080\"}}\n  inside: {{address: \"127.0.0.1:8081\"}}\n\
         upstreams: {{u: {{targets: {{x: {{url: \"http://127.0.0.1:9001\"}}}}}}}}\n\
         auth: {{idp: {{{verifier}}}}}\npolicies: {{ask: {{{policy}}}}}\n\
         defaults: {{upstream: u, timeout: 5s}}\n"
    );
    let document = "openapi: 3.1.0\ninfo: {title: t, version: \"1\"}\npaths:\n  /p: {get: {operationId: p, security: [{t: []}], x-gateway: {policies: [ask]}, responses: {\"200\": {description: ok}}}}\ncomponents: {securitySchemes: {t: {type: http, scheme: bearer, x-gateway: {auth: idp}}}}\n";
    let texts = [("gateway.yaml", gateway.as_str()), ("a.yaml", document)];
    let compiled = compile::project(Files::in_memory(texts, Limits::default()), &Vec::new());
    let mut found = Vec::new();
    for finding in &compiled.findings {
        match finding.lint.name {
            "upstream-loop" => found.push(finding.message.clone()),
            _ => assert_ne!(finding.lint.name, "bad-value", "{}", finding.message),
        }
    }
    found
}

#[test]
fn service_at_an_own_listener_is_a_loop() {
    let introspection = |url: &str| {
        format!(
            "kind: introspection, url: \"{url}\", client_id: g, client_secret: \"${{env:GWS_A}}\""
        )
    };
    let forward = |url: &str| format!("kind: forward_auth, url: \"{url}\"");
    let elsewhere = introspection("https://idp.example/in");
    let service = forward("http://127.0.0.1:9002/check");
    assert_eq!(loops(&service, &elsewhere), [""; 0]);
    for (url, listener) in [
        ("http://127.0.0.1:8080/check", "public"),
        ("http://localhost:8080/check", "public"),
        ("http://[::1]:8080/check", "public"),
        ("https://[::ffff:127.0.0.1]:8080/check", "public"),
        ("https://127.1:8080/check", "public"),
        ("https://2130706433:8081/check", "inside"),
        ("http://127.0.0.1:8081/check", "inside"),
    ] {
        let message = format!("requests to this address return to the listener `{listener}`");
        assert_eq!(
            loops(&forward(url), &elsewhere),
            [message.as_str()],
            "{url}"
        );
        assert_eq!(
            loops(&service, &introspection(url)),
            [message.as_str()],
            "{url}"
        );
    }
    // A service on another machine or at another port causes no loop.
    for url in ["http://192.0.2.1:8080/check", "http://127.0.0.1:8082/check"] {
        let [policy, verifier] = [forward(url), introspection(url)];
        let policy = match url.contains("192.0.2.1") {
            true => forward("https://auth.example/check"),
            false => policy,
        };
        let verifier = match url.contains("192.0.2.1") {
            true => introspection("https://192.0.2.1:8080/in"),
            false => verifier,
        };
        assert_eq!(loops(&policy, &verifier), [""; 0], "{url}");
    }
    // A key set is fetched once for many requests, so it causes no loop.
    let jwt = "kind: jwt, issuer: i, audience: [a], algorithms: [ES256], jwks_url: \"http://127.0.0.1:8080/keys\"";
    assert_eq!(loops(&service, jwt), [""; 0]);
}
