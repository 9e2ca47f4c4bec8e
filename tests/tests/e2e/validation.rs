//! Tests of request validation over real sockets: bodies in pieces, bodies that are too long,
//! clients that stop, and switches of versions.

use std::process::Command;
use std::time::{Duration, Instant};

use e2e::client::Response;
use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::Upstream;
use e2e::wait;

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
paths:
  /orders:
    post:
      operationId: make
      requestBody:
        required: true
        content:
          application/json:
            schema: {type: object, required: [name], properties: {name: {type: string, maxLength: 8}}}
          multipart/form-data:
            schema: {type: object, properties: {file: {type: string}}}
      responses: {"200": {description: ok}}
  /upload:
    post:
      operationId: upload
      x-gateway: {max_body: 64MiB}
      requestBody: {required: true, content: {multipart/form-data: {schema: {type: object, properties: {file: {type: string}}}}}}
      responses: {"200": {description: ok}}
  /parts:
    post:
      operationId: parts
      requestBody: {required: true, content: {multipart/form-data: {schema: {type: object, properties: {file: {type: string}}}}}}
      responses: {"200": {description: ok}}
  /forms:
    post:
      operationId: forms
      x-gateway: {max_body: 64MiB}
      requestBody: {required: true, content: {application/x-www-form-urlencoded: {schema: {type: object, properties: {a: {type: integer}}}}}}
      responses: {"200": {description: ok}}
  /patterns:
    post:
      operationId: patterns
      requestBody:
        content:
          application/json:
            schema: {type: object, properties: {a: {pattern: '^(a+)+$'}, b: {pattern: '^(a|a)*$'}, c: {pattern: '^(a?){50}a{50}a*$'}}}
      responses: {"200": {description: ok}}
  /logged:
    post:
      operationId: log
      x-gateway: {validate: {request: log}}
      requestBody: {content: {application/json: {schema: {type: object, required: [name]}}}}
      responses: {"200": {description: ok}}
"#;

struct Scene {
    project: Project,
    gateway: Gateway,
    upstream: Upstream,
}

impl Scene {
    fn new() -> Self {
        Self::with(&[], "")
    }

    /// Starts a gateway with additional arguments and with limits at its listener.
    fn with(arguments: &[&str], limits: &str) -> Self {
        let upstream = Upstream::start();
        let gateway = format!(
            "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:8080\"{limits}}}}}\n\
             upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n\
             defaults: {{upstream: main, security: upstream, validate: {{request: block}}}}\n\
             release: {{store: releases, channel: prod}}\n",
            upstream.url(),
        );
        let project = Project::with(&gateway, DOCUMENT);
        project.keygen();
        project.apply();
        let scene = Self {
            gateway: Options::of(&project).arguments(arguments).start(),
            project,
            upstream,
        };
        warm(&scene);
        scene
    }

    fn outcomes(&self, outcome: &str) -> f64 {
        let outcome = format!("outcome=\"{outcome}\"");
        let labels = ["kind=\"validate\"", outcome.as_str()];
        self.gateway
            .metrics()
            .sum("gwd_policy_calls_total", &labels)
    }
}

/// Sends a request repeatedly until its validator is compiled. On a busy machine, compiling may
/// take longer than the 20ms for which gwd waits.
fn compiled(scene: &Scene, path: &str, fields: &str, body: &str) -> Response {
    wait::until("a compiled validator", || {
        let mut connection = scene.gateway.connect();
        let _sent = connection.send(&post(path, fields, body));
        let response = connection.read_response(false).ok()?;
        let is_compiling = response.text().contains("validator_unavailable");
        (!is_compiling).then_some(response)
    })
}

/// Waits until the validators of all operations are compiled.
fn warm(scene: &Scene) {
    let fields = "content-type: text/csv\r\ncontent-length: 1";
    for path in [
        "/orders",
        "/logged",
        "/upload",
        "/parts",
        "/forms",
        "/patterns",
    ] {
        let _refused = compiled(scene, path, fields, "a");
    }
    wait::until("a compiled validator", || {
        let before = scene.outcomes("invalid");
        let _passed = compiled(scene, "/logged", fields, "a");
        (scene.outcomes("invalid") > before).then_some(())
    });
    let _forwarded = scene.upstream.take();
}

fn post(path: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("POST {path} HTTP/1.1\r\nhost: h\r\n{fields}\r\n\r\n{body}").into_bytes()
}

const JSON_CHUNKED: &str = "content-type: application/json\r\ntransfer-encoding: chunked";

#[test]
fn chunked_body_is_checked_and_the_connection_stays() {
    let scene = Scene::new();
    let mut connection = scene.gateway.connect();
    let bad = "a\r\n{\"name\": \"\r\nb\r\nSECRET-TEXT\r\n2\r\n\"}\r\n0\r\n\r\n";
    connection
        .send(&post("/orders", JSON_CHUNKED, bad))
        .expect("sent");
    let refused = connection.read_response(false).expect("a response");
    assert_eq!(refused.status, 400, "{}", refused.text());
    let errors = &refused.json()["errors"];
    assert_eq!(errors[0]["pointer"], "#/name", "{errors}");
    assert!(!refused.text().contains("SECRET"), "{}", refused.text());
    assert!(scene.upstream.take().is_empty());
    let good = "a\r\n{\"name\": \"\r\n3\r\nabc\r\n2\r\n\"}\r\n0\r\n\r\n";
    connection
        .send(&post("/orders", JSON_CHUNKED, good))
        .expect("sent");
    let passed = connection.read_response(false).expect("a response");
    assert_eq!(passed.status, 200, "{}", passed.text());
    assert_eq!(scene.upstream.take()[0].body, b"{\"name\": \"abc\"}");
    scene.gateway.stops_clean();
}

#[test]
fn waiting_client_gets_100_before_its_body() {
    let scene = Scene::new();
    let mut connection = scene.gateway.connect();
    let fields = "content-type: application/json\r\ncontent-length: 2\r\nexpect: 100-continue";
    connection.send(&post("/orders", fields, "")).expect("sent");
    let head = connection.read_head().expect("a head");
    assert!(head.line.contains(" 100 "), "{}", head.line);
    connection.send(b"{}").expect("sent");
    let refused = connection.read_response(false).expect("a response");
    assert_eq!(refused.status, 400, "{}", refused.text());
    // gwd refuses an undescribed media type before it requests the body with 100 (Continue).
    let mut connection = scene.gateway.connect();
    let fields = "content-type: text/csv\r\ncontent-length: 2\r\nexpect: 100-continue";
    connection.send(&post("/orders", fields, "")).expect("sent");
    let head = connection.read_head().expect("a head");
    assert!(head.line.contains(" 415 "), "{}", head.line);
    scene.gateway.stops_clean();
}

#[test]
fn long_bodies_are_413_and_uploads_are_streamed() {
    let scene = Scene::new();
    let long = "a".repeat(2 << 20);
    let json = format!("{{\"name\": \"{long}\"}}");
    let fields = format!(
        "content-type: application/json\r\ncontent-length: {}",
        json.len()
    );
    let mut connection = scene.gateway.connect();
    // Ignore errors: gwd may respond and close the connection before the whole body is sent.
    let _sent = connection.send(&post("/orders", &fields, &json));
    let refused = connection.read_response(false).expect("a response");
    assert_eq!(refused.status, 413, "{}", refused.text());
    assert!(scene.upstream.take().is_empty());
    // A form that is too long to be checked is refused. Otherwise, long padding could hide the
    // invalid parameter `a` from the check.
    let padded = format!("b={}&a=x", "a".repeat(9 << 20));
    let form =
        format!("--x\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\n{long}\r\n--x--\r\n");
    for (path, media_type, body) in [
        ("/forms", "application/x-www-form-urlencoded", &padded),
        ("/parts", "multipart/form-data; boundary=x", &form),
    ] {
        let fields = format!(
            "content-type: {media_type}\r\ncontent-length: {}",
            body.len()
        );
        let mut connection = scene.gateway.connect();
        let _sent = connection.send(&post(path, &fields, body));
        let refused = connection.read_response(false).expect("a response");
        assert_eq!(refused.status, 413, "{path} {}", refused.text());
        assert!(scene.upstream.take().is_empty());
    }
    let long = "a".repeat(9 << 20);
    let form =
        format!("--x\r\ncontent-disposition: form-data; name=\"file\"\r\n\r\n{long}\r\n--x--\r\n");
    let fields = format!(
        "content-type: multipart/form-data; boundary=x\r\ncontent-length: {}",
        form.len()
    );
    for fields in [
        fields.as_str(),
        "content-type: multipart/form-data; boundary=x\r\ntransfer-encoding: chunked",
    ] {
        let body = match fields.contains("chunked") {
            true => format!("{:x}\r\n{form}\r\n0\r\n\r\n", form.len()),
            false => form.clone(),
        };
        let mut connection = scene.gateway.connect();
        connection
            .send(&post("/upload", fields, &body))
            .expect("sent");
        let passed = connection.read_response(false).expect("a response");
        assert_eq!(passed.status, 200, "{}", passed.text());
        assert!(scene.upstream.take()[0].body == form.as_bytes());
    }
    assert_eq!(scene.outcomes("unchecked"), 2.0);
    scene.gateway.stops_clean();
}

#[test]
fn body_that_ends_early_is_no_finding() {
    let scene = Scene::new();
    let mut connection = scene.gateway.connect();
    let bad = "5\r\n{\"nam\r\nzz\r\n";
    connection
        .send(&post("/orders", JSON_CHUNKED, bad))
        .expect("sent");
    let refused = connection.read_response(false).expect("a response");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["code"], "request_body_invalid");
    assert!(scene.upstream.take().is_empty());
    scene.gateway.stops_clean();
}

#[test]
fn logged_findings_have_rules_and_no_values() {
    let scene = Scene::new();
    let body = "{\"nom\": \"SECRET\"}";
    let fields = format!(
        "content-type: application/json\r\ncontent-length: {}",
        body.len()
    );
    let mut connection = scene.gateway.connect();
    connection
        .send(&post("/logged", &fields, body))
        .expect("sent");
    let passed = connection.read_response(false).expect("a response");
    assert_eq!(passed.status, 200, "{}", passed.text());
    assert_eq!(scene.upstream.take()[0].body, body.as_bytes());
    let id = passed.header("x-request-id").expect("an id");
    let line = scene.gateway.access_log().line(id);
    assert_eq!(line["would_refuse"], "request_invalid");
    assert_eq!(line["invalid"], "body # must have the property \"name\"");
    assert!(!line.to_string().contains("SECRET"), "{line}");
    wait::until("counted", || {
        let labels = ["reason=\"request_invalid\""];
        let metrics = scene.gateway.metrics();
        (metrics.sum("gwd_rejections_logged_total", &labels) >= 1.0).then_some(())
    });
    scene.gateway.stops_clean();
}

#[test]
fn next_version_checks_by_its_own_schemas() {
    let scene = Scene::new();
    let status = |scene: &Scene| {
        let fields = "content-type: application/json\r\ncontent-length: 18";
        compiled(scene, "/orders", fields, "{\"name\": \"abcdef\"}").status
    };
    assert_eq!(status(&scene), 200);
    scene.project.write(
        "openapi.yaml",
        DOCUMENT.replace("maxLength: 8", "maxLength: 4"),
    );
    let id = scene.project.apply();
    scene.gateway.wait_bundle(&id);
    assert_eq!(status(&scene), 400);
    scene.gateway.stops_clean();
}

#[test]
fn operator_limits_validation_until_the_next_bundle() {
    let scene = Scene::new();
    let body = "{\"nom\": 1}";
    let fields = format!(
        "content-type: application/json\r\ncontent-length: {}",
        body.len()
    );
    let status = || compiled(&scene, "/orders", &fields, body).status;
    let order = |mode: &str| {
        let order = serde_json::json!({"mode": mode, "reason": "paged"});
        scene.gateway.admin_ask("PUT", "/v1/validation", &order)
    };
    assert_eq!(status(), 400);
    for mode in ["log", "off"] {
        let limited = order(mode).json();
        assert_eq!(limited["validation_limit"]["mode"], mode, "{limited}");
        assert_eq!(status(), 200, "{mode}");
    }
    assert_eq!(
        order("restore").json()["validation_limit"],
        serde_json::Value::Null
    );
    assert_eq!(status(), 400);
    assert_eq!(order("block").status, 400);
    assert_eq!(order("log").status, 200);
    scene.project.write(
        "openapi.yaml",
        DOCUMENT.replace("maxLength: 8", "maxLength: 4"),
    );
    let id = scene.project.apply();
    scene.gateway.wait_bundle(&id);
    assert_eq!(status(), 400, "the next bundle ends the limit");
    assert_eq!(
        scene.gateway.status()["validation_limit"],
        serde_json::Value::Null
    );
    let log = scene.gateway.log();
    let audit = log
        .lines()
        .filter(|line| line.contains("\"what\":\"validation\""));
    assert_eq!(audit.count(), 6, "{log}");
    scene.gateway.stops_clean();
}

#[test]
fn response_without_length_is_cut_off_at_its_limit() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let serves = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("a byte");
            head.extend(byte);
        }
        let chunks = b"HTTP/1.1 200 x\r\ntransfer-encoding: chunked\r\n\r\n4\r\naaaa\r\n";
        stream.write_all(chunks).expect("sent");
        // Ignore errors: gwd may have closed the connection before the last chunk.
        let _sent = stream.write_all(b"5\r\nbbbbb\r\n0\r\n\r\n");
        let _closed = stream.read_to_end(&mut Vec::new());
    });
    let gateway = format!(
        "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
         listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
         upstreams: {{main: {{targets: {{a: {{url: \"http://{address}\"}}}}}}}}\n\
         policies: {{small: {{kind: body_limit, response: 8B}}}}\n\
         defaults: {{upstream: main, security: upstream, policies: [small]}}\n\
         release: {{store: releases, channel: prod}}\n",
    );
    let project = Project::with(&gateway, DOCUMENT);
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).start();
    let mut connection = gateway.connect();
    let fields = "content-type: text/plain\r\ncontent-length: 0";
    connection.send(&post("/orders", fields, "")).expect("sent");
    let all = connection.read_to_end().expect("the end");
    let text = String::from_utf8_lossy(&all).into_owned();
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    assert!(text.contains("aaaa") && !text.contains("bbbbb"), "{text}");
    assert!(!text.ends_with("0\r\n\r\n"), "{text}");
    serves.join().expect("served");
    gateway.stops_clean();
}

/// Operation `/NAME` whose validator takes longer to compile than gwd waits. `mode`: value of
/// `validate`. `greatest`: maximum of the property `size`.
fn slow_operation(name: &str, mode: &str, greatest: u32) -> String {
    let properties: Vec<String> = (0..3_000)
        .map(|index| {
            format!("p{index}: {{type: string, pattern: '^[a-z]{{1,40}}-{index}$', maxLength: 90}}")
        })
        .collect();
    format!(
        "  /{name}:
    post:
      operationId: {name}
      x-gateway: {{validate: {{request: {mode}}}}}
      requestBody: {{required: true, content: {{application/json: {{schema: {{type: object, required: [size], properties: {{size: {{type: integer, maximum: {greatest}}}, {}}}}}}}}}}}
      responses: {{\"200\": {{description: ok}}}}
",
        properties.join(", ")
    )
}

/// Document with an operation whose validator takes longer to compile than gwd waits.
fn slow_document(greatest: u32) -> String {
    format!("{DOCUMENT}{}", slow_operation("slow", "block", greatest))
}

/// The first request of an operation does not wait for a validator that compiles slowly. `block`
/// refuses the request, `log` forwards it.
#[test]
fn first_request_waits_briefly_for_its_validator() {
    let scene = Scene::new();
    // Different schemas, because equal ones would share a validator.
    let logged = slow_operation("slow_logged", "log", 8);
    scene
        .project
        .write("openapi.yaml", format!("{}{logged}", slow_document(4)));
    scene.gateway.wait_bundle(&scene.project.apply());
    let fields = "content-type: application/json\r\ncontent-length: 11";
    for (path, status) in [("/slow_logged", 200), ("/slow", 503)] {
        let late = scene.outcomes("timeout");
        let mut connection = scene.gateway.connect();
        let begin = Instant::now();
        connection
            .send(&post(path, fields, "{\"size\": 9}"))
            .expect("sent");
        let first = connection.read_response(false).expect("a response");
        let waited = begin.elapsed();
        assert_eq!(first.status, status, "{}", first.text());
        // The limit is 20ms of a clock with whole milliseconds. A busy machine adds to the time.
        assert!(waited > Duration::from_millis(18), "{waited:?}");
        assert!(waited < Duration::from_millis(500), "{waited:?}");
        assert_eq!(scene.outcomes("timeout"), late + 1.0);
        let line = scene.gateway.access_log();
        let line = line.line(first.header("x-request-id").expect("an id"));
        let reason = match status {
            200 => "would_refuse",
            _ => "reason",
        };
        assert_eq!(line[reason], "validator_unavailable", "{line}");
    }
    assert_eq!(scene.upstream.take().len(), 1, "the logged request");
    let found = compiled(&scene, "/slow", fields, "{\"size\": 9}");
    assert_eq!(found.status, 400, "{}", found.text());
    scene.gateway.stops_clean();
}

/// Validators are shared over versions: a switch that changes another API or operation does not
/// compile them again.
#[test]
fn unchanged_validators_are_not_compiled_again() {
    let scene = Scene::new();
    let compilations = || {
        let metrics = scene.gateway.metrics();
        metrics.sum("gwd_validators_compiled_total", &[])
    };
    // Six operations, of which `/upload` and `/parts` have equal schemas.
    assert_eq!(compilations(), 5.0);
    let gateway = String::from_utf8(scene.project.read("gateway.yaml")).expect("UTF-8");
    let gateway = gateway.replace(
        "{path: openapi.yaml}",
        "{path: openapi.yaml}, t: {path: other.yaml, mount: {base_path: /t}}",
    );
    scene.project.write("gateway.yaml", gateway);
    let fields = "content-type: application/json\r\ncontent-length: 1";
    for (own_length, other_maximum, expected) in [
        (8, 8, 6.0),
        (8, 4, 7.0),
        (4, 4, 8.0),
        // Both documents get an earlier version again, whose validators are kept.
        (8, 8, 8.0),
    ] {
        let own = DOCUMENT.replace("maxLength: 8", &format!("maxLength: {own_length}"));
        let other = format!(
            "openapi: 3.1.0\ninfo: {{title: t, version: \"1\"}}\npaths: {{/other: {{post: {{\
             operationId: other, requestBody: {{content: {{application/json: {{schema: {{\
             type: integer, maximum: {other_maximum}}}}}}}}}, responses: {{}}}}}}}}\n"
        );
        scene.project.write("openapi.yaml", own);
        scene.project.write("other.yaml", other);
        scene.gateway.wait_bundle(&scene.project.apply());
        warm(&scene);
        let five = compiled(&scene, "/t/other", fields, "5").status;
        assert_eq!(five, if other_maximum == 8 { 200 } else { 400 });
        assert_eq!(compilations(), expected, "{own_length} {other_maximum}");
    }
    scene.gateway.stops_clean();
}

/// These patterns take exponential time in engines that backtrack.
#[test]
fn patterns_that_backtrack_elsewhere_end_in_time() {
    let scene = Scene::new();
    let text = "a".repeat(50_000);
    for name in ["a", "b", "c"] {
        for (end, status) in [("", 200), ("!", 400)] {
            let body = format!("{{\"{name}\": \"{text}{end}\"}}");
            let fields = format!(
                "content-type: application/json\r\ncontent-length: {}",
                body.len()
            );
            let begin = Instant::now();
            let response = compiled(&scene, "/patterns", &fields, &body);
            let elapsed = begin.elapsed();
            assert_eq!(response.status, status, "{name} {}", response.text());
            assert!(elapsed < Duration::from_secs(2), "{name} {elapsed:?}");
        }
    }
    scene.gateway.stops_clean();
}

#[test]
fn validators_in_use_are_compiled_before_a_switch() {
    let scene = Scene::new();
    scene.project.write("openapi.yaml", slow_document(8));
    scene.gateway.wait_bundle(&scene.project.apply());
    let fields = "content-type: application/json\r\ncontent-length: 11";
    let first = compiled(&scene, "/slow", fields, "{\"size\": 7}");
    assert_eq!(first.status, 200, "{}", first.text());
    scene.project.write("openapi.yaml", slow_document(4));
    scene.gateway.wait_bundle(&scene.project.apply());
    let mut connection = scene.gateway.connect();
    connection
        .send(&post("/slow", fields, "{\"size\": 7}"))
        .expect("sent");
    let refused = connection.read_response(false).expect("a response");
    assert_eq!(refused.status, 400, "{}", refused.text());
    scene.gateway.stops_clean();
}

#[test]
fn http2_bodies_are_checked() {
    let scene = Scene::with(&[], ", http2: true");
    let url = format!("http://{}/orders", scene.gateway.address());
    let ask = |media_type: &str, body: &str| {
        let output = Command::new("curl")
            .args(["--silent", "--http2-prior-knowledge", "--max-time", "60"])
            .args(["--header", &format!("content-type: {media_type}")])
            .args(["--data-binary", body, "--output", "-"])
            .args(["--write-out", " %{http_version} %{http_code}", &url])
            .output()
            .expect("curl runs");
        String::from_utf8(output.stdout).expect("a text")
    };
    let passed = ask("application/json", "{\"name\": \"abc\"}");
    assert!(passed.ends_with(" 2 200"), "{passed}");
    assert_eq!(scene.upstream.take()[0].body, b"{\"name\": \"abc\"}");
    let refused = ask("application/json", "{\"name\": \"far too long\"}");
    assert!(refused.ends_with(" 2 400"), "{refused}");
    assert!(refused.contains("\"pointer\":\"#/name\""), "{refused}");
    assert!(scene.upstream.take().is_empty());
    scene.gateway.stops_clean();
}

#[test]
fn stalled_bodies_end_and_free_their_memory() {
    let scene = Scene::with(&[], ", limits: {body_timeout: 1s}");
    let buffered = || scene.gateway.metrics().sum("gwd_buffered_bytes", &[]);
    let before = buffered();
    let piece = "a".repeat(64 << 10);
    let mut stalled: Vec<_> = (0..8)
        .map(|_| {
            let fields = "content-type: application/json\r\ncontent-length: 900000";
            let mut connection = scene.gateway.connect();
            connection
                .send(&post("/orders", fields, &piece))
                .expect("sent");
            connection
        })
        .collect();
    wait::until("bodies that are held", || {
        (buffered() - before >= 8.0 * 60_000.0).then_some(())
    });
    for connection in &mut stalled {
        let ended = connection.read_response(false).expect("a response");
        assert_eq!(ended.status, 408, "{}", ended.text());
    }
    wait::until("freed memory", || (buffered() <= before).then_some(()));
    assert!(scene.upstream.take().is_empty());
    scene.gateway.stops_clean();
}
