//! Tests of opaque tokens of `oidc-provider`, which the gateway verifies by introspection (RFC
//! 7662).

use super::*;

/// API resources whose access tokens are opaque. Tokens for [`SHORT`] expire after 4s.
const OPAQUE: &str = "https://api.example/opaque";
const SHORT: &str = "https://api.example/short";

pub(super) fn asking(provider: &Provider, more: &Value) -> Scene {
    let mut verifier = json!({
        "kind": "introspection", "url": format!("{}/token/introspection", provider.issuer()),
        "client_id": "the gateway", "client_secret": "${env:GWS_IDP}",
        "issuer": provider.issuer(), "audience": [OPAQUE, SHORT], "cache": "1s",
    });
    for (name, value) in more.as_object().expect("settings") {
        verifier[name] = value.clone();
    }
    Scene::with(provider, &verifier)
}

#[test]
fn opaque_token_is_known_to_the_certified_provider() {
    let Some(provider) = Provider::new("ES256") else {
        return prerequisite::skip(peers::MISSING);
    };
    let scene = asking(&provider, &json!({}));
    let gateway = scene.start("state");
    let result = |path: &str, token: &str| {
        let (status, reason) = shown(&gateway, path, token);
        format!("{status} {reason}")
    };
    let read = provider.token("read", OPAQUE);
    assert!(!read.contains('.'), "{read} is opaque");
    assert_eq!(result("/read", &read), "200 ");
    let seen = scene.upstream.take();
    // A token that a client requested without a user has no `sub` in its introspection response.
    assert_eq!(seen[0].header("x-caller"), None);
    assert_eq!(seen[0].header("x-client"), Some("app"));
    assert_eq!(
        result("/read", &provider.token("write", OPAQUE)),
        "403 insufficient_scope"
    );
    let foreign = provider.token("read", "https://other.example/opaque");
    assert_eq!(result("/any", &foreign), "401 audience");
    assert_eq!(result("/any", "unknown-to-everybody"), "401 inactive");
    // The provider responds with 400 to the introspection of a JWT. This status does not mean that
    // the JWT is invalid.
    let jwt = provider.token("read", ORDERS);
    assert_eq!(result("/any", &jwt), "503 introspection_unusable");
    gateway.stops_clean();
}

/// gwd verifies signed introspection responses (RFC 9701) with the keys that the issuer's metadata
/// names.
#[test]
fn signed_answers_of_the_provider_are_verified() {
    let Some(provider) = Provider::new("ES256") else {
        return prerequisite::skip(peers::MISSING);
    };
    let scene = asking(&provider, &json!({"signed": ["ES256"]}));
    let gateway = scene.start("state");
    let result = |path: &str, token: &str| {
        let (status, reason) = shown(&gateway, path, token);
        format!("{status} {reason}")
    };
    assert_eq!(result("/read", &provider.token("read", OPAQUE)), "200 ");
    assert_eq!(
        result("/read", &provider.token("write", OPAQUE)),
        "403 insufficient_scope"
    );
    assert_eq!(result("/any", "unknown-to-everybody"), "401 inactive");
    gateway.stops_clean();
    // The provider signs its responses with ES256, which this verifier does not allow.
    let scene = asking(&provider, &json!({"signed": ["RS256"]}));
    let gateway = scene.start("state");
    let (status, reason) = shown(&gateway, "/any", &provider.token("read", OPAQUE));
    assert_eq!((status, &*reason), (503, "introspection_unusable"));
    gateway.stops_clean();
}

#[test]
fn token_that_the_provider_withdraws_is_refused() {
    let Some(provider) = Provider::new("ES256") else {
        return prerequisite::skip(peers::MISSING);
    };
    let scene = asking(&provider, &json!({}));
    let gateway = scene.start("state");
    let (withdrawn, kept) = (
        provider.token("read", OPAQUE),
        provider.token("read", OPAQUE),
    );
    let short = provider.token("read", SHORT);
    for token in [&withdrawn, &kept, &short] {
        assert_eq!(status(&gateway, token), 200);
    }
    let _done = provider.post("/token/revocation", &format!("token={withdrawn}"), &[APP]);
    for token in [&withdrawn, &short] {
        wait::until("the token is refused", || {
            let (status, reason) = shown(&gateway, "/any", token);
            (status == 401).then(|| assert!(["inactive", "expired"].contains(&&*reason)))
        });
    }
    assert_eq!(status(&gateway, &kept), 200);
}

#[test]
fn provider_that_is_gone_admits_known_tokens_only() {
    let Some(mut provider) = Provider::new("ES256") else {
        return prerequisite::skip(peers::MISSING);
    };
    let settings = json!({"cache": "1s", "on_outage": "cached", "stale_for": "1h"});
    let scene = asking(&provider, &settings);
    let gateway = scene.start("state");
    let (known, new) = (
        provider.token("read", OPAQUE),
        provider.token("read", OPAQUE),
    );
    assert_eq!(status(&gateway, &known), 200);
    provider.stop();
    let stale = || {
        let labels = ["kind=\"introspection\"", "outcome=\"stale\""];
        gateway.metrics().sum("gwd_policy_calls_total", &labels)
    };
    wait::until("an answer that is too old serves", || {
        assert_eq!(status(&gateway, &known), 200);
        (stale() > 0.0).then_some(())
    });
    let (refused, reason) = shown(&gateway, "/any", &new);
    assert_eq!((refused, &*reason), (503, "introspection_unavailable"));
    // The restarted provider has forgotten all tokens.
    assert!(provider.start());
    wait::until("the provider gets another request", || {
        (status(&gateway, &known) == 401).then_some(())
    });
    assert_eq!(status(&gateway, &provider.token("read", OPAQUE)), 200);
}

#[test]
fn wrong_secret_of_the_gateway_is_an_outage() {
    let Some(provider) = Provider::new("ES256") else {
        return prerequisite::skip(peers::MISSING);
    };
    let scene = asking(&provider, &json!({"client_id": "nobody"}));
    let gateway = scene.start("state");
    let token = provider.token("read", OPAQUE);
    let (refused, _) = shown(&gateway, "/any", &token);
    assert_eq!(refused, 503);
    let label = ["reason=\"token_introspection_unusable\""];
    let unusable = gateway.metrics().sum("gwd_rejections_total", &label);
    assert_eq!(unusable, 1.0, "{}", gateway.metrics().0);
}
