//! Head of the request to the upstream.

mod outbound;
mod returned;
mod this_hop;

use std::borrow::Cow;
use std::sync::Arc;

use bundle::ir::{HostHeader, Target, Upstream};
use http::Version;
use http::header::{HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use policy::{Cx, RequestHead};

use crate::snapshot::RouteRef;

use outbound::AddedFields;

pub use outbound::{Outbound, TRACEPARENT_BYTES};
pub use returned::{Places, returned};
pub use this_hop::{ThisHop, continued};

/// Properties of the client's connection and request that affect the request to the upstream.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Connection and host of the request.
    pub hop: Arc<ThisHop>,
    /// Client's version of HTTP.
    pub version: Version,
    /// Id of the exchange.
    pub request_id: HeaderValue,
    /// Fields that carry the client's certificate to the upstream. `None`: the certificate is not
    /// forwarded.
    pub certificate: Option<Arc<[(HeaderName, HeaderValue)]>>,
}

/// Request to forward: its route, its target, and its client.
#[derive(Clone, Copy)]
pub struct Relay<'r, 's> {
    /// Route that the request matches.
    pub route: &'r RouteRef<'s>,
    /// Upstream of the request.
    pub upstream: &'r Upstream,
    /// Chosen target of the upstream.
    pub target: &'r Target,
    /// Properties of the client's connection and request.
    pub origin: &'r Origin,
    /// Context of the request after its chain.
    pub cx: &'r Cx<'s>,
}

/// Builds the head of the request to a target: path, `Host`, and the gateway's fields (`Via`, RFC
/// 9110 §7.6.3; forwarding and identity fields). Extends the forwarding fields of a trusted proxy.
/// The edge has removed forwarding fields of other peers.
pub fn outbound<'h>(head: &'h RequestHead, relay: Relay<'h, '_>) -> Outbound<'h> {
    let Relay { origin, cx, .. } = relay;
    let rewritten = cx.rewritten.as_ref();
    let host = host(relay);
    let prefix = stripped(relay.route);
    let consumer = cx.principal.as_ref().and_then(|caller| caller.consumer);
    let mut added = AddedFields {
        prefix: None,
        via: Some(outbound::via(origin.version)),
        request_id: Some(&origin.request_id),
        consumer: consumer.and_then(|name| HeaderValue::try_from(name).ok()),
        certificate: origin.certificate.as_deref().unwrap_or_default(),
        closing: false,
        traceparent: None,
    };
    let anew = head.headers.keys().any(outbound::is_set_by_gateway);
    let (headers, hop) = if anew {
        let mut headers = head.headers.clone();
        continued(&mut headers, &origin.hop, prefix);
        outbound::remove_gateway_fields(&mut headers, &added);
        (Cow::Owned(headers), None)
    } else {
        if !prefix.is_empty() {
            added.prefix = HeaderValue::from_str(prefix).ok();
        }
        (Cow::Borrowed(&head.headers), Some(&*origin.hop))
    };
    Outbound {
        method: rewritten
            .and_then(|one| one.method.as_ref())
            .unwrap_or(&head.method),
        target: path(head, relay).map_or(Cow::Borrowed(&head.target), Cow::Owned),
        host,
        headers,
        hop,
        added,
    }
}

/// Replaces the head of a request by the head for a target, which [`outbound`] builds.
pub fn prepare(head: &mut RequestHead, relay: Relay<'_, '_>) {
    let outbound = outbound(head, relay);
    let headers = outbound.to_headers();
    let method = outbound.method().clone();
    let target = outbound.target().clone();
    head.method = method;
    head.target = target;
    head.headers = headers;
}

/// True if the client's connection is encrypted, as a trusted proxy or the listener reports.
#[must_use]
pub fn is_encrypted(head: &RequestHead, origin: &Origin) -> bool {
    this_hop::proto(&head.headers).unwrap_or(origin.hop.scheme) == "https"
}

/// Value of `Host` in the request to the target, by the upstream's settings.
fn host<'h>(relay: Relay<'h, '_>) -> Cow<'h, HeaderValue> {
    let Relay {
        upstream,
        target,
        origin,
        cx,
        ..
    } = relay;
    let rewritten = cx.rewritten.as_ref();
    let preserved = || Cow::Borrowed(&origin.hop.authority);
    match rewritten.and_then(|one| one.host.as_ref()) {
        Some(host) => Cow::Borrowed(host),
        None => match &upstream.host_header {
            HostHeader::Preserve => preserved(),
            HostHeader::Upstream => {
                HeaderValue::try_from(target.authority()).map_or_else(|_| preserved(), Cow::Owned)
            }
            HostHeader::Value(text) => {
                HeaderValue::try_from(text.as_str()).map_or_else(|_| preserved(), Cow::Owned)
            }
        },
    }
}

/// Base path that is removed from the path for the upstream. Empty if the mount keeps the base
/// path.
fn stripped<'s>(route: &RouteRef<'s>) -> &'s str {
    if route.mount.strip_base_path {
        &route.mount.base_path
    } else {
        ""
    }
}

/// Path of the request to the target: the target's own path, followed by the rewritten path or the
/// rest of the request's path. `None` if the request's path is unchanged.
fn path(head: &RequestHead, relay: Relay<'_, '_>) -> Option<PathAndQuery> {
    let Relay {
        route, target, cx, ..
    } = relay;
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
