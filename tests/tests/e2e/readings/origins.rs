//! Third-party servers and proxies for `readings`. A server responds with the path that it serves
//! for a request target. A proxy forwards to an origin that responds with the received target.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;

use e2e::binaries;
use e2e::peers;
use e2e::project::Project;
use e2e::server::{Server, free_port};
use e2e::wait;

use super::get;

/// Third-party server that responds with the path that it serves.
pub(super) struct Origin {
    pub(super) name: &'static str,
    pub(super) port: u16,
    /// Processes of the server. A proxy has a second process: its origin.
    _servers: Vec<Server>,
    _folder: Option<Project>,
}

// === impl Origin ===

impl Origin {
    /// Starts a server that prints its port as its first line.
    fn announced(name: &'static str, command: &mut Command) -> Option<Self> {
        let (server, port) = Server::announced_by(command)?;
        Some(Self {
            name,
            port,
            _servers: vec![server],
            _folder: None,
        })
    }

    /// Starts a server script of `tests/peers`.
    pub(super) fn script(name: &'static str, program: &str, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(program);
        let command = command.arg(peer(arguments[0])).args(&arguments[1..]);
        Self::announced(name, command)
    }

    /// Waits until the started server responds to a request. `folder` contains the server's
    /// configuration.
    fn configured(
        name: &'static str,
        port: u16,
        servers: Vec<Server>,
        folder: Project,
    ) -> Option<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let is_ready = || TcpStream::connect(address).is_ok() && get(address, "/open/a").0 == 200;
        wait::within(wait::WAIT_MAX, || is_ready().then_some(()))?;
        Some(Self {
            name,
            port,
            _servers: servers,
            _folder: Some(folder),
        })
    }

    fn nginx() -> Option<Self> {
        let (folder, port) = (Project::new(), free_port());
        let server = format!(
            "listen 127.0.0.1:{port}; default_type text/plain; location / {{ return 200 $uri; }}"
        );
        let server = Server::nginx(folder.root(), port, &server)?;
        Self::configured("NGINX", port, vec![server], folder)
    }

    pub(super) fn haproxy() -> Option<Self> {
        let (folder, port) = (Project::new(), free_port());
        let config = format!(
            "defaults\n mode http\n timeout client 10s\n\
             frontend paths\n bind 127.0.0.1:{port}\n \
             http-request return status 200 content-type text/plain lf-string \"%[path]\"\n"
        );
        folder.write("haproxy.cfg", &config);
        let mut haproxy = Command::new("haproxy");
        haproxy.arg("-f").arg(folder.path("haproxy.cfg"));
        let server = Server::start(&mut haproxy)?;
        Self::configured("HAProxy", port, vec![server], folder)
    }

    /// Starts an Envoy that responds with the path that Envoy would forward. `settings` configure
    /// the HTTP connection manager.
    fn envoy(name: &'static str, settings: &str) -> Option<Self> {
        let (folder, port) = (Project::new(), free_port());
        folder.write("envoy.yaml", envoy_config(port, settings));
        let mut envoy = Command::new(peers::servers()?.join("envoy/_bin/envoy"));
        let envoy = envoy.arg("-c").arg(folder.path("envoy.yaml"));
        let envoy = envoy.args(["--concurrency", "1", "--disable-hot-restart"]);
        let server = Server::start(envoy)?;
        Self::configured(name, port, vec![server], folder)
    }

    fn traefik() -> Option<Self> {
        let raw = Self::script("raw", "node", &["paths_origin.js", "raw"])?;
        let (folder, port) = (Project::new(), free_port());
        let config = format!(
            "http:\n  routers: {{all: {{rule: \"PathPrefix(`/`)\", service: raw}}}}\n  services: \
             {{raw: {{loadBalancer: {{servers: [{{url: \"http://127.0.0.1:{}\"}}]}}}}}}\n",
            raw.port
        );
        folder.write("dynamic.yaml", &config);
        let mut traefik = Command::new(peers::servers()?.join("bin/traefik"));
        let file = folder.path("dynamic.yaml");
        traefik
            .arg(format!("--entrypoints.web.address=127.0.0.1:{port}"))
            .arg(format!("--providers.file.filename={}", file.display()));
        let mut servers = vec![Server::start(&mut traefik)?];
        servers.extend(raw._servers);
        Self::configured("Traefik", port, servers, folder)
    }

    /// Starts Bottle, which drops bytes of the path that are not UTF-8.
    pub(super) fn bottle() -> Option<Self> {
        let mut python = Command::new("python3");
        python.env("PYTHONPATH", peers::python_packages()?);
        Self::announced("Bottle", python.arg(peer("bottle_origin.py")))
    }

    /// Starts Fastify 4, which ends the path at the first `;` and reads the rest as the query.
    pub(super) fn fastify() -> Option<Self> {
        Self::announced("Fastify 4", &mut peers::node("fastify_origin.mjs")?)
    }

    fn go() -> Option<Self> {
        let mut origin = Command::new(peers::servers()?.join("paths_origin"));
        Self::announced("Go", &mut origin)
    }

    fn tomcat() -> Option<Self> {
        let folder = Project::new();
        let mut java = Command::new("java");
        let java = java.arg("-cp").arg(peers::tomcat()?);
        let java = java.arg(peer("TomcatOrigin.java")).arg(folder.root());
        let mut origin = Self::announced("Tomcat", java)?;
        origin._folder = Some(folder);
        Some(origin)
    }

    /// All servers that are installed. Records a skipped test for each server that is not
    /// installed.
    pub(super) fn all() -> Vec<Self> {
        let normalising = "normalize_path: true, merge_slashes: true, \
             path_with_escaped_slashes_action: UNESCAPE_AND_FORWARD, ";
        let all = [
            ("NGINX", Self::nginx()),
            ("HAProxy", Self::haproxy()),
            ("Node", Self::script("Node", "node", &["paths_origin.js"])),
            (
                "Python",
                Self::script("Python", "python3", &["paths_origin.py"]),
            ),
            ("Envoy", Self::envoy("Envoy", "")),
            (
                "Envoy, normalising",
                Self::envoy("Envoy, normalising", normalising),
            ),
            ("Traefik", Self::traefik()),
            ("Go", Self::go()),
            ("Tomcat", Self::tomcat()),
        ];
        let missing = all.iter().filter(|(_, origin)| origin.is_none());
        let missing: Vec<&str> = missing.map(|(name, _)| *name).collect();
        if !missing.is_empty() {
            prerequisite::skip(&format!("not installed: {}", missing.join("; ")));
        }
        all.into_iter().filter_map(|(_, origin)| origin).collect()
    }

    pub(super) fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }
}

fn peer(script: &str) -> PathBuf {
    Path::new(binaries::workspace())
        .join("tests/peers")
        .join(script)
}

/// Configuration of an Envoy that responds to each request with the path that it would forward.
fn envoy_config(port: u16, settings: &str) -> String {
    let package = "type.googleapis.com/envoy.extensions.filters";
    format!(
        "static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config: {{
          \"@type\": {package}.network.http_connection_manager.v3.HttpConnectionManager,
          stat_prefix: paths, delayed_close_timeout: 0s, {settings}
          local_reply_config: {{body_format: {{
            text_format_source: {{inline_string: \"%REQ(:PATH)%\"}}}}}},
          route_config: {{virtual_hosts: [{{name: all, domains: [\"*\"], routes: [
            {{match: {{prefix: /}}, direct_response: {{status: 200}}}}]}}]}},
          http_filters: [{{name: router, typed_config: {{
            \"@type\": {package}.http.router.v3.Router}}}}]}}
"
    )
}
