//! Tests of client certificates in fields for upstreams. openssl creates and reads the
//! certificates, curl presents them.

use std::path::PathBuf;
use std::process::Command;

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::{Seen, Upstream};

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: behind the gateway, version: \"1\"}
paths:
  /a: {get: {operationId: read, responses: {}}}
";

const NAMES: [&str; 3] = [
    "client-cert",
    "client-cert-chain",
    "x-forwarded-client-cert",
];

/// Test certificates: authority `ca`, intermediate authority `middle`, its client `alice`,
/// unrelated client `stranger`, and `server`.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Self {
        let certificates = Self(tempfile::tempdir().expect("a folder"));
        let is_ca = "basicConstraints=critical,CA:TRUE";
        let no_ca = "basicConstraints=CA:FALSE";
        let names = "subjectAltName=URI:spiffe://example.org/a;b=c,DNS:alice.example,DNS:b.example";
        let own = [
            ("ca", "/CN=ca", None, vec![is_ca]),
            ("middle", "/CN=middle", Some("ca"), vec![is_ca]),
            ("stranger", "/CN=stranger", None, vec![is_ca]),
            ("server", "/CN=shop.example", Some("ca"), vec![no_ca]),
            (
                "alice",
                "/DC=example/O=Acme, \"Inc\"; =/CN=alice",
                Some("middle"),
                vec![no_ca, names],
            ),
        ];
        for (name, subject, issuer, extensions) in own {
            let (key, cert) = (format!("{name}.key"), format!("{name}.pem"));
            let mut arguments = vec!["req", "-x509", "-newkey", "rsa:2048", "-nodes"];
            arguments.extend([
                "-days", "2", "-subj", subject, "-keyout", &key, "-out", &cert,
            ]);
            for extension in extensions {
                arguments.extend(["-addext", extension]);
            }
            let by = issuer.map(|by| (format!("{by}.pem"), format!("{by}.key")));
            if let Some((cert, key)) = &by {
                arguments.extend(["-CA", cert, "-CAkey", key]);
            }
            certificates.openssl(&arguments);
        }
        let shown = ["alice.pem", "middle.pem", "stranger.pem", "alice.key"];
        let shown = shown.map(|name| std::fs::read_to_string(certificates.path(name)).unwrap());
        std::fs::write(certificates.path("shown.pem"), shown.concat()).unwrap();
        certificates
    }

    fn openssl(&self, arguments: &[&str]) -> String {
        let mut openssl = Command::new("openssl");
        let output = openssl.args(arguments).current_dir(self.0.path()).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Certificate as a byte sequence of RFC 9651.
    fn byte_sequence(&self, name: &str) -> String {
        self.openssl(&["x509", "-in", name, "-outform", "DER", "-out", "one.der"]);
        format!(":{}:", self.openssl(&["base64", "-A", "-in", "one.der"]))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Starts a gateway. `keys` adds configuration keys to the gateway's listener.
    fn serve(&self, upstream: &Upstream, keys: &str) -> (Project, Gateway) {
        let at = |name: &str| format!("\"${{file:{}}}\"", self.path(name).display());
        let (ca, cert, key) = (at("ca.pem"), at("server.pem"), at("server.key"));
        let project = Project::with(
            &format!(
                "version: 1\nname: certified\napis: {{s: {{path: openapi.yaml}}}}\n\
                 listeners:\n  public:\n    address: \"127.0.0.1:0\"\n    protocol: https\n    \
                 tls: {{certificates: {{main: {{cert: {cert}, key: {key}}}}}, \
                 client_auth: {{ca: {ca}, mode: optional}}}}\n    {keys}\n\
                 upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
                 defaults: {{upstream: u, security: upstream}}\n",
                upstream.url()
            ),
            DOCUMENT,
        );
        project.keygen();
        project.apply();
        let folder = self.0.path().display().to_string();
        let options = Options::of(&project).arguments(&["--secret-dir", &folder]);
        let gwd = options.workers(1).start();
        (project, gwd)
    }

    /// Sends a request with curl and these arguments. Returns the request that the upstream
    /// receives.
    fn seen(&self, gwd: &Gateway, upstream: &Upstream, arguments: &[&str]) -> Seen {
        let address = gwd.address();
        let resolve = format!("shop.example:{}:{}", address.port(), address.ip());
        let url = format!("https://shop.example:{}/a", address.port());
        let output = Command::new("curl")
            .args(["-sS", "--fail", "--cacert", "ca.pem", "--resolve", &resolve])
            .args(arguments)
            .arg(url)
            .current_dir(self.0.path())
            .output()
            .expect("curl is installed");
        assert!(output.status.success(), "{output:?}");
        upstream.take().pop().expect("one request")
    }
}

fn values<'s>(seen: &'s Seen, name: &str) -> Vec<&'s str> {
    let fields = seen.head.headers.iter();
    let fields = fields.filter(|(key, _)| key == name);
    fields.map(|(_, value)| value.as_str()).collect()
}

/// Values of every field whose name a server could read as the name of a certificate field.
fn certified(seen: &Seen) -> Vec<&str> {
    let names = seen.head.headers.iter().map(|(name, _)| name.as_str());
    let alike = |name: &str| NAMES.contains(&name.replace(['_', '.'], "-").as_str());
    names.filter(|name| alike(name)).collect()
}

const SHOWN: [&str; 2] = ["--cert", "shown.pem"];

#[test]
fn client_certificate_reaches_upstream_by_rfc_9440() {
    let (certificates, upstream) = (Certificates::new(), Upstream::start());
    let (_project, gwd) = certificates.serve(&upstream, "forward_client_cert: client_cert");
    let own = certificates.byte_sequence("alice.pem");
    let middle = certificates.byte_sequence("middle.pem");
    for version in ["--http1.1", "--http2"] {
        let seen = certificates.seen(&gwd, &upstream, &[&SHOWN[..], &[version]].concat());
        assert_eq!(values(&seen, NAMES[0]), [own.as_str()], "{version}");
        // The chain contains the intermediate authority only.
        assert_eq!(values(&seen, NAMES[1]), [middle.as_str()], "{version}");
        assert!(values(&seen, NAMES[2]).is_empty());
    }
    let without = certificates.seen(&gwd, &upstream, &["-H", "Client-Cert: :AAAA:"]);
    assert!(certified(&without).is_empty(), "{:?}", without.head);
}

#[test]
fn client_certificate_reaches_upstream_as_xfcc() {
    let (certificates, upstream) = (Certificates::new(), Upstream::start());
    let (_project, gwd) = certificates.serve(&upstream, "forward_client_cert: xfcc");
    let print = certificates.openssl(&[
        "x509",
        "-in",
        "alice.pem",
        "-noout",
        "-fingerprint",
        "-sha256",
    ]);
    let hash = print.split('=').nth(1).expect("a fingerprint");
    let hash = hash.replace(':', "").to_lowercase();
    let subject = certificates.openssl(&[
        "x509",
        "-in",
        "alice.pem",
        "-noout",
        "-subject",
        "-nameopt",
        "RFC2253",
    ]);
    let subject = subject
        .trim_start_matches("subject=")
        .replace("\\\"", "\\22");
    assert_eq!(subject, "CN=alice,O=Acme\\, \\22Inc\\22\\; =,DC=example");
    let expected = format!(
        "Hash={hash};Subject=\"{subject}\";URI=\"spiffe://example.org/a;b=c\";\
         DNS=alice.example;DNS=b.example"
    );
    let forged = ["-H", "X-Forwarded-Client-Cert: Hash=00"];
    let seen = certificates.seen(&gwd, &upstream, &[&SHOWN[..], &forged].concat());
    assert_eq!(values(&seen, NAMES[2]), [expected.as_str()]);
    assert_eq!(certified(&seen).len(), 1, "{:?}", seen.head);
}

#[test]
fn forged_certificate_fields_never_reach_upstream() {
    let (certificates, upstream) = (Certificates::new(), Upstream::start());
    let forged = [
        "-H",
        "Client-Cert: :AAAA:",
        "-H",
        "CLIENT_CERT: :AAAA:",
        "-H",
        "client.cert: :AAAA:",
        "-H",
        "Client-Cert-Chain: :AAAA:",
        "-H",
        "client_cert-chain: :AAAA:",
        "-H",
        "X-Forwarded-Client-Cert: Hash=00",
        "-H",
        "X_Forwarded_Client_Cert: Hash=00",
    ];
    for (keys, kept) in [
        ("forward_client_cert: none", &[][..]),
        ("trusted_proxies: [\"127.0.0.0/8\"]", &[]),
        (
            "{forward_client_cert: pass, trusted_proxies: [\"192.0.2.0/24\"]}",
            &[],
        ),
        (
            "{forward_client_cert: pass, trusted_proxies: [\"127.0.0.0/8\"]}",
            &NAMES,
        ),
    ] {
        let keys = keys.trim_matches(['{', '}']).replacen(", ", "\n    ", 1);
        let (_project, gwd) = certificates.serve(&upstream, &keys);
        for version in ["--http1.1", "--http2"] {
            let arguments = [&SHOWN[..], &forged, &[version]].concat();
            let seen = certificates.seen(&gwd, &upstream, &arguments);
            let mut found = certified(&seen);
            found.sort_unstable();
            assert_eq!(found, kept, "{keys} {version}");
        }
    }
}
