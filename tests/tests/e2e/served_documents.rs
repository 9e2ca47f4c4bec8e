//! Tests of API documents that gwd serves (`serve_document`), through gwc and gwd. Subjects:
//! content, conditional requests, access, and switches.

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::Upstream;

const GATEWAY: &str = "\
version: 1
name: shop
apis:
  orders:
    path: orders.yaml
    overlays: [overlay.yaml]
    mounts: [{name: one, base_path: /one}, {name: two, base_path: /two}]
  status: {path: status.yaml, mount: {base_path: /status}, serve_document: {path: /api, page: false, public: true}}
  quiet: {path: status.yaml, mount: {base_path: /quiet}, serve_document: false}
auth: {keys: {kind: api_key}}
consumers: {acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}}
defaults: {upstream: main, serve_document: true}
";

const ORDERS: &str = "\
openapi: 3.1.0
info: {title: \"Orders <b>\", version: \"7\"}
security: [{key: []}]
paths:
  /orders:
    get: {operationId: list, summary: Lists orders, responses: {\"200\": {description: fine}}}
    delete: {operationId: purge, x-gateway: {internal: true}, responses: {}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
";

const OVERLAY: &str = "\
overlay: 1.0.0
info: {title: o, version: \"1\"}
actions: [{target: \"$.info\", update: {description: from the overlay}}]
";

const STATUS: &str = "\
openapi: 3.1.0
info: {title: status, version: \"1\"}
security: [{key: []}]
paths: {/live: {get: {operationId: live, responses: {\"200\": {description: fine}}}}}
components:
  securitySchemes: {key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}}
";

fn project(upstream: &Upstream) -> Project {
    let targets = format!(
        "upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}}}\n",
        upstream.url()
    );
    let project = Project::with(&format!("{GATEWAY}{targets}"), STATUS);
    project.write("orders.yaml", ORDERS);
    project.write("overlay.yaml", OVERLAY);
    project.write("status.yaml", STATUS);
    project.keygen();
    project.apply();
    project
}

fn ask(gateway: &Gateway, line: &str, fields: &str) -> e2e::client::Response {
    gateway.ask(&format!("{line} HTTP/1.1\r\nHost: h\r\n{fields}\r\n"))
}

const KEY: &str = "X-Key: test\r\n";

#[test]
fn document_is_the_stripped_one_at_each_mount() {
    let upstream = Upstream::start();
    let project = project(&upstream);
    let gateway = Options::of(&project).start();
    let printed = project.gwc(&["strip", "--api", "orders", "--format", "json"]);
    printed.succeeds();
    for mount in ["/one", "/two"] {
        let target = format!("{mount}/openapi.json");
        let answer = ask(&gateway, &format!("GET {target}"), KEY);
        assert_eq!(answer.status, 200, "{target}");
        assert_eq!(answer.text(), printed.stdout, "{target}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let text = answer.text();
        assert!(text.contains("from the overlay"), "{text}");
        assert!(
            !text.contains("purge") && !text.contains("x-gateway"),
            "{text}"
        );
    }
    let public = ask(&gateway, "GET /status/api", "");
    assert_eq!(public.status, 200);
    assert_eq!(public.json()["info"]["title"], "status");
    assert_eq!(public.header("cache-control"), Some("no-cache"));
    for (line, fields, status) in [
        ("GET /one/openapi.json", "", 401),
        ("GET /one/openapi.html", "", 401),
        ("GET /one/openapi.json", "X-Key: wrong\r\n", 401),
        ("GET /status/api.html", KEY, 404),
        ("GET /quiet/openapi.json", KEY, 404),
        ("POST /one/openapi.json", KEY, 405),
        ("DELETE /one/orders", KEY, 405),
    ] {
        assert_eq!(ask(&gateway, line, fields).status, status, "{line}");
    }
    assert!(
        upstream.take().is_empty(),
        "no request reaches the upstream"
    );
    gateway.stops_clean();
}

#[test]
fn known_document_is_not_sent_again() {
    let upstream = Upstream::start();
    let project = project(&upstream);
    let gateway = Options::of(&project).start();
    let full = ask(&gateway, "GET /one/openapi.json", KEY);
    let etag = full.header("etag").expect("an entity tag").to_owned();
    assert!(etag.starts_with('"') && etag.len() == 34, "{etag}");
    let head = ask(&gateway, "HEAD /one/openapi.json", KEY);
    assert_eq!((head.status, head.text().as_str()), (200, ""));
    assert_eq!(head.header("etag"), Some(etag.as_str()));
    let length = full.text().len().to_string();
    assert_eq!(head.header("content-length"), Some(length.as_str()));
    for method in ["GET", "HEAD"] {
        let fields = format!("{KEY}If-None-Match: W/{etag}, \"x\"\r\n");
        let known = ask(&gateway, &format!("{method} /one/openapi.json"), &fields);
        assert_eq!((known.status, known.text().as_str()), (304, ""));
        assert_eq!(known.header("etag"), Some(etag.as_str()));
        // A `Content-Length` of a 304 would have to be the length of the 200 response (RFC 9110
        // §8.6).
        assert_eq!(known.header("content-length"), None);
    }
    let other = format!("{KEY}If-None-Match: \"x\"\r\n");
    assert_eq!(ask(&gateway, "GET /one/openapi.json", &other).status, 200);
    // Without a credential, the response does not reveal whether the document has changed.
    let fields = format!("If-None-Match: {etag}\r\n");
    assert_eq!(ask(&gateway, "GET /one/openapi.json", &fields).status, 401);
    // The entity tag changes if and only if the document changes.
    let page = ask(&gateway, "GET /one/openapi.html", KEY);
    let page_tag = page.header("etag").expect("an entity tag").to_owned();
    project.write(
        "orders.yaml",
        ORDERS.replace("Lists orders", "Lists all orders"),
    );
    gateway.wait_bundle(&project.apply());
    let changed = ask(&gateway, "GET /one/openapi.json", &fields_of(&etag));
    assert_eq!(changed.status, 200);
    assert!(changed.text().contains("Lists all orders"));
    assert_ne!(changed.header("etag"), Some(etag.as_str()));
    let page = ask(&gateway, "GET /one/openapi.html", KEY);
    assert_ne!(page.header("etag"), Some(page_tag.as_str()));
    gateway.stops_clean();
}

fn fields_of(etag: &str) -> String {
    format!("{KEY}If-None-Match: {etag}\r\n")
}

#[test]
fn page_needs_no_script_and_loads_nothing() {
    let upstream = Upstream::start();
    let project = project(&upstream);
    let gateway = Options::of(&project).start();
    let page = ask(&gateway, "GET /one/openapi.html", KEY);
    assert_eq!(page.status, 200);
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'; style-src 'sha256-"),
        "{policy}"
    );
    let text = page.text();
    assert!(
        text.contains("Orders &lt;b&gt;") && text.contains("Lists orders"),
        "{text}"
    );
    for absent in [
        "<script", "<link", "<img", "style=", "src=", "http:", "https:",
    ] {
        assert!(!text.contains(absent), "{absent} in {text}");
    }
    gateway.stops_clean();
}

/// Reads the changes of `gwc plan` as text: class, id, subject, operations.
fn changes(project: &Project) -> Vec<String> {
    let ended = project.gwc(&["plan", "--format", "json"]);
    let plan: serde_json::Value = serde_json::from_str(&ended.stdout).expect("a plan");
    let changes = plan["changes"].as_array().expect("changes").iter();
    let lines = changes.map(|one| {
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        let operations = &one["operations"];
        let [class, id, subject] = ["class", "id", "subject"].map(text);
        format!("{class} {id} {subject} {operations}")
    });
    lines.collect()
}

#[test]
fn plan_reports_new_and_changed_documents() {
    let upstream = Upstream::start();
    let project = project(&upstream);
    let others = ORDERS.replace("Lists orders", "Lists all orders");
    project.write("orders.yaml", others);
    let lines = changes(&project);
    let document = "changed document-changed policy orders/#document document []";
    assert!(lines.iter().any(|one| one == document), "{lines:?}");
    assert!(lines.iter().any(|one| one.starts_with("doc ")), "{lines:?}");
    project.write("orders.yaml", ORDERS);
    let gateway = String::from_utf8(project.read("gateway.yaml")).expect("text");
    let open = "serve_document: {public: true}";
    project.write(
        "gateway.yaml",
        gateway.replace("serve_document: false", open),
    );
    let lines = changes(&project);
    let exposes =
        |one: &String| one.contains("operation-exposed") && one.contains("quiet#document");
    assert!(lines.iter().any(exposes), "{lines:?}");
    let routed = project.gwc(&["route", "GET", "http://h/one/openapi.json"]);
    let text = &routed.stdout;
    assert!(
        text.contains("orders#document") && text.contains("401"),
        "{text}"
    );
}

#[test]
fn document_survives_a_restart_without_a_store() {
    let upstream = Upstream::start();
    let project = project(&upstream);
    let state = project.path("kept-state");
    let served = |gateway: &Gateway| ask(gateway, "GET /one/openapi.json", KEY).text();
    let first = Options::of(&project).state(&state).start();
    let before = served(&first);
    first.stops_clean();
    std::fs::rename(project.path("releases"), project.path("gone")).expect("a store");
    std::fs::create_dir(project.path("releases")).expect("an empty folder");
    let second = Options::of(&project).state(&state).start();
    assert_eq!(served(&second), before);
    assert!(before.contains("from the overlay"), "{before}");
    second.stops_clean();
}
