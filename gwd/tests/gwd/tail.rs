//! `gwd tail`: live lines of requests, with filters.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::fixture::*;
use crate::world::{Process, World};

/// Event of gwd's log when a reader is connected.
const CONNECTED: &str = "an operator follows the access log";

struct Tail {
    child: Child,
    lines: Receiver<String>,
}

impl Tail {
    fn start(gwd: &Process, world: &World, arguments: &[&str]) -> Self {
        let count = || {
            let events = gwd.events().into_iter();
            let connected = events.filter(|event| {
                let message = event["message"].as_str();
                message.is_some_and(|message| message.contains(CONNECTED))
            });
            connected.count()
        };
        let before = count();
        let mut child = Command::new(env!("CARGO_BIN_EXE_gwd"))
            .args(["tail", "--admin", &gwd.admin.to_string()])
            .arg("--admin-token-file")
            .arg(world.path("token"))
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        eventually("the reader is connected", || count() > before);
        Self { child, lines }
    }

    fn next(&self) -> String {
        self.lines.recv_timeout(WAIT_MAX).expect("a line")
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.next()).unwrap()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

fn serve(world: &World, upstream: &Upstream) -> Process {
    let ops = vec![op("GET", "/a"), op("GET", "/b"), op("POST", "/b")];
    world.release(&shop(upstream.address, ops).gateway());
    world.start()
}

#[test]
fn requests_are_shown_without_an_access_log() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gwd = serve(&world, &upstream);
    let public = gwd.public();
    // Nobody reads this request.
    assert_eq!(get(public, "/a?before").status, 200);
    let json = Tail::start(&gwd, &world, &["--format", "json"]);
    let text = Tail::start(&gwd, &world, &[]);
    assert_eq!(get(public, "/a?key=secret&n=1").status, 200);
    let line = json.json();
    assert_eq!(
        (&line["path"], &line["status"]),
        (&json!("/a"), &json!(200))
    );
    assert_eq!(line["query"], "key=REDACTED&n=1");
    let line = text.next();
    assert!(line.contains(" 200 GET /a?key=REDACTED&n=1 "), "{line}");
    assert!(line.contains(" upstream="), "{line}");
    // A refused head has a line, too.
    let mut client = Client::connect(public);
    client.send("GET /a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n");
    assert_eq!(client.answer().status, 400);
    assert_eq!(json.json()["status"], 400);
    assert!(text.next().contains(" 400 GET /a "));
}

#[test]
fn filters_select_requests() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gwd = serve(&world, &upstream);
    let public = gwd.public();
    let failed = Tail::start(&gwd, &world, &["--status", "4xx", "--count", "2"]);
    let b = ["--path", "/b", "--method", "GET,HEAD", "--format", "json"];
    let b = Tail::start(&gwd, &world, &b);
    for path in ["/a", "/none", "/b/none", "/b?1"] {
        get(public, path);
    }
    assert!(failed.next().contains(" 404 GET /none "));
    assert!(failed.next().contains(" 404 GET /b/none "));
    let mut failed = failed;
    assert_eq!(failed.child.wait().unwrap().code(), Some(0));
    let post = fetch(public, "POST", "/b", "content-length: 0\r\n");
    assert_eq!(post.status, 200);
    assert_eq!(get(public, "/b?2").status, 200);
    let shown = [b.json(), b.json(), b.json()].map(|line| {
        let query = line["query"].as_str().unwrap_or_default();
        format!("{}?{query}", line["path"].as_str().unwrap())
    });
    assert_eq!(shown, ["/b/none?", "/b?1", "/b?2"]);
}

#[test]
fn number_of_readers_is_bounded() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gwd = serve(&world, &upstream);
    let mut readers: Vec<Tail> = (0..4).map(|_| Tail::start(&gwd, &world, &[])).collect();
    let refused = gwd.ask("POST", "/v1/tail", "{}");
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json()["error"]["code"], "too-many-tails");
    let command = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gwd"));
        command.args(["tail", "--admin", &gwd.admin.to_string()]);
        command.arg("--admin-token-file").arg(world.path("token"));
        command.arg("--count=1");
        command
    };
    let output = command().output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(String::from_utf8_lossy(&output.stderr).contains("too-many-tails"));
    // A reader that ends makes room.
    readers.pop();
    let another = Tail::start(&gwd, &world, &["--count=1"]);
    assert_eq!(get(gwd.public(), "/a").status, 200);
    assert!(another.next().contains(" 200 GET /a "));
}

#[test]
fn wrong_filters_are_refused() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gwd = serve(&world, &upstream);
    for (body, why) in [
        (r#"{"status":["6xx"]}"#, "write `404` or `5xx`"),
        (r#"{"state":["5xx"]}"#, "unknown field `state`"),
        ("[]", "JSON object"),
    ] {
        let refused = gwd.ask("POST", "/v1/tail", body);
        assert_eq!(refused.status, 400, "{body}");
        let message = refused.json()["error"]["message"].to_string();
        assert!(message.contains(why), "{message}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_gwd"))
        .args(["tail", "--count=0", "--admin", "127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(64));
}

#[test]
fn end_of_the_gateway_ends_the_command() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let gwd = serve(&world, &upstream);
    let mut tail = Tail::start(&gwd, &world, &[]);
    gwd.kill();
    assert_eq!(tail.child.wait().unwrap().code(), Some(69));
}

#[test]
fn requests_left_out_of_the_log_are_shown() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&shop(upstream.address, vec![op("GET", "/a")]).gateway());
    let log = world.path("access.log");
    let mut command = world.trusted();
    command.arg("--access-log").arg(&log);
    command.args(["--access-log-sample", "0", "--access-log-slow", "10m"]);
    let gwd = Process::spawn(&mut command);
    let tail = Tail::start(&gwd, &world, &["--format", "json"]);
    assert_eq!(get(gwd.public(), "/a").status, 200);
    assert_eq!(get(gwd.public(), "/nothing").status, 404);
    assert_eq!(tail.json()["status"], 200);
    assert_eq!(tail.json()["status"], 404);
    let text = || std::fs::read_to_string(&log).unwrap_or_default();
    eventually("the refusal is logged", || !text().is_empty());
    assert_eq!(text().lines().count(), 1);
    assert_eq!(gwd.metric("gwd_log_sampled_out_total", &[]), 1.0);
}
