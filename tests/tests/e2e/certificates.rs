//! Tests of callers with client certificates (`kind: mtls`). openssl creates the certificates. curl
//! presents them in the TLS connection, or through a trusted proxy in `Client-Cert`.

use std::path::PathBuf;
use std::process::Command;

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::Upstream;
use serde_json::Value;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: callers with certificates, version: "1"}
paths:
  /named: {get: {operationId: named, security: [{named: []}], responses: {}}}
  /mesh: {get: {operationId: mesh, security: [{mesh: []}], responses: {}}}
  /staff: {get: {operationId: staff, security: [{staff: []}], responses: {}}}
  /any: {get: {operationId: any, security: [{any: []}], responses: {}}}
  /either: {get: {operationId: either, security: [{mesh: []}, {key: []}], responses: {}}}
  /both: {get: {operationId: both, security: [{any: [], key: []}], responses: {}}}
  /optional: {get: {operationId: optional, security: [{mesh: []}, {}], x-gateway: {public: true}, responses: {}}}
  /gold: {get: {operationId: gold, security: [{any: []}], x-gateway: {+policies: [gold]}, responses: {}}}
  /shop: {get: {operationId: shop, security: [{any: []}], x-gateway: {+policies: [shop]}, responses: {}}}
  /proxied: {get: {operationId: proxied, security: [{proxied: []}], responses: {}}}
components:
  securitySchemes:
    named: {type: mutualTLS, x-gateway: {auth: named}}
    mesh: {type: mutualTLS, x-gateway: {auth: mesh}}
    staff: {type: mutualTLS, x-gateway: {auth: staff}}
    any: {type: mutualTLS, x-gateway: {auth: any, forward_as: X-Who, claims_to_headers: {subject: X-Subject, spiffe: X-Spiffe, email: X-Mail}}}
    proxied: {type: mutualTLS, x-gateway: {auth: proxied, forward_as: X-Who}}
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
"#;

/// Certificates: file name, subject, issuer, and subject alternative names.
const CERTIFICATES: &[(&str, &str, Option<&str>, &str)] = &[
    ("ca", "/CN=ca", None, ""),
    ("other", "/CN=other", None, ""),
    ("server", "/CN=gate.example", Some("ca"), "DNS:gate.example"),
    (
        "alice",
        "/DC=example/O=Acme/CN=alice",
        Some("ca"),
        "DNS:Alice.Example,email:alice@example.org",
    ),
    (
        "bob",
        "/DC=example/O=Acme/CN=bob",
        Some("ca"),
        "DNS:bob.example",
    ),
    (
        "orders",
        "/CN=orders",
        Some("ca"),
        "URI:spiffe://example.org/ns/shop/sa/orders",
    ),
    (
        "web",
        "/CN=web",
        Some("ca"),
        "URI:spiffe://example.org/ns/shop/sa/web",
    ),
    (
        "foreign",
        "/CN=foreign",
        Some("ca"),
        "URI:spiffe://example.com/ns/shop/sa/orders",
    ),
    (
        "two",
        "/CN=two",
        Some("ca"),
        "URI:spiffe://example.org/ns/shop/sa/orders,URI:https://a.example/",
    ),
    (
        "torn",
        "/CN=torn",
        Some("ca"),
        "DNS:acme.example,DNS:bolt.example",
    ),
    ("proxy", "/CN=proxy", Some("ca"), "DNS:alice.example"),
    (
        "mallory",
        "/DC=example/O=Acme/CN=alice",
        Some("other"),
        "DNS:alice.example",
    ),
];

/// Test scene: certificates, a gateway and its upstream.
struct Scene {
    folder: tempfile::TempDir,
    project: Project,
    gateway: Gateway,
    upstream: Upstream,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        for (name, subject, issuer, names) in CERTIFICATES {
            issue(folder.path(), name, subject, *issuer, names);
        }
        let upstream = Upstream::start();
        let at = |name: &str| format!("\"${{file:{}}}\"", folder.path().join(name).display());
        let (ca, cert, key) = (at("ca.pem"), at("server.pem"), at("server.key"));
        let bob = fingerprint(folder.path(), "bob");
        let tls = format!(
            "tls: {{certificates: {{main: {{cert: {cert}, key: {key}}}}}, client_auth: {{ca: {ca}, mode: optional}}}}"
        );
        let gateway = format!(
            r#"version: 1
name: certificates
apis: {{s: {{path: openapi.yaml, mount: {{listeners: [public, behind]}}}}}}
listeners:
  public: {{address: "127.0.0.1:0", protocol: https, {tls}}}
  behind: {{address: "127.0.0.1:0", protocol: https, trusted_proxies: ["127.0.0.0/8"], {tls}}}
upstreams: {{u: {{targets: {{a: {{url: "{}"}}}}}}}}
auth:
  named: {{kind: mtls, sans: [alice.example, BOB.example]}}
  mesh: {{kind: mtls, spiffe: ["spiffe://example.org/ns/*/sa/orders"]}}
  staff: {{kind: mtls, subjects: ["CN=alice, O=Acme, DC=example"]}}
  any: {{kind: mtls}}
  proxied: {{kind: mtls, sans: [alice.example], header: Client-Cert}}
  keys: {{kind: api_key}}
consumers:
  acme: {{groups: [gold], claims: {{tier: one}}, certificates: [{{sha256: {bob}}}, {{san: acme.example}}], keys: [{{sha256: "{}"}}]}}
  bolt: {{certificates: [{{san: bolt.example}}, {{subject: "CN=web"}}]}}
  gone: {{certificates: [{{san: "spiffe://example.com/ns/shop/sa/orders", not_after: 2020-01-01}}]}}
policies:
  gold: {{kind: authorize, groups: [gold]}}
  shop: {{kind: authorize, claims: {{san: ["spiffe://example.org/ns/shop/sa/orders"]}}}}
defaults: {{upstream: u}}
required: {{allow_public: ["s/optional"]}}
"#,
            upstream.url(),
            e2e::openssl::sha256(b"k-acme"),
        );
        let project = Project::with(&gateway, DOCUMENT);
        project.keygen();
        project.apply();
        let secrets = folder.path().display().to_string();
        let options = Options::of(&project).listeners(&["public", "behind"]);
        let gateway = options
            .arguments(&["--secret-dir", &secrets])
            .workers(1)
            .start();
        Self {
            folder,
            project,
            gateway,
            upstream,
        }
    }

    /// Sends a request with curl to a listener. Returns the status and the problem code.
    fn ask(&self, listener: &str, path: &str, arguments: &[&str]) -> (u64, String) {
        let address = self.gateway.listener(listener);
        let resolve = format!("gate.example:{}:{}", address.port(), address.ip());
        let url = format!("https://gate.example:{}{path}", address.port());
        let output = Command::new("curl")
            .args(["-sS", "--cacert", "ca.pem", "--resolve", &resolve])
            .args(["-w", "\n%{http_code}"])
            .args(arguments)
            .arg(url)
            .current_dir(self.folder.path())
            .output()
            .expect("curl is installed");
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').expect("a status");
        let problem: Value = serde_json::from_str(body).unwrap_or_default();
        let code = problem["code"].as_str().unwrap_or_default();
        (status.parse().expect("a number"), code.to_owned())
    }

    fn shown(&self, certificate: Option<&str>) -> Vec<String> {
        let certificate = certificate.into_iter();
        let arguments = certificate.flat_map(|name| {
            let of = |end: &str| self.path(&format!("{name}.{end}")).display().to_string();
            [
                "--cert".to_owned(),
                of("pem"),
                "--key".to_owned(),
                of("key"),
            ]
        });
        arguments.collect()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Reads a certificate as a byte sequence of RFC 9651.
    fn field(&self, name: &str) -> String {
        let pem = std::fs::read_to_string(self.path(&format!("{name}.pem"))).expect("a file");
        let lines = pem.lines().filter(|line| !line.starts_with('-'));
        format!(":{}:", lines.collect::<String>())
    }

    fn sum(&self, name: &str, labels: &[&str]) -> f64 {
        self.gateway.metrics().sum(name, labels)
    }
}

fn issue(folder: &std::path::Path, name: &str, subject: &str, issuer: Option<&str>, names: &str) {
    let (key, cert) = (format!("{name}.key"), format!("{name}.pem"));
    let is_ca = match issuer {
        None => "basicConstraints=critical,CA:TRUE",
        Some(_) => "basicConstraints=CA:FALSE",
    };
    let mut openssl = Command::new("openssl");
    openssl.args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]);
    openssl.args([
        "-nodes", "-days", "2", "-subj", subject, "-keyout", &key, "-out", &cert,
    ]);
    openssl.args(["-addext", is_ca]);
    if !names.is_empty() {
        openssl.args(["-addext", &format!("subjectAltName={names}")]);
    }
    if let Some(by) = issuer {
        openssl.args(["-CA", &format!("{by}.pem"), "-CAkey", &format!("{by}.key")]);
    }
    let output = openssl.current_dir(folder).output();
    let output = output.expect("openssl is installed");
    assert!(output.status.success(), "{output:?}");
}

/// Computes a certificate's SHA-256 fingerprint with openssl, in lower case without colons.
fn fingerprint(folder: &std::path::Path, name: &str) -> String {
    let output = Command::new("openssl")
        .args([
            "x509",
            "-noout",
            "-fingerprint",
            "-sha256",
            "-in",
            &format!("{name}.pem"),
        ])
        .current_dir(folder)
        .output()
        .expect("openssl is installed");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (_, print) = text.trim().split_once('=').expect("a fingerprint");
    print.replace(':', "").to_lowercase()
}

const INVALID: &str = "certificate_invalid";
const MISSING: &str = "credential_missing";

/// Test cases. Fields: path, client certificate of the connection, true if an API key is sent,
/// expected status, and expected problem code.
const CONNECTION: &[(&str, Option<&str>, bool, u64, &str)] = &[
    ("/named", None, false, 401, MISSING),
    ("/named", Some("alice"), false, 200, ""),
    ("/named", Some("bob"), false, 200, ""),
    ("/named", Some("orders"), false, 401, INVALID),
    ("/mesh", Some("orders"), false, 200, ""),
    ("/mesh", Some("web"), false, 401, INVALID),
    ("/mesh", Some("foreign"), false, 401, INVALID),
    ("/mesh", Some("two"), false, 401, INVALID),
    ("/mesh", Some("alice"), false, 401, INVALID),
    ("/staff", Some("alice"), false, 200, ""),
    ("/staff", Some("bob"), false, 401, INVALID),
    ("/any", None, false, 401, MISSING),
    ("/any", Some("two"), false, 200, ""),
    // The consumer's entry for this certificate has expired.
    ("/any", Some("foreign"), false, 401, INVALID),
    // Two consumers list a name of this certificate.
    ("/any", Some("torn"), false, 401, "credential_conflict"),
    ("/either", Some("orders"), false, 200, ""),
    ("/either", Some("web"), true, 200, ""),
    ("/either", None, true, 200, ""),
    ("/either", Some("web"), false, 401, INVALID),
    ("/both", Some("bob"), true, 200, ""),
    ("/both", Some("web"), true, 401, "credential_conflict"),
    ("/both", Some("bob"), false, 401, MISSING),
    ("/both", None, true, 401, MISSING),
    ("/optional", None, false, 200, ""),
    ("/optional", Some("orders"), false, 200, ""),
    // An invalid credential is not treated as a missing one.
    ("/optional", Some("web"), false, 401, INVALID),
    ("/gold", Some("bob"), false, 200, ""),
    ("/gold", Some("alice"), false, 403, "not_authorized"),
    ("/shop", Some("orders"), false, 200, ""),
    ("/shop", Some("web"), false, 403, "not_authorized"),
    ("/proxied", Some("alice"), false, 401, MISSING),
];

#[test]
fn certificates_of_connections_are_verified() {
    let scene = Scene::new();
    for version in ["--http1.1", "--http2"] {
        for (path, certificate, key, status, code) in CONNECTION {
            let mut arguments = scene.shown(*certificate);
            arguments.push(version.to_owned());
            if *key {
                arguments.extend(["-H".to_owned(), "X-Key: k-acme".to_owned()]);
            }
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let found = scene.ask("public", path, &arguments);
            let what = format!("{path} {certificate:?} {key} {version}");
            assert_eq!(found, (*status, (*code).to_owned()), "{what}");
        }
    }
    let refused = |reason: &str| {
        let reason = format!("reason=\"certificate_{reason}\"");
        scene.sum(
            "gwd_rejections_total",
            &["policy=\"authenticate\"", &reason],
        )
    };
    assert!(refused("name") >= 8.0 && refused("expired") == 2.0);
    let log = scene.gateway.access_log();
    e2e::wait::until("the reason is in the access log", || {
        let lines = log.lines();
        let mut lines = lines.iter();
        lines
            .any(|line| line["certificate_fault"] == "name")
            .then_some(())
    });
}

#[test]
fn certificate_of_a_stranger_ends_the_handshake() {
    let scene = Scene::new();
    let address = scene.gateway.listener("public");
    let resolve = format!("gate.example:{}:{}", address.port(), address.ip());
    let url = format!("https://gate.example:{}/any", address.port());
    let output = Command::new("curl")
        .args(["-sS", "--cacert", "ca.pem", "--resolve", &resolve])
        .args(["--cert", "mallory.pem", "--key", "mallory.key", &url])
        .current_dir(scene.folder.path())
        .output()
        .expect("curl is installed");
    assert!(!output.status.success(), "{output:?}");
    let bad = ["result=\"bad_client_certificate\""];
    assert_eq!(scene.sum("gwd_tls_handshakes_total", &bad), 1.0);
    assert!(scene.upstream.take().is_empty());
}

#[test]
fn names_of_a_certificate_reach_the_upstream() {
    let scene = Scene::new();
    for (certificate, who, subject, spiffe) in [
        ("alice", "alice.example", "CN=alice,O=Acme,DC=example", None),
        ("bob", "acme", "CN=bob,O=Acme,DC=example", None),
        (
            "orders",
            "spiffe://example.org/ns/shop/sa/orders",
            "CN=orders",
            Some("spiffe://example.org/ns/shop/sa/orders"),
        ),
    ] {
        let mut arguments = scene.shown(Some(certificate));
        for forged in [
            "X-Who: root",
            "X-Subject: CN=root",
            "x_spiffe: spiffe://a/b",
            "X-Mail: r@a.b",
        ] {
            arguments.extend(["-H".to_owned(), forged.to_owned()]);
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        assert_eq!(scene.ask("public", "/any", &arguments).0, 200);
        let seen = scene.upstream.take().pop().expect("one request");
        let values = |name: &str| -> Vec<&str> {
            let fields = seen.head.headers.iter();
            let alike = |key: &str| key.replace(['_', '.'], "-") == name;
            let fields = fields.filter(|(key, _)| alike(key));
            fields.map(|(_, value)| value.as_str()).collect()
        };
        assert_eq!(values("x-who"), [who], "{certificate}");
        assert_eq!(values("x-subject"), [subject], "{certificate}");
        assert_eq!(values("x-spiffe"), Vec::from_iter(spiffe), "{certificate}");
        assert!(values("x-mail").is_empty());
    }
}

/// Test case of a forwarded certificate: listener, title, request fields, expected status, and
/// expected problem code.
type Forwarded<'a> = (&'a str, &'a str, &'a [(&'a str, &'a str)], u64, &'a str);

#[test]
fn client_cert_counts_from_trusted_proxies_only() {
    let scene = Scene::new();
    let (alice, bob, proxy) = (
        scene.field("alice"),
        scene.field("bob"),
        scene.field("proxy"),
    );
    let own = ["--cert", "proxy.pem", "--key", "proxy.key"];
    let table: &[Forwarded<'_>] = &[
        ("behind", "a good one", &[("Client-Cert", &alice)], 200, ""),
        ("behind", "any case", &[("cLIENT-cERT", &alice)], 200, ""),
        ("behind", "none", &[], 401, MISSING),
        (
            "behind",
            "other names",
            &[("Client-Cert", &bob)],
            401,
            INVALID,
        ),
        (
            "behind",
            "two",
            &[("Client-Cert", &alice), ("Client-Cert", &alice)],
            401,
            INVALID,
        ),
        (
            "behind",
            "two in one",
            &[("Client-Cert", &format!("{alice}, {alice}"))],
            401,
            INVALID,
        ),
        (
            "behind",
            "bare base64",
            &[("Client-Cert", alice.trim_matches(':'))],
            401,
            INVALID,
        ),
        (
            "behind",
            "cut",
            &[("Client-Cert", &format!("{}:", &alice[..101]))],
            401,
            INVALID,
        ),
        (
            "behind",
            "no certificate",
            &[("Client-Cert", ":AAAA:")],
            401,
            INVALID,
        ),
        (
            "behind",
            "parameters",
            &[("Client-Cert", &format!("{alice};a=1"))],
            401,
            INVALID,
        ),
        (
            "behind",
            "look-alike",
            &[("Client_Cert", &alice)],
            401,
            MISSING,
        ),
        (
            "behind",
            "another field",
            &[("X-Forwarded-Client-Cert", &alice)],
            401,
            MISSING,
        ),
        (
            "public",
            "no trust",
            &[("Client-Cert", &alice)],
            401,
            MISSING,
        ),
    ];
    for version in ["--http1.1", "--http2"] {
        for own in [&[][..], &own] {
            for (listener, title, fields, status, code) in table {
                let mut arguments: Vec<String> = fields
                    .iter()
                    .flat_map(|(name, value)| ["-H".to_owned(), format!("{name}: {value}")])
                    .collect();
                arguments.push(version.to_owned());
                arguments.extend(own.iter().map(|one| (*one).to_owned()));
                let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
                let found = scene.ask(listener, "/proxied", &arguments);
                assert_eq!(
                    found,
                    (*status, (*code).to_owned()),
                    "{title} {version} {own:?}"
                );
                for seen in scene.upstream.take() {
                    let names = seen.head.headers.iter().map(|(name, _)| name.as_str());
                    assert!(!names.clone().any(|name| name == "client-cert"), "{title}");
                    let who = seen.head.headers.iter().find(|(name, _)| name == "x-who");
                    assert_eq!(who.map(|(_, who)| who.as_str()), Some("alice.example"));
                }
            }
        }
    }
    // The proxy's own certificate counts only for operations that require a certificate from the
    // connection.
    let field = format!("Client-Cert: {proxy}");
    let arguments = [&own[..], &["-H", &field]].concat();
    assert_eq!(scene.ask("public", "/named", &arguments).0, 200);
}

#[test]
fn revoked_certificate_is_refused() {
    let scene = Scene::new();
    let arguments = scene.shown(Some("alice"));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    assert_eq!(scene.ask("public", "/any", &arguments).0, 200);
    let print = fingerprint(scene.folder.path(), "alice");
    let revoke = [
        "revoke",
        "--credential",
        &print,
        "--key",
        "keys/release.pem",
        "--yes",
    ];
    scene.project.gwc(&revoke).succeeds();
    scene.gateway.notify();
    e2e::wait::until("the certificate is refused", || {
        (scene.ask("public", "/any", &arguments) == (401, INVALID.to_owned())).then_some(())
    });
    assert!(scene.sum("gwd_rejections_total", &["reason=\"certificate_revoked\""]) >= 1.0);
}
