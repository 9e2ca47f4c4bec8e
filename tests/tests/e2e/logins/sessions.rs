//! Tests of sessions after a login: end of a session, refresh, logout, and outages of the provider.

use std::time::Duration;

use e2e::wait;

use super::*;
use crate::faulty_server::{Body, drips, floods, hangs, serve};

fn page(browser: &mut Browser, scene: &Scene) -> (u16, String) {
    let json = "accept: application/json";
    let response = browser.send(&scene.gateway, "GET /page", json);
    (response.status, reason(scene, &response))
}

#[test]
fn logout_ends_the_session_here_and_at_the_provider() {
    let Some(scene) = Scene::new(&json!({})) else {
        return prerequisite::skip(peers::MISSING);
    };
    let mut browser = Browser::default();
    assert_eq!(browser.log_in(&scene, "/page").status, 303);
    let mut stolen = browser.clone();
    for (line, fields) in [
        ("GET /logout", "sec-fetch-site: cross-site"),
        ("GET /logout", "sec-fetch-site: same-site"),
        (
            "POST /logout",
            "origin: https://evil.example\ncontent-length: 0",
        ),
        ("POST /logout", "origin: null\ncontent-length: 0"),
        ("GET /logout", "referer: https://evil.example/x"),
    ] {
        let refused = browser.send(&scene.gateway, line, fields);
        assert_eq!(refused.status, 403, "{line} {fields}");
        assert_eq!(reason(&scene, &refused), "cross_site");
    }
    assert_eq!(page(&mut browser, &scene).0, 200);
    let out = browser.send(&scene.gateway, "GET /logout", "sec-fetch-site: same-origin");
    assert_eq!(out.status, 303, "{}", out.text());
    let target = location(&out).to_owned();
    assert!(target.starts_with(&format!("{}/logout?client_id=the+gateway&", scene.issuer)));
    assert!(target.contains("id_token_hint=ey"), "{target}");
    let back = format!("http%3A%2F%2F{}%2Fopen", scene.gateway.address());
    let back = back.replace(':', "%3A");
    assert!(
        target.contains(&format!("post_logout_redirect_uri={back}")),
        "{target}"
    );
    assert!(browser.cookies.is_empty());
    assert_eq!(page(&mut browser, &scene).0, 401);
    let ended = page(&mut stolen, &scene);
    assert_eq!(ended, (401, "session_ended".to_owned()));
    let again = browser.send(&scene.gateway, "POST /logout", "content-length: 0");
    assert_eq!((again.status, location(&again)), (303, "/open"));
}

#[test]
fn login_gives_a_new_session() {
    let Some(scene) = Scene::new(&json!({})) else {
        return prerequisite::skip(peers::MISSING);
    };
    let mut browser = Browser::default();
    assert_eq!(browser.log_in(&scene, "/page").status, 303);
    let before = browser.cookies["__Host-session"].clone();
    let mut other = Browser::default();
    other
        .cookies
        .insert("__Host-session".to_owned(), "1.planted".to_owned());
    assert_eq!(other.log_in(&scene, "/page").status, 303);
    assert_ne!(other.cookies["__Host-session"], before);
    assert_eq!(page(&mut other, &scene).0, 200);
}

#[test]
fn session_ends_by_its_lifetime_and_by_idleness() {
    for (session, reason) in [
        (json!({"lifetime": "2s"}), "session_expired"),
        (json!({"lifetime": "1h", "idle": "2s"}), "session_idle"),
    ] {
        let Some(scene) = Scene::new(&json!({"session": session})) else {
            return prerequisite::skip(peers::MISSING);
        };
        let mut browser = Browser::default();
        assert_eq!(browser.log_in(&scene, "/page").status, 303);
        // This browser copy repeats its first cookies. It ignores the cookies' lifetime, and
        // ignores new cookies.
        let first = browser.clone();
        assert_eq!(page(&mut browser, &scene).0, 200);
        let ended = wait::within(Duration::from_secs(20), || {
            let (status, body_reason) = page(&mut first.clone(), &scene);
            (status == 401).then_some(body_reason)
        });
        assert_eq!(ended.as_deref(), Some(reason), "{session}");
    }
}

/// An open response ends when the session ends (`streams: close`).
#[test]
fn open_response_ends_with_its_session() {
    let Some(provider) = Peer::python("login_provider.py", &[""; 0]) else {
        return prerequisite::skip(peers::MISSING);
    };
    let issuer = format!("http://127.0.0.1:{}", provider.greeting());
    let short = json!({"session": {"lifetime": "4s"}});
    let endless = crate::ending_streams::endless();
    let scene = Scene::before(provider, &issuer, &short, endless);
    let mut browser = Browser::default();
    assert_eq!(browser.log_in(&scene, "/events").status, 303);
    let session = &browser.cookies["__Host-session"];
    let mut client = scene.gateway.connect();
    let host = scene.gateway.address();
    let request =
        format!("GET /events HTTP/1.1\r\nhost: {host}\r\ncookie: __Host-session={session}\r\n\r\n");
    client.send(request.as_bytes()).expect("gwd reads");
    let head = client.read_head().expect("a head");
    assert!(head.line.starts_with("HTTP/1.1 200"), "{}", head.line);
    // The missing final chunk shows the client that the response is not complete.
    let rest = client.read_to_end().expect("gwd closes the connection");
    assert_eq!(rest, b"5\r\nhello\r\n");
    let json = "accept: application/json";
    let ended = browser.send(&scene.gateway, "GET /events", json);
    assert_eq!(ended.status, 401);
    assert_eq!(reason(&scene, &ended), "session_expired");
}

#[test]
fn tokens_are_refreshed_once_for_all_requests() {
    let Some(mut scene) = Scene::new(&json!({})) else {
        return prerequisite::skip(peers::MISSING);
    };
    scene.fails(&json!({"answer": {"expires_in": 1}}));
    let mut browser = Browser::default();
    assert_eq!(browser.log_in(&scene, "/page").status, 303);
    let old = browser.clone();
    scene.fails(&json!({}));
    let renewed = wait::within(Duration::from_secs(30), || {
        assert_eq!(page(&mut browser, &scene).0, 200);
        (browser.cookies != old.cookies).then_some(())
    });
    assert!(renewed.is_some(), "refreshed after 10s");
    // The provider accepts the old refresh token once. Requests with the old cookie share the
    // response to this refresh.
    for _ in 0..5 {
        assert_eq!(page(&mut old.clone(), &scene).0, 200);
    }
    let requests = scene.fails(&json!({"status": 400}));
    let grants = requests
        .iter()
        .filter(|one| one["grant_type"] == "refresh_token");
    assert_eq!(grants.count(), 1, "{requests:?}");
}

#[test]
fn session_ends_when_the_provider_refuses_the_refresh() {
    let Some(mut scene) = Scene::new(&json!({})) else {
        return prerequisite::skip(peers::MISSING);
    };
    scene.fails(&json!({"answer": {"expires_in": 1}}));
    let mut browser = Browser::default();
    assert_eq!(browser.log_in(&scene, "/page").status, 303);
    scene.fails(&json!({"status": 400}));
    let ended = wait::within(Duration::from_secs(30), || {
        let (status, body_reason) = page(&mut browser.clone(), &scene);
        (status == 401).then_some(body_reason)
    });
    assert_eq!(ended.as_deref(), Some("session_ended"));
}

#[test]
fn sessions_go_on_while_the_provider_is_gone() {
    let Some(mut scene) = Scene::new(&json!({})) else {
        return prerequisite::skip(peers::MISSING);
    };
    scene.fails(&json!({"answer": {"expires_in": 1}}));
    let mut browser = Browser::default();
    assert_eq!(browser.log_in(&scene, "/page").status, 303);
    let mut late = Browser::default();
    let first = late.open(&scene, "/page");
    let back = late.to_provider(&first);
    let old = browser.clone();
    scene.fails(&json!({"status": 500}));
    let tried = wait::within(Duration::from_secs(30), || {
        assert_eq!(page(&mut browser, &scene).0, 200);
        (browser.cookies != old.cookies).then_some(())
    });
    assert!(tried.is_some(), "the refresh was tried");
    let refused = late.open(&scene, path_of(&back));
    assert_eq!(
        (refused.status, &*reason(&scene, &refused)),
        (503, "unavailable")
    );
    let out = browser.send(&scene.gateway, "GET /logout", "sec-fetch-site: same-origin");
    assert_eq!(out.status, 303);
    assert!(browser.cookies.is_empty());
}

/// The token endpoint sends nothing, one byte per second, 100 MB, or an incomplete response. The
/// login ends with 503 and without a session, and no other request waits.
#[test]
fn hanging_or_flooding_token_endpoint_stalls_no_other() {
    use std::io::Write as _;
    let breaks: Body = |stream| stream.write_all(b"content-length: 1000\r\n\r\n{\"id_tok");
    for (name, body) in [
        ("hangs", hangs as Body),
        ("drips", drips),
        ("floods", floods),
        ("breaks", breaks),
    ] {
        let url = format!("{}/token", serve(body));
        let Some(scene) = Scene::new(&json!({"token_url": url, "timeout": "2500ms"})) else {
            return prerequisite::skip(peers::MISSING);
        };
        let memory = scene.gateway.memory_bytes();
        let mut browser = Browser::default();
        let first = browser.open(&scene, "/page");
        let back = browser.to_provider(&first);
        std::thread::scope(|scope| {
            let line = format!("GET {}", path_of(&back));
            let (gateway, browser) = (&scene.gateway, &mut browser);
            let waiting = scope.spawn(move || browser.send(gateway, &line, NAVIGATION));
            for _ in 0..20 {
                assert_eq!(scene.gateway.ask("GET /open HTTP/1.1\nhost: h").status, 200);
            }
            let done = waiting.join().expect("no panic");
            let result = (done.status, &*reason(&scene, &done));
            assert_eq!(result, (503, "unavailable"), "{name}");
        });
        assert!(!browser.cookies.contains_key("__Host-session"), "{name}");
        let grown = scene.gateway.memory_bytes().saturating_sub(memory);
        assert!(grown < 32 << 20, "{name}: {grown} bytes more");
    }
}

#[test]
fn provider_that_never_answered_is_503() {
    let Some(scene) = Scene::new(&json!({"issuer": "http://127.0.0.1:1"})) else {
        return prerequisite::skip(peers::MISSING);
    };
    let mut browser = Browser::default();
    let refused = browser.open(&scene, "/page");
    assert_eq!(
        (refused.status, &*reason(&scene, &refused)),
        (503, "unavailable")
    );
    assert_eq!(page(&mut browser, &scene).0, 401);
    let out = browser.send(&scene.gateway, "GET /logout", "sec-fetch-site: none");
    assert_eq!((out.status, location(&out)), (303, "/open"));
}

#[test]
fn long_session_is_stored_in_several_cookies() {
    let Some(mut scene) = Scene::new(&json!({"session": {"same_site": "strict"}})) else {
        return prerequisite::skip(peers::MISSING);
    };
    scene.fails(&json!({"answer": {"refresh_token": "x".repeat(6_500)}}));
    let mut browser = Browser::default();
    let done = browser.log_in(&scene, "/page?a=%3C&b='");
    // The response is a page that opens the target, because browsers send no cookie with
    // `SameSite=Strict` after a redirect from another site.
    assert_eq!(done.status, 200, "{}", done.text());
    let text = done.text();
    assert!(text.contains("url=/page?a=%3C&amp;b="), "{text}");
    let names: Vec<&String> = browser.cookies.keys().collect();
    assert_eq!(
        names,
        ["__Host-session", "__Host-session.1", "__Host-session.2"]
    );
    assert!(browser.cookies.values().all(|value| value.len() < 3_900));
    assert_eq!(page(&mut browser, &scene).0, 200);
    let seen = scene.upstream.take();
    assert_eq!(seen[0].header("cookie"), Some("other=1"));
    let mut partial = browser.clone();
    partial.cookies.remove("__Host-session.1");
    assert_eq!(
        page(&mut partial, &scene),
        (401, "session_unreadable".to_owned())
    );
    let _out = browser.send(&scene.gateway, "GET /logout", "sec-fetch-site: none");
    assert!(browser.cookies.is_empty(), "{:?}", browser.cookies.keys());
}

#[test]
fn token_is_accepted_beside_the_session() {
    let Some(scene) = Scene::new(&json!({"bearer": "tokens"})) else {
        return prerequisite::skip(peers::MISSING);
    };
    let mut browser = Browser::default();
    assert_eq!(browser.log_in(&scene, "/page").status, 303);
    // At the logout, the gateway sends the provider an ID token that the provider signed.
    let mut other = browser.clone();
    let out = other.send(&scene.gateway, "GET /logout", "sec-fetch-site: same-origin");
    let (_, rest) = location(&out)
        .split_once("id_token_hint=")
        .expect("a token");
    let token = rest.split('&').next().expect("a token").to_owned();
    let mut browser = Browser::default();
    assert_eq!(browser.log_in(&scene, "/page").status, 303);
    let _ = scene.upstream.take();
    let mut stale = Browser::default();
    stale
        .cookies
        .insert("__Host-session".to_owned(), "1.sealed-by-nobody".to_owned());
    let forged = format!("{}AAAA", &token[..token.len() - 4]);
    let json = "accept: application/json";
    for (browser, token, fields, target, status) in [
        (&Browser::default(), Some(&token), json, "/page", 200),
        (&Browser::default(), Some(&token), NAVIGATION, "/page", 200),
        (&Browser::default(), Some(&forged), json, "/page", 401),
        (&Browser::default(), Some(&forged), NAVIGATION, "/page", 401),
        (&Browser::default(), None, NAVIGATION, "/page", 303),
        (&Browser::default(), Some(&token), json, "/read", 403),
        (&Browser::default(), Some(&token), json, "/maybe", 200),
        (&Browser::default(), Some(&forged), json, "/maybe", 401),
        // The session is the first alternative, so the scopes of the session apply.
        (&browser, Some(&token), json, "/read", 200),
        (&browser, Some(&forged), json, "/page", 200),
        (&browser, Some(&forged), json, "/maybe", 401),
        (&stale, Some(&token), json, "/page", 200),
        (&stale, Some(&forged), NAVIGATION, "/page", 401),
        (&stale, None, NAVIGATION, "/page", 303),
    ] {
        let bearer = token.map_or(String::new(), |token| {
            format!("\nauthorization: Bearer {token}")
        });
        let fields = format!("{fields}{bearer}");
        let line = format!("GET {target}");
        let response = browser.clone().send(&scene.gateway, &line, &fields);
        let context = format!(
            "{target} {fields} {:?}: {}",
            browser.cookies,
            response.text()
        );
        assert_eq!(response.status, status, "{context}");
        let mut challenges = response.head.all("www-authenticate");
        let is_bearer = challenges.any(|one| one.starts_with("Bearer "));
        assert_eq!(is_bearer, matches!(status, 401 | 403), "{context}");
    }
    let seen = scene.upstream.take();
    assert_eq!(seen.len(), 6);
    for one in &seen {
        assert_eq!(one.header("x-caller"), Some("alice"), "{}", one.target);
    }
}
