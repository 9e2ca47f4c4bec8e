//! Tests of the PROXY protocol with other programs: HAProxy in front of the gateway sends the
//! client's address, and HAProxy and NGINX behind it receive the address.

use std::process::Command;

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::server::{Server, free_port};
use e2e::upstream::Upstream;
use e2e::wait;

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: behind a balancer, version: \"1\"}
paths: {/a: {get: {operationId: read, responses: {}}}}
";

/// HAProxy with one frontend for each tested version of the PROXY protocol.
struct Balancer {
    _server: Server,
    ports: Vec<u16>,
}

impl Balancer {
    /// Starts HAProxy. `servers` has the target and options of each frontend. `None` if HAProxy is
    /// not installed.
    fn start(project: &Project, servers: &[String]) -> Option<Self> {
        let ports: Vec<u16> = servers.iter().map(|_| free_port()).collect();
        let mut text = String::from(
            "defaults\n  mode tcp\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n",
        );
        for (port, server) in ports.iter().zip(servers) {
            text += &format!("listen l{port}\n  bind 127.0.0.1:{port}\n  server s {server}\n");
        }
        project.write("haproxy.cfg", text);
        let config = project.path("haproxy.cfg");
        let server = Server::start(Command::new("haproxy").args(["-db", "-f"]).arg(config))?;
        Some(Self {
            _server: server,
            ports,
        })
    }
}

/// Creates a certificate and its key with openssl, in the project's folder.
fn certificate(project: &Project) {
    let made = Command::new("openssl")
        .args([
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
        ])
        .args(["-subj", "/CN=shop.example", "-keyout"])
        .arg(project.path("tls.key"))
        .arg("-out")
        .arg(project.path("tls.pem"))
        .output()
        .expect("openssl is installed");
    assert!(made.status.success(), "{made:?}");
}

fn project(upstream: &Upstream) -> Project {
    let project = Project::new();
    certificate(&project);
    let secrets = project.root().canonicalize().expect("it is there");
    let secrets = secrets.display();
    project.write(
        "gateway.yaml",
        format!(
            "version: 1\nname: balanced\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners:\n  \
               plain: {{address: \"127.0.0.1:0\", http2: true, proxy_protocol: {{from: [127.0.0.1], timeout: 3s}}}}\n  \
               tls: {{address: \"127.0.0.1:0\", protocol: https, proxy_protocol: true, trusted_proxies: [127.0.0.1], \
                 tls: {{certificates: {{main: {{cert: \"${{file:{secrets}/tls.pem}}\", key: \"${{file:{secrets}/tls.key}}\"}}}}}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream, listeners: [plain, tls]}}\n",
            upstream.url()
        ),
    );
    project.write("openapi.yaml", DOCUMENT);
    project.keygen();
    project.apply();
    project
}

fn start(project: &Project) -> Gateway {
    let root = project.root().canonicalize().expect("it is there");
    Options::of(project)
        .listeners(&["plain", "tls"])
        .arguments(&["--secret-dir", &root.display().to_string()])
        .start()
}

#[test]
fn haproxy_header_names_the_client_to_the_gateway() {
    let upstream = Upstream::scripted(|seen| {
        e2e::upstream::Answer::ok(
            seen.header("x-forwarded-for")
                .unwrap_or("nobody")
                .to_owned(),
        )
    });
    let project = project(&upstream);
    let gwd = start(&project);
    let (plain, tls) = (gwd.listener("plain"), gwd.listener("tls"));
    let servers = [
        (format!("{plain} send-proxy"), "http"),
        (format!("{plain} send-proxy-v2"), "http"),
        (
            format!("{plain} send-proxy-v2 proxy-v2-options crc32c,unique-id"),
            "http",
        ),
        (format!("{tls} send-proxy"), "https"),
        (format!("{tls} send-proxy-v2 check inter 100ms"), "https"),
        (plain.to_string(), "http"),
    ];
    let addresses: Vec<String> = servers.iter().map(|(server, _)| server.clone()).collect();
    let Some(balancer) = Balancer::start(&project, &addresses) else {
        prerequisite::skip("there is no haproxy; apt installs it");
        return;
    };
    let ask = |at: usize, protocol: &str| {
        let (port, scheme) = (balancer.ports[at], servers[at].1);
        let output = Command::new("curl")
            .args([
                "-s",
                "-k",
                "--max-time",
                "10",
                protocol,
                "--interface",
                "127.0.0.9",
            ])
            .arg(format!("{scheme}://127.0.0.1:{port}/a"))
            .output()
            .expect("curl is installed");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    wait::until("haproxy listens", || {
        (!ask(0, "--http1.1").is_empty()).then_some(())
    });
    for (at, (server, scheme)) in servers.iter().enumerate().take(5) {
        let http2 = if *scheme == "https" {
            "--http2"
        } else {
            "--http2-prior-knowledge"
        };
        for protocol in ["--http1.1", http2] {
            wait::until(&format!("{server} over {protocol}"), || {
                (ask(at, protocol) == "127.0.0.9").then_some(())
            });
        }
    }
    assert_eq!(ask(5, "--http1.1"), "", "a balancer that sends no header");
    let refused = |reason: &str| gwd.metrics().sum("gwd_rejections_total", &[reason]);
    assert_eq!(refused("proxy_header_missing"), 1.0);
    assert_eq!(
        refused("proxy_header_invalid"),
        0.0,
        "checks that send LOCAL are fine"
    );
}

/// HAProxy, and NGINX if it is installed. Both respond with the client address that they received.
struct AddressServers {
    _servers: Vec<Server>,
    ports: Vec<u16>,
}

impl AddressServers {
    fn start(project: &Project) -> Option<Self> {
        let ports = vec![free_port(), free_port()];
        project.write(
            "told.cfg",
            format!(
                "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n\
                 frontend f\n  bind 127.0.0.1:{} accept-proxy\n  \
                 http-request return status 200 content-type text/plain lf-string \"%[src] %[dst_port]\"\n",
                ports[0]
            ),
        );
        let config = project.path("told.cfg");
        let haproxy = Server::start(Command::new("haproxy").args(["-db", "-f"]).arg(config))?;
        let server = format!(
            "listen 127.0.0.1:{} proxy_protocol; default_type text/plain;\n\
             location / {{ return 200 \"$proxy_protocol_addr $proxy_protocol_server_port\"; }}",
            ports[1]
        );
        let mut started = Self {
            _servers: vec![haproxy],
            ports,
        };
        match Server::nginx(project.root(), started.ports[1], &server) {
            Some(nginx) => started._servers.push(nginx),
            None => started.ports.truncate(1),
        }
        Some(started)
    }
}

#[test]
fn haproxy_and_nginx_get_the_client_address() {
    let project = Project::new();
    let Some(servers) = AddressServers::start(&project) else {
        prerequisite::skip("there is no haproxy; apt installs it");
        return;
    };
    for port in &servers.ports {
        for version in ["v1", "v2"] {
            let project = Project::with(
                &format!(
                    "version: 1\nname: telling\napis: {{s: {{path: openapi.yaml}}}}\n\
                     listeners: {{public: {{address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.9]}}}}\n\
                     upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:{port}\"}}}}, proxy_protocol: {version}, \
                       health: {{active: {{kind: http, path: /a, interval: 100ms, timeout: 100ms}}}}}}}}\n\
                     defaults: {{upstream: u, security: upstream}}\n"
                ),
                DOCUMENT,
            );
            project.keygen();
            project.apply();
            let gwd = Options::of(&project).start();
            let to = gwd.address().port();
            let ask = |from: &str, field: &str| {
                let output = Command::new("curl")
                    .args(["-s", "--max-time", "10", "--interface", from, "-H", field])
                    .arg(format!("http://{}/a", gwd.address()))
                    .output()
                    .expect("curl is installed");
                String::from_utf8_lossy(&output.stdout).into_owned()
            };
            wait::until("the server listens and is checked", || {
                let passed = gwd.metrics();
                let passed = passed.sum("gwd_upstream_health_checks_total", &["passed"]);
                (passed >= 2.0).then_some(())
            });
            let what = format!("{version} to {port}");
            assert_eq!(
                ask("127.0.0.7", "X-A: b"),
                format!("127.0.0.7 {to}"),
                "{what}"
            );
            let field = "X-Forwarded-For: 203.0.113.5";
            assert_eq!(
                ask("127.0.0.9", field),
                format!("203.0.113.5 {to}"),
                "{what}"
            );
            assert_eq!(ask("127.0.0.7", field), format!("127.0.0.7 {to}"), "{what}");
        }
    }
}
