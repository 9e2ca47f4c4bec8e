//! Open responses end with the token of their request (`streams: close`): with `exp` of a JWT, and of
//! an answer of an introspection endpoint. `streams` is inherited, also by requests that no operation
//! describes.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::client::Connection;
use e2e::gateway::{Gateway, Options};
use e2e::openssl::RsaKey;
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};
use serde_json::{Value, json};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
security: [{token: []}]
components: {securitySchemes: {token: {type: http, scheme: bearer, x-gateway: {auth: [idp, asked]}}}}
paths:
  /events: {get: {operationId: events, responses: {"200": {description: ok}}}}
  /kept: {get: {operationId: kept, x-gateway: {streams: keep}, responses: {"200": {description: ok}}}}
"#;

/// Lifetime of the tokens, in seconds.
const LIFETIME_S: u64 = 4;

/// Starts a service that begins a chunked response to each request and never ends it. Returns its
/// URL.
fn endless() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || hold(&mut stream));
        }
    });
    format!("http://{address}")
}

/// Begins a response, and waits until the gateway closes the connection.
fn hold(stream: &mut TcpStream) {
    const BEGIN: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    let mut bytes = [0; 4096];
    // Ignore errors: the gateway may close the connection at any time.
    let begun = stream
        .read(&mut bytes)
        .and_then(|_| stream.write_all(BEGIN));
    if begun.is_ok() {
        let _ended = stream.read(&mut bytes);
    }
}

/// Second at which a token of now ends.
fn ends_s() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    now.as_secs() + LIFETIME_S
}

/// JWT that ends at this second.
fn jwt(key: &RsaKey, ends_s: u64) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"alg": "RS256", "kid": "a"}));
    let claims = part(json!({"iss": "tests", "aud": "orders", "sub": "alice", "exp": ends_s}));
    let signed = format!("{head}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Connection whose request has a response that was begun.
fn begun(gateway: &Gateway, path: &str, token: &str) -> Connection {
    let mut client = gateway.connect();
    let request =
        format!("GET {path} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\r\n");
    client.send(request.as_bytes()).expect("gwd reads");
    let head = client.read_head().expect("a head");
    assert!(
        head.line.starts_with("HTTP/1.1 200"),
        "{path}: {}",
        head.line
    );
    client
}

#[test]
fn open_response_ends_with_its_token() {
    let key = RsaKey::new();
    let provider = Upstream::scripted(|_| Answer {
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        ..Answer::ok(
            json!({"active": true, "iss": "other", "sub": "bob", "exp": ends_s()}).to_string(),
        )
    });
    let keys = json!({"keys": [{"kty": "RSA", "kid": "a", "alg": "RS256", "n": key.modulus(), "e": "AQAB"}]});
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml, unmatched: main}}}}\n\
         upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         auth:\n  idp: {{kind: jwt, issuer: tests, audience: [orders], algorithms: [RS256], leeway: 0s, jwks: {keys}}}\n  \
         asked: {{kind: introspection, url: \"{}/i\", client_id: c, client_secret: \"${{env:GWS_I}}\", issuer: other}}\n\
         defaults: {{upstream: main, streams: close}}\n",
        endless(),
        provider.url()
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).variable("GWS_I", "secret").start();
    let ends_s = ends_s();
    let jwt = jwt(&key, ends_s);
    let mut kept = begun(&gateway, "/kept", &jwt);
    let closing = [
        ("/events", &*jwt),
        ("/undescribed", &*jwt),
        ("/events", "opaque"),
    ];
    let closing = closing.map(|(path, token)| (path, begun(&gateway, path, token)));
    for (path, mut client) in closing {
        let asked = Instant::now();
        // Without the final chunk, the client knows that the response is not complete.
        let rest = client.read_to_end().expect("gwd closes the connection");
        assert_eq!(rest, b"5\r\nhello\r\n", "{path}");
        assert!(
            asked.elapsed() < Duration::from_secs(LIFETIME_S + 4),
            "{path}"
        );
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    assert!(now.as_secs() >= ends_s, "not before the token ends");
    let ended = gateway.ask(&format!(
        "GET /events HTTP/1.1\nhost: h\nauthorization: Bearer {jwt}"
    ));
    assert_eq!(ended.status, 401);
    e2e::wait::until("only the response of `streams: keep` is open", || {
        let open = gateway.metrics().sum("http_server_active_requests", &[]);
        (open == 1.0).then_some(())
    });
    kept.send(b"").expect("the connection is open");
}
