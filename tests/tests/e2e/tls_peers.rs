//! Tests of third-party upstreams over TLS: Node, NGINX and `openssl s_server` behind a running
//! gateway. openssl creates the certificates.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::server::{Server, free_port};
use e2e::{binaries, wait};

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: behind the gateway, version: \"1\"}
paths:
  /a:
    get: {operationId: read, responses: {}}
    post: {operationId: write, responses: {}}
";

/// Certificates of a test authority, created by openssl in a temporary folder.
pub(crate) struct Certificates(tempfile::TempDir);

impl Certificates {
    /// Creates the authority `ca`, the certificate `server` for `orders.internal`, and the
    /// certificate `client` for `gateway`.
    pub(crate) fn new() -> Self {
        let certificates = Self(tempfile::tempdir().expect("a folder"));
        let subject = [
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ];
        let ca = ["-subj", "/CN=ca", "-keyout", "ca.key", "-out", "ca.pem"];
        certificates.openssl(&[&subject[..], &ca].concat());
        for (name, host) in [("server", "orders.internal"), ("client", "gateway")] {
            certificates.issue(name, host, &format!("DNS:{host}"));
        }
        certificates
    }

    /// Creates the certificate `NAME.pem` with the key `NAME.key`, for a common name and an
    /// alternative name.
    pub(crate) fn issue(&self, name: &str, common: &str, alternative: &str) {
        let (key, cert) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN={common}");
        let alternative = format!("subjectAltName={alternative}");
        let new = [
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ];
        let own = [
            "-subj",
            &subject,
            "-addext",
            &alternative,
            "-addext",
            "basicConstraints=CA:FALSE",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-keyout",
            &key,
            "-out",
            &cert,
        ];
        self.openssl(&[&new[..], &own].concat());
    }

    fn openssl(&self, arguments: &[&str]) {
        let mut openssl = Command::new("openssl");
        let output = openssl.args(arguments).current_dir(self.0.path()).output();
        let output = output.expect("openssl is installed");
        assert!(output.status.success(), "{output:?}");
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }
}

/// Starts a gateway whose upstream is a local port, with TLS and a client certificate.
fn serve(port: u16, protocol: &str, certificates: &Certificates) -> (Project, Gateway) {
    let at = |name: &str| format!("\"${{file:{}}}\"", certificates.path(name).display());
    let (ca, cert, key) = (at("ca.pem"), at("client.pem"), at("client.key"));
    let project = Project::with(
        &format!(
            "version: 1\nname: peers\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:0\", http2: true}}}}\n\
             upstreams:\n  u:\n    targets: {{a: {{url: \"https://127.0.0.1:{port}\"}}}}\n    \
             protocol: {protocol}\n    \
             tls: {{sni: orders.internal, ca: {ca}, client_cert: {{cert: {cert}, key: {key}}}}}\n\
             defaults: {{upstream: u, security: upstream}}\n"
        ),
        DOCUMENT,
    );
    project.keygen();
    project.apply();
    let folder = certificates.0.path().display().to_string();
    let options = Options::of(&project).arguments(&["--secret-dir", &folder]);
    let gwd = options.workers(1).start();
    (project, gwd)
}

fn answers(port: u16) -> bool {
    TcpStream::connect(SocketAddr::from(([127, 0, 0, 1], port))).is_ok()
}

const GET: &str = "GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n";

#[test]
fn node_upstream_negotiates_and_sees_a_certificate() {
    let certificates = Certificates::new();
    let script = binaries::workspace().join("tests/peers/node_tls_upstream.js");
    let node = Command::new("node")
        .arg(script)
        .args(["server.pem", "server.key", "ca.pem"])
        .current_dir(certificates.0.path())
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut node) = node else {
        prerequisite::skip("there is no node");
        return;
    };
    let mut line = String::new();
    let output = node.stdout.take().expect("piped");
    let _node = Server(node);
    BufReader::new(output).read_line(&mut line).expect("a line");
    let port = line.trim().parse().expect("a port");
    for (protocol, protocols) in [("h1", "1.1 http/1.1"), ("h2", "2.0 h2"), ("auto", "2.0 h2")] {
        let (_project, gwd) = serve(port, protocol, &certificates);
        let mut client = gwd.connect();
        let response = client.ask(GET).expect("an answer");
        let wanted = format!("{protocols} orders.internal gateway GET /a 0\n");
        assert_eq!(response.text(), wanted, "{protocol}");
        let body = "x".repeat(2_000_000);
        let post = format!("POST /a HTTP/1.1\r\nhost: h\r\ncontent-length: 2000000\r\n\r\n{body}");
        let response = client.ask(&post).expect("an answer");
        let wanted = format!("{protocols} orders.internal gateway POST /a 2000000\n");
        assert_eq!(response.text(), wanted, "{protocol}");
    }
}

/// Starts an NGINX that responds with the protocol, the server name, the name of the client's
/// certificate, and whether the TLS session was resumed. `None` if NGINX is not installed.
fn nginx(port: u16, listen: &str, certificates: &Certificates) -> Option<Server> {
    let folder = certificates.0.path();
    let at = |name: &str| folder.join(name).display().to_string();
    let server = format!(
        "listen 127.0.0.1:{port} {listen}; ssl_certificate {cert}; ssl_certificate_key {key}; \
         ssl_client_certificate {ca}; ssl_verify_client on; keepalive_timeout 1s;\n\
         location / {{ return 200 \"$server_protocol $ssl_server_name $ssl_client_s_dn $ssl_session_reused\\n\"; }}",
        cert = at("server.pem"),
        key = at("server.key"),
        ca = at("ca.pem"),
    );
    Server::nginx(folder, port, &server)
}

#[test]
fn nginx_upstream_uses_both_http_and_resumes() {
    let certificates = Certificates::new();
    for (protocol, listen, protocols) in [
        ("h1", "ssl", "HTTP/1.1"),
        ("h2", "ssl http2", "HTTP/2.0"),
        ("auto", "ssl http2", "HTTP/2.0"),
        ("auto", "ssl", "HTTP/1.1"),
    ] {
        let port = free_port();
        let Some(nginx) = nginx(port, listen, &certificates) else {
            prerequisite::skip("there is no nginx");
            return;
        };
        let (_project, gwd) = serve(port, protocol, &certificates);
        let mut client = gwd.connect();
        for _ in 0..20 {
            let response = client.ask(GET).expect("an answer");
            let wanted = format!("{protocols} orders.internal CN=gateway .\n");
            assert_eq!(response.text(), wanted, "{protocol} {listen}");
        }
        // Restart the server, which closes all connections of the gateway.
        drop(nginx);
        let gone = gwd.ask(GET);
        assert_eq!(gone.status, 502, "{}", gone.text());
        let _again = self::nginx(port, listen, &certificates);
        assert_eq!(gwd.ask(GET).status, 200);
    }
}

#[test]
fn openssl_upstream_uses_both_tls_and_refusals_show() {
    let certificates = Certificates::new();
    let s_server = |port: u16, arguments: &[&str]| {
        let mut openssl = Command::new("openssl");
        openssl.args([
            "s_server",
            "-accept",
            &format!("127.0.0.1:{port}"),
            "-www",
            "-quiet",
        ]);
        openssl.args(["-cert", "server.pem", "-key", "server.key"]);
        let child = openssl.args(arguments).current_dir(certificates.0.path());
        let child = child.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let server = Server(child.expect("openssl is installed"));
        wait::within(wait::WAIT_MAX, || answers(port).then_some(()));
        server
    };
    for (version, version_name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let port = free_port();
        let _server = s_server(port, &[version]);
        let (_project, gwd) = serve(port, "h1", &certificates);
        let response = gwd.ask(GET);
        assert_eq!(response.status, 200, "{}", response.text());
        let text = response.text().to_owned();
        assert!(text.contains(version_name), "{version}: {text}");
    }
    for (arguments, code) in [
        (
            &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"][..],
            "upstream_tls_",
        ),
        (
            &["-cert", "client.pem", "-key", "client.key"],
            "upstream_tls_certificate",
        ),
    ] {
        let port = free_port();
        let _server = s_server(port, arguments);
        let (_project, gwd) = serve(port, "h1", &certificates);
        let response = gwd.ask(GET);
        assert_eq!(response.status, 502, "{}", response.text());
        assert!(
            response.text().contains(code),
            "{arguments:?}: {}",
            response.text()
        );
    }
}

/// Without configured certificate authorities, gwd uses the authorities of the system. The program
/// log contains their path.
#[test]
fn the_systems_authorities_count_where_none_are_named() {
    let certificates = Certificates::new();
    let port = free_port();
    let Some(_nginx) = nginx(port, "ssl", &certificates) else {
        prerequisite::skip("there is no nginx");
        return;
    };
    let at = |name: &str| format!("\"${{file:{}}}\"", certificates.path(name).display());
    let (cert, key) = (at("client.pem"), at("client.key"));
    let project = Project::with(
        &format!(
            "version: 1\nname: peers\napis: {{s: {{path: openapi.yaml}}}}\n\
             upstreams:\n  u:\n    targets: {{a: {{url: \"https://127.0.0.1:{port}\"}}}}\n    \
             tls: {{sni: orders.internal, client_cert: {{cert: {cert}, key: {key}}}}}\n\
             defaults: {{upstream: u, security: upstream}}\n"
        ),
        DOCUMENT,
    );
    project.keygen();
    project.apply();
    let status = |authorities: &Path| {
        let folder = certificates.0.path().display().to_string();
        let options = Options::of(&project).arguments(&["--secret-dir", &folder]);
        let options = options.variable("SSL_CERT_FILE", &authorities.display().to_string());
        options.start().ask(GET).status
    };
    assert_eq!(status(&certificates.path("ca.pem")), 200);
    assert_eq!(status(&certificates.path("server.pem")), 502);
}
