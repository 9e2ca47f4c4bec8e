//! Test of a key provider with a private certificate authority and a host name. gwd fetches the
//! keys like an upstream: with the same TLS trust, resolver and metrics. `openssl` serves the keys
//! and signs the tokens.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use e2e::gateway::Options;
use e2e::openssl::RsaKey;
use e2e::project::Project;
use e2e::server::{Server, free_port};
use e2e::upstream::Upstream;
use e2e::wait;
use serde_json::json;

use crate::key_sets::token;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
security: [{token: []}]
components: {securitySchemes: {token: {type: http, scheme: bearer, x-gateway: {auth: idp}}}}
paths: {/secured: {get: {operationId: secured, responses: {"200": {description: ok}}}}}
"#;

/// Commands that create a certificate authority, and its certificate for `localhost`.
const CERTIFICATES: &str = "
new='openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2'
$new -subj /CN=ca -addext basicConstraints=critical,CA:TRUE -keyout ca.key -out ca.pem
$new -subj /CN=localhost -addext subjectAltName=DNS:localhost -addext basicConstraints=CA:FALSE \\
  -CA ca.pem -CAkey ca.key -keyout server.key -out server.pem
";

/// Serves the files of a folder over TLS. Each file is a whole response.
fn serve(folder: &Path, port: u16) -> Server {
    let mut command = Command::new("openssl");
    command
        .args(["s_server", "-quiet", "-HTTP", "-accept"])
        .arg(format!("127.0.0.1:{port}"))
        .args(["-cert", "server.pem", "-key", "server.key"])
        .current_dir(folder);
    let server = Server::start(&mut command).expect("openssl is installed");
    wait::until("openssl listens", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    server
}

#[test]
fn keys_come_over_tls_of_a_private_authority() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = Command::new("sh")
        .args(["-ec", CERTIFICATES])
        .current_dir(folder.path())
        .output()
        .expect("a shell");
    assert!(made.status.success(), "{made:?}");
    let key = RsaKey::new();
    let keys = json!({"keys": [{"kty": "RSA", "kid": "a", "alg": "RS256", "n": key.modulus(), "e": "AQAB"}]})
        .to_string();
    let response = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{keys}",
        keys.len()
    );
    std::fs::write(folder.path().join("keys"), response).expect("there is room");
    let port = free_port();
    let _provider = serve(folder.path(), port);
    let (upstream, url) = (Upstream::start(), format!("https://localhost:{port}"));
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         auth: {{idp: {{kind: jwt, issuer: tests, audience: [orders], algorithms: [RS256], jwks_url: \"{url}/keys\"}}}}\n\
         defaults: {{upstream: main}}\n",
        upstream.url()
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    let token = token("tests", "a", &key);
    let request = format!("GET /secured HTTP/1.1\nhost: h\nauthorization: Bearer {token}");
    let authority = folder.path().join("ca.pem").display().to_string();
    let trusting = Options::of(&project).variable("SSL_CERT_FILE", &authority);
    let gateway = trusting.start();
    assert_eq!(gateway.ask(&request).status, 200);
    // The fetch of the keys counts as a request to an upstream.
    let name = format!("upstream=\"{url}\"");
    let counted = gateway.metrics().sum(
        "http_client_request_duration_seconds_count",
        &[&name, "http_response_status_code=\"200\""],
    );
    assert_eq!(counted, 1.0);
    drop(gateway);
    // Without the private authority, gwd does not trust the provider's certificate.
    let gateway = Options::of(&project).start();
    let refused = gateway.ask(&request);
    assert_eq!(refused.status, 503);
    assert!(
        refused.text().contains("keys_unavailable"),
        "{}",
        refused.text()
    );
}
