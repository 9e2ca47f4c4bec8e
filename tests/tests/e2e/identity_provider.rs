//! Tests of JWT verification with the certified provider `oidc-provider` (npm). The gateway is
//! configured with the issuer only. Subjects: access tokens of RFC 9068, key rotation, and an
//! outage.

mod bound;
mod dpop;
mod introspection;

use std::net::SocketAddr;
use std::time::Duration;

use e2e::client::{Connection, Response};
use e2e::gateway::{Gateway, Options};
use e2e::peers::{self, Peer};
use e2e::project::Project;
use e2e::upstream::Upstream;
use e2e::wait;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Maximum wait for a fetch after an unknown `kid`: more than the minimum interval of 30s between
/// fetches.
const COOL_DOWN: Duration = Duration::from_secs(50);

/// Secret of the gateway at the provider, with characters that must be encoded.
const SECRET: &str = "s3cret+of%the: gateway";

/// Credential of the client `app`: `app:secret+of+the+app`, form-encoded (RFC 6749 §2.3.1).
const APP: (&str, &str) = ("authorization", "Basic YXBwOnNlY3JldCtvZit0aGUrYXBw");

const ORDERS: &str = "https://api.example/orders";

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    idp:
      type: openIdConnect
      openIdConnectUrl: ISSUER/.well-known/openid-configuration
      x-gateway: {auth: idp, forward_as: X-Caller, claims_to_headers: {client_id: X-Client}}
paths:
  /any: {get: {operationId: any, security: [{idp: []}], responses: {"200": {description: ok}}}}
  /read: {get: {operationId: read, security: [{idp: [read]}], responses: {"200": {description: ok}}}}
"#;

/// Provider whose keys survive a restart of its process.
struct Provider {
    keys: TempDir,
    port: u16,
    peer: Option<Peer>,
    /// Algorithm, published keys and signing key that the provider process was last configured
    /// with.
    configuration: Value,
}

impl Provider {
    /// Creates a provider with the key `a` for an algorithm. `None` if `oidc-provider` is not
    /// installed.
    fn new(algorithm: &str) -> Option<Self> {
        let mut provider = Self {
            keys: TempDir::new().expect("a temporary folder can be made"),
            port: 0,
            peer: None,
            configuration: json!({"alg": algorithm, "published": ["a"], "signs": "a"}),
        };
        provider.start().then_some(provider)
    }

    /// Starts the process with the same port and keys as before.
    fn start(&mut self) -> bool {
        let arguments = [
            self.port.to_string(),
            self.keys.path().display().to_string(),
        ];
        let Some(mut peer) = Peer::node("oidc_provider.mjs", &arguments) else {
            return false;
        };
        let port = peer.greeting().as_u64().expect("its port");
        self.port = u16::try_from(port).expect("a port");
        peer.ask(&self.configuration);
        self.peer = Some(peer);
        true
    }

    fn stop(&mut self) {
        self.peer = None;
    }

    fn has_keys(&mut self, published: &[&str], signs: &str) {
        self.configuration["published"] = json!(published);
        self.configuration["signs"] = json!(signs);
        let peer = self.peer.as_mut().expect("it runs");
        peer.ask(&self.configuration);
    }

    fn issuer(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Requests an access token for the client `app` (RFC 6749 §4.4). An empty `resource` omits the
    /// parameter (RFC 8707).
    fn token(&self, scope: &str, resource: &str) -> String {
        let resource = match resource {
            "" => String::new(),
            uri => format!("&resource={}", uri.replace(':', "%3A").replace('/', "%2F")),
        };
        let form = format!("grant_type=client_credentials&scope={scope}{resource}");
        access_token(&self.post("/token", &form, &[APP]))
    }

    /// Posts a form with these header fields and returns the response. Panics if the status is not
    /// 200.
    fn post(&self, path: &str, form: &str, fields: &[(&str, &str)]) -> Response {
        let mut head = format!(
            "POST {path} HTTP/1.1\r\nhost: 127.0.0.1:{}\r\n\
             content-type: application/x-www-form-urlencoded\r\n\
             content-length: {}\r\n",
            self.port,
            form.len()
        );
        for (name, value) in fields {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let mut connection = Connection::open(address).expect("the provider listens");
        let sent = connection.send(format!("{head}\r\n{form}").as_bytes());
        sent.expect("it reads");
        let response = connection.read_response(false).expect("it answers");
        assert_eq!(response.status, 200, "{}", response.text());
        response
    }
}

fn access_token(response: &Response) -> String {
    let token = response.json()["access_token"].clone();
    token.as_str().expect("a token").to_owned()
}

/// Project with a verifier for the provider's tokens.
struct Scene {
    project: Project,
    upstream: Upstream,
}

impl Scene {
    /// Verifier for JWTs of the provider, configured with its issuer only.
    fn of(provider: &Provider) -> Self {
        Self::with(
            provider,
            &json!({
                "kind": "jwt", "issuer": provider.issuer(), "audience": [ORDERS],
                "algorithms": [provider.configuration["alg"]], "types": ["at+jwt"],
            }),
        )
    }

    fn with(provider: &Provider, verifier: &Value) -> Self {
        let upstream = Upstream::start();
        let gateway = json!({
            "version": 1, "name": "s", "apis": {"s": {"path": "openapi.yaml"}},
            "listeners": {"public": {"address": "127.0.0.1:8080"}},
            "upstreams": {"main": {"targets": {"a": {"url": upstream.url()}}}},
            "auth": {"idp": verifier},
            "defaults": {"upstream": "main"},
        });
        let document = DOCUMENT.replace("ISSUER", &provider.issuer());
        let project = Project::with(&gateway.to_string(), &document);
        project.keygen();
        project.apply();
        Self { project, upstream }
    }

    fn start(&self, state: &str) -> Gateway {
        let state = self.project.path(state);
        let options = Options::of(&self.project).state(&state);
        options.variable("GWS_IDP", SECRET).start()
    }
}

/// Sends a request with a token. Returns the status and the reason in the access log.
fn shown(gateway: &Gateway, path: &str, token: &str) -> (u16, String) {
    let request = format!("GET {path} HTTP/1.1\nhost: h\nauthorization: Bearer {token}");
    let response = gateway.ask(&request);
    let id = response.header("x-request-id").expect("an id").to_owned();
    let line = gateway.access_log().line(&id);
    let reason = line["token_fault"].as_str().or(line["reason"].as_str());
    (response.status, reason.unwrap_or_default().to_owned())
}

fn status(gateway: &Gateway, token: &str) -> u16 {
    shown(gateway, "/any", token).0
}

fn fetches(gateway: &Gateway, result: &str) -> f64 {
    let label = format!("result=\"{result}\"");
    gateway
        .metrics()
        .sum("gwd_key_set_fetches_total", &[&label])
}

#[test]
fn certified_provider_is_found_by_its_issuer() {
    for algorithm in ["RS256", "PS256", "ES256", "EdDSA"] {
        let Some(provider) = Provider::new(algorithm) else {
            return prerequisite::skip(peers::MISSING);
        };
        let scene = Scene::of(&provider);
        let gateway = scene.start("state");
        let result = |path: &str, token: &str| {
            let (status, reason) = shown(&gateway, path, token);
            format!("{status} {reason}")
        };
        let read = provider.token("read", ORDERS);
        assert_eq!(result("/read", &read), "200 ", "{algorithm}");
        let seen = scene.upstream.take();
        assert_eq!(seen[0].header("x-caller"), Some("app"));
        assert_eq!(seen[0].header("x-client"), Some("app"));
        let write = provider.token("write", ORDERS);
        assert_eq!(result("/any", &write), "200 ");
        assert_eq!(result("/read", &write), "403 insufficient_scope");
        let foreign = provider.token("read", "https://api.example/payments");
        assert_eq!(result("/any", &foreign), "401 audience");
        let opaque = provider.token("read", "");
        assert_eq!(result("/any", &opaque), "401 malformed");
        gateway.stops_clean();
    }
}

#[test]
fn token_of_another_provider_is_refused() {
    let (Some(own), Some(other)) = (Provider::new("ES256"), Provider::new("ES256")) else {
        return prerequisite::skip(peers::MISSING);
    };
    let scene = Scene::of(&own);
    let gateway = scene.start("state");
    let token = other.token("read", ORDERS);
    assert_eq!(shown(&gateway, "/any", &token), (401, "issuer".to_owned()));
    assert_eq!(status(&gateway, &own.token("read", ORDERS)), 200);
}

#[test]
fn keys_turned_over_with_overlap_lose_no_request() {
    let Some(mut provider) = Provider::new("ES256") else {
        return prerequisite::skip(peers::MISSING);
    };
    let scene = Scene::of(&provider);
    let gateway = scene.start("state");
    let old = provider.token("read", ORDERS);
    assert_eq!(status(&gateway, &old), 200);
    // The provider publishes the next key before it signs tokens with the key. The gateway has not
    // fetched the new key yet.
    provider.has_keys(&["a", "b"], "a");
    assert_eq!(status(&gateway, &provider.token("read", ORDERS)), 200);
    provider.has_keys(&["a", "b"], "b");
    let new = provider.token("read", ORDERS);
    let accepted = wait::within(COOL_DOWN, || {
        assert_eq!(status(&gateway, &old), 200, "its key is published");
        let (status, reason) = shown(&gateway, "/any", &new);
        assert!(status == 200 || reason == "key", "{status} {reason}");
        (status == 200).then_some(())
    });
    assert!(accepted.is_some(), "the new key is found");
    assert_eq!(fetches(&gateway, "fetched"), 2.0, "{}", gateway.metrics().0);
}

#[test]
fn keys_turned_over_at_once_end_old_tokens() {
    let Some(mut provider) = Provider::new("RS256") else {
        return prerequisite::skip(peers::MISSING);
    };
    let scene = Scene::of(&provider);
    let gateway = scene.start("state");
    let old = provider.token("read", ORDERS);
    assert_eq!(status(&gateway, &old), 200);
    provider.has_keys(&["b"], "b");
    let new = provider.token("read", ORDERS);
    let accepted = wait::within(COOL_DOWN, || (status(&gateway, &new) == 200).then_some(()));
    assert!(accepted.is_some(), "the new key is found");
    assert_eq!(
        shown(&gateway, "/any", &old),
        (401, "key".to_owned()),
        "verified before, and its key is gone"
    );
}

#[test]
fn provider_that_restarts_is_not_missed() {
    let Some(mut provider) = Provider::new("ES256") else {
        return prerequisite::skip(peers::MISSING);
    };
    let scene = Scene::of(&provider);
    let mut gateway = scene.start("one");
    let token = provider.token("read", ORDERS);
    let other = provider.token("write", ORDERS);
    assert_eq!(status(&gateway, &token), 200);
    let folder = scene.project.path("one/key-sets");
    wait::until("the copy is written", || {
        let mut all = folder.read_dir().ok()?;
        all.next().map(|_| ())
    });
    provider.stop();
    for token in [&token, &other] {
        assert_eq!(status(&gateway, token), 200, "the keys are known");
    }
    assert_eq!(gateway.stop(), Some(0));
    let gateway = scene.start("one");
    assert_eq!(status(&gateway, &token), 200, "by the copy");
    let fresh = scene.start("two");
    assert_eq!(
        shown(&fresh, "/any", &token),
        (503, "keys_unavailable".to_owned())
    );
    assert!(provider.start(), "it starts again");
    wait::until("the keys are fetched", || {
        (status(&fresh, &token) == 200).then_some(())
    });
    for gateway in [&gateway, &fresh] {
        assert_eq!(status(gateway, &provider.token("read", ORDERS)), 200);
    }
}
