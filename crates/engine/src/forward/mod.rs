//! The head that the upstream gets.

mod way;

use std::sync::Arc;

use bundle::ir::{HostHeader, Target, Upstream};
use http::Version;
use http::header::{HOST, HeaderName, HeaderValue, VIA};
use http::uri::PathAndQuery;
use policy::{Cx, RequestHead};

use crate::edge::X_REQUEST_ID;
use crate::snapshot::RouteRef;

pub use way::ThisHop;

static X_CONSUMER_NAME: HeaderName = HeaderName::from_static("x-consumer-name");

/// What the gateway knows about the client's side of an exchange.
#[derive(Clone, Debug)]
pub struct Origin {
    /// The connection it came on, and the host it is for.
    pub hop: Arc<ThisHop>,
    /// The client's version of HTTP.
    pub version: Version,
    /// The exchange's id.
    pub request_id: HeaderValue,
}

/// Turns a decided head into the one that a target gets: its path, `Host`, and what the gateway
/// adds (RFC 9110 §7.6.3 `Via`, forwarding and identity fields). The client's forwarding fields
/// were taken out at the edge unless a trusted proxy sent them; those are kept and continued.
pub fn prepare(
    head: &mut RequestHead,
    route: &RouteRef<'_>,
    upstream: &Upstream,
    target: &Target,
    origin: &Origin,
    cx: &Cx<'_>,
) {
    if let Some(path) = path(head, route, target, cx) {
        head.target = path;
    }
    let rewritten = cx.rewritten.as_ref();
    if let Some(method) = rewritten.and_then(|one| one.method.clone()) {
        head.method = method;
    }
    let headers = &mut head.headers;
    let rewritten_host = rewritten.and_then(|one| one.host.clone());
    let host = rewritten_host.or_else(|| match &upstream.host_header {
        HostHeader::Preserve => Some(origin.hop.authority.clone()),
        HostHeader::Upstream => HeaderValue::try_from(target.authority()).ok(),
        HostHeader::Value(text) => HeaderValue::try_from(text.as_str()).ok(),
    });
    headers.insert(HOST, host.unwrap_or_else(|| origin.hop.authority.clone()));
    way::continued(headers, &origin.hop, stripped(route));
    headers.append(VIA, via(origin.version));
    headers.insert(&X_REQUEST_ID, origin.request_id.clone());
    if let Some(principal) = cx.principal
        && let Ok(name) = HeaderValue::try_from(principal.consumer)
    {
        headers.insert(&X_CONSUMER_NAME, name);
    }
}

/// What is taken off the path for the upstream, or nothing.
fn stripped<'s>(route: &RouteRef<'s>) -> &'s str {
    if route.mount.strip_base_path {
        &route.mount.base_path
    } else {
        ""
    }
}

/// This hop, with the version in which the request came (RFC 9110 §7.6.3).
const fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_2 => "2 gwd",
        Version::HTTP_10 => "1.0 gwd",
        _ => "1.1 gwd",
    })
}

/// Path of the target, then what remains of the request's or what was made of it; none where
/// that is the request's own.
fn path(
    head: &RequestHead,
    route: &RouteRef<'_>,
    target: &Target,
    cx: &Cx<'_>,
) -> Option<PathAndQuery> {
    let stripped = stripped(route);
    if stripped.is_empty() && target.path.is_empty() && cx.rewritten.is_none() {
        return None;
    }
    let rewritten = cx.rewritten.as_ref();
    let below = match rewritten.and_then(|one| one.path.as_deref()) {
        Some(path) => path,
        None => head.path().strip_prefix(stripped).unwrap_or(head.path()),
    };
    let slash = if below.is_empty() && target.path.is_empty() {
        "/"
    } else {
        ""
    };
    let mut text = format!("{}{slash}{below}", target.path);
    let query = match rewritten.and_then(|one| one.query.as_deref()) {
        Some("") => None,
        Some(query) => Some(query),
        None => head.query(),
    };
    if let Some(query) = query {
        text.push('?');
        text.push_str(query);
    }
    PathAndQuery::try_from(text).ok()
}
