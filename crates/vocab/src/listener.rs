//! `listeners`: where the gateway listens.

use diag::shape::{Field, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink};
use policy::forms;

use Field as F;
use Shape::{
    Bool, Duration, Either, Form, Integer, Map, Secret, Several, Size, Text, Timeout, Word,
};

use crate::lints::LISTENER_TLS;

/// One listener.
pub static LISTENER: Object = Object {
    what: "a listener",
    fields: &[
        F::required("address", Text, "`IP:PORT`; port 0 lets the system choose."),
        F::optional(
            "protocol",
            Word(&["http", "https"]),
            "What is spoken there: `http`, or `https` with certificates of `tls`.",
        ),
        F::optional(
            "http2",
            Bool,
            "Whether HTTP/2 is spoken, too: by ALPN with `https` (where nothing is said it is), by prior knowledge with `http` (where nothing is said it is not).",
        ),
        F::optional(
            "tls",
            Shape::Object(&TLS),
            "Certificates and who must have one.",
        ),
        F::optional(
            "proxy_protocol",
            Either(&[Bool, Shape::Object(&PROXY_PROTOCOL)]),
            "Whether every connection begins with a PROXY header (version 1 or 2) that names its client; `true` takes it from `trusted_proxies`. Peers that are not named are refused, and a connection without a header is.",
        ),
        F::optional(
            "trusted_proxies",
            Shape::List(&RANGE),
            "Peers whose forwarding fields are believed, `10.0.0.0/8`.",
        ),
        F::optional(
            "merge_slashes",
            Bool,
            "Treat `//` in paths as `/`: for matching and for the path that the upstream gets. Default: `false`.",
        ),
        F::optional(
            "forward_client_cert",
            Word(&["none", "client_cert", "xfcc", "pass"]),
            "Fields that carry the client's certificate to upstreams: `client_cert` writes `Client-Cert` and `Client-Cert-Chain` (RFC 9440), `xfcc` writes `X-Forwarded-Client-Cert`, `pass` keeps those of `trusted_proxies`. All others are removed. Default: `none`.",
        ),
        F::optional(
            "limits",
            Shape::Object(&LIMITS),
            "Limits on connections and heads.",
        ),
    ],
    rules: &[
        Rule::Holds(tls_goes_with_https),
        Rule::Holds(headers_have_senders),
        Rule::Holds(forwarded_certificates_exist),
    ],
};

static RANGE: Shape = Form(&forms::RANGE);

static TLS: Object = Object {
    what: "the TLS of a listener",
    fields: &[
        F::required(
            "certificates",
            Map(&Shape::Object(&CERTIFICATE)),
            "Certificates by name; the host that is asked for chooses.",
        ),
        F::optional(
            "min_version",
            Word(&["1.2", "1.3"]),
            "The oldest version that is spoken: `1.2`.",
        ),
        F::optional(
            "client_auth",
            Shape::Object(&CLIENT_AUTH),
            "Whether clients show certificates.",
        ),
    ],
    rules: &[],
};

/// A certificate with its key.
pub(super) static CERTIFICATE: Object = Object {
    what: "a certificate",
    fields: &[
        F::required("cert", Secret, "The chain in PEM, the gateway's own first."),
        F::required("key", Secret, "The private key in PEM."),
    ],
    rules: &[],
};

static CLIENT_AUTH: Object = Object {
    what: "how clients show certificates",
    fields: &[
        F::required("ca", Secret, "The authorities that count, in PEM."),
        F::optional(
            "crl",
            Secret,
            "Their lists of certificates that were taken back, in PEM; who stands in one is refused.",
        ),
        F::optional(
            "mode",
            Word(&["off", "optional", "required"]),
            "Whether one must be shown: `required`.",
        ),
    ],
    rules: &[],
};

static PROXY_PROTOCOL: Object = Object {
    what: "where PROXY headers come from",
    fields: &[
        F::required(
            "from",
            Several(&RANGE),
            "Peers that send one; every other peer is refused.",
        ),
        F::optional(
            "timeout",
            Timeout,
            "How long it may take to come; 3s where nothing is said.",
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
            "Connections at once; 10000 where nothing is said.",
        ),
        F::optional(
            "header_bytes",
            Size,
            "Bytes of a request's head; 64KiB where nothing is said.",
        ),
        F::optional(
            "headers",
            Integer(1, 1000),
            "Fields of a request's head; 100 where nothing is said.",
        ),
        F::optional(
            "header_timeout",
            Duration,
            "From the first byte of a head to its last; 10s where nothing is said.",
        ),
        F::optional(
            "idle_timeout",
            Duration,
            "A connection between two requests; 60s where nothing is said.",
        ),
        F::optional(
            "body_timeout",
            Duration,
            "Longest wait for more of a request's body, or for the client to take more of a response. Default: 60s.",
        ),
        F::optional(
            "min_rate",
            Size,
            "Lowest rate of bodies, in bytes per second: each byte earns time, up to `body_timeout`. Default: 240B.",
        ),
        F::optional(
            "stream_idle_timeout",
            Duration,
            "Longest time without a byte in a body while the upstream is waited for, or the operation streams. Default: 5m.",
        ),
    ],
    rules: &[],
};

/// `https` needs certificates, and certificates need `https`.
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
                "the certificates are never shown: this listener speaks `http`",
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

/// Certificates come from `tls.client_auth` or from trusted proxies.
fn forwarded_certificates_exist(node: NodeRef<'_>, sink: &mut Sink) {
    let Some((_, value)) = node.entry("forward_client_cert") else {
        return;
    };
    let asks = node.get("tls").and_then(|tls| tls.get("client_auth"));
    let asks = asks.is_some_and(|asks| !asks.is_null());
    let trusted = node.get("trusted_proxies");
    let trusts = trusted.is_some_and(|trusted| trusted.items().next().is_some());
    let (message, help) = match value.scalar_text() {
        Some(word @ ("client_cert" | "xfcc")) if !asks => (
            format!("`{word}` forwards nothing: the listener asks for no client certificates"),
            "write `tls: {client_auth: {ca: \"${file:PATH}\"}}` beside it",
        ),
        Some("pass") if !trusts => (
            "`pass` forwards nothing: the listener trusts no proxy".to_owned(),
            "write `trusted_proxies: [10.0.0.0/8]` beside it",
        ),
        _ => return,
    };
    sink.push(Diagnostic::new(&diag::shape::BAD_VALUE, value.span(), message).help(help));
}

/// A header that everybody may send lets everybody be anybody.
fn headers_have_senders(node: NodeRef<'_>, sink: &mut Sink) {
    let Some((entry, value)) = node.entry("proxy_protocol") else {
        return;
    };
    let trusted = node.get("trusted_proxies");
    let anybody = trusted.is_none_or(|trusted| trusted.items().next().is_none());
    if value.as_bool() == Some(true) && anybody {
        sink.push(
            Diagnostic::new(
                &diag::shape::BAD_VALUE,
                entry.key_span,
                "nobody says whose PROXY headers are believed",
            )
            .help("write `trusted_proxies`, or `proxy_protocol: {from: [10.0.0.0/8]}`"),
        );
    }
}
