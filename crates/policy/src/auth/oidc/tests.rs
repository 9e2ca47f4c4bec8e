//! Tests of the parts of a login that need no provider.

use std::sync::Arc;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::login::own_path;
use super::{Checked, Session, is_navigation};
use crate::auth::jwt::Algorithm;
use crate::auth::strip_cookies_of;
use crate::head::RequestHead;
use crate::secret::{Form, SecretCell, SecretRef, SecretUnavailable, Secrets};

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
fn navigation_is_distinguished_from_a_script() {
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
        ("=__Host-session=x; ==__Host-session.1=y; a=1", Some("a=1")),
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

fn checked() -> Checked {
    Checked {
        issuer: "https://idp.test".into(),
        client_id: "web".into(),
        client_secret: SecretRef::Env("A".into()),
        redirect_path: "/done".into(),
        logout_path: None,
        after_logout: None,
        scopes: vec!["openid".into()],
        audience: Vec::new(),
        algorithms: vec![Algorithm::Rs256],
        jwks_url: None,
        token_url: None,
        timeout_ms: None,
        required_claims: Vec::new(),
        consumer_claim: None,
        groups_claim: None,
        session_secret: SecretRef::Env("B".into()),
        cookie: None,
        lifetime_ms: None,
        idle_ms: None,
        strict: false,
    }
}

struct LongSecrets;

impl Secrets for LongSecrets {
    fn cell(&self, _: &SecretRef, _: Form) -> Result<Arc<SecretCell>, SecretUnavailable> {
        Ok(SecretCell::new([b's'; 32].to_vec()))
    }
}

#[test]
fn ended_sessions_of_a_user_count_as_one_caller() {
    let login = checked().login(&LongSecrets).expect("a login");
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let user = |id: u8, subject: &str| {
        let header = part(r#"{"alg":"RS256","kid":"k"}"#);
        let claims = format!(r#"{{"iss":"https://idp.test","sub":"{subject}","iat":1,"exp":9}}"#);
        let session = Session {
            id: [id; 16],
            began_s: 1,
            seen_s: 1,
            refresh_s: None,
            id_token: format!("{header}.{}.{}", part(&claims), part("signature")),
            refresh_token: None,
            scope: "openid".to_owned(),
        };
        login.user(&session)
    };
    assert_eq!(user(1, "ann"), user(2, "ann"));
    assert_ne!(user(1, "ann"), user(1, "bob"));
}

#[test]
fn sessions_belong_to_the_settings_of_their_login() {
    let login = checked();
    let owner_with = |edit: fn(&mut Checked)| {
        let mut other = login.clone();
        edit(&mut other);
        other.owner()
    };
    let deciding: [fn(&mut Checked); 9] = [
        |one| one.issuer = "https://other.test".into(),
        |one| one.client_id = "other".into(),
        |one| one.cookie = Some("__Host-other".into()),
        |one| one.jwks_url = Some("https://evil.test/keys".into()),
        |one| one.token_url = Some("https://evil.test/token".into()),
        |one| one.algorithms.push(Algorithm::Es256),
        |one| one.scopes.push("admin".into()),
        |one| one.audience.push("api".into()),
        |one| one.required_claims.push("email".into()),
    ];
    let mut owners = vec![login.owner()];
    owners.extend(deciding.map(owner_with));
    owners.sort_unstable();
    owners.dedup();
    assert_eq!(owners.len(), 10);
    // Another session lifetime, redirect path or client secret does not invalidate sessions.
    for edit in [
        (|one| one.lifetime_ms = Some(1)) as fn(&mut Checked),
        |one| one.redirect_path = "/other".into(),
        |one| one.client_secret = SecretRef::Env("C".into()),
    ] {
        assert_eq!(owner_with(edit), login.owner());
    }
}
