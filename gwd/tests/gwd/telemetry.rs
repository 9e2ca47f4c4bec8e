//! Telemetry of requests: metrics and logs.

use serde_json::Value;

use crate::fixture::*;
use crate::frames::*;
use crate::http2::http2;
use crate::world::{Process, World, numbered};
use gwd::node::AccessLog;

fn logged() -> (Upstream, Served, tempfile::TempDir, std::path::PathBuf) {
    let upstream = Upstream::saying("hello");
    let mut shop = shop(
        upstream.address,
        vec![
            op("GET", "/orders/{id}").secured("key"),
            op("POST", "/orders"),
            op("GET", "/query").secured("query"),
            op("GET", "/dead").upstream("dead"),
        ],
    );
    shop.upstreams.push(service("dead", &[dead()]));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let served = shop.serve_with(1, AccessLog::File(path.clone()));
    (upstream, served, folder, path)
}

fn lines(path: &std::path::Path, count: usize) -> Vec<Value> {
    let mut lines = Vec::new();
    eventually("the lines are written", || {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        lines = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}")))
            .collect();
        lines.len() >= count
    });
    assert_eq!(lines.len(), count, "{lines:#?}");
    lines
}

#[test]
fn one_line_per_request_with_everything_that_is_known() {
    let (upstream, served, _folder, path) = logged();
    let answer = fetch(
        served.address,
        "GET",
        "/orders/./7?a=1",
        "x-key: letmein\r\nuser-agent: \"t\"\r\nreferer: https://a.example/b?c=d\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n",
    );
    let line = &lines(&path, 1)[0];
    let expected = serde_json::json!({
        "level": "info", "node_id": "test", "channel": "prod", "listener": "public", "serial": 1,
        "referer": "https://a.example/b",
        "bundle": bundle::digest::Digest::of(b"one").to_string(),
        "route_id": "GET shop:/orders/{id}@shop", "operation_id": "GET shop:/orders/{id}",
        "consumer_id": "acme", "auth_method": "key", "client_ip": "127.0.0.1",
        "peer_ip": "127.0.0.1", "http_method": "GET", "host": "shop.example",
        "path": "/orders/7", "query": "a=1", "protocol": "HTTP/1.1", "status": 200,
        "error_origin": "none", "upstream": "main",
        "upstream_host": upstream.address.to_string(), "upstream_status": 200, "attempts": 1,
        "bytes_in": 0, "bytes_out": 5, "user_agent": "\"t\"",
        "request_id": answer.field("x-request-id")[0],
        "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736",
    });
    for (key, value) in expected.as_object().unwrap() {
        assert_eq!(line[key], *value, "{key}: {line:#}");
    }
    for time in [
        "duration_ms",
        "overhead_ms",
        "upstream_connect_ms",
        "upstream_ttfb_ms",
        "upstream_total_ms",
    ] {
        assert!(line[time].as_f64().unwrap() > 0.0, "{time}: {line:#}");
    }
    assert!(line["overhead_ms"].as_f64() < line["duration_ms"].as_f64());
    let stamp = line["timestamp"].as_str().unwrap();
    assert!(stamp.starts_with("20") && stamp.ends_with('Z'), "{stamp}");
    assert_eq!(line.get("reason"), None);
}

#[test]
fn refusals_and_accidents_have_their_reason() {
    let (_upstream, served, _folder, path) = logged();
    get(served.address, "/nothing/%41");
    fetch(served.address, "GET", "/orders/7", "");
    get(served.address, "/dead");
    get(served.address, "/a/%00");
    fetch(served.address, "POST", "/orders", "content-length: 0\r\n");
    let lines = lines(&path, 5);
    let logged_line = |index: usize| {
        let line: &Value = &lines[index];
        (
            line["status"].as_u64().unwrap(),
            line["reason"].as_str().unwrap_or("-").to_owned(),
            line["error_origin"].as_str().unwrap().to_owned(),
            line["path"].as_str().unwrap().to_owned(),
        )
    };
    let tuple = |status, reason: &str, origin: &str, path: &str| {
        (
            status,
            reason.to_owned(),
            origin.to_owned(),
            path.to_owned(),
        )
    };
    assert_eq!(
        logged_line(0),
        tuple(404, "no_route", "gateway", "/nothing/A")
    );
    assert_eq!(
        logged_line(1),
        tuple(401, "credential_missing", "gateway", "/orders/7")
    );
    assert_eq!(
        logged_line(2),
        tuple(502, "upstream_connect_failed", "upstream", "/dead")
    );
    assert!(
        lines[2]["reason_detail"]
            .as_str()
            .unwrap()
            .contains("refused")
    );
    assert_eq!(
        logged_line(3),
        tuple(400, "path_invalid", "gateway", "/a/%00")
    );
    assert_eq!(logged_line(4), tuple(200, "-", "none", "/orders"));
}

#[test]
fn credentials_never_reach_the_log() {
    let (_upstream, served, _folder, path) = logged();
    get(served.address, "/query?shopkey=letmein&a=1");
    get(served.address, "/query?shopkey=wrong-one&a=1");
    get(served.address, "/nothing?access_token=letmein");
    fetch(served.address, "GET", "/orders/1", "x-key: letmein\r\n");
    // User information in targets that no operation describes.
    for target in [
        "/http://joe:letmein@h/x",
        "http://joe:letmein@shop.example/nothing",
        "/nothing/joe%3Aletmein%40h",
        "/%00/joe:letmein@h",
    ] {
        let status = get(served.address, target).status;
        assert!([400, 404].contains(&status), "{target}: {status}");
    }
    lines(&path, 8);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(
        !text.contains("letmein") && !text.contains("wrong-one"),
        "{text}"
    );
    assert!(text.contains("shopkey=REDACTED&a=1"), "{text}");
}

#[test]
fn metrics_count_by_route_and_never_by_path() {
    let (_upstream, served, _folder, _path) = logged();
    for id in 0..5 {
        fetch(
            served.address,
            "GET",
            &format!("/orders/{id}"),
            "x-key: letmein\r\n",
        );
        get(served.address, &format!("/nowhere/{id}"));
    }
    fetch(served.address, "GET", "/orders/7", "");
    fetch(served.address, "BREW", "/orders/7", "");
    let route = "route_id=\"GET shop:/orders/{id}@shop\"";
    let template = "http_route=\"/orders/{id}\"";
    let count = "http_server_request_duration_seconds_count";
    assert_eq!(
        served.metric(count, &[route, template, "code=\"200\""]),
        5.0
    );
    let sent = "http_server_response_body_bytes_total";
    assert!(served.metric(sent, &[route, template]) > 0.0);
    assert_eq!(
        served.metric(count, &[route, "code=\"401\"", "credential_missing"]),
        1.0
    );
    assert_eq!(served.metric(count, &["_unmatched", "code=\"404\""]), 5.0);
    assert_eq!(
        served.metric(count, &["_unmatched", "method=\"_OTHER\""]),
        1.0
    );
    assert_eq!(served.metric("gwd_overhead_seconds_count", &[route]), 6.0);
    assert_eq!(
        served.metric(
            "http_client_request_duration_seconds_count",
            &["upstream=\"main\"", "200"]
        ),
        5.0
    );
    let rejected = ["credential_missing", "policy=\"authenticate\""];
    assert_eq!(served.metric("gwd_rejections_total", &rejected), 1.0);
    assert_eq!(
        served.metric("gwd_rejections_total", &["no_route", "policy=\"router\""]),
        5.0
    );
    let text = served.node.metrics();
    assert!(!text.contains("nowhere"), "{text}");
    assert!(served.metric("process_resident_memory_bytes", &[]) > 1e6);
    assert!(served.metric("process_open_fds", &[]) > 3.0);
    assert!(
        served.metric(
            "http_server_request_duration_seconds_bucket",
            &["le=\"10\""]
        ) >= 12.0
    );
    let upstream = "upstream=\"main\"";
    let received = "http_client_response_body_bytes_total";
    assert_eq!(served.metric(received, &[upstream]), 5.0 * 5.0);
    assert_eq!(
        served.metric("http_client_request_body_bytes_total", &[upstream]),
        0.0
    );
    let mut client = Client::connect(served.address);
    client.send("POST /orders HTTP/1.1\r\nhost: h\r\ncontent-length: 3000\r\n\r\n");
    client.send(&"x".repeat(3_000));
    assert_eq!(client.answer().status, 200);
    let posted = "route_id=\"POST shop:/orders@shop\"";
    eventually("the upload is counted", || {
        served.metric("http_server_request_body_bytes_total", &[posted]) == 3_000.0
    });
    assert_eq!(served.metric(sent, &[posted]), 5.0);
    assert_eq!(
        served.metric("http_client_request_body_bytes_total", &[upstream]),
        3_000.0
    );
    assert_eq!(served.metric(received, &[upstream]), 6.0 * 5.0);
}

#[test]
fn moved_log_is_reopened_and_a_full_disk_loses_lines() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let folder = tempfile::tempdir().unwrap();
    let (log, moved) = (folder.path().join("log"), folder.path().join("log.1"));
    let served = shop.serve_with(1, AccessLog::File(log.clone()));
    let lines = |path: &std::path::Path| {
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.lines().count()
    };
    assert_eq!(get(served.address, "/a").status, 200);
    eventually("the request is logged", || lines(&log) == 1);
    std::fs::rename(&log, &moved).unwrap();
    assert_eq!(get(served.address, "/a").status, 200);
    eventually("the request is in the new file", || lines(&log) == 1);
    assert_eq!(lines(&moved), 1);

    let served = shop.serve_with(1, AccessLog::File("/dev/full".into()));
    assert_eq!(get(served.address, "/a").status, 200);
    eventually("a lost line is counted", || {
        served.metric("gwd_log_dropped_total", &[]) == 1.0
    });
}

#[test]
fn full_log_is_rotated_and_the_oldest_deleted() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/{n}")]);
    let folder = tempfile::tempdir().unwrap();
    let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    let rotation = gwd::node::Rotation {
        max_bytes: 1,
        keep: 2,
    };
    let log = AccessLog::Rotated(folder.path().join("log"), rotation);
    let served = shop.serve_with(1, log);
    for path in ["/one", "/two", "/three", "/four"] {
        assert_eq!(get(served.address, path).status, 200);
        eventually("the request is logged", || text("log").contains(path));
    }
    let kept = ["log", "log.1", "log.2"].map(text);
    for (text, path) in kept.iter().zip(["/four", "/three", "/two"]) {
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains(path), "{text}");
    }
    assert!(!folder.path().join("log.3").exists());
    assert_eq!(served.metric("gwd_log_dropped_total", &[]), 0.0);
}

#[test]
fn blocked_program_log_delays_nothing() {
    use std::io::{BufRead as _, BufReader};
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let mut child = world
        .trusted()
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut next = || -> Value { serde_json::from_str(&log.next().unwrap().unwrap()).unwrap() };
    let admin = loop {
        if let Some(admin) = next()["admin"].as_str() {
            break admin.parse().unwrap();
        }
    };
    let gwd = Process::of(child, admin);
    // Change the level often enough to fill the log's pipe of 64 KiB: each change logs more than a
    // hundred bytes.
    let level = |level: &str| {
        let answer = gwd.ask(
            "PUT",
            "/v1/log-level",
            &format!("{{\"level\": \"{level}\"}}"),
        );
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    for _ in 0..400 {
        level("warn");
        level("info");
    }
    let dropped = gwd.metric("gwd_log_dropped_total", &[]);
    assert!((1.0..800.0).contains(&dropped), "{dropped}");
    assert_eq!(get(gwd.public(), "/v1").status, 200);
    // The output has complete lines until the pipe is full, then the number of dropped lines.
    let mut reported = 0;
    while reported == 0 {
        let line = next();
        reported = line["lines"].as_u64().unwrap_or(0);
        level("warn");
    }
    assert!(reported as f64 >= dropped, "{reported} {dropped}");
    gwd.kill();
}

#[test]
fn event_loop_lag_of_each_worker_is_reported() {
    let upstream = Upstream::saying("ok");
    let shop = shop(upstream.address, vec![op("GET", "/a")]);
    let served = shop.serve_with(2, AccessLog::Off);
    for worker in ["worker=\"0\"", "worker=\"1\""] {
        let turns = || served.metric("gwd_worker_loop_lag_seconds_count", &[worker]);
        eventually("the worker's turns are measured", || turns() >= 2.0);
    }
}

#[test]
fn refused_heads_have_a_line_in_the_access_log() {
    let (_upstream, served, _folder, path) = logged();
    let mut requests = vec![
        ("400 head_invalid", "GET /a\u{202e} HTTP/9\r\nauthorization: Bearer secret\r\n\r\n".to_owned(), "GET /a\\xe2\\x80\\xae HTTP/9"),
        ("400 head_invalid", "\u{16}\u{3}\u{1}\0\0\r\n\r\n".into(), "\\x16\\x03\\x01\\x00\\x00"),
        ("400 framing_invalid", "POST /a?token=secret HTTP/1.1\r\nhost: h\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n".into(), "POST /a"),
        ("431 headers_too_large", format!("GET /b HTTP/1.1\r\nhost: h\r\nx: {}\r\n\r\n", "x".repeat(70_000)), "GET /b HTTP/1.1"),
    ];
    for (number, (status_and_reason, head, start)) in requests.drain(..).enumerate() {
        let mut client = Client::connect(served.address);
        client.send(&head);
        let answer = client.rest_or_head();
        assert!(
            answer.contains(&status_and_reason[..3]),
            "{status_and_reason}: {answer}"
        );
        let line = lines(&path, number + 1).pop().unwrap();
        let (status, reason) = status_and_reason.split_once(' ').unwrap();
        assert_eq!(line["status"].to_string(), status, "{line:#}");
        assert_eq!(line["reason"], reason, "{line:#}");
        assert_eq!(line["peer_ip"], "127.0.0.1", "{line:#}");
        assert_eq!(line["error_origin"], "client", "{line:#}");
        assert!(line["timestamp"].is_string(), "{line:#}");
        let shown = line["head_start"].as_str().unwrap();
        assert!(shown.starts_with(start) && shown.len() <= 200, "{line:#}");
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.is_ascii() && !text.contains("secret"), "{text}");
}

#[test]
fn refused_http2_heads_have_a_line_in_the_log() {
    let upstream = Upstream::saying("hello");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let shop = http2(shop(upstream.address, vec![op("POST", "/a")]));
    let served = shop.serve_with(1, AccessLog::File(path.clone()));
    let pseudo = [(":method", "GET"), (":scheme", "http"), (":authority", "h")];
    let mut large = request("GET", &[]);
    (0..700).for_each(|_| large.extend(field("x-secret", "s".repeat(100))));
    let head = |block: &[u8]| frame(HEADERS, END | END_HEADERS, 1, block);
    let pieces: Vec<&[u8]> = large.chunks(16_000).collect();
    let last = pieces.len() - 1;
    let long = pieces.iter().enumerate().flat_map(|(at, piece)| {
        let kind = if at == 0 { HEADERS } else { CONTINUATION };
        let flags = if at == 0 { END } else { 0 } | if at == last { END_HEADERS } else { 0 };
        frame(kind, flags, 1, piece)
    });
    let cases = [
        ("head_invalid", head(&request("GET", &[("X-Secret", "1")]))),
        (
            "head_invalid",
            head(&request("GET", &[("x-secret", "a\nb")])),
        ),
        ("head_invalid", head(&fields(&pseudo))),
        (
            "head_invalid",
            head(&request("GET", &[("connection", "secret")])),
        ),
        (
            "head_invalid",
            head(&request("GET", &[("content-length", "5")])),
        ),
        ("headers_too_large", long.collect()),
        ("http2_compression_error", head(&[0x80])),
        ("http2_stream_closed", frame(DATA, END, 1, b"x")),
        (
            "http2_flow_control_error",
            frame(WINDOW_UPDATE, 0, 0, &0x7FFF_FFFF_u32.to_be_bytes()),
        ),
    ];
    let mut count = 0;
    for (reason, bytes) in cases {
        // In this case the log also has a line for the request whose stream was closed.
        let own = usize::from(reason == "http2_stream_closed");
        let mut raw = Raw::connect(served.address);
        if own > 0 {
            raw.send(&asks(1));
            assert!(raw.find(|frame| frame.kind == HEADERS).is_some());
        }
        raw.send(&bytes);
        let end = raw.find(|frame| matches!(frame.kind, HEADERS | RST_STREAM | GOAWAY));
        assert!(end.is_some(), "{reason}");
        count += 1 + own;
        let all = lines(&path, count);
        let line = all
            .iter()
            .rev()
            .take(1 + own)
            .find(|line| line["reason"] == reason);
        let line = line.unwrap_or_else(|| panic!("{reason}: {all:#?}"));
        let status = if reason == "headers_too_large" {
            431.into()
        } else {
            Value::Null
        };
        assert_eq!(line["status"], status, "{line:#}");
        assert_eq!(line["protocol"], "HTTP/2", "{line:#}");
        assert_eq!(line["peer_ip"], "127.0.0.1", "{line:#}");
        assert_eq!(line["error_origin"], "client", "{line:#}");
        assert!(line["timestamp"].is_string(), "{line:#}");
    }
    // A request with a malformed body has exactly one line.
    let mut raw = Raw::connect(served.address);
    raw.send(&begins(1));
    raw.send(&frame(DATA, 0, 1, b"ab"));
    raw.send(&frame(
        HEADERS,
        END | END_HEADERS,
        1,
        &fields(&[(":path", "/secret")]),
    ));
    assert!(raw.find(|frame| frame.kind == RST_STREAM).is_some());
    raw.send(&asks(3));
    assert!(raw.find(|frame| frame.stream == 3).is_some());
    let own = lines(&path, count + 2).split_off(count);
    assert!(
        own.iter().all(|line| line["reason"] != "head_invalid"),
        "{own:#?}"
    );
    let invalid = served.metric("gwd_rejections_total", &["reason=\"head_invalid\""]);
    assert_eq!(invalid, 5.0);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.is_ascii() && !text.contains("secret"), "{text}");
}

#[test]
fn head_that_does_not_end_has_a_line_in_the_log() {
    let upstream = Upstream::saying("hello");
    let mut shop = shop(upstream.address, vec![op("GET", "/a")]);
    shop.listener.limits.header_timeout_ms = 200;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("access.log");
    let served = shop.serve_with(1, AccessLog::File(path.clone()));
    let mut client = Client::connect(served.address);
    client.send("GET /a HTTP/1.1\r\nhost");
    assert!(client.rest_or_head().contains(" 408 "));
    let line = lines(&path, 1).pop().unwrap();
    assert_eq!(line["status"], 408, "{line:#}");
    assert_eq!(line["reason"], "header_timeout", "{line:#}");
    assert_eq!(line["head_start"], "GET /a HTTP/1.1", "{line:#}");
}

#[test]
fn hidden_characters_of_requests_are_escaped() {
    let (_upstream, served, _folder, path) = logged();
    fetch(
        served.address,
        "GET",
        "/nothing",
        "user-agent: a\u{202e}b\u{9b}c\u{200b}d\r\n",
    );
    let line = lines(&path, 1).pop().unwrap();
    assert_eq!(line["user_agent"], "a\u{202e}b\u{9b}c\u{200b}d");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(r"a\u202eb\u009bc\u200bd"), "{text}");
}

#[test]
fn state_and_logs_are_closed_whatever_the_umask_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let upstream = Upstream::saying("ok");
    let world = World::new();
    world.release(&numbered(&upstream, 1));
    let log = world.path("access.log");
    let plain = world.trusted();
    for umask in ["000", "077"] {
        let mut command = std::process::Command::new("/bin/sh");
        command
            .args(["-c", &format!("umask {umask}; exec \"$0\" \"$@\"")])
            .arg(plain.get_program())
            .args(plain.get_args())
            .arg("--access-log")
            .arg(&log)
            .env_clear();
        for (name, value) in plain.get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        let gwd = Process::spawn(&mut command);
        assert_eq!(get(gwd.public(), "/v1").status, 200);
        eventually("the log is written", || {
            std::fs::metadata(&log).is_ok_and(|data| data.len() > 0)
        });
        gwd.kill();
        let mode =
            |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&log), 0o640, "{umask}");
        let mut folders = vec![world.path("state")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            assert_eq!(mode(&folder), 0o700, "{}", folder.display());
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => {
                        files += 1;
                        assert_eq!(mode(&path), 0o600, "{}", path.display());
                    }
                }
            }
        }
        assert!(files > 5);
        std::fs::remove_dir_all(world.path("state")).unwrap();
        std::fs::remove_file(&log).unwrap();
    }
}

#[test]
fn secrets_of_every_place_stay_out_of_the_log() {
    let (_upstream, served, _folder, path) = logged();
    let fields = "cookie: sid=s3cr3t; shopkey=s3cr3t\r\nauthorization: Bearer s3cr3t\r\n\
                  x-key: s3cr3t\r\nproxy-authorization: Basic s3cr3t\r\n\
                  referer: https://a.example/b?token=s3cr3t#access_token=s3cr3t\r\n\
                  client-cert: :s3cr3t:\r\n";
    for query in [
        "a=1;shopkey=s3cr3t",
        "shopkey=s3cr3t;a=1&shopkey=s3cr3t",
        "sho%70key=s3cr3t",
        "a=1&b=2;shopkey=s3cr3t;c=3",
    ] {
        fetch(served.address, "GET", &format!("/query?{query}"), fields);
        fetch(served.address, "GET", &format!("/nowhere?{query}"), fields);
    }
    // Send parts of another request instead of a request head.
    for rest in ["Authorization: s3cr3t", "Cookie:sid=s3cr3t x"] {
        Client::connect(served.address).send(&format!("{rest}\r\n\r\n"));
    }
    let lines = lines(&path, 10);
    for line in &lines {
        assert!(!line.to_string().contains("s3cr3t"), "{line:#}");
    }
}
