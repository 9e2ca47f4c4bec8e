//! Tests of `gwc watch`: each save of a source is linted, planned and served by a local gwd.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use e2e::binaries;
use e2e::client::Connection;
use e2e::project::Project;
use e2e::wait::{self, WAIT_MAX};

const GATEWAY: &str = r#"version: 1
name: shop
apis: {orders: {path: openapi.yaml}}
listeners: {public: {address: "0.0.0.0:0"}}
upstreams: {u: {targets: {a: {url: "http://127.0.0.1:9"}}}}
defaults: {upstream: u}
"#;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: orders, version: "1"}
paths:
  /orders:
    get: {operationId: list, security: [], x-gateway: {public: true}, responses: {"200": {description: ok}}}
"#;

/// Running process of `gwc watch`, with the lines of its standard output.
struct Session {
    child: Child,
    lines: Receiver<String>,
}

impl Session {
    fn start(project: &Project) -> Self {
        let mut command = project.command();
        command
            .arg("watch")
            .arg("--gwd")
            .arg(binaries::gwd())
            .env("TMPDIR", project.path("tmp"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().expect("gwc can be run");
        let out = BufReader::new(child.stdout.take().expect("it is piped"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ended = sender.send(line);
            }
        });
        Self { child, lines }
    }

    /// Waits for an output line that contains `text`. Returns this line and the lines before it.
    #[track_caller]
    fn until(&self, text: &str) -> String {
        let mut seen = String::new();
        loop {
            let line = self.lines.recv_timeout(WAIT_MAX * 3);
            let line = line.unwrap_or_else(|_| panic!("`{text}` is missing:\n{seen}"));
            seen.push_str(&line);
            seen.push('\n');
            if line.contains(text) {
                return seen;
            }
        }
    }

    /// Waits until a version is served. Returns the address of the local gwd.
    #[track_caller]
    fn serving(&self, version: &str) -> SocketAddr {
        let seen = self.until(version);
        let (_, rest) = seen.rsplit_once("http://").expect("a URL");
        let address = rest.split(',').next().expect("an address");
        address.parse().expect("an address")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Send SIGTERM: after a SIGKILL of gwc, its gwd would continue to run.
        if let Ok(None) = self.child.try_wait() {
            signal("-TERM", &self.child.id().to_string());
            let _ended = self.child.wait();
        }
    }
}

/// Requests a path and returns the status: 404 if no operation matches, 502 because the upstream is
/// unreachable.
fn status(address: SocketAddr, path: &str) -> u16 {
    let mut connection = Connection::open(address).expect("gwd serves");
    let response = connection.ask(&format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n"));
    response.expect("a response").status
}

/// Sends a signal to a process.
fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill").args([name, pid]).status();
    assert!(
        sent.is_ok_and(|status| status.success()),
        "kill {name} {pid}"
    );
}

#[test]
fn saves_are_linted_planned_and_served() {
    let project = Project::with(GATEWAY, DOCUMENT);
    std::fs::create_dir(project.path("tmp")).expect("there is room");
    let mut session = Session::start(&project);
    session.until("Plan: bundle");
    let address = session.serving("version 1 ");
    // `gwc watch` binds the listener to a loopback address, although its configured address is
    // 0.0.0.0.
    assert!(address.ip().is_loopback(), "{address}");
    assert_eq!(status(address, "/orders"), 502);
    assert_eq!(status(address, "/baskets"), 404);

    // After an error in the sources, the last valid version stays served.
    project.write(
        "openapi.yaml",
        DOCUMENT.replace("operationId", "operationid"),
    );
    session.until("saved: openapi.yaml");
    let seen = session.until("not served");
    assert!(seen.contains("unknown-field"), "{seen}");
    assert!(seen.contains("version 1 ("), "{seen}");
    assert_eq!(status(address, "/orders"), 502);

    project.write("openapi.yaml", DOCUMENT.replace("/orders", "/baskets"));
    let served = session.serving("version 2 ");
    assert_eq!(served, address, "the same gwd serves");
    assert_eq!(status(address, "/orders"), 404);
    assert_eq!(status(address, "/baskets"), 502);

    // A save that does not change the meaning of the sources creates no new version.
    project.write("gateway.yaml", format!("{GATEWAY}# a comment\n"));
    session.until("saved: gateway.yaml");
    session.serving("version 2 ");

    // When gwc ends, gwd also ends, and gwd's temporary files are removed.
    signal("-TERM", &session.child.id().to_string());
    let ended = session.child.wait().expect("gwc is our child");
    assert_eq!(ended.code(), Some(143));
    assert!(Connection::open(address).is_err());
    let left = std::fs::read_dir(project.path("tmp")).expect("it is there");
    assert_eq!(left.count(), 0);
    // `gwc watch` releases nothing.
    assert!(!project.path("releases").exists());
}

#[test]
fn gwd_that_ended_starts_again_after_a_save() {
    let project = Project::with(GATEWAY, DOCUMENT);
    std::fs::create_dir(project.path("tmp")).expect("there is room");
    let session = Session::start(&project);
    session.serving("version 1 ");
    let gwd = wait::until("gwd runs", || child_of(session.child.id()));
    signal("-KILL", &gwd);
    project.write("gateway.yaml", format!("{GATEWAY}# a comment\n"));
    let address = session.serving("version 1 ");
    assert_eq!(status(address, "/orders"), 502);
    signal("-INT", &session.child.id().to_string());
    wait::until("gwd ends", || {
        Connection::open(address).is_err().then_some(())
    });
}

/// Process id of the first child of the process `parent`.
fn child_of(parent: u32) -> Option<String> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let children = std::fs::read_to_string(path).ok()?;
    children.split_whitespace().next().map(str::to_owned)
}
