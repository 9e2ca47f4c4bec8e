//! Shape of `listeners`.

use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink, read};
use policy::forms;

use Field as F;
use Shape::{Bool, Either, Form, Integer, Map, Secret, Several, Size, Text, Timeout, Word};

use crate::lints::LISTENER_TLS;

/// Minimum of `limits.header_bytes`: 8 KiB.
const HEADER_BYTES_MIN: u64 = 8 << 10;

/// Shape of one listener.
pub static LISTENER: Object = Object {
    what: "a listener",
    fields: &[
        F::required("address", Text, "`IP:PORT`; port 0 lets the system choose."),
        F::optional(
            "protocol",
            Word(&["http", "https"]),
            "Protocol of the listener: `http`, or `https` with certificates of `tls`. Default: `http`.",
        ),
        F::optional(
            "http2",
            Bool,
            "Accept HTTP/2 as well: by ALPN with `https`, by prior knowledge with `http`. Default: `true` with `https`, `false` with `http`.",
        ),
        F::optional(
            "tls",
            Shape::Object(&TLS),
            "Certificates of the gateway, and rules for those of clients.",
        ),
        F::optional(
            "proxy_protocol",
            Either(&[Bool, Shape::Object(&PROXY_PROTOCOL)]),
            "Require a PROXY header (version 1 or 2) with the client's address on every connection; `true` accepts it from `trusted_proxies`. Other peers, and connections without a header, are refused. Default: `false`.",
        ),
        F::optional(
            "trusted_proxies",
            Shape::List(&RANGE),
            "Peers whose forwarding fields are trusted, such as `10.0.0.0/8`.",
        ),
        F::optional(
            "forwarding_fields",
            Shape::List(&FORWARDING_FIELD),
            "Fields that `trusted_proxies` write about the client, such as `[x-forwarded-for, x-forwarded-proto, x-forwarded-host]`, or `[forwarded]` (RFC 7239). Forwarding fields that are not listed are removed, because the proxies forward the values that clients send in them. Default: `[x-forwarded-for, x-forwarded-proto]`.",
        ),
        F::optional(
            "merge_slashes",
            Bool,
            "Treat `//` in paths as `/`: for matching and for the path that the upstream gets. Default: `false`.",
        ),
        F::optional(
            "forward_client_cert",
            Word(&["none", "client_cert", "xfcc", "pass"]),
            "Fields that carry the client's certificate to upstreams: `client_cert` writes `Client-Cert` and `Client-Cert-Chain` (RFC 9440), `xfcc` writes `X-Forwarded-Client-Cert`, `pass` keeps the fields that `trusted_proxies` send. All other fields with a certificate are removed. Default: `none`.",
        ),
        F::optional(
            "limits",
            Shape::Object(&LIMITS),
            "Limits and timeouts of connections, request heads and bodies.",
        ),
    ],
    rules: &[
        Rule::Holds(tls_goes_with_https),
        Rule::Holds(check_proxy_protocol_sources),
        Rule::Holds(check_forwarding_sources),
        Rule::Holds(one_field_names_the_client),
        Rule::Holds(forwarded_certificates_exist),
    ],
};

static RANGE: Shape = Form(&forms::RANGE);

static FORWARDING_FIELD: Shape = Word(&[
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "forwarded",
]);

static TLS: Object = Object {
    what: "the TLS of a listener",
    fields: &[
        F::required(
            "certificates",
            Map(&Shape::Object(&CERTIFICATE)),
            "Certificates by name; the requested host (SNI) selects one.",
        ),
        F::optional(
            "min_version",
            Word(&["1.2", "1.3"]),
            "Oldest accepted version. Default: `1.2`.",
        ),
        F::optional(
            "client_auth",
            Shape::Object(&CLIENT_AUTH),
            "Certificates of clients.",
        ),
    ],
    rules: &[],
};

/// Shape of a certificate and its key.
pub(super) static CERTIFICATE: Object = Object {
    what: "a certificate",
    fields: &[
        F::required(
            "cert",
            Secret,
            "Certificate chain in PEM, the gateway's own first.",
        ),
        F::required("key", Secret, "Private key in PEM."),
    ],
    rules: &[],
};

static CLIENT_AUTH: Object = Object {
    what: "client authentication",
    fields: &[
        F::required("ca", Secret, "Trusted CA certificates, in PEM."),
        F::optional(
            "crl",
            Secret,
            "Certificate revocation lists of the CAs in `ca`, in PEM; listed certificates are refused. Default: none.",
        ),
        F::optional(
            "mode",
            Word(&["off", "optional", "required"]),
            "Handling of client certificates. Default: `required`.",
        ),
    ],
    rules: &[],
};

static PROXY_PROTOCOL: Object = Object {
    what: "a source of PROXY headers",
    fields: &[
        F::required(
            "from",
            Several(&RANGE),
            "Peers that send a PROXY header; every other peer is refused.",
        ),
        F::optional(
            "timeout",
            Timeout,
            "Maximum time for the header to arrive. Default: 3s.",
        ),
    ],
    rules: &[],
};

static LIMITS: Object = Object {
    what: "the limits of a listener",
    fields: &[
        F::optional(
            "connections",
            Integer(1, 1 << 24),
            "Maximum connections at once. Default: 10000.",
        ),
        F::optional(
            "header_bytes",
            Size,
            "Maximum size of a request's head, at least `8KiB`. Default: 64KiB.",
        ),
        F::optional(
            "headers",
            Integer(1, 1000),
            "Maximum fields of a request's head. Default: 100.",
        ),
        F::optional(
            "header_timeout",
            Timeout,
            "Maximum time from the first byte of a head to its last. Default: 10s.",
        ),
        F::optional(
            "idle_timeout",
            Timeout,
            "Maximum idle time of a connection between two requests. Default: 60s.",
        ),
        F::optional(
            "body_timeout",
            Timeout,
            "Maximum total time for which the gateway waits for a client in one message: for bytes of the request body, or until the client reads the response. Transferred bytes reduce the measured time (`min_rate`). Default: 60s.",
        ),
        F::optional(
            "min_rate",
            Size,
            "Number of transferred bytes that reduce the measured time of `body_timeout` by one \
second. In the long run, this is the minimum rate of a body, in bytes per second. Default: 240B.",
        ),
        F::optional(
            "stream_idle_timeout",
            Timeout,
            "Maximum time without a byte in a body while the gateway waits for the upstream, or if \
the operation has `stream: true`. Default: 5m.",
        ),
    ],
    rules: &[Rule::Holds(check_header_bytes)],
};

/// Reports a `header_bytes` below 8 KiB, which requests of browsers with cookies exceed. RFC 9112
/// §3 recommends to support request lines of 8,000 octets.
fn check_header_bytes(node: NodeRef<'_>, sink: &mut Sink) {
    let size = node.get("header_bytes").filter(|size| !size.is_null());
    let Some(size) = size else { return };
    if read::size_bytes(size).is_ok_and(|bytes| bytes < HEADER_BYTES_MIN) {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                size.span(),
                "the maximum size of a request's head is at least 8KiB",
            )
            .help("write `8KiB` or more, or remove it: `64KiB` is the default"),
        );
    }
}

/// Reports certificates of a listener that is not `https`, and an `https` listener without
/// certificates.
fn tls_goes_with_https(node: NodeRef<'_>, sink: &mut Sink) {
    let protocol = node.get("protocol").filter(|protocol| !protocol.is_null());
    let https = protocol.and_then(NodeRef::scalar_text) == Some("https");
    let tls = node.entry("tls").filter(|(_, tls)| !tls.is_null());
    match (https, tls, protocol) {
        (true, None, Some(protocol)) => sink.push(
            Diagnostic::new(&LISTENER_TLS, protocol.span(), "`https` needs certificates")
                .help("write `tls: {certificates: {main: {cert: \"${file:PATH}\", key: \"${file:PATH}\"}}}`"),
        ),
        (false, Some((entry, _)), _) => sink.push(
            Diagnostic::new(
                &LISTENER_TLS,
                entry.key_span,
                "the certificates are never used: this listener serves `http`",
            )
            .help("write `protocol: https` beside them, or remove them"),
        ),
        _ => {}
    }
    let certificates = node.get("tls").and_then(|tls| tls.entry("certificates"));
    if let Some((entry, value)) = certificates.filter(|(_, value)| !value.is_null())
        && value.entries().next().is_none()
    {
        sink.push(
            Diagnostic::new(
                &LISTENER_TLS,
                entry.key_span,
                "there is no certificate here",
            )
            .help("write `certificates: {main: {cert: \"${file:PATH}\", key: \"${file:PATH}\"}}`"),
        );
    }
}

/// Reports `forward_client_cert` if no client certificate can arrive, because neither
/// `tls.client_auth` nor a trusted proxy provides one.
fn forwarded_certificates_exist(node: NodeRef<'_>, sink: &mut Sink) {
    let Some((_, value)) = node.entry("forward_client_cert") else {
        return;
    };
    let requests_certificates = node.get("tls").and_then(|tls| tls.get("client_auth"));
    let requests_certificates =
        requests_certificates.is_some_and(|requests_certificates| !requests_certificates.is_null());
    let trusted = node.get("trusted_proxies");
    let trusts = trusted.is_some_and(|trusted| trusted.items().next().is_some());
    let (message, help) = match value.scalar_text() {
        Some(word @ ("client_cert" | "xfcc")) if !requests_certificates => (
            format!("`{word}` has no effect: the listener requests no client certificates"),
            "write `tls: {client_auth: {ca: \"${file:PATH}\"}}` beside it",
        ),
        Some("pass") if !trusts => (
            "`pass` has no effect: the listener trusts no proxy".to_owned(),
            "write `trusted_proxies: [10.0.0.0/8]` beside it",
        ),
        _ => return,
    };
    sink.push(Diagnostic::new(&BAD_VALUE, value.span(), message).help(help));
}

/// Reports `forwarding_fields` without `trusted_proxies`: gwd removes the fields of other peers.
fn check_forwarding_sources(node: NodeRef<'_>, sink: &mut Sink) {
    let Some((entry, value)) = node.entry("forwarding_fields") else {
        return;
    };
    let trusted = node.get("trusted_proxies");
    let trusts = trusted.is_some_and(|trusted| trusted.items().next().is_some());
    if !value.is_null() && !trusts {
        let message = "`forwarding_fields` have no effect: the listener trusts no proxy";
        sink.push(
            Diagnostic::new(&BAD_VALUE, entry.key_span, message)
                .help("write `trusted_proxies: [10.0.0.0/8]` beside it, or remove the key"),
        );
    }
}

/// Reports `forwarding_fields` in which no field names the client, or two fields do. In the second
/// case a client could write one of the two fields.
fn one_field_names_the_client(node: NodeRef<'_>, sink: &mut Sink) {
    let Some((_, value)) = node.entry("forwarding_fields") else {
        return;
    };
    let names: Vec<&str> = value.items().filter_map(NodeRef::scalar_text).collect();
    let has = |name: &str| names.contains(&name);
    let (message, help) = match (has("x-forwarded-for"), has("forwarded")) {
        (true, true) => (
            "`forwarded` and `x-forwarded-for` both name the client",
            "write the field that the proxies set; gwd removes the other one",
        ),
        (false, true) if names.len() > 1 => (
            "`forwarded` also contains the scheme and the host",
            "write `[forwarded]`",
        ),
        (false, false) => (
            "no listed field contains the client address: gwd uses the address of the proxy",
            "add `x-forwarded-for`, or remove `trusted_proxies`",
        ),
        _ => return,
    };
    sink.push(Diagnostic::new(&BAD_VALUE, value.span(), message).help(help));
}

/// Reports `proxy_protocol` without `trusted_proxies`: any peer could then claim any client
/// address.
fn check_proxy_protocol_sources(node: NodeRef<'_>, sink: &mut Sink) {
    let Some((entry, value)) = node.entry("proxy_protocol") else {
        return;
    };
    let trusted = node.get("trusted_proxies");
    let anybody = trusted.is_none_or(|trusted| trusted.items().next().is_none());
    if value.as_bool() == Some(true) && anybody {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                entry.key_span,
                "no peer is trusted to send PROXY headers",
            )
            .help("write `trusted_proxies`, or `proxy_protocol: {from: [10.0.0.0/8]}`"),
        );
    }
}
