//! gateway.yaml: what the operator decides.

use diag::shape::{Field, Object, Shape};

use Field as F;
use Shape::{
    Any, Bool, Duration, Integer, Kinds, List, Map, Name, Sha256, Size, Table, Text, TextOrSecret,
    Word,
};

/// The whole file.
pub static SHAPE: Shape = Shape::Object(&GATEWAY);

/// A `consumers_file`.
pub static CONSUMERS: Shape = Map(&Shape::Object(&CONSUMER));

static GATEWAY: Object = Object {
    what: "gateway.yaml",
    fields: &[
        F::required(
            "version",
            Integer(1, 1),
            "The version of this vocabulary: 1.",
        ),
        F::required("name", Text, "The project's name."),
        F::optional("owner", Text, "Who answers for the project."),
        F::optional(
            "apis",
            Map(&Shape::Object(&API)),
            "The OpenAPI documents and where each is mounted.",
        ),
        F::optional(
            "apis_glob",
            List(&Text),
            "OpenAPI documents by pattern, each an API named by its file without the last extension: `apis/*.yaml`.",
        ),
        F::optional(
            "listeners",
            Map(&Shape::Object(&LISTENER)),
            "Where the gateway listens.",
        ),
        F::optional(
            "upstreams",
            Map(&Shape::Object(&UPSTREAM)),
            "The services behind.",
        ),
        F::optional(
            "auth",
            Map(&Kinds(policy::auth::KINDS)),
            "How credentials are checked.",
        ),
        F::optional("consumers", Map(&Shape::Object(&CONSUMER)), "Who may call."),
        F::optional(
            "consumers_file",
            Text,
            "Consumers in a file of their own, so that a new key moves only its part of a bundle.",
        ),
        F::later("plans", Map(&Any), "Policies by the plan of a consumer."),
        F::optional(
            "policies",
            Map(&Kinds(policy::KINDS)),
            "Policies that operations name.",
        ),
        F::optional(
            "required",
            Shape::Object(&REQUIRED),
            "What no document can avoid.",
        ),
        F::optional(
            "defaults",
            Shape::Object(&DEFAULTS),
            "What holds where nobody says otherwise.",
        ),
        F::later(
            "stores",
            Map(&Any),
            "Shared counters and caches for fleets.",
        ),
        F::later("errors", Map(&Any), "How errors made by the gateway look."),
        F::optional(
            "environments",
            Map(&Shape::Object(&ENVIRONMENT)),
            "What differs between the places that the project runs in; `--env` chooses one.",
        ),
        F::optional("release", Shape::Object(&RELEASE), "Where bundles go."),
        F::optional(
            "lint",
            Table(&Word(&["off", "info", "warn", "error"])),
            "Levels of rules by name.",
        ),
        F::optional(
            "gates",
            List(&Word(&[
                "weaken", "expose", "grant", "relax", "break", "remove", "move",
            ])),
            "Classes of change that stop a plan until they are acknowledged.",
        ),
        F::later("acknowledge", Text, "Changes that were acknowledged."),
        F::later("invariants", List(&Text), "Rules of the project's own."),
        F::later(
            "tests",
            List(&Text),
            "Requests with the decisions expected.",
        ),
    ],
};

static ENVIRONMENT: Object = Object {
    what: "an environment",
    fields: &[
        F::optional(
            "patch",
            Text,
            "A file with a JSON Merge Patch of this one: maps merge, `null` removes, anything else replaces.",
        ),
        F::optional(
            "vars",
            Map(&TextOrSecret),
            "What `${var:NAME}` stands for, here and in `x-gateway`.",
        ),
        F::optional(
            "release",
            Shape::Object(&ENVIRONMENT_RELEASE),
            "Where its bundles go.",
        ),
    ],
};

static ENVIRONMENT_RELEASE: Object = Object {
    what: "the release of an environment",
    fields: &[F::optional(
        "channel",
        Text,
        "The channel that is moved, instead of `release.channel`.",
    )],
};

static API: Object = Object {
    what: "an API",
    fields: &[
        F::required(
            "path",
            Text,
            "The OpenAPI document, relative to gateway.yaml.",
        ),
        F::optional("overlays", List(&Text), "Overlays, applied in order."),
        F::optional("mount", Shape::Object(&MOUNT), "Where it can be reached."),
        F::optional(
            "mounts",
            List(&Shape::Object(&MOUNT)),
            "Where it can be reached, if in several places.",
        ),
        F::optional(
            "environments",
            List(&Text),
            "The environments that have it; all where nothing is said.",
        ),
        F::later(
            "unmatched",
            Text,
            "What happens to paths that it does not describe.",
        ),
        F::later(
            "undeclared_methods",
            Text,
            "What happens to methods that it does not describe.",
        ),
    ],
};

static MOUNT: Object = Object {
    what: "a mount",
    fields: &[
        F::optional(
            "name",
            Text,
            "Its name; `default` where there is one mount.",
        ),
        F::optional(
            "hosts",
            List(&Text),
            "Hosts, `*.` for one label; any host where nothing is said.",
        ),
        F::optional(
            "base_path",
            Text,
            "What stands before every path; `/` where nothing is said.",
        ),
        F::optional(
            "strip_base_path",
            Bool,
            "Whether the upstream gets the path without it.",
        ),
        F::optional(
            "listeners",
            List(&Name("a listener")),
            "The listeners it answers on.",
        ),
    ],
};

static LISTENER: Object = Object {
    what: "a listener",
    fields: &[
        F::required("address", Text, "`IP:PORT`; port 0 lets the system choose."),
        F::optional(
            "protocol",
            Word(&["http", "https"]),
            "What is spoken there: `http`.",
        ),
        F::later("http2", Bool, "Whether HTTP/2 is spoken."),
        F::later("tls", Any, "Certificates."),
        F::later("proxy_protocol", Any, "Whether a PROXY header comes first."),
        F::optional(
            "trusted_proxies",
            List(&Text),
            "Peers whose forwarding fields are believed, `10.0.0.0/8`.",
        ),
        F::optional(
            "limits",
            Shape::Object(&LISTENER_LIMITS),
            "Limits on connections and heads.",
        ),
    ],
};

static LISTENER_LIMITS: Object = Object {
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
    ],
};

static UPSTREAM: Object = Object {
    what: "an upstream",
    fields: &[
        F::optional(
            "targets",
            Map(&Shape::Object(&TARGET)),
            "Its addresses by name.",
        ),
        F::later(
            "dns",
            Any,
            "Its addresses by a DNS name that is asked again.",
        ),
        F::optional(
            "protocol",
            Word(&["h1", "h2", "h2c", "auto"]),
            "What it speaks: `h1`.",
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
        F::later("hash_on", Any, "What a hash is made of."),
        F::later("health", Any, "How it is found out whether a target works."),
        F::optional(
            "timeouts",
            Shape::Object(&UPSTREAM_TIMEOUTS),
            "How long it may take.",
        ),
        F::later("retries", Any, "What is tried again."),
        F::later("circuit_breaker", Any, "When it is left alone."),
        F::later("limits", Any, "Connections and requests at once."),
        F::later("tls", Any, "How it is spoken to over TLS."),
        F::optional(
            "host_header",
            Text,
            "What it sees as Host: `preserve` (default), `upstream` or a value.",
        ),
        F::later("slow_start", Any, "How a new target is warmed up."),
    ],
};

static TARGET: Object = Object {
    what: "a target",
    fields: &[
        F::required(
            "url",
            Text,
            "`http://HOST:PORT/PATH`; the path stands before the request's.",
        ),
        F::optional(
            "weight",
            Integer(0, 1_000_000),
            "Its share of the requests; 1 where nothing is said.",
        ),
        F::later("zone", Text, "Where it runs."),
    ],
};

static UPSTREAM_TIMEOUTS: Object = Object {
    what: "the timeouts of an upstream",
    fields: &[
        F::optional(
            "connect",
            Duration,
            "To open a connection; 5s where nothing is said.",
        ),
        F::optional(
            "request",
            Duration,
            "From the end of a request to the head of its response; 15s where nothing is said.",
        ),
        F::optional(
            "idle",
            Duration,
            "How long an unused connection is kept; 60s where nothing is said.",
        ),
    ],
};

static CONSUMER: Object = Object {
    what: "a consumer",
    fields: &[
        F::optional(
            "keys",
            List(&Shape::Object(&CREDENTIAL)),
            "Its keys, by their sha256.",
        ),
        F::optional(
            "basic",
            List(&Shape::Object(&CREDENTIAL)),
            "Its names with passwords, by the sha256 of `user:password`.",
        ),
        F::later("claims", Any, "Claims that it is given."),
        F::later("groups", List(&Text), "Groups that it belongs to."),
        F::later("plan", Text, "The plan that it is on."),
        F::later("metadata", Any, "Whatever helps to find its owner."),
    ],
};

static CREDENTIAL: Object = Object {
    what: "a credential",
    fields: &[
        F::required(
            "sha256",
            Sha256,
            "The sha256 of the credential, 64 hexadecimal digits.",
        ),
        F::optional(
            "not_after",
            Shape::Date,
            "The last day (UTC) on which it is admitted.",
        ),
    ],
};

static REQUIRED: Object = Object {
    what: "what is required",
    fields: &[
        F::optional(
            "policies",
            List(&Name("a policy")),
            "Policies that every operation has, first in their phase.",
        ),
        F::optional(
            "auth",
            List(&Name("a verifier")),
            "Verifiers of which every operation must use one.",
        ),
        F::optional(
            "allow_public",
            List(&Text),
            "Operation keys that may be public; `*` stands for any text.",
        ),
    ],
};

static DEFAULTS: Object = Object {
    what: "the defaults",
    fields: &[
        F::optional("upstream", Name("an upstream"), "Where requests go."),
        F::optional(
            "listeners",
            List(&Name("a listener")),
            "Where mounts answer.",
        ),
        F::optional(
            "policies",
            List(&Name("a policy")),
            "What every chain begins with.",
        ),
        F::optional(
            "timeout",
            Duration,
            "From the end of a request to the head of its response.",
        ),
        F::later(
            "validate",
            Any,
            "Whether messages are checked against the contract.",
        ),
        F::optional("max_body", Size, "Bytes of a request's body."),
        F::optional(
            "security",
            Word(&["enforce", "upstream"]),
            "Who checks credentials: the gateway, or the upstream alone.",
        ),
        F::optional(
            "expose_bundle",
            Bool,
            "Whether responses name their bundle.",
        ),
        F::later(
            "serve_document",
            Any,
            "Whether the gateway serves the documents.",
        ),
    ],
};

static RELEASE: Object = Object {
    what: "the release",
    fields: &[
        F::optional(
            "store",
            Text,
            "The folder that bundles go to; `releases` where nothing is said.",
        ),
        F::optional(
            "channel",
            Text,
            "The channel that is moved; `prod` where nothing is said.",
        ),
    ],
};
