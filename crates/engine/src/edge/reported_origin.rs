//! Scheme, host, port and path prefix of a client's request as a trusted proxy reports them
//! (`Forwarded`, RFC 7239, and `X-Forwarded-*`). The edge has removed these fields from requests of
//! all other peers.

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use policy::auth::dpop::ClientUrl;

use super::forwarded::{Hop, is_forwarded_valid, outside_quotes};

pub(crate) static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) static X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
pub(crate) static X_FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");
pub(crate) static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// URL of a request as its client sees it. `scheme` and `authority` belong to the connection to the
/// gateway; `path` is the normalised path.
#[must_use]
pub(crate) fn client_url(
    headers: &HeaderMap,
    scheme: &'static str,
    authority: &HeaderValue,
    path: &str,
) -> Option<ClientUrl> {
    let reported_origin = ReportedOrigin::of(headers);
    let scheme = reported_origin.proto.unwrap_or(scheme);
    let port = reported_origin.port;
    let authority = reported_origin.host.as_ref().unwrap_or(authority);
    let prefix = first(headers, &X_FORWARDED_PREFIX).filter(|prefix| prefix.starts_with('/'));
    let prefix = prefix.map_or("", |prefix| prefix.trim_end_matches('/'));
    ClientUrl::new(
        scheme,
        authority.to_str().ok()?,
        port,
        format!("{prefix}{path}"),
    )
}

/// Client's scheme, host and port from a trusted proxy. Malformed values count as absent.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReportedOrigin {
    /// Scheme: `http` or `https`. `None`: not reported.
    pub(crate) proto: Option<&'static str>,
    pub(crate) host: Option<HeaderValue>,
    pub(crate) port: Option<u16>,
    /// True if `Forwarded` is well-formed, and its scheme and host equal `proto` and `host`.
    pub(crate) forwarded_agrees: bool,
}

impl ReportedOrigin {
    /// Reads the forwarding fields. The edge has removed the fields that trusted proxies do not
    /// write (`forwarding_fields`).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let forwarded = client_element(headers).filter(|_| is_forwarded_valid(headers));
        let of_forwarded = |name: &str| {
            let pairs = forwarded.as_deref().unwrap_or_default().iter();
            let found = pairs
                .clone()
                .find(|(key, _)| key.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.as_str())
        };
        let forwarded_proto = of_forwarded("proto").and_then(known_proto);
        let proto = proto(headers).or(forwarded_proto);
        let forwarded_host = of_forwarded("host").filter(|host| is_authority(host));
        let host = first(headers, &X_FORWARDED_HOST).filter(|host| is_authority(host));
        let host = host.or(forwarded_host);
        let port = first(headers, &X_FORWARDED_PORT);
        Self {
            proto,
            host: host.and_then(|host| HeaderValue::from_str(host).ok()),
            port: port
                .and_then(|port| port.parse().ok())
                .filter(|port| *port > 0),
            forwarded_agrees: forwarded.is_some()
                && forwarded_proto == proto
                && forwarded_host == host,
        }
    }
}

/// Scheme of the client's connection from X-Forwarded-Proto.
pub(crate) fn proto(headers: &HeaderMap) -> Option<&'static str> {
    first(headers, &X_FORWARDED_PROTO).and_then(known_proto)
}

fn known_proto(text: &str) -> Option<&'static str> {
    let known = [
        ("http", "http"),
        ("https", "https"),
        ("ws", "http"),
        ("wss", "https"),
    ];
    let mut known = known.into_iter();
    let found = known.find(|(name, _)| text.eq_ignore_ascii_case(name));
    found.map(|(_, proto)| proto)
}

/// First value of a list field. The trusted proxy nearest to the client wrote it.
fn first<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let text = headers.get(name)?.to_str().ok()?;
    text.split(',').next().map(str::trim)
}

/// True if the text is a host with an optional port.
fn is_authority(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~[]:".contains(&byte);
    let parsed = text.parse::<http::uri::Authority>();
    text.bytes().all(plain) && parsed.is_ok_and(|it| !it.host().is_empty())
}

/// Names and values of the parameters of one element of `Forwarded` (RFC 7239 §4): the first
/// element that has more than `for`, otherwise the first element. The trusted proxy nearest to the
/// client wrote this element (`edge::forwarded`). `None` if the field is absent. Also `None` if any
/// element is malformed, because an upstream may interpret the element differently.
fn client_element(headers: &HeaderMap) -> Option<Vec<(String, String)>> {
    let mut first: Option<Vec<(String, String)>> = None;
    let is_bare = |pairs: &[(String, String)]| {
        let mut pairs = pairs.iter();
        pairs.all(|(key, _)| key.eq_ignore_ascii_case("for"))
    };
    for line in headers.get_all(FORWARDED) {
        for element in outside_quotes(line.to_str().ok()?, b',') {
            let pairs = outside_quotes(element, b';').map(pair);
            let pairs = pairs.collect::<Option<Vec<_>>>()?;
            let names = pairs.iter().map(|(name, _)| name);
            let is_repeated = |at: usize, name: &str| {
                let mut before = pairs[..at].iter();
                before.any(|(other, _)| other.eq_ignore_ascii_case(name))
            };
            if names.enumerate().any(|(at, name)| is_repeated(at, name)) {
                return None;
            }
            if first.as_deref().is_none_or(is_bare) && !(first.is_some() && is_bare(&pairs)) {
                first = Some(pairs);
            }
        }
    }
    first
}

/// Parses `token=value`. The value must be a token or a quoted string, and valid for the parameter
/// (RFC 7239 §5).
fn pair(text: &str) -> Option<(String, String)> {
    let (name, value) = text.trim().split_once('=')?;
    let token = |text: &str| !text.is_empty() && text.bytes().all(is_token);
    if !token(name) {
        return None;
    }
    let quoted = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let value = match quoted {
        Some(inner) => unquoted(inner)?,
        // Accept ports and brackets without quotes, as some proxies write them.
        None => value
            .bytes()
            .all(|byte| is_token(byte) || b":[]".contains(&byte))
            .then(|| value.to_owned())?,
    };
    let is_valid = match name.to_ascii_lowercase().as_str() {
        "proto" => is_scheme(&value),
        "host" => is_authority(&value),
        "by" => Hop::of(&value).is_valid(),
        // `for` is checked with the other hops. All remaining parameters are extensions.
        _ => true,
    };
    is_valid.then(|| (name.to_owned(), value))
}

/// Text of a quoted string (RFC 9110 §5.6.4), or `None` if a quotation mark in it is not escaped.
fn unquoted(inner: &str) -> Option<String> {
    let mut text = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(next) = chars.next() {
        match next {
            '"' => return None,
            '\\' => text.push(chars.next()?),
            _ => text.push(next),
        }
    }
    Some(text)
}

/// True for the name of a URI scheme (RFC 3986 §3.1).
fn is_scheme(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    text.starts_with(|first: char| first.is_ascii_alphabetic()) && text.bytes().all(is_allowed)
}

/// True for a byte that is allowed in a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Port in `authority`, otherwise the default port of the scheme.
pub(crate) fn port(scheme: &str, authority: &HeaderValue) -> u16 {
    let text = authority.to_str().unwrap_or_default();
    let written = text
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse().ok());
    written.unwrap_or(match scheme {
        "https" => 443,
        _ => 80,
    })
}
