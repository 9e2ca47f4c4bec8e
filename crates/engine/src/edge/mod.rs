//! The edge: checks of a request's head before any other code reads it (semantics.md §2 and §6,
//! data-plane.md §11).
//!
//! The HTTP server has already framed the message. The edge checks the fields in one pass: exactly
//! one valid host, no hop-by-hop fields, no forwarding or identity fields from a peer that must not
//! set them, and a normalised path.

mod authority;
mod field_names;
mod forwarded;
mod framing;
mod hop_by_hop;
pub(crate) mod overrides;
mod refusals;
pub(crate) mod reported_origin;
mod target;
mod trace;

use std::fmt;
use std::net::IpAddr;

use bundle::ir::CertificateFields;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Method, Version, request};
pub use policy::managed::PROXY_FIELDS;
use policy::managed::{Allowed, folds, is_hop_lookalike, is_managed};
use policy::{Reject, RequestHead, join_lines};

use crate::edge::authority::authority;
pub use crate::edge::authority::is_authority;
pub use crate::edge::field_names::{
    CLIENT_CERT, CLIENT_CERT_CHAIN, X_FORWARDED_CLIENT_CERT, X_FORWARDED_FOR, X_GATEWAY_ATTEMPT,
    X_REQUEST_ID,
};
pub(crate) use crate::edge::forwarded::{Hop, hops};
use crate::edge::forwarded::{client, drop_fields_of_clients, drop_unproven};
pub use crate::edge::forwarded::{client_address, is_reserved_for_gateway};
use crate::edge::framing::{framing, is_padded};
pub use crate::edge::hop_by_hop::nominated;
use crate::edge::hop_by_hop::takes_trailers;
pub use crate::edge::hop_by_hop::{announce, announced, reaches_chain, trailers};
pub use crate::edge::refusals::REJECTS;
pub(crate) use crate::edge::refusals::TRACE_REFUSED;
use crate::edge::refusals::{
    CONNECT_REFUSED, EXPECTATION_FAILED, FIELD_INVALID, LOOP_DETECTED, TARGET_TOO_LONG,
    TOO_MANY_HEADERS,
};
use crate::edge::target::{Target, target};
use crate::edge::trace::is_traceparent;
pub use crate::edge::trace::{TRACEPARENT, TRACESTATE, TraceParent, trace_parent};
use crate::listener::Listener;

/// Maximum number of `Via` entries of this gateway in a request. A request with more entries is
/// refused as a forwarding loop.
const VIA_MAX: usize = 8;
/// Pseudonym of the gateway in `Via`.
pub const PSEUDONYM: &str = "gwd";

/// A request that passed the edge.
pub struct Admitted {
    /// Head with a normalised path and without hop-by-hop fields. `Host` is the authority of the
    /// request, also if the client wrote it as `:authority` or in the target.
    pub head: RequestHead,
    /// Address of the client: the peer's, or the address that a trusted proxy reported.
    pub client: IpAddr,
    /// True if the peer is a trusted proxy.
    pub trusted: bool,
    /// `X-Request-Id` of a trusted peer. `None` if the field is absent or invalid.
    pub request_id: Option<HeaderValue>,
    /// Field `Client-Cert` (RFC 9440) of a trusted peer. `None`: the field is absent. Empty, and
    /// therefore invalid, if the field occurs several times.
    pub client_cert: Option<HeaderValue>,
    /// True if the client waits for `100 Continue` before it sends the body.
    pub expects_continue: bool,
    /// Authority of the request as the client wrote it, with its port; equal to `Host` of `head`.
    pub authority: HeaderValue,
    /// Path and query as the client sent them. `None` if normalisation did not change the target.
    pub received: Option<PathAndQuery>,
    /// Client's version of HTTP.
    pub version: Version,
    /// Number of removed lookalike fields. Some servers would read such a field as another field,
    /// which only the gateway may set.
    pub lookalikes: u32,
}

impl fmt::Debug for Admitted {
    /// Writes no header fields and no query, because they can contain credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admitted")
            .field("method", &self.head.method)
            .field("path", &self.head.path())
            .field("client", &self.client)
            .field("trusted", &self.trusted)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl Admitted {
    /// Stores the results of the edge in the context of a chain, such as the client's address and
    /// certificate. Returns the head, which the chain may change, and the authority.
    #[inline]
    pub fn describe<'a>(
        &'a mut self,
        cx: &mut policy::Cx<'a>,
    ) -> (&'a mut RequestHead, &'a HeaderValue) {
        cx.client = self.client;
        cx.lookalikes = self.lookalikes;
        cx.client_cert = self.client_cert.take();
        cx.authority = Some(&self.authority);
        cx.received = self.received.as_ref();
        (&mut self.head, &self.authority)
    }
}

/// Checks the head of a request. gwd closes the connection after a refusal, because the start of
/// the next request is then uncertain.
pub fn admit(
    parts: request::Parts,
    listener: &Listener,
    peer: IpAddr,
) -> Result<Admitted, &'static Reject> {
    let request::Parts {
        method,
        uri,
        version,
        mut headers,
        ..
    } = parts;
    let limits = &listener.limits;
    if method == Method::CONNECT {
        return Err(&CONNECT_REFUSED);
    }
    if headers.len() as u64 > limits.headers {
        return Err(&TOO_MANY_HEADERS);
    }
    let length = uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if length as u64 > limits.target_bytes {
        return Err(&TARGET_TOO_LONG);
    }
    let trusted = listener
        .trusted_proxies
        .iter()
        .any(|range| range.contains(peer));
    let allowed = Allowed {
        forwarding: trusted,
        certificate: trusted && listener.certificate_fields == Some(CertificateFields::Pass),
    };
    let found = check_fields(&mut headers, version, allowed)?;
    if version == Version::HTTP_2 {
        // HTTP/2 allows several `cookie` lines, HTTP/1.1 only one (RFC 9113 §8.2.3).
        join_lines(&mut headers, &header::COOKIE);
    }
    if found.framed {
        framing(&mut headers, version)?;
    }
    let (authority, host) = authority(&uri, &mut headers, version)?;
    let requested = uri.into_parts().path_and_query;
    let Target {
        normal: target,
        received,
        is_ambiguous,
    } = target(&method, requested, listener.slashes)?;
    let mut address = peer;
    if trusted {
        drop_fields_of_clients(&mut headers, &listener.forwarding_fields);
        let (client, written) = client(&headers, listener, peer);
        address = client;
        drop_unproven(&mut headers, written);
    }
    let request_id = match found.identified {
        true => headers.remove(&X_REQUEST_ID),
        false => None,
    };
    let request_id = request_id.filter(|id| trusted && is_request_id(id.as_bytes()));
    Ok(Admitted {
        head: RequestHead {
            method,
            target,
            host,
            headers,
            is_ambiguous,
        },
        client: address,
        trusted,
        request_id,
        client_cert: found.client_cert,
        expects_continue: found.expects_continue,
        authority,
        received,
        version,
        lookalikes: found.lookalikes,
    })
}

struct CheckedFields {
    expects_continue: bool,
    /// True if the framing needs a check: there are several `Content-Length` fields, or
    /// `Transfer-Encoding`.
    framed: bool,
    /// True if the request has `X-Request-Id`.
    identified: bool,
    /// Value of `Client-Cert` that the peer is allowed to set. `None`: absent or not allowed.
    client_cert: Option<HeaderValue>,
    lookalikes: u32,
}

/// Checks the fields in one pass. Removes hop-by-hop fields, and fields that only the gateway may
/// set.
fn check_fields(
    headers: &mut HeaderMap,
    version: Version,
    allowed: Allowed,
) -> Result<CheckedFields, &'static Reject> {
    let mut removed: Vec<HeaderName> = Vec::new();
    let mut expects_continue = false;
    let mut drop_trace = false;
    let mut traced = false;
    let mut seen = 0;
    let mut te = None;
    let (mut lengths, mut coded, mut identified) = (0, false, false);
    let (mut connected, mut announces, mut lookalikes) = (false, false, 0);
    let mut client_cert = None;
    for (name, value) in headers.iter() {
        if version == Version::HTTP_2 && is_padded(value) {
            return Err(&FIELD_INVALID);
        }
        match name.as_str() {
            "connection" => {
                connected = true;
                nominated(value, &mut removed);
            }
            "content-length" => lengths += 1,
            "transfer-encoding" => coded = true,
            "http2-settings" | "keep-alive"
            // Remove the field `Proxy`: CGI programs read it as the environment variable
            // `HTTP_PROXY` (CVE-2016-5385).
            | "proxy"
            | "proxy-connection"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "upgrade" => removed.push(name.clone()),
            "trailer" => announces = true,
            "te" => te = te.max(Some(takes_trailers(value))),
            "expect" => {
                if !value.as_bytes().eq_ignore_ascii_case(b"100-continue") {
                    return Err(&EXPECTATION_FAILED);
                }
                expects_continue = true;
            }
            // Count the entries of all lines together: other gateways may add separate lines.
            "via" => {
                seen += times_seen(value);
                if seen > VIA_MAX {
                    return Err(&LOOP_DETECTED);
                }
            }
            "traceparent" => {
                // A second `traceparent` invalidates the first (W3C Trace Context §3.2).
                drop_trace |= traced || !is_traceparent(value.as_bytes());
                traced = true;
            }
            "x-request-id" => identified = true,
            "client-cert" if allowed.forwarding => {
                let is_first = client_cert.is_none();
                let kept = is_first.then(|| value.clone());
                client_cert = Some(kept.unwrap_or(HeaderValue::from_static("")));
                if !allowed.certificate {
                    removed.push(name.clone());
                }
            }
            text if is_managed(text, allowed) => {
                lookalikes += u32::from(folds(text));
                removed.push(name.clone());
            }
            text if is_hop_lookalike(text) => {
                lookalikes += 1;
                removed.push(name.clone());
            }
            _ => {}
        }
    }
    if connected {
        removed.push(header::CONNECTION);
    }
    if drop_trace {
        removed.extend_from_slice(&[TRACEPARENT.clone(), TRACESTATE.clone()]);
    }
    remove(headers, removed, te);
    match (announces, coded || version == Version::HTTP_2) {
        (true, true) => announce(headers, &[]),
        // Over HTTP/1, only a chunked body can have trailers.
        (true, false) => drop(headers.remove(header::TRAILER)),
        (false, _) => {}
    }
    Ok(CheckedFields {
        expects_continue,
        framed: lengths > 1 || coded,
        identified,
        client_cert,
        lookalikes,
    })
}

/// Removes the fields in `removed`, which are not forwarded. `te`: true if `TE` allows trailers;
/// `None` if the request has no `TE`.
fn remove(headers: &mut HeaderMap, mut removed: Vec<HeaderName>, te: Option<bool>) {
    match te {
        // Forward no other value of `TE`, because transfer codings apply to this connection only.
        Some(true) => drop(headers.insert(header::TE, HeaderValue::from_static("trailers"))),
        Some(false) => removed.push(header::TE),
        None => {}
    }
    for name in removed {
        headers.remove(name);
    }
}

fn times_seen(value: &HeaderValue) -> usize {
    let text = value.to_str().unwrap_or_default();
    text.split(',').filter(|hop| is_own(hop)).count()
}

/// True for a `Via` entry that this gateway wrote.
fn is_own(hop: &str) -> bool {
    let name = hop.split_whitespace().nth(1);
    name.is_some_and(|name| name.eq_ignore_ascii_case(PSEUDONYM))
}

/// Copy of the `Via` value of an upstream's response, without the entries of this gateway. The
/// client receives this copy. The gateway adds no entry to responses. `None` if no entry remains.
#[must_use]
pub fn foreign_hops(via: &HeaderValue) -> Option<HeaderValue> {
    let Ok(text) = via.to_str() else {
        return Some(via.clone());
    };
    let hops: Vec<&str> = text.split(',').filter(|hop| !is_own(hop)).collect();
    let left = hops.join(",");
    HeaderValue::from_str(left.trim())
        .ok()
        .filter(|left| !left.is_empty())
}

fn is_request_id(id: &[u8]) -> bool {
    (1..=128).contains(&id.len())
        && id
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
}

#[cfg(test)]
mod tests;
