//! Tests of tokens of `oidc-provider` that are bound to a certificate (RFC 8705) or key (RFC 9449)
//! of the client. The gateway refuses them as bearer tokens.

use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::tls_peers::Certificates;

const FORM: &str = "grant_type=client_credentials&scope=read&resource=https%3A%2F%2Fapi.example%2F";

/// Requests a token for the client `mutual`, which presents a certificate.
fn of_certificate(provider: &Provider, certificates: &Certificates, resource: &str) -> String {
    let pem = std::fs::read_to_string(certificates.path("client.pem")).expect("a certificate");
    let credential = STANDARD.encode("mutual:secret+of+mutual");
    let fields = [
        ("authorization", &*format!("Basic {credential}")),
        ("x-test-certificate", &*pem.replace('\n', "")),
    ];
    access_token(&provider.post("/token", &format!("{FORM}{resource}"), &fields))
}

/// Requests a token for the client `app`, which presents a DPoP proof.
fn of_key(provider: &Provider, maker: &mut Peer, resource: &str) -> String {
    let proof = maker.ask(&json!({
        "make": "sign", "alg": "ES256",
        "header": {"typ": "dpop+jwt", "jwk": "$jwk own", "kid": "$absent"},
        "claims": {
            "iss": "$absent", "aud": "$absent", "sub": "$absent", "exp": "$absent",
            "iat": "$now+0", "jti": format!("for {resource}"), "htm": "POST",
            "htu": format!("{}/token", provider.issuer()),
        },
    }));
    let proof = proof["token"].as_str().expect("a proof");
    let response = provider.post(
        "/token",
        &format!("{FORM}{resource}"),
        &[APP, ("dpop", proof)],
    );
    assert_eq!(response.json()["token_type"], "DPoP");
    access_token(&response)
}

#[test]
fn bound_token_of_a_provider_is_no_bearer_token() {
    let maker = Peer::node("tokens.mjs", &["https://unused.example", "unused"]);
    let (Some(provider), Some(mut maker)) = (Provider::new("ES256"), maker) else {
        return prerequisite::skip(peers::MISSING);
    };
    let certificates = Certificates::new();
    let jwt = Scene::of(&provider);
    let asking = introspection::asking(&provider, &json!({}));
    for (scene, resource) in [(jwt, "orders"), (asking, "opaque")] {
        let gateway = scene.start("state");
        let token = of_certificate(&provider, &certificates, resource);
        let (status, fault) = shown(&gateway, "/any", &token);
        assert_eq!((status, &*fault), (401, "binding"), "{resource}");
        let token = of_key(&provider, &mut maker, resource);
        let (status, fault) = shown(&gateway, "/any", &token);
        assert_eq!((status, &*fault), (401, "binding"), "{resource}");
        assert!(scene.upstream.take().is_empty());
    }
}

/// Starts a gateway that compares tokens with client certificates. The certificate comes from the
/// TLS connection at the listener `public`, and from a proxy at the listener `inner`.
fn comparing(provider: &Provider, certificates: &Certificates, jwt: bool) -> (Scene, Gateway) {
    let upstream = Upstream::start();
    let at = |name: &str| format!("${{file:{}}}", certificates.path(name).display());
    let verifier = |more: Value| {
        let mut verifier = match jwt {
            true => json!({
                "kind": "jwt", "issuer": provider.issuer(), "audience": [ORDERS],
                "algorithms": ["ES256"],
            }),
            false => json!({
                "kind": "introspection", "url": format!("{}/token/introspection", provider.issuer()),
                "client_id": "the gateway", "client_secret": "${env:GWS_IDP}",
            }),
        };
        let all = verifier.as_object_mut().expect("a map");
        all.extend(more.as_object().expect("a map").clone());
        verifier
    };
    let gateway = json!({
        "version": 1, "name": "s", "apis": {"s": {"path": "openapi.yaml"}},
        "listeners": {
            "public": {
                "address": "127.0.0.1:0", "protocol": "https",
                "tls": {
                    "certificates": {"main": {"cert": at("server.pem"), "key": at("server.key")}},
                    "client_auth": {"ca": at("ca.pem"), "mode": "optional"},
                },
            },
            "inner": {"address": "127.0.0.1:0", "trusted_proxies": ["127.0.0.1"]},
        },
        "upstreams": {"main": {"targets": {"a": {"url": upstream.url()}}}},
        "auth": {
            "optional": verifier(json!({"certificate_binding": "optional"})),
            "required": verifier(json!({"certificate_binding": "required"})),
            "proxied": verifier(
                json!({"certificate_binding": "required", "certificate_header": "Client-Cert"}),
            ),
        },
        "defaults": {"upstream": "main", "listeners": ["public", "inner"]},
    });
    let names = ["optional", "required", "proxied"];
    let schemes = names.map(|name| {
        let extension = json!({"auth": name});
        let scheme = json!({"type": "http", "scheme": "bearer", "x-gateway": extension});
        (name.to_owned(), scheme)
    });
    let paths = names.map(|name| {
        let operation = json!({
            "operationId": name, "security": [{name: []}],
            "responses": {"200": {"description": "ok"}},
        });
        (format!("/{name}"), json!({"get": operation}))
    });
    let document = json!({
        "openapi": "3.1.0", "info": {"title": "s", "version": "1"},
        "components": {"securitySchemes": serde_json::Map::from_iter(schemes)},
        "paths": serde_json::Map::from_iter(paths),
    });
    let project = Project::with(&gateway.to_string(), &document.to_string());
    project.keygen();
    project.apply();
    let scene = Scene { project, upstream };
    let folder = certificates.path("").display().to_string();
    let options = Options::of(&scene.project).arguments(&["--secret-dir", &folder]);
    let options = options
        .listeners(&["public", "inner"])
        .variable("GWS_IDP", SECRET);
    let gateway = options.start();
    (scene, gateway)
}

/// Sends a request with curl over TLS, with or without a certificate. Returns the status.
fn over_tls(
    gateway: &Gateway,
    certificates: &Certificates,
    (path, token): (&str, &str),
    certificate: Option<&str>,
) -> u16 {
    let port = gateway.listener("public").port();
    let mut curl = Command::new("curl");
    curl.args([
        "-sS",
        "--cacert",
        "ca.pem",
        "-o",
        "body",
        "-w",
        "%{http_code}",
    ])
    .arg("--resolve")
    .arg(format!("orders.internal:{port}:127.0.0.1"))
    .arg("-H")
    .arg(format!("authorization: Bearer {token}"))
    .arg(format!("https://orders.internal:{port}{path}"))
    .current_dir(certificates.path(""));
    if let Some(name) = certificate {
        curl.args([
            "--cert",
            &format!("{name}.pem"),
            "--key",
            &format!("{name}.key"),
        ]);
    }
    let output = curl.output().expect("curl is installed");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout)
        .parse()
        .expect("a status")
}

/// Reads a certificate as a value of `Client-Cert` (RFC 9440).
fn client_cert(certificates: &Certificates, name: &str) -> String {
    let pem = std::fs::read_to_string(certificates.path(name)).expect("a certificate");
    let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with('-')).collect();
    format!(":{}:", lines.concat())
}

#[test]
fn bound_token_counts_with_its_certificate_alone() {
    let Some(provider) = Provider::new("ES256") else {
        return prerequisite::skip(peers::MISSING);
    };
    let certificates = Certificates::new();
    for (jwt, resource) in [(true, "orders"), (false, "opaque")] {
        let (scene, gateway) = comparing(&provider, &certificates, jwt);
        let bound = of_certificate(&provider, &certificates, resource);
        let bearer = provider.token("read", &format!("https://api.example/{resource}"));
        for (path, token, certificate, expected) in [
            ("/optional", &bound, Some("client"), 200),
            ("/optional", &bound, Some("server"), 401),
            ("/optional", &bound, None, 401),
            ("/optional", &bearer, None, 200),
            ("/optional", &bearer, Some("client"), 200),
            ("/required", &bound, Some("client"), 200),
            ("/required", &bearer, Some("client"), 401),
            ("/required", &bearer, None, 401),
            // The verifier of this path uses only a certificate that a proxy reports.
            ("/proxied", &bound, Some("client"), 401),
        ] {
            let status = over_tls(&gateway, &certificates, (path, token), certificate);
            assert_eq!(status, expected, "{resource} {path} {certificate:?}");
        }
        let own = client_cert(&certificates, "client.pem");
        let other = client_cert(&certificates, "server.pem");
        let through = |path: &str, token: &str, field: &str| {
            let mut inner = Connection::open(gateway.listener("inner")).expect("it listens");
            let request = format!(
                "GET {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}{field}\r\n\r\n"
            );
            inner.ask(&request).expect("an answer").status
        };
        for (path, token, field, expected) in [
            ("/proxied", &bound, format!("\r\nclient-cert: {own}"), 200),
            ("/proxied", &bound, format!("\r\nclient-cert: {other}"), 401),
            (
                "/proxied",
                &bound,
                "\r\nclient-cert: :AAAA:".to_owned(),
                401,
            ),
            (
                "/proxied",
                &bound,
                format!("\r\nclient-cert: {own}\r\nclient-cert: {own}"),
                401,
            ),
            ("/proxied", &bound, String::new(), 401),
            ("/proxied", &bearer, format!("\r\nclient-cert: {own}"), 401),
            ("/optional", &bound, format!("\r\nclient-cert: {own}"), 401),
        ] {
            let status = through(path, token, &field);
            assert_eq!(status, expected, "{resource} {path} {field}");
        }
        let served = scene.upstream.take().len();
        assert_eq!(served, 5, "{resource}");
        gateway.stops_clean();
    }
}
