//! Tests of tokens of `oidc-provider` that are bound to a key (RFC 9449). `dpop` (npm) creates the
//! DPoP proofs.

use super::*;

const FORM: &str = "grant_type=client_credentials&scope=read&resource=https%3A%2F%2Fapi.example%2F";

/// Base URL under which clients reach the gateway.
const API: &str = "http://api.example";

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    bound: {type: openIdConnect, openIdConnectUrl: ISSUER/.well-known/openid-configuration, x-gateway: {auth: bound, strip_credential: true}}
    nonced: {type: http, scheme: dpop, x-gateway: {auth: nonced}}
    bearer: {type: http, scheme: bearer, x-gateway: {auth: idp}}
paths:
  /any: {get: {operationId: any, security: [{bound: []}], responses: {"200": {description: ok}}}}
  /read: {get: {operationId: read, security: [{bound: [read]}], responses: {"200": {description: ok}}}}
  /write: {get: {operationId: write, security: [{bound: [write]}], responses: {"200": {description: ok}}}}
  /nonced: {get: {operationId: nonced, security: [{nonced: []}], responses: {"200": {description: ok}}}}
  /bearer: {get: {operationId: bearer, security: [{bearer: []}], responses: {"200": {description: ok}}}}
  /either: {get: {operationId: either, security: [{bound: []}, {bearer: []}], responses: {"200": {description: ok}}}}
"#;

/// Test scene: a provider, a program that creates DPoP proofs, and a gateway.
struct DpopScene {
    provider: Provider,
    maker: Peer,
    scene: Scene,
    gateway: Gateway,
}

impl DpopScene {
    /// Creates the scene. `None` if a program is not installed. If `jwt` is true, the tokens are
    /// JWTs. Otherwise the gateway uses introspection.
    fn new(jwt: bool) -> Option<Self> {
        let maker = Peer::node("dpop.mjs", &[] as &[&str])?;
        let provider = Provider::new("ES256")?;
        let issuer = provider.issuer();
        let idp = match jwt {
            true => json!({
                "kind": "jwt", "issuer": issuer, "audience": [ORDERS], "algorithms": ["ES256"],
            }),
            false => json!({
                "kind": "introspection", "url": format!("{issuer}/token/introspection"),
                "client_id": "the gateway", "client_secret": "${env:GWS_IDP}",
            }),
        };
        let upstream = Upstream::start();
        let gateway = json!({
            "version": 1, "name": "s", "apis": {"s": {"path": "openapi.yaml"}},
            "listeners": {
                "public": {"address": "127.0.0.1:0", "trusted_proxies": ["127.0.0.0/8"],
                    "forwarding_fields": ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-prefix"]},
            },
            "upstreams": {"main": {"targets": {"a": {"url": upstream.url()}}}},
            "auth": {
                "idp": idp,
                "bound": {"kind": "dpop", "token": "idp", "algorithms": ["ES256", "EdDSA", "RS256", "PS256"]},
                "nonced": {"kind": "dpop", "token": "idp", "nonce": true},
            },
            "defaults": {"upstream": "main"},
        });
        let project = Project::with(&gateway.to_string(), &DOCUMENT.replace("ISSUER", &issuer));
        project.keygen();
        project.apply();
        let scene = Scene { project, upstream };
        let options = Options::of(&scene.project);
        let gateway = options.variable("GWS_IDP", SECRET).workers(2).start();
        Some(Self {
            provider,
            maker,
            scene,
            gateway,
        })
    }

    fn proof(&mut self, recipe: &Value) -> String {
        let made = self.maker.ask(recipe);
        made["proof"].as_str().expect("a proof").to_owned()
    }

    /// Requests an access token for the client `app` that is bound to a key.
    fn token(&mut self, key: &str, resource: &str) -> String {
        let url = format!("{}/token", self.provider.issuer());
        let proof = self.proof(&json!({"key": key, "htm": "POST", "htu": url}));
        let form = format!("{FORM}{resource}");
        let response = self
            .provider
            .post("/token", &form, &[APP, ("dpop", &proof)]);
        assert_eq!(response.json()["token_type"], "DPoP");
        access_token(&response)
    }

    /// Sends a GET request with these additional fields and returns the response.
    fn ask(&self, path: &str, fields: &[(&str, &str)]) -> Response {
        let mut request = format!("GET {path} HTTP/1.1\nhost: api.example");
        for (name, value) in fields {
            request.push_str(&format!("\n{name}: {value}"));
        }
        self.gateway.ask(&request)
    }

    /// Sends a request with the token and a new DPoP proof signed by `key`, and returns the
    /// response.
    fn prove(&mut self, path: &str, token: &str, key: &str) -> Response {
        let recipe = json!({
            "key": key, "htm": "GET", "htu": format!("{API}{path}"), "token": token,
        });
        let proof = self.proof(&recipe);
        let credential = format!("DPoP {token}");
        self.ask(path, &[("authorization", &credential), ("dpop", &proof)])
    }

    /// Status of a response, with the reason from the access log.
    fn status_and_reason(&self, response: &Response) -> String {
        let id = response.header("x-request-id").expect("an id").to_owned();
        let line = self.gateway.access_log().line(&id);
        let faults = ["dpop_fault", "token_fault", "reason"];
        let reason = faults.into_iter().find_map(|key| line[key].as_str());
        format!("{} {}", response.status, reason.unwrap_or_default())
    }
}

#[test]
fn proofs_of_a_library_admit_bound_tokens() {
    for (jwt, resource) in [(true, "orders"), (false, "opaque")] {
        let Some(mut proving) = DpopScene::new(jwt) else {
            return prerequisite::skip(peers::MISSING);
        };
        for key in ["ES256", "Ed25519", "RS256", "PS256"] {
            let token = proving.token(key, resource);
            for path in ["/any", "/read", "/any?a=1", "/either"] {
                let response = proving.prove(path, &token, key);
                assert_eq!(proving.status_and_reason(&response), "200 ", "{key} {path}");
            }
            let seen = proving.scene.upstream.take();
            assert!(
                seen.iter().all(
                    |one| one.header("dpop").is_none() && one.header("authorization").is_none()
                )
            );
            let response = proving.prove("/write", &token, key);
            assert_eq!(
                proving.status_and_reason(&response),
                "403 insufficient_scope"
            );
            let expected = "DPoP realm=\"gateway\", algs=\"RS256 PS256 ES256 EdDSA Ed25519\", \
                            error=\"insufficient_scope\", scope=\"write\"";
            assert_eq!(response.header("www-authenticate"), Some(expected));
        }
        let token = proving.token("ES256", resource);
        let response = proving.prove("/any", &token, "other ES256");
        assert_eq!(proving.status_and_reason(&response), "401 token_binding");
        let expected = "DPoP realm=\"gateway\", algs=\"RS256 PS256 ES256 EdDSA Ed25519\", \
                        error=\"invalid_dpop_proof\"";
        assert_eq!(response.header("www-authenticate"), Some(expected));
        // The token is bound to a key, so the gateway refuses it as a bearer token.
        let bearer = format!("Bearer {token}");
        for path in ["/bearer", "/either"] {
            let response = proving.ask(path, &[("authorization", &bearer)]);
            assert_eq!(
                proving.status_and_reason(&response),
                "401 binding",
                "{path}"
            );
        }
        let response = proving.ask("/any", &[("authorization", &bearer)]);
        assert_eq!(
            proving.status_and_reason(&response),
            "401 credential_missing"
        );
        let unbound = proving
            .provider
            .token("read", &format!("https://api.example/{resource}"));
        let response = proving.prove("/any", &unbound, "ES256");
        assert_eq!(proving.status_and_reason(&response), "401 token_binding");
        let bearer = format!("Bearer {unbound}");
        let response = proving.ask("/either", &[("authorization", &bearer)]);
        assert_eq!(proving.status_and_reason(&response), "200 ");
        assert!(proving.scene.upstream.take().len() == 1);
    }
}

#[test]
fn proof_is_for_one_request_seen_by_the_client() {
    for (jwt, resource) in [(true, "orders"), (false, "opaque")] {
        let Some(proving) = DpopScene::new(jwt) else {
            return prerequisite::skip(peers::MISSING);
        };
        accepts_each_proof_for_its_request(proving, resource);
    }
}

/// Asserts that the gateway accepts a proof for its method and URL only, and once.
fn accepts_each_proof_for_its_request(mut proving: DpopScene, resource: &str) {
    let token = proving.token("ES256", resource);
    let credential = format!("DPoP {token}");
    let mut made = |htm: &str, htu: &str| {
        proving.proof(&json!({"key": "ES256", "htm": htm, "htu": htu, "token": token}))
    };
    let proofs = [
        ("own", made("GET", "http://api.example/any")),
        ("method", made("POST", "http://api.example/any")),
        ("path", made("GET", "http://api.example/read")),
        ("scheme", made("GET", "https://api.example/any")),
        (
            "public",
            made("GET", "https://shop.example:8443/orders/any"),
        ),
        ("port", made("GET", "http://api.example:8080/any")),
    ];
    let proof = |name: &str| {
        let mut found = proofs.iter().filter(|(own, _)| *own == name);
        found
            .next()
            .map(|(_, proof)| proof.as_str())
            .expect("a proof")
    };
    let forwarded = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "shop.example:8443"),
        ("x-forwarded-prefix", "/orders"),
    ];
    for (name, fields, expected) in [
        ("own", &[][..], "200 "),
        ("own", &[], "401 replayed"),
        ("method", &[], "401 method"),
        ("path", &[], "401 url"),
        ("scheme", &[], "401 url"),
        ("port", &[], "401 url"),
        ("public", &[], "401 url"),
        ("public", &forwarded[..2], "401 url"),
        ("public", &forwarded, "200 "),
        ("scheme", &forwarded[..1], "200 "),
        ("scheme", &forwarded[..1], "401 replayed"),
    ] {
        let own = [("authorization", &*credential), ("dpop", proof(name))];
        let response = proving.ask("/any", &[&own[..], fields].concat());
        assert_eq!(
            proving.status_and_reason(&response),
            expected,
            "{resource} {name} {fields:?}"
        );
    }
    let without = proving.ask("/any", &[("authorization", &credential)]);
    assert_eq!(proving.status_and_reason(&without), "401 absent");
    let twice = [
        ("authorization", &*credential),
        ("dpop", proof("port")),
        ("dpop", proof("port")),
    ];
    assert_eq!(
        proving.status_and_reason(&proving.ask("/any", &twice)),
        "401 several"
    );
    let metrics = proving.gateway.metrics();
    let labels = ["policy=\"authenticate\"", "reason=\"dpop_replayed\""];
    assert_eq!(metrics.sum("gwd_rejections_total", &labels), 2.0);
    proving.gateway.stops_clean();
}

#[test]
fn nonce_of_the_gateway_is_required() {
    for (jwt, resource) in [(true, "orders"), (false, "opaque")] {
        let Some(proving) = DpopScene::new(jwt) else {
            return prerequisite::skip(peers::MISSING);
        };
        requires_its_nonce(proving, resource);
    }
}

/// Asserts that the gateway sends a nonce, and refuses proofs without it.
fn requires_its_nonce(mut proving: DpopScene, resource: &str) {
    let token = proving.token("ES256", resource);
    let response = proving.prove("/nonced", &token, "ES256");
    assert_eq!(
        proving.status_and_reason(&response),
        "401 nonce",
        "{resource}"
    );
    let expected = "DPoP realm=\"gateway\", algs=\"ES256\", error=\"use_dpop_nonce\"";
    assert_eq!(response.header("www-authenticate"), Some(expected));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let nonce = response.header("dpop-nonce").expect("a nonce").to_owned();
    for (nonce, expected) in [(nonce.as_str(), "200 "), ("x", "401 nonce")] {
        let recipe = json!({
            "key": "ES256", "htm": "GET", "htu": format!("{API}/nonced"),
            "token": token, "nonce": nonce,
        });
        let proof = proving.proof(&recipe);
        let credential = format!("DPoP {token}");
        let fields = [("authorization", &*credential), ("dpop", &*proof)];
        let response = proving.ask("/nonced", &fields);
        assert_eq!(proving.status_and_reason(&response), expected);
        let has_nonce = response.header("dpop-nonce").is_some();
        assert_eq!(has_nonce, response.status == 401, "a fresh one stays");
    }
}
