//! Tests of gRPC with grpcio on both sides of the gateway, with and without TLS: the four kinds of
//! calls, trailers, a status without messages, details, deadlines, cancellation by either side,
//! health and reflection.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use e2e::binaries;
use e2e::gateway::Options;
use e2e::project::{Ended, Project};
use e2e::server::Server;

use crate::tls_peers::Certificates;

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: behind the gateway, version: \"1\"}
x-gateway: {defaults: {timeout: 20s}}
paths:
  /interop.Test: &any
    x-gateway: {match: prefix}
    post: {responses: {}}
  /grpc.health.v1.Health: *any
  /grpc.reflection.v1alpha.ServerReflection: *any
";

/// Starts a server that prints its port. `None` if grpcio is not installed.
fn server(arguments: &[&str], certificates: &Certificates) -> Option<(Server, u16)> {
    let script = binaries::workspace().join("tests/peers/grpc_server.py");
    let mut python = Command::new("python3");
    python
        .arg(script)
        .args(arguments)
        .current_dir(certificates.path("."));
    let python = python.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = python.stderr(Stdio::null()).spawn().ok()?;
    let output = child.stdout.take().expect("piped");
    let server = Server(child);
    let mut line = String::new();
    BufReader::new(output).read_line(&mut line).ok()?;
    Some((server, line.trim().parse().ok()?))
}

/// Runs the gRPC client against the server through a gateway. Uses TLS for both connections if
/// `tls` is true. Returns the client's output.
fn talk(tls: bool) -> Option<Ended> {
    let certificates = Certificates::new();
    let own = ["server.pem", "server.key"];
    let own = if tls { &own[..] } else { &[] };
    let (_server, port) = server(own, &certificates)?;
    let at = |name: &str| format!("\"${{file:{}}}\"", certificates.path(name).display());
    let (listener, upstream) = match tls {
        false => (
            "http2: true".to_owned(),
            format!("targets: {{a: {{url: \"http://127.0.0.1:{port}\"}}}}, protocol: h2c"),
        ),
        true => (
            format!(
                "protocol: https, tls: {{certificates: {{main: {{cert: {}, key: {}}}}}}}",
                at("server.pem"),
                at("server.key")
            ),
            format!(
                "targets: {{a: {{url: \"https://127.0.0.1:{port}\"}}}}, protocol: h2, \
                 tls: {{sni: orders.internal, ca: {}}}",
                at("ca.pem")
            ),
        ),
    };
    let project = Project::with(
        &format!(
            "version: 1\nname: grpc\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:0\", {listener}}}}}\n\
             upstreams: {{u: {{{upstream}, health: {{active: {{kind: grpc, interval: 1s, timeout: 1s}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream}}\n"
        ),
        DOCUMENT,
    );
    project.keygen();
    project.apply();
    let folder = certificates.path(".").display().to_string();
    let gwd = Options::of(&project)
        .arguments(&["--secret-dir", &folder])
        .start();
    let script = binaries::workspace().join("tests/peers/grpc_client.py");
    let mut client = Command::new("python3");
    client.arg(script).arg(gwd.address().to_string());
    if tls {
        client
            .arg(certificates.path("ca.pem"))
            .arg("orders.internal");
    }
    let ended = Ended::of(&mut client);
    // The gateway's own health check of the upstream also succeeded.
    let healthy = gwd.metrics().sum("gwd_upstream_host_healthy", &[]);
    assert!((healthy - 1.0).abs() < 0.1, "{healthy}");
    Some(ended)
}

#[test]
fn grpcio_passes_the_gateway_in_cleartext() {
    match talk(false) {
        Some(ended) => assert_eq!(ended.stdout.trim(), "fine", "{ended:?}"),
        None => prerequisite::skip("python3 has no grpcio; pip installs it"),
    }
}

#[test]
fn grpcio_passes_the_gateway_over_tls() {
    match talk(true) {
        Some(ended) => assert_eq!(ended.stdout.trim(), "fine", "{ended:?}"),
        None => prerequisite::skip("python3 has no grpcio; pip installs it"),
    }
}
