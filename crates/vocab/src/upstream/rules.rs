//! Checks across several keys of an upstream.

use diag::shape::{BAD_VALUE, MISSING_KEY};
use diag::{Diagnostic, NodeRef, Sink, read};
use policy::limits::CONTRADICTING_LIMITS;

use crate::lints::{UNUSED_UPSTREAM_TLS, UNVERIFIED_UPSTREAM, UPSTREAM_TLS};

fn time(node: NodeRef<'_>, key: &str, default: u64) -> u64 {
    let value = node
        .get(key)
        .and_then(|value| read::duration_ms(value).ok());
    value.unwrap_or(default)
}

pub(super) fn hash_goes_with_lb(node: NodeRef<'_>, sink: &mut Sink) {
    let lb = node.get("lb");
    let hashes = lb.filter(|lb| matches!(lb.scalar_text(), Some("ketama" | "maglev")));
    let hash = node.entry("hash_on").filter(|(_, value)| !value.is_null());
    match (hashes, hash) {
        (Some(lb), None) => sink.push(
            Diagnostic::new(&MISSING_KEY, lb.span(), "this algorithm needs `hash_on`").help(
                "write `hash_on: header:NAME`, `cookie:NAME`, `address` or `consumer` beside it",
            ),
        ),
        (None, Some((entry, _))) => sink.push(
            Diagnostic::new(
                &CONTRADICTING_LIMITS,
                entry.key_span,
                "this has no effect: the algorithm computes no hash",
            )
            .help("write `lb: ketama` or `lb: maglev` beside it, or remove it"),
        ),
        (Some(_), Some(_)) | (None, None) => {}
    }
}

/// Reports a timeout per attempt that leaves no time for a second attempt.
pub(super) fn tries_fit_into_the_timeout(node: NodeRef<'_>, sink: &mut Sink) {
    let request = node
        .get("timeouts")
        .and_then(|timeouts| timeouts.get("request"));
    let each = node
        .get("retries")
        .and_then(|retries| retries.get("per_try_timeout"));
    if let (Some(request), Some(each)) = (request, each) {
        crate::shared::check_tries(each, request, sink);
    }
}

/// Checks DNS discovery: `name` is not an IP address, a name with SRV records has no `port`, and
/// `refresh` is 1s to 5m.
pub(super) fn check_dns_discovery(node: NodeRef<'_>, sink: &mut Sink) {
    let name = node.get("name").and_then(NodeRef::scalar_text);
    let labels = name.unwrap_or_default().trim_end_matches('.');
    if let Some(name) = node.get("name")
        && labels.parse::<std::net::IpAddr>().is_ok()
    {
        sink.push(
            Diagnostic::new(&BAD_VALUE, name.span(), "an address needs no DNS")
                .help("write `targets: {a: {url: \"http://ADDRESS:PORT\"}}` instead of `dns`"),
        );
    }
    let is_service = labels
        .split('.')
        .take(2)
        .all(|label| label.starts_with('_'));
    let port = node.entry("port").filter(|(_, value)| !value.is_null());
    if let (Some((entry, _)), true) = (port, is_service) {
        sink.push(
            Diagnostic::new(
                &CONTRADICTING_LIMITS,
                entry.key_span,
                "`port` is not allowed: the SRV records of this name have ports",
            )
            .help("remove it, or write a name without `_SERVICE._PROTOCOL.`"),
        );
    }
    let refresh = node.get("refresh").filter(|value| !value.is_null());
    if let Some(refresh) = refresh
        && read::duration_ms(refresh).is_ok_and(|ms| !(1_000..=300_000).contains(&ms))
    {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                refresh.span(),
                "a name is resolved again after at least 1s and at most 5m",
            )
            .help("write `1s` to `5m`, or remove it: answers have a TTL"),
        );
    }
}

/// Reports a `connect` timeout that is longer than the `request` timeout.
pub(super) fn check_connect_timeout(node: NodeRef<'_>, sink: &mut Sink) {
    let written = |key| {
        let (entry, value) = node.entry(key)?;
        Some((entry.key_span, read::duration_ms(value).ok()?))
    };
    let (Some((at, connect)), Some((other, request))) = (written("connect"), written("request"))
    else {
        return;
    };
    if connect > request {
        let message = format!("`connect` is {connect}ms, longer than `request` with {request}ms");
        sink.push(
            Diagnostic::new(&CONTRADICTING_LIMITS, at, message)
                .related(other, "`request` is set here")
                .help("write a `connect` that is not longer than `request`"),
        );
    }
}

/// Checks that `response_header_bytes` is 1 KiB to 1 MiB: large enough for a status line and a few
/// fields, small enough to buffer in memory.
pub(super) fn check_response_header_bytes(node: NodeRef<'_>, sink: &mut Sink) {
    let size = node.get("response_header_bytes");
    let Some(size) = size.filter(|size| !size.is_null()) else {
        return;
    };
    if read::size_bytes(size).is_ok_and(|bytes| !(1 << 10..=1 << 20).contains(&bytes)) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                size.span(),
                "the head of a response may have 1KiB to 1MiB",
            )
            .help("write `64KiB`, or remove it: `64KiB` is the default"),
        );
    }
}

pub(super) fn checks_end_before_the_next(node: NodeRef<'_>, sink: &mut Sink) {
    let (interval, timeout) = (time(node, "interval", 10_000), time(node, "timeout", 2_000));
    let at = node.entry("timeout").or_else(|| node.entry("interval"));
    if let Some((entry, _)) = at.filter(|_| timeout > interval) {
        sink.push(
            Diagnostic::new(
                &CONTRADICTING_LIMITS,
                entry.key_span,
                format!(
                    "`timeout` of a check is {timeout}ms, longer than `interval` with \
                    {interval}ms"
                ),
            )
            .help("write a `timeout` that is not longer than `interval`"),
        );
    }
}

/// Reports keys that a health check of this kind does not use: a TCP check sends no request, and
/// the request of a gRPC check is fixed. Also checks `headers`.
pub(super) fn check_unused_health_keys(node: NodeRef<'_>, sink: &mut Sink) {
    let kind = node.get("kind").and_then(NodeRef::scalar_text);
    let (strange, asks): (&[&str], _) = match kind {
        Some("tcp") => (
            &["path", "host", "headers", "statuses", "body"],
            "a `tcp` check opens a connection and sends nothing",
        ),
        Some("grpc") => (
            &["path", "statuses", "body"],
            "a `grpc` check calls `grpc.health.v1.Health/Check`",
        ),
        _ => (&[], ""),
    };
    let written = strange.iter().filter_map(|key| node.entry(key));
    for (entry, _) in written.filter(|(_, value)| !value.is_null()) {
        sink.push(
            Diagnostic::new(&CONTRADICTING_LIMITS, entry.key_span, asks)
                .help("remove it, or write `kind: http`"),
        );
    }
    let fields = node.get("headers").into_iter().flat_map(NodeRef::entries);
    for (entry, value) in fields {
        let name = entry.key.to_ascii_lowercase();
        let message = match name.as_str() {
            "host" => "the key `host` sets the Host field of a check",
            "connection" | "content-length" | "transfer-encoding" | "te" | "upgrade"
            | "content-type" => "the gateway writes this field of a check itself",
            _ if value
                .scalar_text()
                .is_some_and(|text| text.parse::<http::HeaderValue>().is_err()) =>
            {
                "a field's value must be printable text on one line"
            }
            _ => continue,
        };
        sink.push(
            Diagnostic::new(&BAD_VALUE, entry.key_span, message)
                .help("remove it, or write `host: NAME` to set the field `Host`"),
        );
    }
}

pub(super) fn ejections_can_grow(node: NodeRef<'_>, sink: &mut Sink) {
    let (first, most) = (
        time(node, "ejection", 30_000),
        time(node, "max_ejection", 300_000),
    );
    let at = node
        .entry("max_ejection")
        .or_else(|| node.entry("ejection"));
    if let Some((entry, _)) = at.filter(|_| first > most) {
        sink.push(
            Diagnostic::new(
                &CONTRADICTING_LIMITS,
                entry.key_span,
                format!("`ejection` is {first}ms, longer than `max_ejection` with {most}ms"),
            )
            .help("write an `ejection` that is not longer than `max_ejection`"),
        );
    }
    if let Some((entry, _)) = node
        .entry("min_requests")
        .filter(|_| node.get("failure_ratio").is_none())
    {
        sink.push(
            Diagnostic::new(
                &CONTRADICTING_LIMITS,
                entry.key_span,
                "`min_requests` has no effect without `failure_ratio`",
            )
            .help("write `failure_ratio` beside it, or remove `min_requests`"),
        );
    }
}

/// Targets and their URLs as written.
fn urls<'t>(node: NodeRef<'t>) -> impl Iterator<Item = (NodeRef<'t>, &'t str)> {
    let targets = node.get("targets").into_iter().flat_map(NodeRef::entries);
    targets.filter_map(|(_, target)| {
        let url = target.get("url")?;
        Some((url, url.scalar_text()?))
    })
}

fn is_https(url: &str) -> bool {
    url.parse::<http::Uri>()
        .is_ok_and(|url| url.scheme_str() == Some("https"))
}

/// Reports `tls` of an upstream whose targets all have URLs without TLS. For discovered hosts,
/// `tls` alone decides whether connections use TLS.
pub(super) fn tls_has_targets(node: NodeRef<'_>, sink: &mut Sink) {
    let Some((entry, _)) = node.entry("tls").filter(|(_, tls)| !tls.is_null()) else {
        return;
    };
    if urls(node).next().is_some() && !urls(node).any(|(_, url)| is_https(url)) {
        sink.push(
            Diagnostic::new(
                &UNUSED_UPSTREAM_TLS,
                entry.key_span,
                "no target of this upstream uses TLS",
            )
            .help("write `https://` URLs for its targets, or remove `tls`"),
        );
    }
}

/// Checks that `protocol` matches the scheme of the targets. HTTP/2 has two keywords: `h2` over
/// TLS, and `h2c` in cleartext.
pub(super) fn protocols_have_their_scheme(node: NodeRef<'_>, sink: &mut Sink) {
    let Some(protocol) = node.get("protocol") else {
        return;
    };
    let (over_tls, message, help) = match protocol.scalar_text() {
        Some("h2") => (
            true,
            "`h2` needs TLS, and this target uses cleartext",
            "write an `https://` URL, or `protocol: h2c`",
        ),
        Some("h2c") => (
            false,
            "`h2c` needs cleartext, and this target uses TLS",
            "write an `http://` URL, or `protocol: h2`",
        ),
        _ => return,
    };
    // Discovered hosts have no URL, so `tls` decides the scheme.
    let found = ["dns", "file"]
        .iter()
        .any(|key| node.get(key).is_some_and(|value| !value.is_null()));
    let tls = node.get("tls").is_some_and(|tls| !tls.is_null());
    if found && tls != over_tls {
        let (message, help) = match over_tls {
            true => (
                "`h2` needs TLS",
                "write `tls: {…}` beside it, or `protocol: h2c`",
            ),
            false => (
                "`h2c` needs cleartext",
                "remove `tls`, or write `protocol: h2`",
            ),
        };
        sink.push(Diagnostic::new(&UPSTREAM_TLS, protocol.span(), message).help(help));
    }
    for (url, text) in urls(node).filter(|(_, text)| is_https(text) != over_tls) {
        // Another check reports an invalid URL.
        if text.starts_with("unix:") || text.parse::<http::Uri>().is_ok() {
            sink.push(
                Diagnostic::new(&UPSTREAM_TLS, url.span(), message)
                    .related(protocol.span(), "the protocol is set here")
                    .help(help),
            );
        }
    }
}

/// Reports `proxy_protocol` with HTTP/2: the header names one client, but an HTTP/2 connection
/// carries requests of several clients.
pub(super) fn check_proxy_protocol_http1(node: NodeRef<'_>, sink: &mut Sink) {
    let setting = node.entry("proxy_protocol");
    let Some((entry, _)) = setting.filter(|(_, version)| !version.is_null()) else {
        return;
    };
    let protocol = node.get("protocol");
    let Some(protocol) = protocol.filter(|one| one.scalar_text().is_some_and(|one| one != "h1"))
    else {
        return;
    };
    sink.push(
        Diagnostic::new(
            &BAD_VALUE,
            entry.key_span,
            "a PROXY header names one client, and connections of HTTP/2 are shared by many",
        )
        .related(protocol.span(), "the protocol is set here")
        .help("write `protocol: h1`, or remove `proxy_protocol`"),
    );
}

pub(super) fn warn_unverified(node: NodeRef<'_>, sink: &mut Sink) {
    let verify = node
        .get("verify")
        .filter(|verify| verify.as_bool() == Some(false));
    let Some(verify) = verify else { return };
    sink.push(
        Diagnostic::new(
            &UNVERIFIED_UPSTREAM,
            verify.span(),
            "anyone on the network can impersonate this upstream",
        )
        .help("remove it, and write the certificate of the CA that issues the upstream's certificate in `ca`"),
    );
    if let Some((entry, _)) = node.entry("ca").filter(|(_, ca)| !ca.is_null()) {
        sink.push(
            Diagnostic::new(
                &UNUSED_UPSTREAM_TLS,
                entry.key_span,
                "these CA certificates have no effect: verification is off",
            )
            .help("remove `verify: false`, or the CA certificates"),
        );
    }
}
