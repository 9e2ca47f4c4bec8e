//! Tests of `forward_auth` from gateway.yaml to the authorization service: by URL and by upstream,
//! with responses like those of oauth2-proxy, and in the output of `gwc route`.

use e2e::gateway::{Gateway, Options};
use e2e::project::Project;
use e2e::upstream::{Answer, Seen, Upstream};

const DOCUMENT: &str = r#"openapi: 3.1.0
info: {title: s, version: "1"}
paths:
  /by-url: {get: {operationId: byUrl, x-gateway: {public: true, +policies: [login]}, responses: {"200": {description: ok}}}}
  /by-name: {get: {operationId: byName, x-gateway: {public: true, +policies: [check]}, responses: {"200": {description: ok}}}}
  /files: {x-gateway: {match: prefix}, get: {operationId: files, x-gateway: {public: true, +policies: [login]}, responses: {"200": {description: ok}}}}
  /limited: {get: {operationId: limited, x-gateway: {public: true, +policies: [per_address, login, per_route]}, responses: {"200": {description: ok}}}}
  /kept: {x-gateway: {match: prefix, path_readings: keep}, get: {operationId: kept, x-gateway: {public: true, +policies: [login]}, responses: {"200": {description: ok}}}}
"#;

/// Responds as oauth2-proxy does at `/oauth2/auth`: admits callers with a session, and redirects
/// browsers to the login.
fn identity(seen: &Seen) -> Answer {
    let fields = |fields: &[(&str, &str)]| {
        let fields = fields.iter();
        fields
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    };
    let mut answer = Answer::ok("");
    if seen.header("cookie") == Some("_oauth2_proxy=session") {
        answer.status = 202;
        answer.headers = fields(&[("x-auth-request-user", "alice")]);
    } else if seen.header("accept") == Some("text/html") {
        answer.status = 302;
        let location = format!(
            "/oauth2/start?rd={}",
            seen.header("x-forwarded-uri").unwrap_or_default()
        );
        answer.headers = fields(&[("location", &location), ("set-cookie", "_csrf=1")]);
    } else {
        answer.status = 401;
        answer.body = b"Unauthorized".to_vec();
    }
    answer
}

struct Scene {
    project: Project,
    gateway: Gateway,
    main: Upstream,
    identity: Upstream,
}

impl Scene {
    fn new() -> Self {
        let (main, identity) = (Upstream::start(), Upstream::scripted(identity));
        let gateway = format!(
            "version: 1\nname: s\napis: {{s: {{path: openapi.yaml}}}}\n\
             listeners: {{public: {{address: \"127.0.0.1:8080\"}}}}\n\
             upstreams: {{main: {{targets: {{a: {{url: \"{}\"}}}}}}, identity: {{targets: {{a: {{url: \"{}/base\"}}}}}}}}\n\
             policies:\n  \
               login: {{kind: forward_auth, url: \"{}/oauth2/auth\", response_headers: [X-Auth-Request-User]}}\n  \
               check: {{kind: forward_auth, upstream: identity, path: /check}}\n  \
               per_address: {{kind: rate_limit, limit: 3/h, key: address}}\n  \
               per_route: {{kind: rate_limit, limit: 1/h, key: route}}\n\
             defaults: {{upstream: main}}\nrelease: {{store: releases, channel: prod}}\n",
            main.url(),
            identity.url(),
            identity.url()
        );
        let project = Project::with(&gateway, DOCUMENT);
        project.keygen();
        project.apply();
        Self {
            gateway: Options::of(&project).start(),
            project,
            main,
            identity,
        }
    }

    fn route(&self, arguments: &[&str]) -> serde_json::Value {
        let all = [
            &["route", "GET", "/by-url", "--format", "json"][..],
            arguments,
        ]
        .concat();
        self.project.gwc(&all).succeeds().json()
    }
}

#[test]
fn forward_auth_decides_as_oauth2_proxy_answers() {
    let scene = Scene::new();
    let session = "GET /by-url?x=1 HTTP/1.1\nhost: shop.test\ncookie: _oauth2_proxy=session\nx-auth-request-user: mallory";
    assert_eq!(scene.gateway.ask(session).status, 200);
    let passed = scene.main.take();
    assert_eq!(passed[0].header("x-auth-request-user"), Some("alice"));
    let requests = scene.identity.take();
    assert_eq!(requests[0].target, "/oauth2/auth");
    assert_eq!(requests[0].header("x-forwarded-uri"), Some("/by-url?x=1"));
    assert_eq!(requests[0].header("x-forwarded-host"), Some("shop.test"));
    let browser = scene
        .gateway
        .ask("GET /by-url HTTP/1.1\nhost: h\naccept: text/html");
    assert_eq!(browser.status, 302);
    assert_eq!(browser.header("location"), Some("/oauth2/start?rd=/by-url"));
    assert_eq!(browser.header("set-cookie"), Some("_csrf=1"));
    let program = scene.gateway.ask("GET /by-url HTTP/1.1\nhost: h");
    assert_eq!(
        (program.status, program.text().as_str()),
        (401, "Unauthorized")
    );
    assert!(scene.main.take().is_empty());
}

#[test]
fn forward_auth_requests_an_upstream_below_its_path() {
    let scene = Scene::new();
    let session = "GET /by-name HTTP/1.1\nhost: h\ncookie: _oauth2_proxy=session";
    assert_eq!(scene.gateway.ask(session).status, 200);
    assert_eq!(scene.identity.take()[0].target, "/base/check");
    assert_eq!(
        scene.gateway.ask("GET /by-name HTTP/1.1\nhost: h").status,
        401
    );
    assert_eq!(scene.main.take().len(), 1);
}

/// A limit by address also limits how often a client causes requests to the authorization service.
/// This holds even if a later limit refuses the client's requests.
#[test]
fn limit_by_address_bounds_the_questions() {
    let scene = Scene::new();
    let session = "GET /limited HTTP/1.1\nhost: h\ncookie: _oauth2_proxy=session";
    let statuses: Vec<u16> = (0..6).map(|_| scene.gateway.ask(session).status).collect();
    assert_eq!(statuses, [200, 429, 429, 429, 429, 429]);
    assert_eq!(scene.identity.take().len(), 3);
}

#[test]
fn route_depends_on_the_answer_until_one_is_assumed() {
    let scene = Scene::new();
    let open = scene.route(&[]);
    assert_eq!(open["decision"], "depends");
    let why = open["why"].as_str().unwrap_or_default();
    for word in ["allow", "deny", "outage"] {
        assert!(why.contains(&format!("--assume login={word}")), "{why}");
    }
    for (answer, decision, status) in [
        ("allow", "forward", None),
        ("deny", "respond", Some(403)),
        ("outage", "reject", Some(503)),
    ] {
        let result = scene.route(&["--assume", &format!("login={answer}")]);
        assert_eq!(result["decision"], decision, "{answer}");
        assert_eq!(result["status"].as_u64(), status, "{answer}");
    }
    for wrong in ["nobody=allow", "login=perhaps", "login"] {
        let arguments = ["route", "GET", "/by-url", "--assume", wrong];
        scene.project.gwc(&arguments).exits(64);
    }
}

#[test]
fn path_with_two_readings_is_refused_unasked() {
    let scene = Scene::new();
    let ask = |target: &str| {
        let session = format!("GET {target} HTTP/1.1\nhost: h\ncookie: _oauth2_proxy=session");
        let status = scene.gateway.ask(&session).status;
        let forwarded_uri = scene.identity.take();
        let forwarded_uri = forwarded_uri
            .first()
            .and_then(|seen| seen.header("x-forwarded-uri").map(str::to_owned));
        (status, forwarded_uri, scene.main.take().len())
    };
    let served = |path: &str| (200, Some(path.to_owned()), 1);
    let refused = (400, None, 0);
    assert_eq!(ask("/files/a/b"), served("/files/a/b"));
    // gwd refuses these paths, although every interpretation belongs to one operation. The
    // authorization service could check a different path than the upstream serves.
    for target in [
        "/files/..%2ffiles/b",
        "/files/a%2Fb",
        "/files/a;x=1",
        "/files/a%3Fb",
    ] {
        assert_eq!(ask(target), refused, "{target}");
    }
    assert_eq!(ask("/kept/a%2Fb"), served("/kept/a%2Fb"));
    for target in ["/kept/..%2fby-url", "/kept/..%2fnowhere"] {
        assert_eq!(ask(target), refused, "{target}");
    }
    let arguments = ["route", "GET", "/files/a%2Fb", "--format", "json"];
    let forwarded_uri = scene.project.gwc(&arguments).succeeds().json();
    assert_eq!(forwarded_uri["status"], 400);
    let why = forwarded_uri["why"].as_str().unwrap_or_default();
    assert!(why.contains("the service that decides"), "{why}");
    assert!(why.contains("`/files/a/b`"), "{why}");
}
