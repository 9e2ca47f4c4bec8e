//! Tests of compiled projects on a running gateway, with third-party clients and servers.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use e2e::binaries;
use e2e::gateway::Options;
use e2e::project::{Ended, Project};

const DOCUMENT: &str = "\
openapi: 3.1.0
info: {title: behind the gateway, version: \"1\"}
paths:
  /ws: {get: {operationId: talk, x-gateway: {websocket: true}, responses: {}}}
  /a/{id}:
    parameters: [{name: id, in: path, required: true, schema: {type: string}}]
    get: {operationId: read, responses: {}}
    post: {operationId: write, responses: {}}
";

/// Third-party server process. Dropping this value kills the process.
struct Server {
    child: Child,
    port: u16,
}

impl Server {
    /// Starts a server that prints its port first. `None` if its language or library is not
    /// installed.
    fn start(program: &str, arguments: &[&str], script: &str) -> Option<Self> {
        let mut child = Command::new(program)
            .args(arguments)
            .arg(peer(script))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut line = String::new();
        let output = child.stdout.take().expect("piped");
        let _nothing = BufReader::new(output).read_line(&mut line);
        match line.trim().parse() {
            Ok(port) => Some(Self { child, port }),
            Err(_) => {
                let _ended = child.wait();
                None
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn peer(script: &str) -> PathBuf {
    binaries::workspace().join("tests/peers").join(script)
}

fn project(upstream: u16) -> Project {
    let project = Project::with(
        &format!(
            "version: 1\nname: peers\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:0\", http2: true}}}}\n\
             upstreams: {{u: {{targets: {{a: {{url: \"http://127.0.0.1:{upstream}\"}}}}}}}}\n\
             defaults: {{upstream: u, security: upstream}}\n"
        ),
        DOCUMENT,
    );
    project.keygen();
    project.apply();
    project
}

#[test]
fn websocket_library_passes_the_gateway() {
    let Some(server) = Server::start("python3", &[], "websockets_echo.py") else {
        prerequisite::skip("python3 has no `websockets`; pip installs it");
        return;
    };
    let project = project(server.port);
    let gwd = Options::of(&project).start();
    let url = format!("ws://{}/ws", gwd.address());
    let mut talk = Command::new("python3");
    let ended = Ended::of(talk.arg(peer("websockets_talk.py")).arg(url));
    assert_eq!(ended.stdout.trim(), "fine", "{ended:?}");
}

#[test]
fn server_closing_idle_connections_loses_no_request() {
    let Some(server) = Server::start("node", &[], "node_upstream.js") else {
        prerequisite::skip("there is no node");
        return;
    };
    let project = project(server.port);
    let gwd = Options::of(&project).workers(1).start();
    let mut client = gwd.connect();
    for round in 0..60 {
        let request = format!("GET /a/{round} HTTP/1.1\r\nhost: h\r\n\r\n");
        let answer = client.ask(&request).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.text(), format!("GET /a/{round} 0\n"));
        // Pause for about the idle timeout of the server, so that the server closes some
        // connections during the next request.
        std::thread::park_timeout(std::time::Duration::from_millis(36 + round % 9));
    }
    let body = "x".repeat(300_000);
    let request = format!("POST /a/b HTTP/1.1\r\nhost: h\r\ncontent-length: 300000\r\n\r\n{body}");
    let answer = client.ask(&request).expect("an answer");
    assert_eq!(answer.text(), "POST /a/b 300000\n");
}

#[test]
fn nghttp2_loads_the_gateway_over_many_streams() {
    let missing = Command::new("h2load").arg("--version").output().is_err();
    let Some(server) = Server::start("node", &[], "node_upstream.js").filter(|_| !missing) else {
        prerequisite::skip("there is no h2load, or no node");
        return;
    };
    let project = project(server.port);
    let gwd = Options::of(&project).workers(2).start();
    let url = format!("http://{}/a/b", gwd.address());
    let mut load = Command::new("h2load");
    let ended = Ended::of(load.args(["-n", "5000", "-c", "5", "-m", "50", &url]));
    let summary = "5000 total, 5000 started, 5000 done, 5000 succeeded, 0 failed";
    assert!(ended.stdout.contains(summary), "{ended:?}");
    assert!(ended.stdout.contains("5000 2xx"), "{ended:?}");
}
