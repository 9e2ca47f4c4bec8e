//! What is said about one connection, and what may follow a body (RFC 9110 §6.5.1, §7.6.1).

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::edge::forwarded::{Allowed, CERTIFICATE, FORWARDING, is_managed, speaks_for_gateway};

/// The fields that a `Connection` value nominates, except those that the message needs, those
/// that decide about access, and those by which a trusted proxy says who the client is
/// (RFC 9110 §7.6.1, CVE-2024-45410): a proxy that passes the client's `Connection` on would
/// otherwise let the client take on the proxy's own address.
pub(super) fn nominated(value: &HeaderValue, doomed: &mut Vec<HeaderName>) {
    for token in value
        .as_bytes()
        .split(|b| *b == b',')
        .map(<[u8]>::trim_ascii)
    {
        let Ok(name) = HeaderName::from_bytes(token) else {
            continue;
        };
        let kept = matches!(
            name.as_str(),
            "host"
                | "content-length"
                | "content-type"
                | "authorization"
                | "expect"
                | "transfer-encoding"
                | "close"
                | "keep-alive"
                | "te"
                | "x-request-id"
                | "via"
        ) || FORWARDING.contains(&name.as_str())
            || CERTIFICATE.contains(&name.as_str());
        if !kept {
            doomed.push(name);
        }
    }
}

/// Whether a `TE` value says that trailers are taken (RFC 9110 §10.1.4).
pub(super) fn takes_trailers(value: &HeaderValue) -> bool {
    let mut codings = value.as_bytes().split(|b| *b == b',');
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Whether a field may stand in trailers: it frames nothing, routes nothing, lets nobody in, says
/// nothing that only the gateway may say and nothing that had to be known before the body.
fn may_trail(name: &str) -> bool {
    let known_before = matches!(
        name,
        "age"
            | "authorization"
            | "cache-control"
            | "connection"
            | "content-encoding"
            | "content-length"
            | "content-range"
            | "content-type"
            | "cookie"
            | "date"
            | "expect"
            | "expires"
            | "host"
            | "keep-alive"
            | "location"
            | "max-forwards"
            | "pragma"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "range"
            | "retry-after"
            | "set-cookie"
            | "te"
            | "traceparent"
            | "tracestate"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            | "vary"
            | "via"
            | "www-authenticate"
            | "x-request-id"
    );
    !known_before && !is_managed(name, Allowed::default()) && !speaks_for_gateway(name)
}

/// Takes out of trailers what may not stand there.
pub fn trailers(trailers: &mut HeaderMap) {
    let doomed: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| !may_trail(name.as_str()))
        .cloned()
        .collect();
    for name in doomed {
        trailers.remove(name);
    }
}

/// A `Trailer` value with the names only that may stand in trailers; none where none is left.
#[must_use]
pub fn announced(value: &HeaderValue) -> Option<HeaderValue> {
    let names = value.as_bytes().split(|b| *b == b',');
    let names: Vec<HeaderName> = names
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| may_trail(name.as_str()))
        .collect();
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    let value = HeaderValue::try_from(names.join(", ")).ok();
    value.filter(|value| !value.is_empty())
}
