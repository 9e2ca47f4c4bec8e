//! Tests of the parts of a login that need no provider.

use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::login::own_path;
use super::{Session, is_navigation};
use crate::auth::strip_cookies_of;
use crate::head::RequestHead;

fn head(method: Method, fields: &[(&'static str, &'static str)]) -> RequestHead {
    let fields = fields.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, value);
    }
    RequestHead {
        method,
        target: "/p".parse().expect("a path"),
        host: "h".into(),
        headers,
        is_ambiguous: false,
    }
}

#[test]
fn navigation_is_told_from_a_script() {
    let html = ("accept", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8");
    let mode = |mode| ("sec-fetch-mode", mode);
    for (method, fields, expected) in [
        (Method::GET, &[html][..], true),
        (Method::HEAD, &[html], true),
        (Method::GET, &[html, mode("navigate")], true),
        (Method::GET, &[html, mode("cors")], false),
        (Method::GET, &[html, mode("navigate"), mode("cors")], false),
        (Method::GET, &[("accept", "application/json")], false),
        (Method::GET, &[("accept", "*/*"), mode("navigate")], false),
        (Method::GET, &[mode("navigate")], false),
        (Method::POST, &[html], false),
        (Method::OPTIONS, &[html], false),
    ] {
        assert_eq!(is_navigation(&head(method, fields)), expected, "{fields:?}");
    }
}

#[test]
fn browser_returns_to_a_path_of_the_same_host() {
    let long = format!("/{}", "x".repeat(2_048));
    for (target, expected) in [
        ("/", "/"),
        ("/a?b=//c", "/a?b=//c"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("/a\\b", "/"),
        ("https://evil.example/", "/"),
        ("/a\tb", "/"),
        ("/é", "/"),
        ("", "/"),
        (&long, "/"),
    ] {
        assert_eq!(own_path(target), expected, "{target}");
    }
}

#[test]
fn cookies_of_a_login_are_stripped() {
    for (sent, left) in [
        ("__Host-session=a", None),
        ("a=1; __Host-session=x; b=2", Some("a=1; b=2")),
        (
            "__Host-session.1=x; __Host-session.login-abc=y; a=1",
            Some("a=1"),
        ),
        ("__host-Session=x; __Host%2Dsession.1=x; a=1", Some("a=1")),
        (
            "__Host-sessions=x; __Host-sessio=y",
            Some("__Host-sessions=x; __Host-sessio=y"),
        ),
        ("__Host-session_1=x; __Host-session[1]=y; a=1", Some("a=1")),
    ] {
        let mut head = head(Method::GET, &[("cookie", sent)]);
        strip_cookies_of(&mut head.headers, "__Host-session");
        let kept = head
            .headers
            .get("cookie")
            .map(|value| value.to_str().expect("ASCII"));
        assert_eq!(kept, left, "{sent}");
    }
}

#[test]
fn session_is_read_as_written_and_not_printed() {
    let session = Session {
        id: [7; 16],
        began_s: 1,
        seen_s: 2,
        refresh_s: Some(3),
        id_token: "PLANTED".to_owned(),
        refresh_token: Some("PLANTED".to_owned()),
        scope: "openid".to_owned(),
    };
    let read = Session::decoded(&session.encoded());
    assert!(read == Some(session.clone()));
    assert!(!format!("{session:?}").contains("PLANTED"));
    for bytes in [&b""[..], b"\xff", b"\xa0", &session.encoded()[..20]] {
        assert!(Session::decoded(bytes).is_none());
    }
}
