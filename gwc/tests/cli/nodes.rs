//! Commands that query running gateways: `apply --node`, `gwc status`, `gwc drift`.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};

use crate::project::Project;

/// Simulated gateway with fixed responses. It records the requests that it receives.
pub(crate) struct Gateway {
    pub(crate) at: String,
    says: Arc<Mutex<Value>>,
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    pub(crate) fn new(says: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap());
        Self::serve(at, says, move || {
            listener.accept().ok().map(|(stream, _)| {
                let write = stream.try_clone().unwrap();
                (stream, write)
            })
        })
    }

    fn on_socket(path: &std::path::Path, says: Value) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        Self::serve(format!("unix:{}", path.display()), says, move || {
            listener.accept().ok().map(|(stream, _)| {
                let write = stream.try_clone().unwrap();
                (stream, write)
            })
        })
    }

    fn serve<S>(
        at: String,
        says: Value,
        accept: impl Fn() -> Option<(S, S)> + Send + 'static,
    ) -> Self
    where
        S: Read + Write + Send + 'static,
    {
        let says = Arc::new(Mutex::new(says));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (say, remember) = (Arc::clone(&says), Arc::clone(&requests));
        thread::spawn(move || {
            while let Some((read, mut write)) = accept() {
                let mut head = String::new();
                for line in BufReader::new(read).lines() {
                    let line = line.unwrap_or_default();
                    if line.is_empty() {
                        break;
                    }
                    head.push_str(&line);
                    head.push('\n');
                }
                let body = if head.contains("/v1/bundles") {
                    bundles(&say.lock().unwrap()).to_string()
                } else {
                    say.lock().unwrap().to_string()
                };
                remember.lock().unwrap().push(head);
                let _ = write!(
                    write,
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Self { at, says, requests }
    }

    pub(crate) fn say(&self, field: &str, value: Value) {
        self.says.lock().unwrap()[field] = value;
    }
}

fn status(bundle: &str) -> Value {
    json!({"schema": "status/v1", "result": "ok", "node": "n", "bundle": bundle, "serial": 1, "channel": "prod",
           "resident": [bundle], "hold": null, "last_error": null, "ready": true})
}

/// Response of a gateway about its bundles. The resident bundles of `status` are ready, unless
/// `doubt` gives a reason.
fn bundles(status: &Value) -> Value {
    let resident = status["resident"].as_array().cloned().unwrap_or_default();
    let known: Vec<Value> = resident
        .iter()
        .map(|id| {
            let why = &status["doubt"];
            json!({"bundle": id, "resident": true, "ready": why.is_null(), "not_ready": why})
        })
        .collect();
    json!({"schema": "bundles/v1", "result": "ok", "bundles": known, "ran": status["ran"]})
}

fn apply(project: &Project, more: &[&str]) -> crate::project::Ended {
    let mut arguments = vec!["apply", "--key", "keys/release.pem", "--yes"];
    arguments.extend(more);
    project.run(&arguments)
}

#[test]
fn a_hold_stops_a_release() {
    let project = Project::released();
    let gateway = Gateway::new(status(&project.history()[0].1));
    gateway.say(
        "hold",
        json!({"from": "sha256:00", "at": 1, "sticky": true}),
    );
    project.change("6s");
    apply(&project, &["--node", &gateway.at])
        .with(5)
        .contains("held");
    assert_eq!(project.history().len(), 1);
    let over = ["--node", &gateway.at, "--over-hold"];
    apply(&project, &[&over[..], &["--wait", "0s"]].concat())
        .with(0)
        .contains("warning");
    let requests = gateway.requests.lock().unwrap().join("\n");
    assert!(requests.contains("POST /v1/notify"), "{requests}");
}

#[test]
fn release_in_between_makes_apply_fail() {
    let project = Project::released();
    project.change("6s");
    let copy = Project::bare();
    for name in ["trust.json", "keys.pem"] {
        let from = name.replace("keys.pem", "keys/release.pem");
        copy.write(name, project.read(&from));
    }
    copy.change("7s");
    let store = project.file("releases");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    // The gateway is queried after the plan is made, and another release happens in between.
    let first = thread::spawn(move || {
        let fixed = status("sha256:00");
        for body in [bundles(&fixed), fixed] {
            let (mut stream, _) = listener.accept().unwrap();
            let store = store.to_str().unwrap();
            copy.run(&["apply", "--key", "keys.pem", "--yes", "--store", store])
                .with(0);
            let body = body.to_string();
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            )
            .unwrap();
        }
    });
    apply(&project, &["--node", &at])
        .with(3)
        .contains("another process moved the channel meanwhile");
    first.join().unwrap();
    assert_eq!(project.history().len(), 2);
}

#[test]
fn wait_ends_when_each_gateway_decided() {
    let project = Project::released();
    let gateway = Gateway::new(status(&project.history()[0].1));
    project.change("6s");
    let id = project.build();
    let late = apply(
        &project,
        &["--node", &gateway.at, "--wait", "300ms", "--format", "json"],
    );
    let document = late.with(5).json("apply/v1");
    assert_eq!(
        (&document["result"], &document["serial"]),
        (&json!("blocked"), &json!(2))
    );
    gateway.say("last_error", json!({"bundle": id, "reason": "port-busy"}));
    apply(&project, &["--node", &gateway.at, "--wait", "300ms"])
        .with(5)
        .contains("port-busy");
    gateway.say("bundle", json!(id));
    apply(&project, &["--node", &gateway.at, "--wait", "10s"])
        .with(0)
        .contains("every gateway runs");
}

#[test]
fn refused_release_fails_without_wait() {
    let project = Project::released();
    let first = project.history()[0].1.clone();
    let gateway = Gateway::new(status(&first));
    let began = std::time::Instant::now();
    for (count, (reason, serial)) in [("bad-signature", 2), ("too-large", 3)].iter().enumerate() {
        project.change(&format!("{}s", 6 + count));
        let id = project.build();
        gateway.say("head", json!({"serial": serial, "bundle": id}));
        gateway.say("last_error", json!({"bundle": id, "reason": reason}));
        gateway.say(
            "refused",
            json!([{"bundle": id, "reason": reason, "permanent": true, "tries": 1}]),
        );
        apply(&project, &["--node", &gateway.at])
            .with(5)
            .contains("not-rolled-out")
            .contains(&format!("refused the bundle: {reason}"));
        // The channel has already moved, so there is nothing to do.
        apply(&project, &["--node", &gateway.at])
            .with(5)
            .contains("nothing to do");
    }
    // A rollback reports the same results, for a version that the gateway runs and for a version
    // that it refuses.
    let rollback = |id: &str| {
        let key = ["--key", "keys/release.pem", "--yes"];
        project.run(&[&["rollback", id, "--node", &gateway.at][..], &key].concat())
    };
    rollback(&first).with(0).contains("every gateway runs");
    let second = project.history()[2].1.clone();
    gateway.say("head", json!({"serial": 5, "bundle": second}));
    gateway.say(
        "refused",
        json!([{"bundle": second, "reason": "too-large", "permanent": true, "tries": 1}]),
    );
    rollback(&second).with(5).contains("not-rolled-out");
    // The command does not wait for a gateway that has refused the bundle.
    assert!(began.elapsed() < std::time::Duration::from_secs(30));
}

#[test]
fn unreachable_gateway_stops_the_release() {
    let project = Project::released();
    project.change("6s");
    apply(&project, &["--node", "http://127.0.0.1:1"]).with(69);
    assert_eq!(project.history().len(), 1);
    project
        .run(&["status", "--node", "http://127.0.0.1:1"])
        .with(69)
        .contains("unreachable");
    project.run(&["status", "--node", "ftp://x"]).with(64);
}

#[test]
fn require_rollback_needs_a_resident_bundle() {
    let project = Project::new();
    apply(&project, &["--require-rollback"]).with(5);
    project.apply("first").with(0);
    project.change("6s");
    let gateway = Gateway::new(status("sha256:other"));
    apply(&project, &["--require-rollback", "--node", &gateway.at])
        .with(5)
        .contains("does not have this bundle");
    gateway.say("resident", json!([project.history()[0].1]));
    gateway.say("doubt", json!("its secret ${env:GWS_KEY} is gone"));
    apply(&project, &["--require-rollback", "--node", &gateway.at])
        .with(5)
        .contains("its secret ${env:GWS_KEY} is gone");
    assert_eq!(project.history().len(), 1);
    // Without `--require-rollback`, the failed rollback check is only reported, and the release
    // continues.
    apply(&project, &["--node", &gateway.at, "--wait", "0s"])
        .with(0)
        .contains("rollback NOT ready");
    project.change("7s");
    gateway.say("resident", json!([project.history()[0].1]));
    gateway.say("doubt", json!(null));
    let required = ["--require-rollback", "--node", &gateway.at];
    apply(&project, &[&required[..], &["--wait", "0s"]].concat())
        .with(0)
        .contains("the gateway is ready for it");
}

#[test]
fn history_lists_the_gateways_of_each_bundle() {
    let project = Project::released();
    let (_, first) = project.history()[0].clone();
    project.change("6s");
    apply(&project, &[]).with(0);
    let (_, second) = project.history()[0].clone();
    let ran = |list: &[(&str, u64)]| {
        let list = list.iter().map(|(bundle, serial)| {
            json!({"bundle": bundle, "serial": serial, "since": format!("2026-01-01T00:00:0{serial}Z")})
        });
        list.collect::<Vec<_>>()
    };
    let (one, two) = (Gateway::new(status(&second)), Gateway::new(status(&first)));
    one.say("ran", json!(ran(&[(&second, 2), (&first, 1)])));
    two.say("ran", json!(ran(&[(&first, 1)])));
    let nodes = ["--node", &one.at, "--node", &two.at];
    let ask = |more: &[&str]| project.run(&[&["history"], &nodes[..], more].concat());
    let text = ask(&[]).with(0).out;
    let newest: Vec<&str> = text.lines().collect();
    assert!(
        newest[2].contains(&format!("ran on {} since 2026-01-01T00:00:02Z", one.at)),
        "{text}"
    );
    assert_eq!(text.matches("ran on").count(), 3, "{text}");
    let document = ask(&["--format", "json"]).with(0).json("history/v1");
    let nodes = |record: usize| document["records"][record]["ran"].as_array().unwrap().len();
    assert_eq!((nodes(0), nodes(1)), (1, 2));
    let unasked = project.run(&["history", "--format", "json"]).with(0);
    assert!(unasked.json("history/v1")["records"][0]["ran"].is_null());
    project
        .run(&["history", "--node", &one.at, "--node", "http://127.0.0.1:1"])
        .with(69)
        .contains("ran on");
}

#[test]
fn status_shows_the_troubles_of_each_gateway() {
    let project = Project::released();
    let (_, id) = project.history()[0].clone();
    let (fine, troubled) = (Gateway::new(status(&id)), Gateway::new(status(&id)));
    let host = |name: &str| json!({"host": name, "works": true, "check": null, "unreachable": null, "ejected_ms": null, "circuit": "closed"});
    let upstream = |name: &str, hosts: Value| json!({"upstream": name, "circuit": "closed", "hosts": hosts, "found_by": []});
    fine.say(
        "upstreams",
        json!([upstream("main", json!([host("10.0.0.1:80")]))]),
    );
    troubled.say("alarms", json!(["certificate-unusable"]));
    troubled.say(
        "broken_certificates",
        json!(["${file:/run/tls.crt}: it is over"]),
    );
    let mut dead = host("10.0.0.2:80");
    dead["unreachable"] =
        json!({"for_ms": 9, "attempts": 3, "error": "connecting to 10.0.0.2:80: refused"});
    let mut sick = host("10.0.0.3:80");
    (sick["works"], sick["check"], sick["why"]) =
        (json!(false), json!("fails"), json!("it answered 418"));
    let mut open = upstream("open", json!([host("10.0.0.4:80")]));
    open["circuit"] = json!("open");
    open["policies"] = json!([{"policy": "breaker", "circuit": "half-open"}, {"policy": "calm", "circuit": "closed"}]);
    let mut lost = upstream("lost", json!([]));
    lost["found_by"] = json!([{"name": "lost.internal", "error": "no answer"}]);
    let main = upstream("main", json!([host("10.0.0.1:80"), dead, sick]));
    troubled.say("upstreams", json!([main, open, lost]));
    let output = project
        .run(&["status", "--node", &fine.at, "--node", &troubled.at])
        .with(0)
        .out;
    let lines: Vec<&str> = output.lines().collect();
    assert_eq!(
        lines[3..],
        [
            "    ALARM certificate-unusable",
            "    BROKEN ${file:/run/tls.crt}: it is over",
            "    upstream main: 1 of 3 hosts available: 10.0.0.2:80 unreachable (connecting to 10.0.0.2:80: refused); 10.0.0.3:80 fails its checks (it answered 418)",
            "    upstream open: circuit open; policy breaker: circuit half-open",
            "    upstream lost: lost.internal not resolved: no answer",
        ],
        "{output}"
    );
}

#[test]
fn drift_reports_gateways_and_sends_the_token() {
    let project = Project::released();
    let id = project.history()[0].1.clone();
    let socket = project.file("admin.sock");
    let (one, two) = (
        Gateway::new(status(&id)),
        Gateway::on_socket(&socket, status(&id)),
    );
    project.write("token", "s3cret-token\n");
    let ask = |command: &str, more: &[&str]| {
        let mut arguments = vec![
            command,
            "--node",
            &one.at,
            "--node",
            &two.at,
            "--admin-token-file",
            "token",
        ];
        arguments.extend(more);
        project.run(&arguments)
    };
    let ended = ask("drift", &[]).with(0);
    assert!(!ended.out.contains("s3cret") && !ended.err.contains("s3cret"));
    let requests = one.requests.lock().unwrap().join("\n");
    assert!(
        requests.contains("authorization: Bearer s3cret-token"),
        "{requests}"
    );
    two.say("bundle", json!("sha256:0123456789abcdef"));
    ask("drift", &[]).with(1).contains("0123456789ab");
    let document = ask("drift", &["--format", "json"]).with(1).json("drift/v1");
    assert_eq!(
        (&document["result"], &document["drift"]),
        (&json!("changes"), &json!(true))
    );
    let document = ask("status", &["--format", "json"])
        .with(0)
        .json("fleet/v1");
    assert_eq!(document["nodes"][1]["agrees"], false);
    // Without the store, the versions of the gateways are still reported.
    std::fs::rename(project.file("releases"), project.file("away")).unwrap();
    ask("status", &[]).with(69).contains("runs 0123456789ab");
    std::fs::rename(project.file("away"), project.file("releases")).unwrap();
    project.run(&["drift"]).with(64);
    project
        .run(&["status", "--node", &one.at, "--admin-token-file", "none"])
        .with(65);
}

#[test]
fn node_of_another_channel_or_project_is_drift() {
    let project = Project::released();
    let id = project.history()[0].1.clone();
    let gateway = Gateway::new(status(&id));
    let ask = |command: &str| project.run(&[command, "--node", &gateway.at]);
    ask("drift").with(0);
    gateway.say("channel", json!("staging"));
    ask("drift")
        .with(1)
        .contains("follows channel `staging`, not `prod`");
    project.change("6s");
    apply(&project, &["--node", &gateway.at])
        .with(64)
        .contains("follows channel `staging`, not `prod`");
    gateway.say("channel", json!("prod"));
    gateway.say("project", json!("warehouse"));
    ask("drift")
        .with(1)
        .contains("belongs to project `warehouse`, not `shop`");
    assert_eq!(project.history().len(), 1);
}

#[test]
fn store_with_lost_records_is_reported_before_a_move() {
    let project = Project::released();
    let id = project.history()[0].1.clone();
    let gateway = Gateway::new(status(&id));
    let lost = format!("sha256:{}", "ab".repeat(32));
    gateway.say("accepted", json!({"serial": 4, "record": lost}));
    project.change("6s");
    apply(&project, &["--node", &gateway.at])
        .with(4)
        .contains("forked")
        .contains("has accepted serial 4")
        .contains("gwc apply --merge");
    assert_eq!(project.history().len(), 1);
    apply(&project, &["--merge"]).with(64);
    let document = apply(
        &project,
        &[
            "--merge",
            "--node",
            &gateway.at,
            "--wait",
            "0s",
            "--format",
            "json",
        ],
    )
    .with(0)
    .json("apply/v1");
    assert_eq!(document["serial"], 5, "above what gateways know");
    // After the merge no record is missing, so further releases need no `--merge`.
    let unwaited = ["--node", &gateway.at, "--wait", "0s"];
    apply(&project, &unwaited).with(0).contains("nothing to do");
    project.change("7s");
    apply(&project, &unwaited).with(0);
    assert_eq!(project.history().len(), 3);
    // Revocation lists cannot be merged. The message must contain instructions.
    gateway.say("revocations", json!(1));
    project.change("8s");
    apply(&project, &["--merge", "--node", &gateway.at])
        .with(4)
        .contains("revocations-withheld")
        .contains("STATE/revocations/");
    assert_eq!(project.history().len(), 3);
    // A rollback would be refused by the gateway, too.
    let lost = format!("sha256:{}", "cd".repeat(32));
    gateway.say("accepted", json!({"serial": 9, "record": lost}));
    let rollback = ["rollback", "--key", "keys/release.pem", "--yes"];
    project
        .run(&[&rollback[..], &["--node", &gateway.at]].concat())
        .with(4)
        .contains("has accepted serial 9");
    assert_eq!(project.history().len(), 3);
}

/// The plan against the store's newest record does not show what changes for the gateways.
#[test]
fn merge_compares_with_what_gateways_run() {
    let project = Project::released();
    project.change("9s");
    apply(&project, &[]).with(0);
    let open = |project: &Project| {
        project.edit(
            "orders.yaml",
            "operationId: listOrders,",
            "operationId: listOrders, security: [], x-gateway: {public: true},",
        );
    };
    let closed = project.history()[0].1.clone();
    let document = project.read("orders.yaml");
    open(&project);
    let plan = project.run(&["plan", "--format", "json"]).json("plan/v1");
    let fingerprint = plan["changes"][0]["fingerprint"].as_str().expect("a text");
    let ack = format!("{fingerprint}=x");
    apply(&project, &["--ack", &ack]).with(0);
    project.write("orders.yaml", document);
    project.change("8s");
    apply(&project, &[]).with(0);
    // The store is an older copy: the operation is still open there.
    let link = format!("releases/channels/prod/{:020}", 4);
    std::fs::remove_file(project.file(&link)).expect("a link");
    open(&project);
    project.change("7s");
    let gateway = Gateway::new(status(&closed));
    let lost = format!("sha256:{}", "ab".repeat(32));
    gateway.say("accepted", json!({"serial": 9, "record": lost}));
    let merge = ["--merge", "--node", &gateway.at, "--wait", "0s"];
    apply(&project, &merge)
        .with(1)
        .contains("the plan against this bundle")
        .contains("open to everyone")
        .contains("gate-tripped");
    let unknown = format!("sha256:{}", "cd".repeat(32));
    gateway.say("bundle", json!(unknown));
    apply(&project, &merge)
        .with(4)
        .contains("error[uncompared]")
        .contains("--merge-uncompared");
    let forced = [&merge[..], &["--merge-uncompared"]].concat();
    apply(&project, &forced).with(0);
}

#[test]
fn status_of_a_foreign_service_is_an_error() {
    let project = Project::released();
    let gateway = Gateway::new(json!({"hello": "world"}));
    project.run(&["status", "--node", &gateway.at]).with(69);
}
