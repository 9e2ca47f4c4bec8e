//! Connection-specific fields and permitted trailer fields (RFC 9110 §6.5.1, §7.6.1).

use http::header::{Entry, HeaderMap, HeaderName, HeaderValue, TRAILER};

use policy::managed::{Allowed, is_certificate, is_managed};
use policy::managed::{is_forwarding, is_hop_lookalike, is_lookalike};

use crate::edge::forwarded::is_reserved_for_gateway;
use crate::edge::overrides::is_override;

/// Adds the fields that a `Connection` value names to `removed` (fields to remove), except known
/// end-to-end fields (RFC 9110 §7.6.1, CVE-2024-45410). Otherwise a client could remove a field
/// before a check uses it, or forge its address behind a proxy that forwards `Connection`.
pub fn nominated(value: &HeaderValue, removed: &mut Vec<HeaderName>) {
    for token in value
        .as_bytes()
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
    {
        let Ok(name) = HeaderName::from_bytes(token) else {
            continue;
        };
        let text = name.as_str();
        let handled = matches!(text, "close" | "keep-alive" | "te" | "transfer-encoding");
        if !handled && !is_end_to_end(text) {
            removed.push(name);
        }
    }
}

/// True for a field that is forwarded even if `Connection` names it: registered end-to-end fields,
/// and fields that decide about access.
fn is_end_to_end(name: &str) -> bool {
    const PREFIXES: [&str; 5] = ["accept", "access-control-", "content-", "if-", "sec-"];
    const NAMES: [&str; 36] = [
        "age",
        "authorization",
        "baggage",
        "cache-control",
        "cookie",
        "date",
        "dnt",
        "dpop",
        "expect",
        "expires",
        "forwarded",
        "from",
        "host",
        "idempotency-key",
        "location",
        "max-forwards",
        "origin",
        "pragma",
        "priority",
        "range",
        "referer",
        "retry-after",
        "set-cookie",
        "signature",
        "signature-input",
        "traceparent",
        "tracestate",
        "upgrade-insecure-requests",
        "user-agent",
        "vary",
        "via",
        "www-authenticate",
        "x-csrf-token",
        "x-request-id",
        "x-requested-with",
        "x-xsrf-token",
    ];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || NAMES.contains(&name)
        || is_forwarding(name)
        || is_certificate(name)
}

/// True if a `TE` value contains `trailers` (RFC 9110 §10.1.4).
pub(super) fn takes_trailers(value: &HeaderValue) -> bool {
    let mut codings = value.as_bytes().split(|b| *b == b',');
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// True for a field that is allowed in trailers (RFC 9110 §6.5.1). Not allowed are fields for
/// framing, routing or authentication, fields that the gateway sets, and fields that are needed
/// before the body.
fn may_trail(name: &str) -> bool {
    let of_connection = matches!(
        name,
        "connection"
            | "http2-settings"
            | "keep-alive"
            | "proxy"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    );
    let credential = matches!(
        name,
        "api-key" | "apikey" | "x-access-token" | "x-api-key" | "x-auth-token" | "x-token"
    );
    let routing = matches!(name, "x-host" | "x-original-host") || is_override(name);
    // Allow fields that are computed from the body (RFC 9530, RFC 9421).
    let of_body = matches!(name, "content-digest" | "signature" | "signature-input");
    !of_connection
        && !is_hop_lookalike(name)
        && !credential
        && !routing
        && (of_body || !is_end_to_end(name))
        && !is_managed(name, Allowed::default())
        && !is_reserved_for_gateway(name)
}

/// True if the edge never removes or changes a request field of this name, from any peer.
/// Case-insensitive.
#[must_use]
pub fn reaches_chain(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let is_removed = matches!(
        name.as_str(),
        "connection"
            | "content-length"
            | "expect"
            | "host"
            | "keep-alive"
            | "proxy"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "traceparent"
            | "tracestate"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "via"
            | "x-request-id"
    );
    !is_removed && !is_hop_lookalike(&name) && !is_managed(&name, Allowed::default())
}

/// Removes fields that are not allowed in trailers, and the fields in `credentials`.
pub fn trailers(trailers: &mut HeaderMap, credentials: &[HeaderName]) {
    let removed = trailers.keys().filter(|name| !passes(name, credentials));
    let removed: Vec<HeaderName> = removed.cloned().collect();
    for name in removed {
        trailers.remove(name);
    }
}

fn passes(name: &HeaderName, credentials: &[HeaderName]) -> bool {
    let is_credential = |one: &HeaderName| one == name || is_lookalike(name.as_str(), one.as_str());
    may_trail(name.as_str()) && !credentials.iter().any(is_credential)
}

/// Removes the names from the field `Trailer` that [`trailers`] would remove from the trailers.
pub fn announce(headers: &mut HeaderMap, credentials: &[HeaderName]) {
    if !headers.contains_key(TRAILER) {
        return;
    }
    let Entry::Occupied(lines) = headers.entry(TRAILER) else {
        return;
    };
    let (_, lines) = lines.remove_entry_mult();
    let lines: Vec<HeaderValue> = lines.collect();
    for line in lines {
        if let Some(line) = announced(&line, credentials) {
            headers.append(TRAILER, line);
        }
    }
}

/// Copy of a `Trailer` value with only the names that are allowed in trailers. `None` if no name
/// remains.
#[must_use]
pub fn announced(value: &HeaderValue, credentials: &[HeaderName]) -> Option<HeaderValue> {
    let names = value.as_bytes().split(|b| *b == b',');
    let names: Vec<HeaderName> = names
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| passes(name, credentials))
        .collect();
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    let value = HeaderValue::try_from(names.join(", ")).ok();
    value.filter(|value| !value.is_empty())
}
