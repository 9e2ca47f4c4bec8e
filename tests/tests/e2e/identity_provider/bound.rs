//! Tokens of `oidc-provider` that are bound to a certificate (RFC 8705) or key (RFC 9449) of the
//! client. They are refused as bearer tokens.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;
use crate::tls_peers::Certificates;

const FORM: &str = "grant_type=client_credentials&scope=read&resource=https%3A%2F%2Fapi.example%2F";

/// Token of the client `mutual`, which presents a certificate.
fn of_certificate(provider: &Provider, resource: &str) -> String {
    let certificates = Certificates::new();
    let pem = std::fs::read_to_string(certificates.path("client.pem")).expect("a certificate");
    let credential = STANDARD.encode("mutual:secret+of+mutual");
    let fields = [
        ("authorization", &*format!("Basic {credential}")),
        ("x-test-certificate", &*pem.replace('\n', "")),
    ];
    access_token(&provider.post("/token", &format!("{FORM}{resource}"), &fields))
}

/// Token of the client `app`, which presents a DPoP proof.
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
    let jwt = Scene::of(&provider);
    let asking = introspection::asking(&provider, &json!({}));
    // The introspection response also contains the type of a DPoP token.
    for (scene, resource, of_key_fault) in [(jwt, "orders", "binding"), (asking, "opaque", "type")]
    {
        let gateway = scene.start("state");
        let token = of_certificate(&provider, resource);
        let (status, fault) = shown(&gateway, "/any", &token);
        assert_eq!((status, &*fault), (401, "binding"), "{resource}");
        let token = of_key(&provider, &mut maker, resource);
        let (status, fault) = shown(&gateway, "/any", &token);
        assert_eq!((status, &*fault), (401, of_key_fault), "{resource}");
        assert!(scene.upstream.take().is_empty());
    }
}
