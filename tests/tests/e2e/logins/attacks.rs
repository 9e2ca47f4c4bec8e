//! Tests of logins with invalid responses of providers, browsers and upstreams. None of the
//! responses may lead to a session.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use e2e::upstream::Answer;
use e2e::wait;

use super::*;

/// Table of provider faults, each with the expected status of the login and the expected reason in
/// the access log.
fn faults() -> Vec<(Value, u16, &'static str)> {
    vec![
        (
            json!({"response": {"error": "access_denied", "code": null}}),
            403,
            "denied",
        ),
        (
            json!({"response": {"error": "access_denied"}}),
            403,
            "denied",
        ),
        (
            json!({"response": {"error": "server_error", "code": null}}),
            503,
            "unavailable",
        ),
        (
            json!({"response": {"error": "invalid_scope", "code": null}}),
            400,
            "refused",
        ),
        (json!({"response": {"code": null}}), 400, "code"),
        (json!({"response": {"code": "unknown"}}), 400, "grant"),
        (json!({"response": {"state": null}}), 400, "state"),
        (json!({"response": {"state": ""}}), 400, "state"),
        (
            json!({"response": {"state": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}),
            400,
            "state",
        ),
        (json!({"response": {"iss": null}}), 400, "issuer"),
        (
            json!({"response": {"iss": "https://evil.example"}}),
            400,
            "issuer",
        ),
        (json!({"claims": {"nonce": "other"}}), 400, "nonce"),
        (json!({"claims": {"nonce": null}}), 400, "nonce"),
        (
            json!({"claims": {"iss": "https://evil.example"}}),
            400,
            "id_token",
        ),
        (json!({"claims": {"aud": "another"}}), 400, "id_token"),
        (
            json!({"claims": {"aud": ["the gateway", "another"], "azp": "the gateway"}}),
            400,
            "party",
        ),
        (
            json!({"claims": {"aud": ["the gateway", "partner"]}}),
            400,
            "party",
        ),
        (json!({"claims": {"azp": "another"}}), 400, "party"),
        (json!({"claims": {"exp": 1}}), 400, "id_token"),
        (json!({"claims": {"exp": null}}), 400, "id_token"),
        (json!({"claims": {"iat": null}}), 400, "id_token"),
        (json!({"claims": {"sub": null}}), 400, "id_token"),
        (
            json!({"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}),
            400,
            "access_token",
        ),
        (json!({"claims": {"at_hash": 1}}), 400, "access_token"),
        (
            json!({"claims": {"filler": "x".repeat(6_000)}}),
            400,
            "id_token",
        ),
        (json!({"signer": "other"}), 400, "id_token"),
        (json!({"answer": {"id_token": null}}), 400, "unusable"),
        (json!({"answer": {"id_token": "x"}}), 400, "id_token"),
        (json!({"answer": {"access_token": null}}), 400, "unusable"),
        (json!({"answer": {"token_type": "mac"}}), 400, "unusable"),
        (
            json!({"answer": {"refresh_token": "x".repeat(12_000)}}),
            400,
            "session_too_large",
        ),
        (json!({"raw": "<html>"}), 400, "unusable"),
        (json!({"raw": "{}"}), 400, "unusable"),
        (json!({"raw": "x".repeat(100_000)}), 503, "unavailable"),
        (json!({"status": 400}), 400, "grant"),
        (json!({"status": 500}), 503, "unavailable"),
        (json!({"status": 302}), 503, "unavailable"),
    ]
}

#[test]
fn wrong_response_of_the_provider_gives_no_session() {
    let Some(mut scene) = Scene::new(&json!({"audience": ["partner"]})) else {
        return prerequisite::skip(peers::MISSING);
    };
    let mut wrong = Vec::new();
    // Response bodies by status. Failures with the same status differ only in their logged reasons.
    let mut bodies: BTreeMap<u16, Vec<String>> = BTreeMap::new();
    for (fault, status, expected) in faults() {
        let mut browser = Browser::default();
        let first = browser.open(&scene, "/page");
        scene.fails(&fault);
        let back = browser.to_provider(&first);
        let done = browser.open(&scene, path_of(&back));
        let result = (done.status, reason(&scene, &done));
        let is_in = browser.cookies.contains_key("__Host-session");
        if result != (status, expected.to_owned()) || is_in {
            wrong.push(format!("{fault}: {result:?}, session: {is_in}"));
        }
        let text = done.text();
        for secret in ["code-", "access-", "refresh-", "alice"] {
            assert!(!text.contains(secret), "{text}");
        }
        bodies
            .entry(done.status)
            .or_default()
            .push(done.text_without_id());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // The body has no reason: it is the same for all failures with this status.
    for (status, mut bodies) in bodies {
        bodies.dedup();
        assert_eq!(bodies.len(), 1, "{status}: {bodies:#?}");
    }
    scene.fails(&json!({"claims": {"aud": ["the gateway", "partner"], "azp": "the gateway"}}));
    let done = Browser::default().log_in(&scene, "/page");
    assert_eq!(done.status, 303, "a known audience");
}

#[test]
fn response_belongs_to_one_browser_and_one_login() {
    let Some(scene) = Scene::new(&json!({})) else {
        return prerequisite::skip(peers::MISSING);
    };
    let (mut alice, mut mallory) = (Browser::default(), Browser::default());
    let first = alice.open(&scene, "/page");
    let back = alice.to_provider(&first);
    let mut begun = alice.clone();
    // Login CSRF: the browser of another user (`mallory`) sends the response of this login.
    let _own = mallory.open(&scene, "/page");
    let done = mallory.open(&scene, path_of(&back));
    assert_eq!((done.status, &*reason(&scene, &done)), (400, "state"));
    assert_eq!(alice.open(&scene, path_of(&back)).status, 303);
    // Replay: a copy of the browser sends the same response and login cookie again.
    let done = begun.open(&scene, path_of(&back));
    assert_eq!((done.status, &*reason(&scene, &done)), (400, "replayed"));
    let done = alice.open(&scene, path_of(&back));
    assert_eq!((done.status, &*reason(&scene, &done)), (400, "state"));
    for more in ["&code=x", "&state=x", "&iss=x", "&error=x&error=y"] {
        let mut browser = Browser::default();
        let first = browser.open(&scene, "/page");
        let back = format!("{}{more}", browser.to_provider(&first));
        assert_eq!(browser.open(&scene, path_of(&back)).status, 400, "{more}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"] {
        let line = format!("{method} /login/done");
        let mut connection = scene.gateway.connect();
        let text = format!("{line} HTTP/1.1\r\nhost: h\r\ncontent-length: 0\r\n\r\n");
        connection.send(text.as_bytes()).expect("it reads");
        let response = connection
            .read_response(method == "HEAD")
            .expect("it answers");
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some("GET")),
            "{method}"
        );
    }
}

#[test]
fn changed_and_foreign_cookies_are_no_session() {
    let Some(scene) = Scene::new(&json!({})) else {
        return prerequisite::skip(peers::MISSING);
    };
    let mut alice = Browser::default();
    assert_eq!(alice.log_in(&scene, "/page").status, 303);
    let mut pending = Browser::default();
    let _first = pending.open(&scene, "/page");
    let login = pending.cookies.into_values().next().expect("a login");
    let own = alice.cookies["__Host-session"].clone();
    let mut changed = own.clone().into_bytes();
    changed[40] ^= 1;
    let changed = String::from_utf8(changed).expect("still ASCII");
    for cookie in [
        "1.",
        "x",
        "1.x",
        "2.x",
        &changed,
        &own[..own.len() - 4],
        &format!("{own}A"),
        &own.replacen("1.", "2.", 1),
        &format!("1.{login}"),
        "1.eyJhbGciOiJub25lIn0.e30.",
    ] {
        let mut browser = Browser::default();
        browser
            .cookies
            .insert("__Host-session".to_owned(), cookie.to_owned());
        let json = "accept: application/json";
        let refused = browser.send(&scene.gateway, "GET /page", json);
        assert_eq!(refused.status, 401, "{cookie}");
        assert_eq!(reason(&scene, &refused), "session_unreadable");
        assert_eq!(
            browser.send(&scene.gateway, "GET /maybe", json).status,
            401,
            "never anonymous"
        );
        assert_eq!(browser.open(&scene, "/page").status, 303, "a new login");
    }
    let twice = format!("accept: text/html\ncookie: __Host-session={own}; __Host-session={own}");
    let request = format!("GET /page HTTP/1.1\nhost: h\n{twice}");
    assert_eq!(scene.gateway.ask(&request).status, 400);
}

#[test]
fn browser_returns_only_to_its_own_host() {
    let Some(scene) = Scene::new(&json!({})) else {
        return prerequisite::skip(peers::MISSING);
    };
    let long = format!("/page?{}", "x".repeat(3_000));
    for (target, expected) in [
        (
            "/page?next=https://evil.example",
            "/page?next=https://evil.example",
        ),
        ("/page?//evil.example", "/page?//evil.example"),
        (&*long, "/"),
    ] {
        let done = Browser::default().log_in(&scene, target);
        assert_eq!(location(&done), expected, "{target}");
    }
    for target in ["//evil.example/page", "/\\evil.example"] {
        let mut browser = Browser::default();
        let first = browser.open(&scene, target);
        if first.status == 303 {
            let back = browser.to_provider(&first);
            assert_eq!(
                location(&browser.open(&scene, path_of(&back))),
                "/",
                "{target}"
            );
        }
    }
}

#[test]
fn secrets_of_a_login_are_not_written() {
    let Some(provider) = Peer::python("login_provider.py", &[""; 0]) else {
        return prerequisite::skip(peers::MISSING);
    };
    let issuer = format!("http://127.0.0.1:{}", provider.greeting());
    let idle = json!({"session": {"idle": "8s"}});
    let collector = crate::secrecy::Collector::start();
    let arguments = collector.arguments();
    let arguments = arguments.each_ref().map(String::as_str);
    let mut scene = Scene::with(provider, &issuer, &idle, Upstream::start(), &arguments);
    let mut browser = Browser::default();
    let first = browser.open(&scene, "/page");
    let begun = location(&first).to_owned();
    let pending: Vec<String> = browser.cookies.values().cloned().collect();
    let back = browser.to_provider(&first);
    let done = browser.open(&scene, path_of(&back));
    assert_eq!(done.status, 303);
    let session = browser.cookies["__Host-session"].clone();
    let mut refused = Vec::new();
    // The first refused request sends the response again. The next is a login that the provider
    // refuses. The others send cookies that are not sessions.
    refused.push(browser.clone().open(&scene, path_of(&back)));
    scene.fails(&json!({"status": 400}));
    refused.push(Browser::default().log_in(&scene, "/page"));
    scene.fails(&json!({}));
    let mut stale = browser.clone();
    let cut = &session[..session.len() - 8];
    stale
        .cookies
        .insert("__Host-session".to_owned(), cut.to_owned());
    refused.push(stale.send(&scene.gateway, "GET /page", "accept: application/json"));
    let page = browser.open(&scene, "/page");
    assert_eq!(page.status, 200);
    let out = browser.send(&scene.gateway, "GET /logout", "sec-fetch-site: same-origin");
    let _line = reason(&scene, &out);
    let value = |url: &str, name: &str| -> String {
        let (_, rest) = url.split_once(&format!("{name}=")).expect("a parameter");
        rest.split('&').next().expect("a value").to_owned()
    };
    let id_token = value(location(&out), "id_token_hint");
    let mut secrets = vec![SECRET.to_owned(), KEY.to_owned(), session[..40].to_owned()];
    secrets.extend(["code-", "access-", "refresh-", "s3cret"].map(str::to_owned));
    // Credentials of the gateway at the provider, as RFC 6749 §2.3.1 encodes them.
    secrets.push(STANDARD.encode("the+gateway:s3cret%2Bof%25the%3A+gateway"));
    // `state` has no effect without the sealed cookie of its login, so the log may contain `state`.
    secrets.extend(["nonce", "code_challenge"].map(|name| value(&begun, name)));
    secrets.extend(id_token.split('.').map(str::to_owned));
    secrets.extend(pending.iter().map(|cookie| cookie[..40].to_owned()));
    assert!(secrets.iter().all(|one| one.len() > 4), "{secrets:?}");
    let mut written = crate::secrecy::outputs_of(&scene.gateway, &scene.project);
    written.extend(collector.outputs_of(&scene.gateway));
    written.push(("stored".to_owned(), scene.gateway.status().to_string()));
    for response in &refused {
        assert!(response.status >= 400, "{}", response.text());
        written.push((response.status.to_string(), response.text()));
    }
    assert!(written.iter().any(|(place, _)| place.contains("/state/")));
    for (place, text) in &written {
        for secret in &secrets {
            assert!(!text.contains(secret), "{secret} in {place}: {text}");
        }
    }
    scene.gateway.stops_clean();
    for (place, text) in crate::secrecy::outputs_after(&scene.project) {
        for secret in &secrets {
            assert!(!text.contains(secret), "{secret} in {place}: {text}");
        }
    }
}

/// Upstream responses must not contain session cookies, which would log browsers in as another
/// user. A cache must not store a renewed session and give the session to other browsers.
#[test]
fn upstream_neither_sets_nor_publishes_sessions() {
    let Some(provider) = Peer::python("login_provider.py", &[""; 0]) else {
        return prerequisite::skip(peers::MISSING);
    };
    let issuer = format!("http://127.0.0.1:{}", provider.greeting());
    let upstream = Upstream::scripted(|_| Answer {
        headers: [
            ("set-cookie", "__Host-session=1.evil; Path=/; Secure"),
            (
                "set-cookie",
                "__Host-session.login-abcdefgh=1; Path=/; Secure",
            ),
            ("cache-control", "public, max-age=60"),
            ("cdn-cache-control", "max-age=60"),
            ("surrogate-control", "max-age=60"),
            ("expires", "Thu, 01 Jan 2032 00:00:00 GMT"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        ..Answer::ok("fine")
    });
    let idle = json!({"session": {"idle": "16s"}});
    let scene = Scene::before(provider, &issuer, &idle, upstream);
    let mut browser = Browser::default();
    let open = browser.send(&scene.gateway, "GET /open", "accept: text/html");
    assert_eq!(open.header("set-cookie"), None);
    assert_eq!(open.header("cdn-cache-control"), Some("max-age=60"));
    assert_eq!(browser.log_in(&scene, "/page").status, 303);
    let renewed = wait::within(Duration::from_secs(15), || {
        let page = browser.send(&scene.gateway, "GET /page", "accept: text/html");
        assert_eq!(page.status, 200);
        let is_own = |value: &str| value.starts_with("__Host-session=");
        let is_renewed = page.head.all("set-cookie").any(is_own);
        is_renewed.then_some(page)
    });
    let renewed = renewed.expect("renewed after an eighth of `idle`");
    assert_eq!(renewed.header("cache-control"), Some("no-store"));
    for name in ["cdn-cache-control", "surrogate-control", "expires"] {
        assert_eq!(renewed.header(name), None, "{name}");
    }
    assert_eq!(
        browser
            .send(&scene.gateway, "GET /page", "accept: a/b")
            .status,
        200
    );
}
