//! Tests of tokens that `jose` (npm) and PyJWT create for every algorithm. Also tests the attacks
//! in `attacks.tsv`, over HTTP/1.1 and HTTP/2.

use std::net::SocketAddr;

use e2e::gateway::{Gateway, Options};
use e2e::peers::{self, Peer};
use e2e::project::Project;
use e2e::upstream::Upstream;
use serde_json::{Value, json};

/// Table of attacks. Columns: case, library, recipe of the token, request, expected result.
const ATTACKS: &str = include_str!("attacks.tsv");

/// Shared secret of 64 bytes, which is enough for HS512.
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

const KEY_PAIRS: &[&str] = &[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];
const HMACS: &[&str] = &["HS256", "HS384", "HS512"];

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    jose: {type: oauth2, flows: {clientCredentials: {tokenUrl: "https://jose.example/t", scopes: {read: r}}}, x-gateway: {auth: jose}}
    jose_secret: {type: http, scheme: bearer, x-gateway: {auth: jose_secret}}
    jose_narrow: {type: http, scheme: bearer, x-gateway: {auth: jose_narrow}}
    jose_query: {type: apiKey, in: query, name: access_token, x-gateway: {auth: jose}}
    pyjwt: {type: http, scheme: bearer, x-gateway: {auth: pyjwt}}
    pyjwt_secret: {type: http, scheme: bearer, x-gateway: {auth: pyjwt_secret}}
    pyjwt_hs256: {type: http, scheme: bearer, x-gateway: {auth: pyjwt_hs256}}
paths:
  /jose:
    get: {operationId: jose, security: [{jose: []}], responses: {"200": {description: ok}}}
    post: {operationId: josePost, security: [{jose: []}], responses: {"200": {description: ok}}}
  /jose-scope: {get: {operationId: joseScope, security: [{jose: [read]}], responses: {"200": {description: ok}}}}
  /jose-secret: {get: {operationId: joseSecret, security: [{jose_secret: []}], responses: {"200": {description: ok}}}}
  /jose-narrow: {get: {operationId: joseNarrow, security: [{jose_narrow: []}], responses: {"200": {description: ok}}}}
  /jose-query: {get: {operationId: joseQuery, security: [{jose: []}, {jose_query: []}], responses: {"200": {description: ok}}}}
  /pyjwt: {get: {operationId: pyjwt, security: [{pyjwt: []}], responses: {"200": {description: ok}}}}
  /pyjwt-secret: {get: {operationId: pyjwtSecret, security: [{pyjwt_secret: []}], responses: {"200": {description: ok}}}}
  /pyjwt-hs256: {get: {operationId: pyjwtHs256, security: [{pyjwt_hs256: []}], responses: {"200": {description: ok}}}}
  /either: {get: {operationId: either, security: [{jose: []}, {pyjwt: []}], responses: {"200": {description: ok}}}}
"#;

/// Test scene: a gateway that trusts the keys of both libraries, and its upstream. Only tokens of
/// attackers name the server `evil`.
struct Scene {
    jose: Peer,
    pyjwt: Peer,
    project: Project,
    gateway: Gateway,
    upstream: Upstream,
    evil: Upstream,
}

impl Scene {
    /// Creates the scene. `None` if a library is not installed.
    fn new() -> Option<Self> {
        let jose = Peer::node("tokens.mjs", &["https://jose.example", SECRET])?;
        let pyjwt = Peer::python("tokens.py", &["https://pyjwt.example", SECRET])?;
        let (upstream, evil) = (Upstream::start(), Upstream::start());
        let verifier = |issuer: &str, algorithms: &[&str], keys: (&str, &Value)| {
            let mut verifier = json!({
                "kind": "jwt", "issuer": format!("https://{issuer}.example"),
                "audience": ["orders"], "algorithms": algorithms,
            });
            verifier[keys.0] = keys.1.clone();
            verifier
        };
        let project = Project::new();
        let file = project.path("secrets/secret").display().to_string();
        let secret = ("secret", &json!(format!("${{file:{file}}}")));
        let narrow = json!({"keys": [jose.greeting()["keys"][1]]});
        let gateway = json!({
            "version": 1, "name": "s", "apis": {"s": {"path": "openapi.yaml"}},
            "listeners": {"public": {"address": "127.0.0.1:8080", "http2": true}},
            "upstreams": {"main": {"targets": {"a": {"url": upstream.url()}}}},
            "auth": {
                "jose": verifier("jose", KEY_PAIRS, ("jwks", jose.greeting())),
                "jose_secret": verifier("jose", HMACS, secret),
                "jose_narrow": verifier("jose", &["ES256"], ("jwks", &narrow)),
                "pyjwt": verifier("pyjwt", KEY_PAIRS, ("jwks", pyjwt.greeting())),
                "pyjwt_secret": verifier("pyjwt", HMACS, secret),
                "pyjwt_hs256": verifier("pyjwt", &["HS256"], secret),
            },
            "defaults": {"upstream": "main"},
        });
        project.write("gateway.yaml", gateway.to_string());
        project.write("openapi.yaml", DOCUMENT);
        project.write("secrets/secret", SECRET);
        project.keygen();
        project.apply();
        let folder = project.path("secrets").display().to_string();
        let options = Options::of(&project).workers(1);
        let gateway = options.arguments(&["--secret-dir", &folder]).start();
        Some(Self {
            jose,
            pyjwt,
            project,
            gateway,
            upstream,
            evil,
        })
    }

    /// Creates a token from a recipe with the library `maker` (`jose` or `pyjwt`).
    fn make(&mut self, maker: &str, recipe: &Value) -> String {
        let answer = match maker {
            "jose" => self.jose.ask(recipe),
            "pyjwt" => self.pyjwt.ask(recipe),
            other => panic!("no maker {other}"),
        };
        answer["token"].as_str().expect("a token").to_owned()
    }

    fn shows(&self, path: &str, token: &str) -> u16 {
        let request = format!("GET {path} HTTP/1.1\nhost: h\nauthorization: Bearer {token}");
        self.gateway.ask(&request).status
    }

    /// Sends a request over HTTP/1.1. Returns the status, with the code and reason of a refusal.
    fn result(&self, bytes: &[u8]) -> String {
        let _earlier = self.upstream.take();
        let mut connection = self.gateway.connect();
        // Ignore errors: gwd may respond and close the connection before the whole request is sent.
        let _sent = connection.send(bytes);
        match connection.read_response(false) {
            Ok(response) => {
                let id = response.header("x-request-id").map(str::to_owned);
                self.status_and_reason(response.status, &response.body, id.as_deref())
            }
            Err(error) => error.to_string(),
        }
    }

    /// Sends a request over HTTP/2. Returns the status, with the code and reason of a refusal.
    fn result_of_http2(&self, request: http::Request<()>) -> String {
        let _earlier = self.upstream.take();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().expect("a runtime");
        match runtime.block_on(over_http2(self.gateway.address(), request)) {
            Ok((head, body)) => {
                let id = head.headers.get("x-request-id");
                let id = id.and_then(|id| id.to_str().ok());
                self.status_and_reason(head.status.as_u16(), &body, id)
            }
            Err(error) => error.to_string(),
        }
    }

    /// Status and problem code of a response, with the reason from the access log.
    fn status_and_reason(&self, status: u16, body: &[u8], id: Option<&str>) -> String {
        let seen = self.upstream.take().len();
        if status == 200 {
            assert_eq!(seen, 1, "answered by the upstream");
            return "200".to_owned();
        }
        assert_eq!(seen, 0, "refused, and forwarded all the same");
        let problem: Value = serde_json::from_slice(body).expect("a problem document");
        let result = format!("{status} {}", problem["code"].as_str().unwrap_or_default());
        let line = match id.filter(|_| status == 401) {
            Some(id) => self.gateway.access_log().line(id),
            None => Value::Null,
        };
        match line["token_fault"].as_str() {
            Some(fault) => format!("{result} {fault}"),
            None => result,
        }
    }
}

async fn over_http2(
    address: SocketAddr,
    request: http::Request<()>,
) -> Result<(http::response::Parts, Vec<u8>), Box<dyn std::error::Error>> {
    let stream = tokio::net::TcpStream::connect(address).await?;
    let (sender, connection) = h2::client::handshake(stream).await?;
    let connection = tokio::spawn(connection);
    let (response, _) = sender.ready().await?.send_request(request, true)?;
    let (head, mut received) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = received.data().await {
        body.extend_from_slice(&piece?);
    }
    connection.abort();
    Ok((head, body))
}

/// Row of the table of attacks.
struct Row {
    case: &'static str,
    maker: &'static str,
    recipe: &'static str,
    request: &'static str,
    expected: &'static str,
}

fn rows() -> impl Iterator<Item = Row> {
    let rows = ATTACKS.lines();
    let rows = rows.filter(|row| !row.starts_with('#') && !row.is_empty());
    rows.map(|row| {
        let columns: Vec<&str> = row.split('\t').collect();
        let [case, maker, recipe, request, expected] = columns[..] else {
            panic!("five columns: {row}");
        };
        Row {
            case,
            maker,
            recipe,
            request,
            expected,
        }
    })
}

/// Bytes of the request that a row of the table describes.
fn request(written: &str, maker: &str, token: &str) -> Vec<u8> {
    let written = match written {
        "-" => format!("GET /{maker}\\nAuthorization: Bearer $T"),
        path if path.starts_with('/') => format!("GET {path}\\nAuthorization: Bearer $T"),
        whole => whole.to_owned(),
    };
    let (line, rest) = written.split_once("\\n").unwrap_or((&written, ""));
    let rest = match rest.contains("\\n\\n") {
        true => rest.to_owned(),
        false => format!("{rest}\\n\\n"),
    };
    let text = format!("{line} HTTP/1.1\\nHost: h\\nConnection: close\\n{rest}");
    let length = "access_token=".len() + token.len();
    unescaped(&text.replace("$T", token).replace("$L", &length.to_string()))
}

/// Converts the request of a row to HTTP/2. `None` if the request has a body, or if HTTP/2 cannot
/// express the head.
fn of_http2(bytes: &[u8]) -> Option<http::Request<()>> {
    let head = std::str::from_utf8(bytes).ok()?;
    let mut lines = head.strip_suffix("\r\n\r\n")?.split("\r\n");
    let target = lines
        .next()?
        .strip_prefix("GET /")?
        .strip_suffix(" HTTP/1.1")?;
    let mut request = http::Request::get(format!("http://h/{target}"));
    for line in lines.filter(|line| !line.starts_with("Host:") && !line.starts_with("Connection:"))
    {
        let (name, value) = line.split_once(':')?;
        // In HTTP/1.1, spaces and tabs around a field value do not belong to the value.
        request = request.header(name, value.trim_matches([' ', '\t']));
    }
    request.version(http::Version::HTTP_2).body(()).ok()
}

/// Decodes escapes: `\n` is a line end (CR LF), `\t` a tab, `\xNN` a byte.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let taken = match after.as_bytes()[0] {
            b'n' => {
                bytes.extend_from_slice(b"\r\n");
                1
            }
            b't' => {
                bytes.push(b'\t');
                1
            }
            b'x' => {
                bytes.push(u8::from_str_radix(&after[1..3], 16).expect("two digits"));
                3
            }
            other => panic!("no escape {other}"),
        };
        rest = &after[taken..];
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

#[test]
fn token_of_each_maker_and_algorithm_is_accepted() {
    let Some(mut scene) = Scene::new() else {
        return prerequisite::skip(peers::MISSING);
    };
    for maker in ["jose", "pyjwt"] {
        let secret = format!("/{maker}-secret");
        for (path, algorithms) in [(format!("/{maker}"), KEY_PAIRS), (secret, HMACS)] {
            for algorithm in algorithms {
                let token = scene.make(maker, &json!({"make": "sign", "alg": algorithm}));
                assert_eq!(scene.shows(&path, &token), 200, "{maker} {algorithm}");
                let flipped = with_other_signature(&token);
                assert_eq!(scene.shows(&path, &flipped), 401, "{maker} {algorithm}");
            }
        }
        let token = scene.make(maker, &json!({"make": "sign", "alg": "ES256"}));
        assert_eq!(scene.shows("/either", &token), 200, "{maker}");
    }
}

/// Changes one letter in the middle of the token's signature.
fn with_other_signature(token: &str) -> String {
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let at = signature.len() / 2;
    let other = if &signature[at..=at] == "A" { "B" } else { "A" };
    format!(
        "{signed}.{}{other}{}",
        &signature[..at],
        &signature[at + 1..]
    )
}

#[test]
fn attacks_of_the_table_have_the_expected_result() {
    let Some(mut scene) = Scene::new() else {
        return prerequisite::skip(peers::MISSING);
    };
    let evil = scene.evil.url();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for row in rows() {
        let recipe = row.recipe.replace("$EVIL", &evil);
        let recipe = serde_json::from_str(&recipe).expect(row.case);
        let token = scene.make(row.maker, &recipe);
        let bytes = request(row.request, row.maker, &token);
        let mut results = vec![scene.result(&bytes)];
        // The HTTP/2 library (h2) itself refuses a head of this length: it responds with 431
        // without a body.
        let is_too_large = row.expected.starts_with("431");
        let request = of_http2(&bytes).filter(|_| !is_too_large);
        results.extend(request.map(|request| scene.result_of_http2(request)));
        for result in results {
            if result != row.expected {
                wrong.push(format!("{}: {result}, not {}", row.case, row.expected));
            }
            count += 1;
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(count > 300, "{count} requests");
    assert_eq!(scene.evil.connections(), 0, "no token makes gwd call");
    scene.gateway.stops_clean();
}

/// Anyone can compute a second valid signature from an ECDSA signature. gwd must treat the tokens
/// with these two signatures as the same token.
#[test]
fn twin_of_a_revoked_token_is_refused() {
    let Some(mut scene) = Scene::new() else {
        return prerequisite::skip(peers::MISSING);
    };
    let token = scene.make("jose", &json!({"make": "sign", "alg": "ES256"}));
    let other = scene.make("jose", &json!({"make": "sign", "alg": "ES384"}));
    let twin = scene.make("jose", &json!({"make": "twin", "token": token}));
    assert_ne!(token, twin);
    for shown in [&token, &twin, &other] {
        assert_eq!(scene.shows("/jose", shown), 200);
    }
    scene.project.write("stolen.txt", &token);
    let (key, file) = ("keys/release.pem", "stolen.txt");
    let revoke = ["revoke", "--token", file, "--key", key, "--yes"];
    scene.project.gwc(&revoke).succeeds();
    scene.gateway.notify();
    for shown in [&token, &twin] {
        e2e::wait::until("the token is refused", || {
            (scene.shows("/jose", shown) == 401).then_some(())
        });
    }
    assert_eq!(scene.shows("/jose", &other), 200);
}
