//! Tests of `streams: close`: open responses end when the credential of their request expires. The
//! expiry comes from `exp` of a JWT with its leeway, from `exp` of an introspection response, or
//! from a certificate. Operations and undescribed requests inherit `streams`. `logins::sessions`
//! tests sessions in the same way.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use e2e::client::Connection;
use e2e::gateway::{Gateway, Options};
use e2e::openssl::RsaKey;
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};
use serde_json::{Value, json};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
security: [{token: []}]
components:
  securitySchemes:
    token: {type: http, scheme: bearer, x-gateway: {auth: [idp, lenient, asked]}}
    certificate: {type: mutualTLS, x-gateway: {auth: proxied}}
paths:
  /events: {get: {operationId: events, responses: {"200": {description: ok}}}}
  /certified: {get: {operationId: certified, security: [{certificate: []}], responses: {"200": {description: ok}}}}
  /kept: {get: {operationId: kept, x-gateway: {streams: keep}, responses: {"200": {description: ok}}}}
"#;

/// Lifetime of the tokens, in seconds.
const LIFETIME_S: u64 = 4;

/// Starts an upstream that sends the beginning of each response and never ends the response.
pub(crate) fn endless() -> Upstream {
    Upstream::scripted(|_| Answer {
        headers: vec![("content-type".to_owned(), "text/event-stream".to_owned())],
        is_endless: true,
        ..Answer::ok("hello")
    })
}

/// Expiry (Unix time in seconds) of a token that is issued now.
pub(crate) fn ends_s() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
    now.as_secs() + LIFETIME_S
}

/// JWT of `issuer`, signed with `key`. The JWT expires at `ends_s` (Unix time in seconds).
fn jwt(key: &RsaKey, issuer: &str, ends_s: u64) -> String {
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = part(json!({"alg": "RS256", "kid": "a"}));
    let claims = part(json!({"iss": issuer, "aud": "orders", "sub": "alice", "exp": ends_s}));
    let signed = format!("{head}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

/// Issues a certificate for `CN=name` that expires at `ends_s` (Unix time in seconds). Returns the
/// certificate as a `Client-Cert` field (RFC 9440). Uses `openssl ca`, because `openssl x509`
/// cannot set the second of the expiry.
pub(crate) fn certificate(folder: &Path, name: &str, ends_s: u64) -> String {
    let config = "[ca]\ndefault_ca = own\n[own]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\n\
default_md = sha256\npolicy = names\n[names]\ncommonName = supplied\n";
    std::fs::write(folder.join("ca.conf"), config).expect("a file");
    std::fs::write(folder.join("index"), "").expect("a file");
    let run = |program: &str, arguments: &str| {
        let mut command = Command::new(program);
        let ended = command
            .args(arguments.split(' '))
            .current_dir(folder)
            .output();
        let ended = ended.expect("it is installed");
        let stderr = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{program} {arguments}: {stderr}");
        ended.stdout
    };
    let end = run("date", &format!("-u -d @{ends_s} +%Y%m%d%H%M%SZ"));
    let end = String::from_utf8(end).expect("a date");
    run(
        "openssl",
        &format!(
            "req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -subj /CN={name} -out request.pem"
        ),
    );
    let end = end.trim();
    run(
        "openssl",
        &format!(
            "ca -batch -config ca.conf -selfsign -keyfile key.pem -in request.pem -enddate {end} -out {name}.pem -notext"
        ),
    );
    let der = run("openssl", &format!("x509 -in {name}.pem -outform DER"));
    format!("client-cert: :{}:", STANDARD.encode(der))
}

fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}")
}

/// Sends a request on a new connection and reads the beginning of the response. Returns the
/// connection.
fn begun(gateway: &Gateway, path: &str, credential: &str) -> Connection {
    let mut client = gateway.connect();
    let request = format!("GET {path} HTTP/1.1\r\nhost: h\r\n{credential}\r\n\r\n");
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
fn open_response_ends_with_its_credential() {
    let (key, folder) = (RsaKey::new(), tempfile::tempdir().expect("a folder"));
    let provider = Upstream::scripted(|_| Answer {
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        ..Answer::ok(
            json!({"active": true, "iss": "other", "sub": "bob", "exp": ends_s()}).to_string(),
        )
    });
    let endless = endless();
    let keys = json!({"keys": [{"kty": "RSA", "kid": "a", "alg": "RS256", "n": key.modulus(), "e": "AQAB"}]});
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml, unmatched: main}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:8080\", trusted_proxies: [\"127.0.0.0/8\"]}}}}\n\
         upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         auth:\n  idp: {{kind: jwt, issuer: tests, audience: [orders], algorithms: [RS256], leeway: 0s, jwks: {keys}}}\n  \
         lenient: {{kind: jwt, issuer: lenient, audience: [orders], algorithms: [RS256], leeway: {LIFETIME_S}s, jwks: {keys}}}\n  \
         asked: {{kind: introspection, url: \"{}/i\", client_id: c, client_secret: \"${{env:GWS_I}}\", issuer: other}}\n  \
         proxied: {{kind: mtls, subjects: [\"CN=alice\"], header: Client-Cert}}\n\
         defaults: {{upstream: main, streams: close}}\n",
        endless.url(),
        provider.url()
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).variable("GWS_I", "secret").start();
    let ends_s = ends_s();
    let token = bearer(&jwt(&key, "tests", ends_s));
    let lenient = bearer(&jwt(&key, "lenient", ends_s - LIFETIME_S));
    let certified = certificate(folder.path(), "alice", ends_s);
    let mut kept = begun(&gateway, "/kept", &token);
    let closing = [
        ("/events", &*token),
        ("/undescribed", &*token),
        ("/events", &*lenient),
        ("/certified", &*certified),
        ("/events", "authorization: Bearer opaque"),
    ];
    let closing = closing.map(|(path, shown)| (path, shown, begun(&gateway, path, shown)));
    for (path, shown, mut client) in closing {
        let start = Instant::now();
        // The missing final chunk shows the client that the response is not complete.
        let rest = client.read_to_end().expect("gwd closes the connection");
        assert_eq!(rest, b"5\r\nhello\r\n", "{path} {shown:.40}");
        assert!(
            start.elapsed() < Duration::from_secs(LIFETIME_S + 4),
            "{path} {shown:.40}"
        );
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("after 1970");
        assert!(
            now.as_secs() >= ends_s,
            "{path} {shown:.40}: before its end"
        );
        // Skip the opaque token: each introspection response sets a new expiry for this token.
        if !shown.ends_with("opaque") {
            let ended = gateway.ask(&format!("GET {path} HTTP/1.1\nhost: h\n{shown}"));
            assert_eq!(ended.status, 401, "{path} {shown:.40}");
        }
    }
    e2e::wait::until("only the response of `streams: keep` is open", || {
        let open = gateway.metrics().sum("http_server_active_requests", &[]);
        (open == 1.0).then_some(())
    });
    kept.send(b"").expect("the connection is open");
}
