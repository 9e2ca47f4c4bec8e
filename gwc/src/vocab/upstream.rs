//! `upstreams`: the services behind.

use diag::shape::{BAD_VALUE, Field, MISSING_KEY, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink, read};
use policy::forms;
use policy::limits::CONTRADICTING_LIMITS;
use policy::traffic::{circuit_breaker, retry};

use Field as F;
use Shape::{Bool, Duration, Form, Integer, Map, Percent, Secret, Size, Text, Timeout, Word};

use super::listener::CERTIFICATE;
use crate::model::lints::{UNUSED_UPSTREAM_TLS, UNVERIFIED_UPSTREAM, UPSTREAM_TLS};

/// One upstream.
pub(crate) static UPSTREAM: Object = Object {
    what: "an upstream",
    fields: &[
        F::optional(
            "targets",
            Map(&Shape::Object(&TARGET)),
            "Its addresses by name.",
        ),
        F::optional(
            "dns",
            Shape::Object(&DNS),
            "Its addresses by a DNS name that is asked again and again.",
        ),
        F::optional(
            "file",
            Shape::Object(&FILE),
            "Its addresses by a file on the gateway's machine that is watched.",
        ),
        F::optional(
            "protocol",
            Word(&["h1", "h2", "h2c", "auto"]),
            "What it speaks: `h1`, which holds where nothing is said; `h2`: HTTP/2 over TLS; `h2c`: HTTP/2 in the clear, by prior knowledge; `auto`: over TLS what is agreed on (ALPN), HTTP/2 first, in the clear HTTP/1.1. WebSockets go over HTTP/1.1 with `h1` and `auto`, else over HTTP/2 (RFC 8441).",
        ),
        F::optional(
            "lb",
            Word(&[
                "round_robin",
                "random",
                "least_request",
                "peak_ewma",
                "ketama",
                "maglev",
            ]),
            "How a target is chosen: `round_robin`.",
        ),
        F::optional(
            "hash_on",
            Form(&forms::HASH_KEY),
            "With `ketama` and `maglev`: what the hash is made of (`claim:NAME` comes with a later version). For `cookie:NAME` the gateway sets the cookie where a request has none.",
        ),
        F::optional(
            "bounded_load",
            Bool,
            "With `ketama` and `maglev`: whether a target with more than 1.25 times its share of the requests in flight is passed over.",
        ),
        F::optional(
            "health",
            Shape::Object(&HEALTH),
            "How it is found out whether a target works.",
        ),
        F::optional(
            "timeouts",
            Shape::Object(&TIMEOUTS),
            "How long it may take.",
        ),
        F::optional(
            "retries",
            Shape::Object(&retry::author::SHAPE),
            "What is tried again.",
        ),
        F::optional(
            "circuit_breaker",
            Shape::Object(&circuit_breaker::author::SHAPE),
            "When it is left alone.",
        ),
        F::optional(
            "limits",
            Shape::Object(&LIMITS),
            "Connections and requests at once.",
        ),
        F::optional(
            "tls",
            Shape::Object(&TLS),
            "How TLS is spoken to the targets whose URL says `https`, and to hosts that are found; `{}` is enough for those.",
        ),
        F::optional(
            "host_header",
            Text,
            "What it sees as Host: `preserve` (default), `upstream` (`localhost` behind a UNIX socket) or a value.",
        ),
        F::optional(
            "slow_start",
            Timeout,
            "How long a new target takes to get its full share.",
        ),
    ],
    rules: &[
        Rule::Apart(&["targets", "dns", "file"], &BAD_VALUE),
        Rule::Holds(hash_goes_with_lb),
        Rule::Holds(tries_fit_into_the_timeout),
        Rule::Holds(tls_has_targets),
        Rule::Holds(protocols_have_their_scheme),
    ],
};

static TARGET: Object = Object {
    what: "a target",
    fields: &[
        F::required(
            "url",
            Text,
            "`http://HOST:PORT/PATH` or `https://HOST:PORT/PATH`; the path stands before the request's. Each address of a host name gets requests. Or `unix:/PATH`: a UNIX socket.",
        ),
        F::optional(
            "weight",
            Integer(0, 1_000_000),
            "Its share of the requests, whatever its number of addresses; 1 where nothing is said.",
        ),
        F::optional(
            "zone",
            Form(&forms::WORDS),
            "Where it runs. Targets of the gateway's own zone (`gwd run --zone`) come first while at least half of them work.",
        ),
    ],
    rules: &[],
};

static DNS: Object = Object {
    what: "targets by DNS",
    fields: &[
        F::required(
            "name",
            Form(&forms::HOST_NAME),
            "The name that is asked for, such as `files.internal` or `_http._tcp.files.internal`.",
        ),
        F::optional(
            "port",
            Integer(1, 65_535),
            "The port of every address (A and AAAA records). Without it the name has SRV records, which say ports, weights and priorities.",
        ),
        F::optional(
            "refresh",
            Timeout,
            "How long an answer counts at most, `1s` to `5m`; as the answer says, within these, where nothing is said.",
        ),
    ],
    rules: &[Rule::Holds(asks_for_what_is_there)],
};

static FILE: Object = Object {
    what: "targets by a file",
    fields: &[F::required(
        "path",
        Form(&forms::ABSOLUTE_FILE),
        "Where it is: `{\"targets\": [{\"address\": \"IP:PORT\", \"weight\": 1, \"zone\": \"NAME\"}]}` in JSON; `weight` and `zone` may be left out.",
    )],
    rules: &[],
};

static TIMEOUTS: Object = Object {
    what: "the timeouts of an upstream",
    fields: &[
        F::optional(
            "connect",
            Timeout,
            "To open a connection; 5s where nothing is said.",
        ),
        F::optional(
            "request",
            Timeout,
            "From the end of a request to the head of its response; 15s where nothing is said.",
        ),
        F::optional(
            "idle",
            Duration,
            "How long an unused connection is kept; 60s where nothing is said.",
        ),
    ],
    rules: &[Rule::Holds(connects_before_the_answer)],
};

static HEALTH: Object = Object {
    what: "how targets are judged",
    fields: &[
        F::optional(
            "active",
            Shape::Object(&ACTIVE),
            "Requests that the gateway makes to find out.",
        ),
        F::optional(
            "passive",
            Shape::Object(&PASSIVE),
            "What clients' requests tell.",
        ),
        F::optional(
            "all_unhealthy",
            Word(&["fail", "spread"]),
            "What holds where no target works: `fail` (503), or all of them get requests.",
        ),
    ],
    rules: &[Rule::AnyOf(&["active", "passive"])],
};

static ACTIVE: Object = Object {
    what: "an active health check",
    fields: &[
        F::optional(
            "kind",
            Word(&["http", "tcp", "grpc"]),
            "What is asked: `http`.",
        ),
        F::optional(
            "path",
            Form(&forms::PATH),
            "The path of the request; `/` where nothing is said.",
        ),
        F::optional("host", Form(&forms::HOST), "The Host of the request."),
        F::optional(
            "headers",
            Shape::Keyed(&forms::FIELD, &Text),
            "Further fields of the request.",
        ),
        F::optional(
            "statuses",
            Shape::Several(&Integer(100, 599)),
            "Statuses that say it works; 200 where nothing is said.",
        ),
        F::optional(
            "body",
            Form(&forms::WORDS),
            "What the body of the response must contain.",
        ),
        F::optional(
            "interval",
            Timeout,
            "From one to the next; 10s where nothing is said.",
        ),
        F::optional(
            "timeout",
            Timeout,
            "How long the answer may take; 2s where nothing is said.",
        ),
        F::optional(
            "unhealthy_after",
            Integer(1, 100),
            "Failures in a row after which it does not work; 3 where nothing is said.",
        ),
        F::optional(
            "healthy_after",
            Integer(1, 100),
            "Successes in a row after which it works again; 2 where nothing is said.",
        ),
        F::optional(
            "unchecked",
            Word(&["serve", "wait"]),
            "What holds for a target before its first check has ended: it gets requests (`serve`), or waits for a success (`wait`).",
        ),
        F::optional(
            "ends_ejections",
            Bool,
            "Whether a success lets a target in that `passive` left out; `true` where nothing is said.",
        ),
    ],
    rules: &[
        Rule::Holds(checks_end_before_the_next),
        Rule::Holds(asks_what_its_kind_asks),
    ],
};

static PASSIVE: Object = Object {
    what: "a passive health check",
    fields: &[
        F::optional(
            "consecutive_5xx",
            Integer(1, 100_000),
            "Such statuses in a row; 5 where nothing is said.",
        ),
        F::optional(
            "consecutive_gateway_failures",
            Integer(1, 100_000),
            "502, 503, 504 and broken connections in a row.",
        ),
        F::optional(
            "failure_ratio",
            Percent,
            "The share of failures within `interval`.",
        ),
        F::optional(
            "min_requests",
            Integer(1, 1 << 24),
            "Requests within `interval` from which the share counts; 50 where nothing is said.",
        ),
        F::optional(
            "interval",
            Timeout,
            "What is looked at together; 10s where nothing is said.",
        ),
        F::optional(
            "ejection",
            Timeout,
            "How long a target is left out, times how often it was; 30s where nothing is said.",
        ),
        F::optional(
            "max_ejection",
            Timeout,
            "How long at most; 300s where nothing is said.",
        ),
        F::optional(
            "max_ejected",
            Percent,
            "How many targets at once, always at least one; 10% where nothing is said.",
        ),
        F::optional(
            "jitter",
            Duration,
            "Chance that is added to how long a target is left out; none where nothing is said.",
        ),
        F::optional(
            "consecutive_local_failures",
            Integer(1, 100_000),
            "Failed and broken connections in a row; where it is written, they count here and not among statuses.",
        ),
        F::optional(
            "success_rate",
            Shape::Object(&SUCCESS_RATE),
            "How far a target may fall behind the others.",
        ),
    ],
    rules: &[Rule::Holds(ejections_can_grow)],
};

static SUCCESS_RATE: Object = Object {
    what: "how success rates are compared",
    fields: &[
        F::optional(
            "min_targets",
            Integer(2, 10_000),
            "Targets with enough requests that it takes; 5 where nothing is said.",
        ),
        F::optional(
            "min_requests",
            Integer(1, 1 << 24),
            "Requests within `interval` that a target needs; 100 where nothing is said.",
        ),
        F::optional(
            "stdev_factor",
            Integer(0, 100_000),
            "Thousandths of the standard deviation below the mean that are too low; 1900 where nothing is said, 0: rates are not compared.",
        ),
    ],
    rules: &[],
};

static LIMITS: Object = Object {
    what: "the limits of an upstream",
    fields: &[
        F::later(
            "connections",
            Integer(1, 1 << 24),
            "Connections at once; 1024 where nothing is said.",
        ),
        F::optional(
            "pending",
            Integer(0, 1 << 24),
            "Requests that wait for a connection; 1024 where nothing is said.",
        ),
        F::optional(
            "requests",
            Integer(1, 1 << 24),
            "Requests in flight; 1024 where nothing is said.",
        ),
        F::optional(
            "retries",
            Integer(0, 1 << 24),
            "Second tries in flight; as their budget says where nothing is said.",
        ),
        F::later(
            "response_header_bytes",
            Size,
            "Bytes of a response's head; 64KiB where nothing is said.",
        ),
    ],
    rules: &[],
};

static TLS: Object = Object {
    what: "the TLS to an upstream",
    fields: &[
        F::optional(
            "sni",
            Form(&forms::HOST_NAME),
            "The name that is asked for (RFC 6066) and that the certificate must carry; the target's host where nothing is said.",
        ),
        F::optional(
            "ca",
            Secret,
            "The authorities that count, in PEM, 1MiB at most; the system's where nothing is said.",
        ),
        F::optional(
            "client_cert",
            Shape::Object(&CERTIFICATE),
            "What the gateway shows of itself where it is asked.",
        ),
        F::optional(
            "verify",
            Bool,
            "Whether the upstream's certificate is checked (authority, name, time); `true` where nothing is said.",
        ),
    ],
    rules: &[Rule::Holds(somebody_is_checked)],
};

fn time(node: NodeRef<'_>, key: &str, default: u64) -> u64 {
    let value = node
        .get(key)
        .and_then(|value| read::duration_ms(value).ok());
    value.unwrap_or(default)
}

fn hash_goes_with_lb(node: NodeRef<'_>, sink: &mut Sink) {
    let lb = node.get("lb");
    let hashes = lb.filter(|lb| matches!(lb.scalar_text(), Some("ketama" | "maglev")));
    let hash = node.entry("hash_on").filter(|(_, value)| !value.is_null());
    match (hashes, hash) {
        (Some(lb), None) => sink.push(
            Diagnostic::new(
                &MISSING_KEY,
                lb.span(),
                "a hash needs something that it is made of",
            )
            .help("write `hash_on: header:NAME`, `cookie:NAME`, `address` or `consumer` beside it"),
        ),
        (None, Some((entry, _))) => sink.push(
            Diagnostic::new(
                &CONTRADICTING_LIMITS,
                entry.key_span,
                "nothing is hashed here",
            )
            .help("write `lb: ketama` or `lb: maglev` beside it, or remove it"),
        ),
        (Some(_), Some(_)) | (None, None) => {}
    }
}

/// A try that may take as long as all of them leaves no time for another.
fn tries_fit_into_the_timeout(node: NodeRef<'_>, sink: &mut Sink) {
    let request = node
        .get("timeouts")
        .and_then(|timeouts| timeouts.get("request"));
    let each = node
        .get("retries")
        .and_then(|retries| retries.get("per_try_timeout"));
    if let (Some(request), Some(each)) = (request, each) {
        super::shared::check_tries(each, request, sink);
    }
}

/// Records say the port, or gateway.yaml does; and an address is no name.
fn asks_for_what_is_there(node: NodeRef<'_>, sink: &mut Sink) {
    let name = node.get("name").and_then(NodeRef::scalar_text);
    let labels = name.unwrap_or_default().trim_end_matches('.');
    if let Some(name) = node.get("name")
        && labels.parse::<std::net::IpAddr>().is_ok()
    {
        sink.push(
            Diagnostic::new(&BAD_VALUE, name.span(), "an address is asked nobody for")
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
                "the SRV records of this name say the ports",
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
                "a name is asked again after 1s at the earliest and 5m at the latest",
            )
            .help("write `1s` to `5m`, or remove it: answers say how long they count"),
        );
    }
}

/// Somebody who waits longer for a connection than for an answer has mixed up two numbers.
fn connects_before_the_answer(node: NodeRef<'_>, sink: &mut Sink) {
    let written = |key| {
        let (entry, value) = node.entry(key)?;
        Some((entry.key_span, read::duration_ms(value).ok()?))
    };
    let (Some((at, connect)), Some((other, request))) = (written("connect"), written("request"))
    else {
        return;
    };
    if connect > request {
        let message =
            format!("a connection may take {connect}ms, and the answer on it {request}ms");
        sink.push(
            Diagnostic::new(&CONTRADICTING_LIMITS, at, message)
                .related(other, "the answer's time is set here")
                .help("write a `connect` that is not longer than `request`"),
        );
    }
}

fn checks_end_before_the_next(node: NodeRef<'_>, sink: &mut Sink) {
    let (interval, timeout) = (time(node, "interval", 10_000), time(node, "timeout", 2_000));
    let at = node.entry("timeout").or_else(|| node.entry("interval"));
    if let Some((entry, _)) = at.filter(|_| timeout > interval) {
        sink.push(
            Diagnostic::new(
                &CONTRADICTING_LIMITS,
                entry.key_span,
                format!("a check may take {timeout}ms, and the next begins after {interval}ms"),
            )
            .help("write a `timeout` that is not longer than `interval`"),
        );
    }
}

/// A connection has no path, and gRPC asks its own question.
fn asks_what_its_kind_asks(node: NodeRef<'_>, sink: &mut Sink) {
    let kind = node.get("kind").and_then(NodeRef::scalar_text);
    let (strange, asks): (&[&str], _) = match kind {
        Some("tcp") => (
            &["path", "host", "headers", "statuses", "body"],
            "a `tcp` check opens a connection and asks nothing",
        ),
        Some("grpc") => (
            &["path", "statuses", "body"],
            "a `grpc` check asks `grpc.health.v1.Health/Check`",
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
            "host" => "the Host of a check has its own key",
            "connection" | "content-length" | "transfer-encoding" | "te" | "upgrade"
            | "content-type" => "the gateway writes this field of a check itself",
            _ if value
                .scalar_text()
                .is_some_and(|text| text.parse::<http::HeaderValue>().is_err()) =>
            {
                "a field's value is printable text on one line"
            }
            _ => continue,
        };
        sink.push(
            Diagnostic::new(&BAD_VALUE, entry.key_span, message)
                .help("remove it, or write `host: NAME` for the Host"),
        );
    }
}

fn ejections_can_grow(node: NodeRef<'_>, sink: &mut Sink) {
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
                format!("a target is left out for {first}ms, and for {most}ms at most"),
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
                "`min_requests` counts only with `failure_ratio`",
            )
            .help("write a `failure_ratio` beside it, or remove it"),
        );
    }
}

/// The URLs of the targets, as they are written.
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

/// What TLS is made of, and nobody to speak it to. Hosts that are found are spoken to over TLS where
/// there is a `tls`.
fn tls_has_targets(node: NodeRef<'_>, sink: &mut Sink) {
    let Some((entry, _)) = node.entry("tls").filter(|(_, tls)| !tls.is_null()) else {
        return;
    };
    if urls(node).next().is_some() && !urls(node).any(|(_, url)| is_https(url)) {
        sink.push(
            Diagnostic::new(
                &UNUSED_UPSTREAM_TLS,
                entry.key_span,
                "no target of this upstream is spoken to over TLS",
            )
            .help("write `https://` URLs for its targets, or remove `tls`"),
        );
    }
}

/// HTTP/2 is agreed on over TLS, or known before in the clear: each has a word.
fn protocols_have_their_scheme(node: NodeRef<'_>, sink: &mut Sink) {
    let Some(protocol) = node.get("protocol") else {
        return;
    };
    let (over_tls, message, help) = match protocol.scalar_text() {
        Some("h2") => (
            true,
            "`h2` is spoken over TLS, and this target in the clear",
            "write an `https://` URL, or `protocol: h2c`",
        ),
        Some("h2c") => (
            false,
            "`h2c` is spoken in the clear, and this target over TLS",
            "write an `http://` URL, or `protocol: h2`",
        ),
        _ => return,
    };
    // Of hosts that are found it is `tls` that says how they are spoken to.
    let found = ["dns", "file"]
        .iter()
        .any(|key| node.get(key).is_some_and(|value| !value.is_null()));
    let tls = node.get("tls").is_some_and(|tls| !tls.is_null());
    if found && tls != over_tls {
        let (message, help) = match over_tls {
            true => (
                "`h2` is spoken over TLS",
                "write `tls: {…}` beside it, or `protocol: h2c`",
            ),
            false => (
                "`h2c` is spoken in the clear",
                "remove `tls`, or write `protocol: h2`",
            ),
        };
        sink.push(Diagnostic::new(&UPSTREAM_TLS, protocol.span(), message).help(help));
    }
    for (url, text) in urls(node).filter(|(_, text)| is_https(text) != over_tls) {
        // What is no URL at all is told at its place.
        if text.starts_with("unix:") || text.parse::<http::Uri>().is_ok() {
            sink.push(
                Diagnostic::new(&UPSTREAM_TLS, url.span(), message)
                    .related(protocol.span(), "what is spoken is said here")
                    .help(help),
            );
        }
    }
}

fn somebody_is_checked(node: NodeRef<'_>, sink: &mut Sink) {
    let verify = node
        .get("verify")
        .filter(|verify| verify.as_bool() == Some(false));
    let Some(verify) = verify else { return };
    sink.push(
        Diagnostic::new(
            &UNVERIFIED_UPSTREAM,
            verify.span(),
            "anybody in between can answer for this upstream",
        )
        .help("remove it, and name the authority of the upstream's certificate with `ca`"),
    );
    if let Some((entry, _)) = node.entry("ca").filter(|(_, ca)| !ca.is_null()) {
        sink.push(
            Diagnostic::new(
                &UNUSED_UPSTREAM_TLS,
                entry.key_span,
                "these authorities are not asked: nothing is checked here",
            )
            .help("remove `verify: false`, or the authorities"),
        );
    }
}
