//! `upstreams`: the services behind.

use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
use policy::forms;
use policy::traffic::{circuit_breaker, retry};

use Field as F;
use Shape::{Bool, Duration, Form, Integer, List, Map, Percent, Secret, Size, Text, Timeout, Word};

mod rules;

use super::listener::CERTIFICATE;
use rules::{
    asks_for_what_is_there, asks_what_its_kind_asks, checks_end_before_the_next,
    connects_before_the_answer, ejections_can_grow, hash_goes_with_lb, heads_fit,
    one_client_has_a_connection, protocols_have_their_scheme, somebody_is_checked, tls_has_targets,
    tries_fit_into_the_timeout,
};

/// One upstream.
pub static UPSTREAM: Object = Object {
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
            "proxy_protocol",
            Word(&["v1", "v2"]),
            "Whether each connection begins with a PROXY header that names its client, and in which version. The client is the one that `trusted_proxies` let believe; where it is not the other end itself its port is 0. Such a connection carries one request, so this goes with `protocol: h1` alone. Health checks name nobody (`UNKNOWN`, `LOCAL`).",
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
            "With `ketama` and `maglev`: what the hash is made of (a claim is the consumer's). For `cookie:NAME` the gateway sets the cookie where a request has none.",
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
            "rewrite_responses",
            List(&Word(&["location", "cookies"])),
            "What of its responses speaks of the gateway's place instead of its own: `location` (Location and Content-Location), `cookies` (Path and Domain of Set-Cookie). What `strip_base_path` took off comes back, and the path of a target's URL and the service's own host go.",
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
        Rule::Holds(one_client_has_a_connection),
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
            "To open a connection, TLS with it; 5s where nothing is said. Waiting for one of `limits.connections` is not part of it.",
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
        F::optional(
            "connections",
            Integer(1, 1 << 24),
            "Connections to all of its targets together, WebSockets among them, health checks not; 1024 where nothing is said. Where all are in use a request waits for one, as long as its own `timeout` lets it; then 503 `upstream_overflow`.",
        ),
        F::optional(
            "pending",
            Integer(0, 1 << 24),
            "Requests that wait for a connection, or for one to be opened; 1024 where nothing is said.",
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
        F::optional(
            "response_header_bytes",
            Size,
            "Bytes of a response's head, `1KiB` to `1MiB`; 64KiB where nothing is said. A longer one is 502 `upstream_protocol_error`. Connections of HTTP/2 that are open keep what held when they were opened.",
        ),
    ],
    rules: &[Rule::Holds(heads_fit)],
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
