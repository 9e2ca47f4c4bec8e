//! Tests with pages of several origins in a headless Chromium. They check which responses `cors`
//! allows the pages to read, and which requests `csrf` allows them to send.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::browser::Browser;
use e2e::gateway::{Gateway, Options};
use e2e::openssl::sha256;
use e2e::project::Project;
use e2e::upstream::{Answer, Seen, Upstream};
use e2e::wait;
use serde_json::{Value, json};

/// Maximum wait for a page, including the start of the browser.
const START: Duration = Duration::from_secs(60);

const PAGE: &str = include_str!("../../peers/page.html");

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components: {securitySchemes: {session: {type: apiKey, in: cookie, name: sid, x-gateway: {auth: keys}}}}
x-gateway: {public: true}
paths:
  /page: {get: {operationId: page, security: [], x-gateway: {public: true}, responses: {"200": {description: ok}}}}
  /report: {post: {operationId: report, security: [], x-gateway: {public: true}, responses: {"200": {description: ok}}}}
  /open: &open
    get: {security: [], x-gateway: {public: true, +policies: [open]}, responses: {"200": {description: ok}}}
    put: {security: [], x-gateway: {public: true, +policies: [open]}, responses: {"200": {description: ok}}}
    delete: {security: [], x-gateway: {public: true, +policies: [open]}, responses: {"200": {description: ok}}}
  /none: {get: {security: [], x-gateway: {public: true}, responses: {"200": {description: ok}}}}
  /star: {get: {security: [], x-gateway: {public: true, +policies: [star]}, responses: {"200": {description: ok}}}}
  /private: {get: {security: [{session: []}], x-gateway: {+policies: [credentials]}, responses: {"200": {description: ok}}}}
  /form: {post: {security: [], x-gateway: {public: true, +policies: [own]}, responses: {"200": {description: ok}}}}
  /partner: {post: {security: [], x-gateway: {public: true, +policies: [partner]}, responses: {"200": {description: ok}}}}
  /socket: {get: {security: [], x-gateway: {public: true, websocket: true, +policies: [own]}, responses: {"101": {description: ok}}}}
"#;

/// Server with the test page at `/page`, and an API at all other paths.
struct Site {
    upstream: Upstream,
    steps: Arc<Mutex<Value>>,
}

impl Site {
    fn new() -> Self {
        let steps = Arc::new(Mutex::new(Value::Null));
        let shared = Arc::clone(&steps);
        let upstream = Upstream::scripted(move |seen| match seen.target.as_str() {
            "/page" => {
                let steps = shared.lock().expect("no panic").to_string();
                answer("text/html", PAGE.replace("STEPS", &steps))
            }
            _ => answer("text/plain", "body".to_owned()),
        });
        Self { upstream, steps }
    }

    /// Origin of the site under this host name. For browsers, each host name is a different site.
    fn origin(&self, host: &str) -> String {
        format!("http://{host}:{}", self.upstream.address().port())
    }

    /// Runs `steps` in a page of the origin. Returns the results of the page by step name, and the
    /// requests that the API received. `None` if no browser is installed.
    fn run(&self, origin: &str, steps: &Value) -> Option<(BTreeMap<String, String>, Vec<Seen>)> {
        *self.steps.lock().expect("no panic") = steps.clone();
        let _earlier = self.upstream.take();
        let _browser = Browser::open(&format!("{origin}/page"))?;
        let mut all: Vec<Seen> = Vec::new();
        let report = wait::within(START, || {
            all.extend(self.upstream.take());
            let mut all = all.iter();
            let report = all.find(|seen| seen.target == "/report")?;
            Some(serde_json::from_slice(&report.body).expect("JSON"))
        });
        let report = report.unwrap_or_else(|| panic!("no report, only {:?}", request_lines(&all)));
        all.retain(|seen| !matches!(seen.target.as_str(), "/page" | "/report" | "/favicon.ico"));
        Some((report, all))
    }
}

fn answer(kind: &str, body: String) -> Answer {
    let fields = [("content-type", kind), ("x-total", "3"), ("x-hidden", "4")];
    let fields = fields.iter();
    Answer {
        headers: fields
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        ..Answer::ok(body)
    }
}

fn gateway(site: &Site) -> (Project, Gateway) {
    let listed = site.origin("127.0.0.1");
    let gateway = json!({
        "version": 1, "name": "s", "apis": {"s": {"path": "openapi.yaml"}},
        "listeners": {"public": {"address": "127.0.0.1:8080"}},
        "upstreams": {"main": {"targets": {"a": {"url": site.upstream.url()}}}},
        "auth": {"keys": {"kind": "api_key"}},
        "consumers": {"acme": {"keys": [{"sha256": sha256(b"k-acme")}]}},
        "policies": {
            "open": {"kind": "cors", "origins": [listed], "methods": ["PUT"],
                "headers": ["X-Key"], "expose": ["X-Total"], "max_age": "10m"},
            "credentials": {"kind": "cors", "origins": [listed], "credentials": true},
            "star": {"kind": "cors", "origins": ["*"]},
            "own": {"kind": "csrf"},
            "partner": {"kind": "csrf", "origins": [listed]},
        },
        "defaults": {"upstream": "main"},
    });
    let project = Project::with(&gateway.to_string(), DOCUMENT);
    project.keygen();
    project.apply();
    let gateway = Options::of(&project).start();
    (project, gateway)
}

/// Step in a page that calls `fetch`.
fn fetch(name: &str, url: &str, options: &Value) -> Value {
    json!({"name": name, "kind": "fetch", "url": url, "options": options,
        "fields": ["x-total", "x-hidden"]})
}

fn request_lines(seen: &[Seen]) -> Vec<String> {
    let of = |seen: &Seen| format!("{} {}", seen.method, seen.target);
    seen.iter().map(of).collect()
}

fn preflights(gateway: &Gateway, path: &str) -> usize {
    let lines = gateway.access_log().lines();
    let of_path = lines.iter().filter(|line| line["path"] == path);
    of_path
        .filter(|line| line["http_method"] == "OPTIONS")
        .count()
}

const MISSING: &str = "Chromium is not installed";

#[test]
fn page_of_a_listed_origin_reads_what_cors_allows() {
    let site = Site::new();
    let (_project, gateway) = gateway(&site);
    let api = format!("http://{}", gateway.address());
    let at = |path: &str| format!("{api}{path}");
    let put = json!({"method": "PUT", "headers": {"X-Key": "1"}});
    let with_cookies = json!({"credentials": "include"});
    let mut cookie = fetch("cookie", &at("/private"), &with_cookies);
    cookie["cookie"] = json!("sid=k-acme");
    let steps = json!([
        fetch("simple", &at("/open"), &json!({})),
        fetch("put", &at("/open"), &put),
        fetch("put again", &at("/open"), &put),
        fetch("method", &at("/open"), &json!({"method": "DELETE"})),
        fetch("field", &at("/open"), &json!({"headers": {"X-Other": "1"}})),
        fetch("anonymous", &at("/private"), &with_cookies),
        cookie,
        fetch("cookie kept back", &at("/private"), &json!({})),
        fetch("no credentials allowed", &at("/open"), &with_cookies),
        fetch("star", &at("/star"), &json!({})),
        fetch("star with cookies", &at("/star"), &with_cookies),
        fetch("no cors", &at("/none"), &json!({})),
        fetch("not read", &at("/none"), &json!({"mode": "no-cors"})),
    ]);
    let Some((results, seen)) = site.run(&site.origin("127.0.0.1"), &steps) else {
        return prerequisite::skip(MISSING);
    };
    let read = "200 x-total=3 x-hidden=null body";
    let plain = "200 x-total=null x-hidden=null body";
    for (step, expected) in [
        ("simple", read),
        ("put", read),
        ("put again", read),
        ("method", "blocked"),
        ("field", "blocked"),
        ("cookie", plain),
        ("no credentials allowed", "blocked"),
        ("star", plain),
        ("star with cookies", "blocked"),
        ("no cors", "blocked"),
        ("not read", "opaque"),
    ] {
        assert_eq!(results[step], expected, "{step}: {results:#?}");
    }
    // With `cors`, a page can read the reason of a refusal.
    for step in ["anonymous", "cookie kept back"] {
        assert!(results[step].starts_with("401 "), "{step}: {results:#?}");
        assert!(
            results[step].contains("credential_missing"),
            "{step}: {results:#?}"
        );
    }
    let expected = [
        "GET /open",
        "PUT /open",
        "PUT /open",
        "GET /private",
        "GET /open",
        "GET /star",
        "GET /star",
        "GET /none",
        "GET /none",
    ];
    assert_eq!(request_lines(&seen), expected);
    assert_eq!(
        preflights(&gateway, "/open"),
        3,
        "the second PUT needs none"
    );
}

#[test]
fn page_of_a_foreign_origin_reads_nothing() {
    let site = Site::new();
    let (_project, gateway) = gateway(&site);
    let api = format!("http://{}", gateway.address());
    let at = |path: &str| format!("{api}{path}");
    let put = json!({"method": "PUT", "headers": {"X-Key": "1"}});
    let steps = json!([
        fetch("simple", &at("/open"), &json!({})),
        fetch("put", &at("/open"), &put),
        fetch(
            "private",
            &at("/private"),
            &json!({"credentials": "include"})
        ),
        fetch("star", &at("/star"), &json!({})),
    ]);
    let Some((results, seen)) = site.run(&site.origin("localhost"), &steps) else {
        return prerequisite::skip(MISSING);
    };
    for step in ["simple", "put", "private"] {
        assert_eq!(results[step], "blocked", "{step}: {results:#?}");
    }
    assert!(results["star"].starts_with("200 "), "{results:#?}");
    assert_eq!(request_lines(&seen), ["GET /open", "GET /star"]);
}

#[test]
fn csrf_admits_own_and_listed_pages_of_a_browser() {
    let site = Site::new();
    let (_project, gateway) = gateway(&site);
    let api = format!("http://{}", gateway.address());
    let form = |name: &str, path: &str| json!({"name": name, "kind": "form", "url": format!("{api}{path}")});
    let script = json!({"method": "POST", "mode": "no-cors", "body": "amount=1"});
    let socket = format!("ws://{}/socket", gateway.address());
    let steps = json!([
        form("own form", "/form"),
        form("partner form", "/partner"),
        fetch("own script", &format!("{api}/form"), &script),
        fetch("partner script", &format!("{api}/partner"), &script),
        json!({"name": "socket", "kind": "socket", "url": socket}),
    ]);
    let partner = ["POST /partner", "POST /partner"];
    let all = [
        "POST /form",
        "POST /partner",
        "POST /form",
        "POST /partner",
        "GET /socket",
    ];
    for (origin, expected) in [
        // This page has the gateway's own origin.
        (api.clone(), &all[..]),
        // This page has another origin on the same site. Only `/partner` lists this origin.
        (site.origin("127.0.0.1"), &partner[..]),
        // This page belongs to another site.
        (site.origin("localhost"), &[]),
    ] {
        let Some((_, seen)) = site.run(&origin, &steps) else {
            return prerequisite::skip(MISSING);
        };
        assert_eq!(request_lines(&seen), expected, "{origin}");
    }
    let reason = ["reason=\"csrf_denied\""];
    let refused = gateway.metrics().sum("gwd_rejections_total", &reason);
    assert_eq!(refused, 3.0 + 5.0, "of the second and the third page");
}
