//! Shape of `upstreams`.

use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
use policy::forms;
use policy::traffic::{circuit_breaker, retry};

use Field as F;
use Shape::{Bool, Duration, Form, Integer, List, Map, Percent, Secret, Size, Text, Timeout, Word};

mod rules;

use super::listener::CERTIFICATE;
use super::shared::RESPONSE_TIMEOUT;
use rules::{
    check_connect_timeout, check_dns_discovery, check_proxy_protocol_http1,
    check_response_header_bytes, check_unused_health_keys, checks_end_before_the_next,
    ejections_can_grow, hash_goes_with_lb, protocols_have_their_scheme, tls_has_targets,
    tries_fit_into_the_timeout, warn_unverified,
};

/// Shape of one upstream.
pub static UPSTREAM: Object = Object {
    what: "an upstream",
    fields: &[
        F::optional("targets", Map(&Shape::Object(&TARGET)), "Targets by name."),
        F::optional(
            "dns",
            Shape::Object(&DNS),
            "Discovery of targets by a DNS name.",
        ),
        F::optional(
            "file",
            Shape::Object(&FILE),
            "Discovery of targets by a file on the gateway's machine; the file is watched.",
        ),
        F::optional(
            "protocol",
            Word(&["h1", "h2", "h2c", "auto"]),
            "Protocol used towards the upstream. `h1`: HTTP/1.1; `h2`: HTTP/2 over TLS; `h2c`: HTTP/2 in cleartext, by prior knowledge; `auto`: over TLS by ALPN, HTTP/2 first, in cleartext HTTP/1.1. WebSockets use HTTP/1.1 with `h1` and `auto`, else HTTP/2 (RFC 8441). Default: `h1`.",
        ),
        F::optional(
            "proxy_protocol",
            Word(&["v1", "v2"]),
            "Version of the PROXY header at the start of each connection. The header names the \
client after `trusted_proxies` were applied; the port of a client behind a proxy is 0. A \
connection then carries one request, so this needs `protocol: h1`. Health checks name no client \
(`UNKNOWN`, `LOCAL`). Default: none.",
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
            "Load-balancing algorithm. Default: `round_robin`.",
        ),
        F::optional(
            "hash_on",
            Form(&forms::HASH_KEY),
            "Input of the hash of `ketama` and `maglev`, which require this key. `claim:NAME` is a claim of the consumer. For `cookie:NAME` the gateway sets the cookie if a request has none. Default: none.",
        ),
        F::optional(
            "bounded_load",
            Bool,
            "With `ketama` and `maglev`: skip a target with more than 1.25 times its share of the requests in flight. Default: `false`.",
        ),
        F::optional(
            "health",
            Shape::Object(&HEALTH),
            "Health checks and outlier detection. Default: neither active nor passive checks.",
        ),
        F::optional(
            "timeouts",
            Shape::Object(&TIMEOUTS),
            "Time limits for connecting and for responses.",
        ),
        F::optional(
            "retries",
            Shape::Object(&retry::author::SHAPE),
            "Retries of failed requests.",
        ),
        F::optional(
            "circuit_breaker",
            Shape::Object(&circuit_breaker::author::SHAPE),
            "Circuit-breaker settings.",
        ),
        F::optional(
            "limits",
            Shape::Object(&LIMITS),
            "Limits on concurrent requests, connections and retries.",
        ),
        F::optional(
            "tls",
            Shape::Object(&TLS),
            "TLS towards targets with an `https` URL and towards discovered hosts; `{}` switches it on for discovered hosts.",
        ),
        F::optional(
            "host_header",
            Text,
            "Host field of requests: `preserve`, `upstream` (`localhost` behind a UNIX socket) or a value. Default: `preserve`.",
        ),
        F::optional(
            "rewrite_responses",
            List(&Word(&["location", "cookies"])),
            "Response fields that are rewritten from the upstream's URL to the gateway's: `location` (Location and Content-Location), `cookies` (Path and Domain of Set-Cookie). The base path that `strip_base_path` removed is added; the path of the target's URL and the service's host are removed.",
        ),
        F::optional(
            "slow_start",
            Timeout,
            "Time until a new target gets its full share. Default: none; a new target gets its full share at once.",
        ),
    ],
    rules: &[
        Rule::Apart(&["targets", "dns", "file"], &BAD_VALUE),
        Rule::Holds(hash_goes_with_lb),
        Rule::Holds(tries_fit_into_the_timeout),
        Rule::Holds(tls_has_targets),
        Rule::Holds(protocols_have_their_scheme),
        Rule::Holds(check_proxy_protocol_http1),
    ],
};

static TARGET: Object = Object {
    what: "a target",
    fields: &[
        F::required(
            "url",
            Text,
            "`http://HOST:PORT/PATH` or `https://HOST:PORT/PATH`; the path is put before the request's. Each address of a host name receives requests. Or `unix:/PATH`: a UNIX socket.",
        ),
        F::optional(
            "weight",
            Integer(0, 1_000_000),
            "Share of the requests for this target; independent of how many addresses its host name has. Default: 1.",
        ),
        F::optional(
            "zone",
            Form(&forms::WORDS),
            "Zone of the target. Targets of the gateway's own zone (`gwd run --zone`) come first while at least half of them work. Default: none.",
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
            "DNS name, such as `files.internal` or `_http._tcp.files.internal`.",
        ),
        F::optional(
            "port",
            Integer(1, 65_535),
            "Port of every address (A and AAAA records). Default: the ports, weights and priorities of the SRV records of the name.",
        ),
        F::optional(
            "refresh",
            Timeout,
            "Maximum lifetime of an answer. Range: `1s`–`5m`. Default: the TTL of the answer, within this range.",
        ),
    ],
    rules: &[Rule::Holds(check_dns_discovery)],
};

static FILE: Object = Object {
    what: "targets by a file",
    fields: &[F::required(
        "path",
        Form(&forms::ABSOLUTE_FILE),
        "Absolute path of a JSON file: `{\"targets\": [{\"address\": \"IP:PORT\", \"weight\": 1, \"zone\": \"NAME\"}]}`; `weight` and `zone` may be left out.",
    )],
    rules: &[],
};

static TIMEOUTS: Object = Object {
    what: "the timeouts of an upstream",
    fields: &[
        F::optional(
            "connect",
            Timeout,
            "Connect timeout, TLS handshake included. The wait for one of `limits.connections` does not count. Default: 5s.",
        ),
        F::optional("request", Timeout, RESPONSE_TIMEOUT),
        F::optional(
            "idle",
            Duration,
            "Maximum idle time of a connection. Default: 60s.",
        ),
    ],
    rules: &[Rule::Holds(check_connect_timeout)],
};

static HEALTH: Object = Object {
    what: "a set of health checks",
    fields: &[
        F::optional(
            "active",
            Shape::Object(&ACTIVE),
            "Health checks by the gateway's own requests. Default: none.",
        ),
        F::optional(
            "passive",
            Shape::Object(&PASSIVE),
            "Outlier detection from clients' requests. A host (an address of a target) is ejected \
            for statuses, broken connections, timeouts and rates only while another host can serve \
            its requests. A \
            single host is therefore ejected only if no connection to it can be opened. Default: \
            none.",
        ),
        F::optional(
            "all_unhealthy",
            Word(&["fail", "spread"]),
            "Behaviour while no target is healthy: refuse requests with 503 (`fail`), or send them to all targets (`spread`). Default: `fail`.",
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
            "Protocol of the check. Default: `http`.",
        ),
        F::optional(
            "path",
            Form(&forms::PATH),
            "Path of the request. Default: `/`.",
        ),
        F::optional(
            "host",
            Form(&forms::HOST),
            "Host of the request. Default: the host and port of the target.",
        ),
        F::optional(
            "headers",
            Shape::Keyed(&forms::FIELD, &Text),
            "More fields of the request.",
        ),
        F::optional(
            "statuses",
            Shape::Several(&Integer(100, 599)),
            "Statuses of a success. Default: 200.",
        ),
        F::optional(
            "body",
            Form(&forms::WORDS),
            "Text that the body of the response must contain. Default: any body.",
        ),
        F::optional(
            "interval",
            Timeout,
            "Time between two checks. Default: 10s.",
        ),
        F::optional(
            "timeout",
            Timeout,
            "Maximum time for a response. Default: 2s.",
        ),
        F::optional(
            "unhealthy_after",
            Integer(1, 100),
            "Consecutive failures that make a target unhealthy. Default: 3.",
        ),
        F::optional(
            "healthy_after",
            Integer(1, 100),
            "Consecutive successes that make a target healthy. Default: 2.",
        ),
        F::optional(
            "unchecked",
            Word(&["serve", "wait"]),
            "Behaviour of a target before its first check has ended: it receives requests (`serve`), or waits for a success (`wait`). Default: `serve`.",
        ),
        F::optional(
            "ends_ejections",
            Bool,
            "End an ejection by `passive` after a successful check. Default: `true`.",
        ),
    ],
    rules: &[
        Rule::Holds(checks_end_before_the_next),
        Rule::Holds(check_unused_health_keys),
    ],
};

static PASSIVE: Object = Object {
    what: "a passive health check",
    fields: &[
        F::optional(
            "consecutive_5xx",
            Integer(1, 100_000),
            "Consecutive 5xx responses that eject a target. Timeouts, and failed and broken connections, count as well, unless `consecutive_local_failures` is set. Default: 5.",
        ),
        F::optional(
            "consecutive_gateway_failures",
            Integer(1, 100_000),
            "Consecutive 502, 503 and 504 that eject a target. Timeouts, and failed and broken \
            connections, count as well, unless `consecutive_local_failures` is set. All of these \
            also count for `consecutive_5xx`. Default: disabled.",
        ),
        F::optional(
            "failure_ratio",
            Percent,
            "Share of failures within `interval` that ejects a target. Default: disabled.",
        ),
        F::optional(
            "min_requests",
            Integer(1, 1 << 24),
            "Minimum requests within `interval` before `failure_ratio` applies. Default: 50.",
        ),
        F::optional(
            "interval",
            Timeout,
            "Time over which results are counted. Default: 10s.",
        ),
        F::optional(
            "ejection",
            Timeout,
            "Ejection time, multiplied by the number of ejections. Default: 30s.",
        ),
        F::optional(
            "max_ejection",
            Timeout,
            "Maximum ejection time. Default: 300s.",
        ),
        F::optional(
            "max_ejected",
            Percent,
            "Maximum share of targets ejected at once; one is always allowed. A host that no other \
            host can replace is never ejected for statuses. Default: 10%.",
        ),
        F::optional(
            "jitter",
            Duration,
            "Maximum random jitter added to the ejection time. Default: none.",
        ),
        F::optional(
            "consecutive_local_failures",
            Integer(1, 100_000),
            "Consecutive timeouts, and failed and broken connections, that eject a target. If set, \
            they do not count for `consecutive_5xx` and `consecutive_gateway_failures`. Default: \
            disabled.",
        ),
        F::optional(
            "success_rate",
            Shape::Object(&SUCCESS_RATE),
            "Ejection of targets whose success rate is far below that of the others. Default: with the defaults of its keys. `stdev_factor: 0` disables it.",
        ),
    ],
    rules: &[Rule::Holds(ejections_can_grow)],
};

static SUCCESS_RATE: Object = Object {
    what: "a success-rate check",
    fields: &[
        F::optional(
            "min_targets",
            Integer(2, 10_000),
            "Minimum number of targets with `min_requests` for the check to apply. Default: 5.",
        ),
        F::optional(
            "min_requests",
            Integer(1, 1 << 24),
            "Minimum requests of a target within `interval`. Default: 100.",
        ),
        F::optional(
            "stdev_factor",
            Integer(0, 100_000),
            "Distance below the mean that ejects a target, in thousandths of the standard deviation; 0 switches it off. Default: 1900.",
        ),
    ],
    rules: &[],
};

static LIMITS: Object = Object {
    what: "the limits of an upstream",
    fields: &[
        F::optional(
            "connections",
            Integer(1, 1 << 24),
            "Maximum connections to all targets together, WebSockets included, health checks \
excluded. While all are in use, requests wait within their `timeout`; then 503 \
`upstream_overflow`. Default: 1024.",
        ),
        F::optional(
            "pending",
            Integer(0, 1 << 24),
            "Maximum requests that wait for a connection. Default: 1024.",
        ),
        F::optional(
            "requests",
            Integer(1, 1 << 24),
            "Maximum requests in flight. Default: 1024.",
        ),
        F::optional(
            "retries",
            Integer(0, 1 << 24),
            "Maximum retries in flight. Default: the retry budget.",
        ),
        F::optional(
            "response_header_bytes",
            Size,
            "Maximum size of a response's head; a larger one is 502 `upstream_protocol_error`. Open HTTP/2 connections keep their limit after a change. Range: `1KiB`–`1MiB`. Default: 64KiB.",
        ),
    ],
    rules: &[Rule::Holds(check_response_header_bytes)],
};

static TLS: Object = Object {
    what: "the TLS to an upstream",
    fields: &[
        F::optional(
            "sni",
            Form(&forms::HOST_NAME),
            "Requested server name (SNI, RFC 6066), which the certificate must carry. Default: the target's host.",
        ),
        F::optional(
            "ca",
            Secret,
            "Trusted CA certificates, in PEM, at most 1MiB. Default: the system's.",
        ),
        F::optional(
            "client_cert",
            Shape::Object(&CERTIFICATE),
            "Client certificate of the gateway, presented if the upstream requests one.",
        ),
        F::optional(
            "verify",
            Bool,
            "Verify the upstream's certificate (authority, name, time). Default: `true`.",
        ),
    ],
    rules: &[Rule::Holds(warn_unverified)],
};
