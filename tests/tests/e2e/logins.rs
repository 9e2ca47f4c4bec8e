//! Tests of browser logins (`kind: oidc`) with a provider that can misbehave, and with the
//! certified provider `oidc-provider` (npm).

mod attacks;
mod browser;
mod certified;
mod sessions;
mod tutorial;

use std::collections::BTreeMap;

use e2e::client::Response;
use e2e::gateway::{Gateway, Options};
use e2e::peers::{self, Peer};
use e2e::project::Project;
use e2e::upstream::Upstream;
use serde_json::{Value, json};

/// Secret of the gateway at the provider, with characters that must be encoded.
const SECRET: &str = "s3cret+of%the: gateway";
/// Key with which the gateway seals its cookies.
const KEY: &str = "PLANTED-key-of-the-sessions-in-tests";

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
components:
  securitySchemes:
    login:
      type: openIdConnect
      openIdConnectUrl: https://idp.example/.well-known/openid-configuration
      x-gateway: {auth: login, forward_as: X-Caller, claims_to_headers: {email: X-Email}}
    key: {type: apiKey, in: header, name: X-Key, x-gateway: {auth: keys}}
x-gateway: {public: true}
paths:
  /page: &page
    get: {security: [{login: []}], responses: {"200": {description: ok}}}
    post: {security: [{login: []}], responses: {"200": {description: ok}}}
  /events: {get: {security: [{login: []}], x-gateway: {streams: close}, responses: {"200": {description: ok}}}}
  /read: {get: {security: [{login: [read]}], responses: {"200": {description: ok}}}}
  /write: {get: {security: [{login: [write]}], responses: {"200": {description: ok}}}}
  /staff: {get: {security: [{login: []}], x-gateway: {+policies: [staff]}, responses: {"200": {description: ok}}}}
  /either: {get: {security: [{key: []}, {login: []}], responses: {"200": {description: ok}}}}
  /maybe: {get: {security: [{login: []}, {}], x-gateway: {public: true}, responses: {"200": {description: ok}}}}
  /open: {get: {security: [], x-gateway: {public: true}, responses: {"200": {description: ok}}}}
  /asked: {get: {security: [], x-gateway: {public: true, +policies: [ask]}, responses: {"200": {description: ok}}}}
"#;

/// Provider, project and gateway.
struct Scene {
    provider: Peer,
    project: Project,
    upstream: Upstream,
    gateway: Gateway,
    issuer: String,
}

impl Scene {
    /// Starts a provider and a gateway. `more` overrides the usual verifier settings. `None` if the
    /// provider's packages are not installed.
    fn new(more: &Value) -> Option<Self> {
        let provider = Peer::python("login_provider.py", &[""; 0])?;
        let issuer = format!("http://127.0.0.1:{}", provider.greeting());
        Some(Self::at(provider, &issuer, more))
    }

    /// Starts a gateway that uses this provider, with a new upstream.
    fn at(provider: Peer, issuer: &str, more: &Value) -> Self {
        Self::before(provider, issuer, more, Upstream::start())
    }

    /// Starts a gateway that uses this provider and forwards to this upstream.
    fn before(provider: Peer, issuer: &str, more: &Value, upstream: Upstream) -> Self {
        Self::with(provider, issuer, more, upstream, &[])
    }

    /// The same, with additional arguments of gwd.
    fn with(
        provider: Peer,
        issuer: &str,
        more: &Value,
        upstream: Upstream,
        arguments: &[&str],
    ) -> Self {
        let mut verifier = json!({
            "kind": "oidc", "issuer": issuer, "client_id": "the gateway",
            "client_secret": "${env:GWS_IDP}", "redirect_path": "/login/done",
            "logout_path": "/logout", "after_logout": "/open", "scopes": ["openid", "read"],
            "algorithms": ["ES256"], "session": {"secret": "${env:GWS_SESSION}"},
        });
        merge(&mut verifier, more);
        let mut gateway = json!({
            "version": 1, "name": "s", "apis": {"s": {"path": "openapi.yaml"}},
            "listeners": {"public": {"address": "127.0.0.1:8080"}},
            "upstreams": {"main": {"targets": {"a": {"url": upstream.url()}}}},
            "auth": {"login": verifier, "keys": {"kind": "api_key"}},
            "policies": {
                "staff": {"kind": "authorize", "groups": ["staff"]},
                "ask": {"kind": "forward_auth", "upstream": "main", "path": "/check"},
            },
            "defaults": {"upstream": "main"},
        });
        if let Some(bearer) = more["bearer"].as_str() {
            gateway["auth"][bearer] = json!({
                "kind": "jwt", "issuer": issuer, "audience": ["the gateway"], "algorithms": ["ES256"],
            });
        }
        let project = Project::with(&gateway.to_string(), DOCUMENT);
        project.keygen();
        project.apply();
        let options = Options::of(&project).state(&project.path("state"));
        let options = options.arguments(arguments).variable("GWS_IDP", SECRET);
        let gateway = options.variable("GWS_SESSION", KEY).start();
        Self {
            provider,
            project,
            upstream,
            gateway,
            issuer: issuer.to_owned(),
        }
    }

    /// Sets the faults of the provider. Returns the requests that the provider received since the
    /// last call.
    fn fails(&mut self, faults: &Value) -> Vec<Value> {
        let requests = self.provider.ask(faults)["seen"].clone();
        requests.as_array().expect("a list").clone()
    }
}

fn merge(known: &mut Value, more: &Value) {
    for (name, value) in more.as_object().expect("settings") {
        match known[name].is_object() && value.is_object() {
            true => merge(&mut known[name], value),
            false => known[name] = value.clone(),
        }
    }
}

/// Browser, with the cookies that it stores for the gateway.
#[derive(Clone, Default)]
struct Browser {
    cookies: BTreeMap<String, String>,
}

const NAVIGATION: &str = "accept: text/html\nsec-fetch-mode: navigate\nsec-fetch-site: none";

impl Browser {
    /// Opens a page of the gateway.
    fn open(&mut self, scene: &Scene, target: &str) -> Response {
        self.send(&scene.gateway, &format!("GET {target}"), NAVIGATION)
    }

    /// Sends a request with the stored cookies, and stores the cookies of the response.
    fn send(&mut self, gateway: &Gateway, line: &str, fields: &str) -> Response {
        let cookies = self.cookies.iter();
        let cookies = cookies.map(|(name, value)| format!("{name}={value}"));
        let cookies: Vec<String> = cookies.chain(["other=1".to_owned()]).collect();
        let cookies = cookies.join("; ");
        let host = gateway.address();
        let response = gateway.ask(&format!(
            "{line} HTTP/1.1\nhost: {host}\n{fields}\ncookie: {cookies}"
        ));
        self.store(&response);
        response
    }

    fn store(&mut self, response: &Response) {
        for cookie in response.head.all("set-cookie") {
            let (name, rest) = cookie.split_once('=').expect("a cookie");
            let (value, attributes) = rest.split_once("; ").expect("attributes");
            for wanted in ["Path=/", "Secure", "HttpOnly", "SameSite="] {
                assert!(attributes.contains(wanted), "{cookie}");
            }
            match attributes.ends_with("Max-Age=0") {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
            assert_eq!(response.header("cache-control"), Some("no-store"));
        }
    }

    /// Follows the redirect to the provider. Returns the URL to which the provider redirects the
    /// browser.
    fn to_provider(&self, response: &Response) -> String {
        assert_eq!(response.status, 303, "{}", response.text());
        let url = response.header("location").expect("a location");
        location(&get(url)).to_owned()
    }

    /// Logs in, beginning at the page `target`. Returns the gateway's response at the redirect URI.
    fn log_in(&mut self, scene: &Scene, target: &str) -> Response {
        let first = self.open(scene, target);
        let back = self.to_provider(&first);
        self.open(scene, path_of(&back))
    }
}

/// Path and query of a URL.
fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").expect("a URL").1;
    &rest[rest.find('/').expect("a path")..]
}

fn location(response: &Response) -> &str {
    response.header("location").expect("a location")
}

/// Sends a GET request to the provider and returns the response.
fn get(url: &str) -> Response {
    let rest = url.strip_prefix("http://").expect("a URL on loopback");
    let (host, _) = rest.split_once('/').expect("a path");
    let address = host.parse().expect("an address");
    let mut connection = e2e::client::Connection::open(address).expect("it listens");
    let request = format!("GET {} HTTP/1.1\nhost: {host}", path_of(url));
    connection.ask(&request).expect("it answers")
}

/// Reason of a response: `login_fault` or `reason` in the access log.
fn reason(scene: &Scene, response: &Response) -> String {
    let id = response.header("x-request-id").expect("an id");
    let line = scene.gateway.access_log().line(id);
    let fault = line["login_fault"].as_str().or(line["reason"].as_str());
    fault.unwrap_or_default().to_owned()
}

#[test]
fn browser_logs_in_and_returns_to_its_page() {
    let Some(mut scene) = Scene::new(&json!({})) else {
        return prerequisite::skip(peers::MISSING);
    };
    let mut browser = Browser::default();
    let first = browser.open(&scene, "/page?a=1&b=%2F");
    assert_eq!(first.status, 303, "{}", first.text());
    assert!(location(&first).starts_with(&format!("{}/authorize?", scene.issuer)));
    assert_eq!(first.header("referrer-policy"), Some("no-referrer"));
    let back = browser.to_provider(&first);
    let done = browser.open(&scene, path_of(&back));
    assert_eq!(done.status, 303, "{} {}", done.text(), scene.gateway.log());
    assert_eq!(location(&done), "/page?a=1&b=%2F");
    let names: Vec<&String> = browser.cookies.keys().collect();
    assert_eq!(names, ["__Host-session"]);
    let page = browser.open(&scene, location(&done));
    assert_eq!(page.status, 200, "{}", page.text());
    let seen = scene.upstream.take();
    assert_eq!(seen[0].header("x-caller"), Some("alice"));
    assert_eq!(seen[0].header("x-email"), Some("alice@example.org"));
    assert_eq!(seen[0].header("cookie"), Some("other=1"));
    for (path, status) in [
        ("/read", 200),
        ("/write", 403),
        ("/staff", 200),
        ("/either", 200),
        ("/maybe", 200),
        ("/open", 200),
        ("/asked", 200),
    ] {
        assert_eq!(browser.open(&scene, path).status, status, "{path}");
    }
    let seen = scene.upstream.take();
    assert!(seen.iter().any(|one| one.target == "/check"), "{seen:?}");
    for seen in seen {
        assert_eq!(seen.header("cookie"), Some("other=1"), "{}", seen.target);
    }
    let requests = scene.fails(&json!({}));
    let token = requests.iter().find(|one| one["path"] == "/token");
    let token = token.expect("one request to the token endpoint");
    assert_eq!(token["grant_type"], "authorization_code");
    scene.gateway.stops_clean();
}

#[test]
fn requests_that_cannot_log_in_get_401() {
    let Some(scene) = Scene::new(&json!({})) else {
        return prerequisite::skip(peers::MISSING);
    };
    for (line, fields, status) in [
        ("GET /page", "accept: text/html", 303),
        ("HEAD /page", "accept: text/html", 303),
        ("GET /page", "accept: application/xhtml+xml;q=0.9", 303),
        ("GET /either", "accept: text/html", 303),
        ("GET /maybe", "accept: text/html", 200),
        ("POST /page", "accept: text/html\ncontent-length: 0", 401),
        ("GET /page", "accept: application/json", 401),
        ("GET /page", "accept: */*", 401),
        ("GET /page", "x: y", 401),
        ("GET /page", "accept: text/html\nsec-fetch-mode: cors", 401),
        (
            "GET /page",
            "accept: text/html\nsec-fetch-mode: no-cors",
            401,
        ),
        ("GET /either", "accept: text/html\nx-key: wrong", 401),
    ] {
        let mut connection = scene.gateway.connect();
        let text = format!(
            "{line} HTTP/1.1\r\nhost: h\r\n{}\r\n\r\n",
            fields.replace('\n', "\r\n")
        );
        connection.send(text.as_bytes()).expect("it reads");
        let response = connection
            .read_response(line.starts_with("HEAD"))
            .expect("it answers");
        assert_eq!(response.status, status, "{line} {fields}");
        let challenge = response.header("www-authenticate");
        assert_eq!(challenge.is_some(), status == 401, "{line} {fields}");
        assert_eq!(
            response.head.all("set-cookie").count(),
            usize::from(status == 303)
        );
    }
}
