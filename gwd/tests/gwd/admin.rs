//! Admin interface: permissions of callers, and responses.

use serde_json::json;

use crate::fixture::*;
use crate::world::{Process, World};

fn gateway(upstream: &Upstream) -> bundle::ir::Gateway {
    let ops = vec![
        op("GET", "/a"),
        op("GET", "/limited").policy("once"),
        op("GET", "/mine").secured("key"),
    ];
    let mut shop = shop(upstream.address, ops);
    shop.policies = vec![rate_limit("once", 1)];
    shop.gateway()
}

#[test]
fn health_and_metrics_are_open_others_need_the_token() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let gwd = world.start();
    for path in ["/livez", "/healthz", "/readyz", "/startupz", "/metrics"] {
        assert_eq!(gwd.open(path).status, 200, "{path}");
    }
    let paths = [
        ("GET", "/v1/status"),
        ("GET", "/v1/bundles"),
        ("GET", "/v1/routes"),
        ("POST", "/v1/explain"),
        ("POST", "/v1/activate"),
        ("POST", "/v1/rollback"),
        ("POST", "/v1/resume"),
        ("POST", "/v1/drain"),
        ("POST", "/v1/notify"),
        ("POST", "/v1/tail"),
        ("PUT", "/v1/log-level"),
        ("PUT", "/v1/validation"),
    ];
    for (method, path) in paths {
        for fields in ["", "authorization: Bearer wrong-token-wrong-token\r\n"] {
            let fields = format!("content-length: 0\r\n{fields}");
            let answer = fetch(gwd.admin, method, path, &fields);
            assert_eq!(answer.status, 401, "{method} {path}");
            assert_eq!(answer.field("www-authenticate"), ["Bearer"]);
            assert_eq!(answer.json()["error"]["code"], "admin-token-needed");
        }
    }
    assert_eq!(gwd.open("/v1/nothing").status, 404);
    let wrong = gwd.ask("DELETE", "/v1/status", "");
    assert_eq!((wrong.status, wrong.field("allow")), (405, vec!["GET"]));
    assert!(
        gwd.open("/metrics")
            .text()
            .contains("# TYPE gwd_bundle_info gauge")
    );
}

#[test]
fn no_token_file_admits_the_unix_socket_only() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&gateway(&upstream));
    let socket = world.path("admin.sock");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gwd"));
    command
        .arg("run")
        .arg("--store")
        .arg(world.path("store"))
        .arg("--trust")
        .arg(world.path("trust.json"))
        .arg("--state")
        .arg(world.path("state"))
        .arg("--admin")
        .arg(format!("unix:{}", socket.display()));
    let _gwd = Process::spawn(&mut command);
    let status = |arguments: &[&str]| {
        std::process::Command::new(env!("CARGO_BIN_EXE_gwd"))
            .args(arguments)
            .args(["--admin", &format!("unix:{}", socket.display())])
            .output()
            .unwrap()
    };
    let output = status(&["status", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["bundle"], one.to_string());
    let human = String::from_utf8(status(&["status"]).stdout).unwrap();
    assert!(
        human.contains(&one.to_string()) && human.contains("ready      yes"),
        "{human}"
    );
    let versions = String::from_utf8(status(&["versions"]).stdout).unwrap();
    assert!(versions.contains("running"), "{versions}");
    let output = status(&["rollback", "-1"]);
    assert_eq!(output.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&output.stderr).contains("nothing-before"));
    assert_eq!(status(&["activate", "nonsense"]).status.code(), Some(64));
    assert_eq!(status(&["drain"]).status.code(), Some(0));
    let unreachable = std::process::Command::new(env!("CARGO_BIN_EXE_gwd"))
        .args(["status", "--admin", "127.0.0.1:1"])
        .output()
        .unwrap();
    assert_eq!(unreachable.status.code(), Some(69));
}

#[test]
fn status_breaks_between_words_at_40_columns() {
    if !prerequisite::program("script") {
        return;
    }
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let one = world.release(&gateway(&upstream));
    let gwd = world.start();
    let line = format!(
        "'{}' status --admin {} --admin-token-file '{}'",
        env!("CARGO_BIN_EXE_gwd"),
        gwd.admin,
        world.path("token").display()
    );
    let shown = |program: &str, arguments: &[&str]| {
        let output = std::process::Command::new(program).args(arguments).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    let piped = shown("sh", &["-c", &line]);
    let narrow = format!("stty cols 40 && {line}");
    let narrow = shown("script", &["-qec", &narrow, "/dev/null"]).replace('\r', "");
    assert!(narrow.contains(&one.to_string()), "{narrow}");
    // Names of lines: a continuation line is indented.
    let names = |text: &str| {
        let lines = text.lines().filter(|line| !line.starts_with(' '));
        let names = lines.filter_map(|line| line.split(' ').next());
        names.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(names(&narrow), names(&piped), "{narrow}");
    for line in narrow.lines() {
        let is_one_word = line.split_whitespace().count() == 1;
        let fits = line.chars().count() <= 40 || is_one_word;
        assert!(fits && line == line.trim_end(), "`{line}` in\n{narrow}");
    }
    assert_ne!(narrow, piped);
}

#[test]
fn explain_says_what_would_happen_and_counts_nothing() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let gwd = world.start();
    let explain = |question: serde_json::Value| {
        let answer = gwd.ask("POST", "/v1/explain", &question.to_string());
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    for _ in 0..3 {
        let explained = explain(json!({"method": "GET", "url": "http://h/limited"}));
        assert_eq!(explained["schema"], "route/v1");
        assert_eq!(explained["decision"], "forward");
        assert_eq!(explained["operation"]["key"], "GET shop:/limited");
        assert_eq!(explained["chain"][0]["policy"], "once");
        assert_eq!(explained["upstream"]["name"], "main");
    }
    assert_eq!(
        get(gwd.public(), "/limited").status,
        200,
        "the one token is still there"
    );
    let explained = explain(json!({"url": "http://h/mine"}));
    assert_eq!(
        (&explained["decision"], &explained["status"]),
        (&json!("reject"), &json!(401))
    );
    let explained = explain(json!({"url": "http://h/mine", "headers": {"x-key": "letmein"}}));
    assert_eq!(
        (&explained["decision"], &explained["consumer"]),
        (&json!("forward"), &json!("acme"))
    );
    assert!(!explained.to_string().contains("letmein"));
    let explained = explain(json!({"url": "http://h/nothing"}));
    assert_eq!(
        (&explained["decision"], &explained["reason"]),
        (&json!("none"), &json!("no_route"))
    );
    let bad = gwd.ask("POST", "/v1/explain", "{}");
    assert_eq!(
        (bad.status, &bad.json()["error"]["exit"]),
        (400, &json!(64))
    );
    let routes = gwd.ask("GET", "/v1/routes", "").json();
    assert_eq!(routes["routes"].as_array().unwrap().len(), 3);
    assert_eq!(routes["routes"][0]["path"], "/a");
}

#[test]
fn log_level_change_is_applied_and_logged() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let gwd = world.start();
    let answer = gwd.ask("PUT", "/v1/log-level", "{\"level\": \"debug\"}");
    assert_eq!(answer.json()["level"], "debug");
    assert_eq!(
        gwd.ask("PUT", "/v1/log-level", "{\"level\": \"loud\"}")
            .status,
        400
    );
    eventually("the change is logged", || {
        gwd.logged("the log level was set")
            .is_some_and(|event| event["level"] == "audit" && event["to"] == "debug")
    });
}

#[test]
fn the_description_and_the_interface_agree() {
    let text = include_str!("../../../specs/gwd-admin.yaml");
    let described: Vec<(String, String)> = {
        let mut path = String::new();
        let mut found = Vec::new();
        let mut in_paths = false;
        for line in text.lines() {
            if !line.starts_with(' ') && !line.trim().is_empty() {
                in_paths = line == "paths:";
            }
            if !in_paths {
                continue;
            }
            if line.starts_with("  /") {
                path = line.trim().trim_end_matches(':').to_owned();
            } else if let Some(method) = line
                .strip_prefix("    ")
                .and_then(|line| line.strip_suffix(':'))
                && matches!(method, "get" | "post" | "put" | "delete")
            {
                found.push((method.to_uppercase(), path.clone()));
            }
        }
        found
    };
    assert_eq!(described.len(), 17, "{described:?}");
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let gwd = world.start();
    for (method, path) in described {
        // Tests of their own: gwd ends, or the response has no end.
        if ["/v1/drain", "/v1/tail"].contains(&&*path) {
            continue;
        }
        let status = gwd.ask(&method, &path, "{}").status;
        assert!(
            ![401, 404, 405].contains(&status),
            "{method} {path}: {status}"
        );
    }
}

fn token_field() -> String {
    format!("authorization: Bearer {}\r\n", crate::world::TOKEN)
}

#[test]
fn order_whose_body_trickles_ends_in_time() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let gwd = world.start();
    let mut client = Client::connect(gwd.admin);
    let token = token_field();
    client.send(&format!(
        "POST /v1/notify HTTP/1.1\r\nhost: h\r\n{token}content-length: 20\r\n\r\n{{"
    ));
    let began = std::time::Instant::now();
    let answer = client.answer();
    assert_eq!(answer.status, 408);
    assert_eq!(answer.json()["error"]["code"], "body-timeout");
    assert!(began.elapsed() < std::time::Duration::from_secs(10));
    assert!(client.closed());
}

#[test]
fn metrics_reader_that_stalls_is_closed() {
    use std::io::Write as _;
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let gwd = world.start();
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&gwd.admin.into()).unwrap();
    let mut stream: std::net::TcpStream = socket.into();
    stream.set_write_timeout(Some(WAIT_MAX)).unwrap();
    let many = "GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
    let mut closed = None;
    for _ in 0..1_000 {
        if let Err(error) = stream.write_all(many.as_bytes()) {
            closed = Some(error.kind());
            break;
        }
    }
    use std::io::ErrorKind::{BrokenPipe, ConnectionReset};
    assert!(
        matches!(closed, Some(BrokenPipe | ConnectionReset)),
        "{closed:?}"
    );
    assert_eq!(gwd.open("/metrics").status, 200);
}

#[test]
fn health_checks_have_places_of_their_own() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let gwd = world.start();
    let token = token_field();
    let order =
        format!("POST /v1/notify HTTP/1.1\r\nhost: h\r\n{token}content-length: 20\r\n\r\n{{");
    let busy: Vec<Client> = (0..256)
        .map(|_| {
            let mut client = Client::connect(gwd.admin);
            client.send(&order);
            client
        })
        .collect();
    for path in ["/livez", "/readyz"] {
        assert_eq!(gwd.open(path).status, 200, "{path}");
    }
    // The gateway handles the requests one after the other, and waits at most two seconds for each
    // body.
    let ended = || busy.iter().any(Client::is_answered);
    eventually("only health checks are answered", || {
        let other = gwd.ask("GET", "/v1/status", "");
        let refused = other.status == 503;
        assert!(!refused || other.json()["error"]["code"] == "too-many-connections");
        refused || ended()
    });
    assert_eq!(gwd.open("/readyz").status, 200);
    eventually("the other requests have ended", || {
        gwd.ask("GET", "/v1/status", "").status == 200
    });
}

#[test]
fn host_of_the_admin_interface_is_checked() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let mut command = world.trusted();
    let gwd = Process::spawn(command.args(["--admin-host", "gw.internal"]));
    let ask = |host: &str, path: &str, fields: &str| {
        let mut client = Client::connect(gwd.admin);
        client.send(&format!("GET {path} HTTP/1.1\r\n{host}{fields}\r\n"));
        client.answer()
    };
    for good in [
        "127.0.0.1",
        "127.0.0.1:9901",
        "[::1]:9901",
        "LocalHost:1",
        "gw.internal:9901",
    ] {
        let answer = ask(&format!("host: {good}\r\n"), "/metrics", "");
        assert_eq!(answer.status, 200, "{good}");
    }
    for bad in [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil",
        "",
    ] {
        let host = format!("host: {bad}\r\n");
        let answer = ask(&host, "/metrics", "");
        assert_eq!(answer.status, 421, "{bad}");
        assert_eq!(answer.json()["error"]["code"], "host-not-allowed");
        assert_eq!(ask(&host, "/readyz", "").status, 200, "{bad}");
        assert_eq!(ask(&host, "/v1/status", "").status, 401, "{bad}");
    }
    // Two `Host` fields, then a host in the request target.
    let twice = "host: localhost\r\nhost: evil.example\r\n";
    assert_eq!(ask(twice, "/metrics", "").status, 421);
    for (host, status) in [("evil.example", 421), ("127.0.0.1:9901", 200)] {
        let target = format!("http://{host}/metrics");
        assert_eq!(
            ask("host: localhost\r\n", &target, "").status,
            status,
            "{host}"
        );
    }
    let host = "host: gw.example\r\n";
    assert_eq!(ask(host, "/metrics", &token_field()).status, 200);
}

#[test]
fn admin_socket_never_replaces_another_file() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&gateway(&upstream));
    let notes = world.path("notes");
    std::fs::write(&notes, "mine").unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gwd"));
    command
        .arg("run")
        .arg("--store")
        .arg(world.path("store"))
        .arg("--trust")
        .arg(world.path("trust.json"))
        .arg("--state")
        .arg(world.path("state"))
        .arg("--admin")
        .arg(format!("unix:{}", notes.display()));
    let output = world.fails(&mut command);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(65), "{stderr}");
    assert!(stderr.contains("is not a socket"), "{stderr}");
    assert_eq!(std::fs::read_to_string(&notes).unwrap(), "mine");
}

/// A client sends requests with a new key each until the alarm is raised. The rate-limit table has
/// 262,144 slots.
#[test]
fn flood_of_new_keys_raises_the_alarm() {
    let upstream = Upstream::saying("ok");
    let world = World::new();
    let limited = op("GET", "/a").policy("limit").policy("closed");
    let mut shop = shop(upstream.address, vec![limited]);
    shop.policies
        .push(rate_limit_by_header("limit", "x-tenant"));
    shop.policies.push(closed("closed"));
    let bundle = world.release(&shop.gateway());
    let gwd = Process::spawn(&mut world.trusted());
    gwd.wait_for(&bundle);
    let public = gwd.public();
    let alarms = || gwd.status()["alarms"].clone();
    assert_eq!(alarms(), json!([]));
    let crowded = || {
        let evicted = gwd.metric("gwd_ratelimit_evicted_total", &[]);
        evicted + gwd.metric("gwd_ratelimit_overflow_total", &[]) > 0.0
    };
    for round in 0..60 {
        std::thread::scope(|scope| {
            for thread in 0..2 {
                scope.spawn(move || {
                    let mut client = Client::connect(public);
                    for batch in 0..20 {
                        let key = |at: u32| {
                            format!("GET /a HTTP/1.1\r\nhost: h\r\nx-tenant: {round}-{thread}-{batch}-{at}\r\n\r\n")
                        };
                        client.send(&(0..500).map(key).collect::<String>());
                        for _ in 0..500 {
                            assert_eq!(client.answer().status, 503);
                        }
                    }
                });
            }
        });
        if crowded() {
            break;
        }
    }
    eventually("the alarm is raised", || {
        alarms() == json!(["rate-limit-table-full"])
    });
}
