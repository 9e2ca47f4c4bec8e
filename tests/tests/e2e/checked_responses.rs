//! Tests of the validation of responses over real sockets: bodies in chunks, long bodies, log
//! lines, HTTP/2, and the operator's switch.

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::{Answer, Upstream};
use e2e::wait;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
paths:
  /orders:
    get:
      operationId: list
      responses: &responses {"200": {description: ok, content: {application/json: {schema: {type: object, properties: {names: {type: array, items: {type: string, maxLength: 8}}}}}}}}
  /logged:
    get:
      operationId: logged
      x-gateway: {validate: {response: log}}
      responses: *responses
  /streamed:
    get:
      operationId: streamed
      x-gateway: {stream: true}
      responses: *responses
"#;

/// Starts a gateway and an upstream. The upstream answers `/orders?LENGTH` and the other paths
/// with LENGTH names. If the query ends in `x`, the last name is too long. If it ends in `t`, the
/// media type is text.
fn scene() -> (Upstream, Project, Gateway) {
    let upstream = Upstream::scripted(|seen| {
        let query = seen.target.split_once('?').map_or("0", |(_, query)| query);
        let count: usize = query
            .trim_end_matches(['x', 't'])
            .parse()
            .expect("a number");
        let mut names = vec!["\"abcd\""; count];
        if query.ends_with('x') {
            names.push("\"SECRET-NAME\"");
        }
        let mut answer = Answer::ok(format!("{{\"names\": [{}]}}", names.join(",")));
        let media_type = match query.ends_with('t') {
            true => "text/plain",
            false => "application/json",
        };
        answer.headers = vec![("content-type".to_owned(), media_type.to_owned())];
        answer
    });
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
         upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
         defaults: {{upstream: main, security: upstream, validate: {{response: block}}}}\n\
         release: {{store: releases, channel: prod}}\n",
        upstream.url(),
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    // With one worker, all requests share the upstream connections of that worker.
    let gateway = Options::of(&project).workers(1).start();
    for path in ["/orders", "/logged", "/streamed"] {
        // Compiling a validator may take longer than a response waits for it.
        wait::until("a compiled validator", || {
            let before = counted(&gateway, "valid");
            let _answer = gateway.ask(&get(path));
            (counted(&gateway, "valid") > before).then_some(())
        });
    }
    (upstream, project, gateway)
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\nhost: h")
}

fn counted(gateway: &Gateway, outcome: &str) -> f64 {
    let outcome = format!("outcome=\"{outcome}\"");
    let labels = ["kind=\"validate_response\"", outcome.as_str()];
    gateway.metrics().sum("gwd_policy_calls_total", &labels)
}

#[test]
fn responses_are_checked_at_all_lengths() {
    let (upstream, _project, gateway) = scene();
    // The worker checks a response without names; another thread checks one with 2,000 names.
    for count in [0, 2_000] {
        let valid = gateway.ask(&get(&format!("/orders?{count}")));
        assert_eq!(valid.status, 200, "{count}");
        let names = valid.json()["names"].as_array().map(Vec::len);
        assert_eq!(names, Some(count));
        let invalid = gateway.ask(&get(&format!("/orders?{count}x")));
        assert_eq!(invalid.status, 502, "{count}");
        let text = invalid.text();
        assert!(text.contains("\"code\":\"response_invalid\""), "{text}");
        assert!(
            text.contains("The service behind the gateway responded"),
            "{text}"
        );
        assert!(
            !text.contains("SECRET") && !text.contains("names"),
            "{text}"
        );
    }
    // The media type `application/grpc` in a GET request does not turn the exchange into gRPC.
    let grpc = "\r\ncontent-type: application/grpc";
    let claimed = gateway.ask(&format!("{}{grpc}", get("/orders?1x")));
    assert_eq!(claimed.status, 502);
    assert!(
        claimed.text().contains("\"code\":\"response_invalid\""),
        "{}",
        claimed.text()
    );
    // The gateway reuses an upstream connection only if it has read the invalid response
    // completely.
    let _earlier = upstream.take();
    for _ in 0..3 {
        assert_eq!(gateway.ask(&get("/orders?1x")).status, 502);
    }
    let connections: Vec<usize> = upstream.take().iter().map(|one| one.connection).collect();
    assert_eq!(connections, [connections[0]; 3]);
    // 200,000 names are longer than 1MiB.
    let long = gateway.ask(&get("/orders?200000"));
    assert_eq!(long.status, 502);
    assert!(
        long.text().contains("response_too_large"),
        "{}",
        long.text()
    );
    let streamed = gateway.ask(&get("/logged?200000x"));
    assert_eq!(streamed.status, 200);
    assert!(streamed.text().ends_with("\"SECRET-NAME\"]}"));
    assert_eq!(counted(&gateway, "unchecked"), 1.0);
    gateway.stops_clean();
}

#[test]
fn media_type_of_a_streamed_response_is_checked() {
    let (_upstream, _project, gateway) = scene();
    for path in ["/orders", "/streamed"] {
        let text = gateway.ask(&get(&format!("{path}?1t")));
        assert_eq!(text.status, 502, "{path}");
        assert!(text.text().contains("response_invalid"), "{}", text.text());
    }
    // The body itself is not read.
    assert_eq!(gateway.ask(&get("/streamed?1x")).status, 200);
    gateway.stops_clean();
}

#[test]
fn log_has_the_rule_and_no_value() {
    let (_upstream, _project, gateway) = scene();
    let logged = gateway.ask(&get("/logged?1x"));
    assert_eq!(logged.status, 200);
    assert!(logged.text().contains("SECRET-NAME"));
    let line = |response: &e2e::client::Response| {
        let id = response.header("x-request-id").expect("an id");
        gateway.access_log().line(id)
    };
    let found = "body #/names/1 must have at most 8 characters";
    let noted = line(&logged);
    assert_eq!(noted["would_refuse"], "response_invalid", "{noted}");
    assert_eq!(noted["invalid_response"], found, "{noted}");
    let refused = gateway.ask(&get("/orders?1x"));
    assert_eq!(refused.status, 502);
    let refused = line(&refused);
    assert_eq!(refused["reason"], "response_invalid", "{refused}");
    assert_eq!(refused["reason_detail"], found, "{refused}");
    assert_eq!(refused["error_origin"], "upstream", "{refused}");
    assert!(!format!("{noted}{refused}").contains("SECRET"));
    wait::until("counted", || {
        let reason = ["policy=\"validate\"", "reason=\"response_invalid\""];
        let metrics = gateway.metrics();
        let refused = metrics.sum("gwd_rejections_total", &reason);
        let logged = metrics.sum("gwd_rejections_logged_total", &reason);
        (refused >= 1.0 && logged >= 1.0).then_some(())
    });
    gateway.stops_clean();
}

#[test]
fn operator_limits_the_check_of_responses() {
    let (_upstream, _project, gateway) = scene();
    for (mode, status) in [("log", 200), ("off", 200), ("restore", 502)] {
        let order = serde_json::json!({"mode": mode, "reason": "paged"});
        assert_eq!(
            gateway.admin_ask("PUT", "/v1/validation", &order).status,
            200
        );
        assert_eq!(gateway.ask(&get("/orders?1x")).status, status, "{mode}");
    }
    gateway.stops_clean();
}

/// The gateway forwards chunks and trailers of a valid response to the client. It replaces a
/// response whose body ends early by 502.
#[test]
fn chunked_responses_are_checked() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let serves = std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).expect("a byte") == 0 {
                    return;
                }
                head.extend(byte);
            }
            let head = String::from_utf8(head).expect("text");
            let mut answer =
                "HTTP/1.1 200 x\r\nconnection: close\r\ncontent-type: application/json\r\n\
                 transfer-encoding: chunked\r\n\r\n9\r\n{\"names\":\r\n"
                    .to_owned();
            if head.starts_with("GET /orders?whole") {
                answer.push_str("6\r\n[\"ab\"]\r\n1\r\n}\r\n0\r\nx-sum: 1\r\n\r\n");
            }
            stream.write_all(answer.as_bytes()).expect("sent");
            if head.starts_with("GET /orders?last") {
                return;
            }
        }
    });
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
         upstreams: {{main: {{targets: {{a: {{url: \"http://{address}\"}}}}}}}}\n\
         defaults: {{upstream: main, security: upstream, validate: {{response: block}}}}\n\
         release: {{store: releases, channel: prod}}\n",
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).start();
    let whole = wait::until("a compiled validator", || {
        let whole = gateway.ask(&get("/orders?whole"));
        (whole.status != 503).then_some(whole)
    });
    assert_eq!(
        (whole.status, whole.text().as_str()),
        (200, "{\"names\":[\"ab\"]}")
    );
    let early = gateway.ask(&get("/orders?last"));
    assert_eq!(early.status, 502);
    assert!(early.text().contains("upstream_reset"), "{}", early.text());
    serves.join().expect("served");
    gateway.stops_clean();
}
