//! Fuzz targets for header fields whose values have a grammar.

use std::net::IpAddr;

use engine::accept::prefers_html;
use engine::edge::X_FORWARDED_FOR;
use engine::forward::{Places, ThisHop, continued};
use http::header::{ACCEPT, FORWARDED, HeaderMap, HeaderValue};
use http1::response::keep_alive_s;

/// Three configurations of a service for the rewriting of response fields. Base path and target
/// path: both set, both empty, and only the target path set.
const PLACES: [Places<'static>; 3] = [
    Places {
        scheme: "http",
        upstream_host: "orders.internal:8080",
        own: "orders.internal:8080",
        path: "/v1",
        client: "api.example",
        encrypted: true,
        base: "/shop",
    },
    Places {
        scheme: "http",
        upstream_host: "api.example",
        own: "10.0.0.9",
        path: "",
        client: "api.example",
        encrypted: true,
        base: "",
    },
    Places {
        scheme: "https",
        upstream_host: "[::1]:8443",
        own: "[::1]:8443",
        path: "/v1",
        client: "localhost:80",
        encrypted: false,
        base: "",
    },
];

/// Splits the input. The first byte selects one of [`PLACES`], and the rest is the field value.
fn at_places(data: &[u8]) -> Option<(Places<'static>, &str)> {
    let (first, text) = data.split_first()?;
    HeaderValue::from_bytes(text).ok()?;
    let text = std::str::from_utf8(text).ok()?;
    Some((PLACES[usize::from(*first) % PLACES.len()], text))
}

/// Fuzz target for `X-Forwarded-For` (first line) and `Forwarded` (second line). The fields for the
/// upstream must be well-formed and contain one additional hop. A second gateway must drop none of
/// the hops.
pub fn forwarded(data: &[u8]) {
    let mut lines = data.splitn(2, |byte| *byte == b'\n');
    let mut headers = HeaderMap::new();
    for name in [X_FORWARDED_FOR.clone(), FORWARDED] {
        let value = HeaderValue::from_bytes(lines.next().unwrap_or_default());
        if let Some(value) = value.ok().filter(|value| !value.is_empty()) {
            headers.insert(name, value);
        }
    }
    let peer = IpAddr::from([192, 0, 2, 1]);
    let hop = ThisHop::new(peer, "https", &HeaderValue::from_static("h"));
    let hops = |headers: &HeaderMap| {
        let text = |value: &HeaderValue| value.to_str().expect("visible ASCII").to_owned();
        let (older, newer) = (text(&headers[&X_FORWARDED_FOR]), text(&headers[FORWARDED]));
        assert!(newer.ends_with("for=192.0.2.1;host=h;proto=https"), "{newer}");
        let hops: Vec<String> = older.split(", ").map(str::to_owned).collect();
        for hop in &hops {
            let named = hop.eq_ignore_ascii_case("unknown") || hop.starts_with('_');
            assert!(named || hop.parse::<IpAddr>().is_ok(), "{older}");
        }
        hops
    };
    continued(&mut headers, &hop, "");
    let once = hops(&headers);
    continued(&mut headers, &hop, "");
    let twice = hops(&headers);
    assert_eq!(twice[..once.len()], once);
    assert_eq!(twice.len(), once.len() + 1);
}

/// Fuzz target for `Location`. The rewritten value must have no authority, or the authority of the
/// original value. Clients are then never redirected to a host that the service did not name.
pub fn location(data: &[u8]) {
    let Some((places, text)) = at_places(data) else {
        return;
    };
    let Some(other) = places.reference(text) else {
        return;
    };
    assert!(HeaderValue::from_str(&other).is_ok(), "{other:?}");
    let leads = authority(&other);
    assert!(
        leads.is_none() || leads == authority(text),
        "{text:?} {other:?}"
    );
}

/// Authority of a URL reference as browsers parse it (WHATWG URL §4.4). Browsers read `\` as `/`,
/// and accept any number of slashes before the authority.
fn authority(text: &str) -> Option<String> {
    let text = text
        .trim_matches(|c: char| c <= ' ')
        .replace(['\t', '\n', '\r', '\\'], "/");
    let behind = match text.split_once(':') {
        Some((scheme, behind)) if scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) => behind,
        _ => &text,
    };
    let bare = behind.strip_prefix("//")?.trim_start_matches('/');
    let end = bare.find(['/', '?', '#']).unwrap_or(bare.len());
    Some(bare[..end].to_ascii_lowercase())
}

/// Fuzz target for `Set-Cookie`. The rewriting must keep the cookie's name and value, and add no
/// attribute. A replaced path must be a valid path.
pub fn set_cookie(data: &[u8]) {
    let Some((places, text)) = at_places(data) else {
        return;
    };
    let Some(other) = places.cookie(text) else {
        return;
    };
    assert!(HeaderValue::from_str(&other).is_ok(), "{other:?}");
    let (mut before, mut after) = (text.split(';'), other.split(';'));
    assert_eq!(before.next(), after.next());
    let before: Vec<&str> = before.collect();
    let after: Vec<&str> = after.collect();
    assert!(after.len() <= before.len(), "{text:?} {other:?}");
    for attribute in after.iter().filter(|attribute| !before.contains(attribute)) {
        assert!(attribute.starts_with(" Path=/"), "{text:?} {other:?}");
    }
}

/// Fuzz target for `Accept`. The result must not depend on the division into lines or on letter
/// case. HTML may be preferred only if the client names a text type.
pub fn accept(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let wants = |lines: &mut dyn Iterator<Item = String>| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(ACCEPT, HeaderValue::from_str(&line).ok()?);
        }
        Some(prefers_html(&headers))
    };
    let Some(wanted) = wants(&mut text.split('\n').map(str::to_owned)) else {
        return;
    };
    assert!(!wanted || text.to_ascii_lowercase().contains("text/"));
    let capitals = text.split('\n').map(str::to_ascii_uppercase);
    assert_eq!(wants(&mut capitals.into_iter()), Some(wanted));
    if text.is_ascii() {
        let one = std::iter::once(text.replace('\n', ","));
        assert_eq!(wants(&mut one.into_iter()), Some(wanted));
    }
}

/// Fuzz target for `Keep-Alive`. The parsed seconds must occur in the text, and letter case must
/// not matter.
pub fn keep_alive(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else {
        return;
    };
    let Some(seconds) = keep_alive_s(&value) else {
        return;
    };
    let text = value.to_str().expect("it was read");
    assert!(text.contains(&seconds.to_string()), "{text}");
    let capitals = text.to_ascii_uppercase();
    let capitals = HeaderValue::try_from(capitals).expect("letters");
    assert_eq!(keep_alive_s(&capitals), Some(seconds));
}

/// Sample `Location` values for each of [`PLACES`].
pub(crate) fn locations() -> Vec<Vec<u8>> {
    at_each(&[
        "/v1/orders/7?x=/v1#y",
        "//orders.internal:8080/v1//a",
        "http://api.example//evil.example",
        "HTTPS://[::1]:8443/v1\\a",
        "/\\evil.example/v1",
        "mailto:a@b",
    ])
}

/// Sample `Set-Cookie` values for each of [`PLACES`].
pub(crate) fn cookies() -> Vec<Vec<u8>> {
    at_each(&[
        "id=1; Path=/v1; Domain=orders.internal; HttpOnly",
        "__Host-id=\"1\";path=/;Secure",
        "a=b; Domain=.example; domain=[::1]; PATH = /v1/x ; Max-Age=0",
    ])
}

fn at_each(texts: &[&str]) -> Vec<Vec<u8>> {
    let places = 0..u8::try_from(PLACES.len()).unwrap_or(u8::MAX);
    let all = places.flat_map(|place| texts.iter().map(move |text| (place, *text)));
    all.map(|(place, text)| [&[place], text.as_bytes()].concat())
        .collect()
}
