//! Shapes and checks that gateway.yaml and documents share.

use diag::shape::{Field, Form, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink, read};
use policy::forms;
use policy::limits::CONTRADICTING_LIMITS;

use Field as F;
use Shape::{Integer, Keyed, Kinds, Map, Secret, Text, Word};

/// Form of errors made by the gateway, by their reason.
pub const ERRORS: Shape = Keyed(&REASON, &Shape::Object(&ERROR));

/// The same in a document: only of reasons that its routes have.
pub(crate) const ERRORS_OF_ROUTES: Shape = Keyed(&REASON_OF_ROUTES, &Shape::Object(&ERROR));

static ERROR: Object = Object {
    what: "an error response",
    fields: &[
        F::optional("status", Integer(400, 599), "Status of the response."),
        F::optional(
            "body",
            Text,
            "Body of the response, instead of a problem document (RFC 9457).",
        ),
        F::optional(
            "content_type",
            Shape::Form(&forms::MEDIA_TYPE),
            "The body's media type. Default: `text/plain; charset=utf-8`.",
        ),
    ],
    rules: &[Rule::AnyOf(&["status", "body"])],
};

/// Reasons for which a route refuses or fails, by their codes in problem documents, log and
/// metrics.
const OF_ROUTES: &[&str] = &[
    "body_too_large",
    "circuit_open",
    "concurrency_limited",
    "condition_ambiguous",
    "credential_ambiguous",
    "credential_conflict",
    "credential_invalid",
    "credential_missing",
    "csrf_denied",
    "dns_failed",
    "grpc_deadline_exceeded",
    "insufficient_scope",
    "ip_denied",
    "no_healthy_upstream",
    "not_authorized",
    "operation_gone",
    "path_ambiguous",
    "rate_limited",
    "redirect_failed",
    "request_body_invalid",
    "request_timeout",
    "rewrite_failed",
    "token_invalid",
    "upstream_connect_failed",
    "upstream_connect_timeout",
    "upstream_overflow",
    "upstream_protocol_error",
    "upstream_reset",
    "upstream_timeout",
    "upstream_tls_alert",
    "upstream_tls_certificate",
    "upstream_tls_failed",
    "websocket_invalid",
    "websocket_not_served",
    "websocket_version",
];

/// Reasons for which the gateway refuses a request before a route owns it. What is no HTTP message,
/// or comes while the process has no room, is answered before the configuration is looked at.
const OF_GATEWAY: &[&str] = &[
    "connect_refused",
    "expectation_failed",
    "field_invalid",
    "framing_invalid",
    "headers_too_large",
    "host_invalid",
    "loop_detected",
    "method_not_allowed",
    "misdirected_request",
    "no_condition_matched",
    "no_route",
    "path_invalid",
    "target_invalid",
    "target_too_long",
    "trace_refused",
];

/// A reason whose error gateway.yaml can give another form.
pub static REASON: Form = Form {
    what: "a reason for which the gateway refuses or fails, such as `rate_limited`, `no_route` or `upstream_timeout`",
    pattern: "[a-z][a-z0-9_]*",
    fits: |text| OF_ROUTES.contains(&text) || OF_GATEWAY.contains(&text),
};

/// A reason whose error a document can give another form.
static REASON_OF_ROUTES: Form = Form {
    what: "a reason for which a route refuses or fails, such as `rate_limited` or `upstream_timeout`",
    pattern: "[a-z][a-z0-9_]*",
    fits: |text| OF_ROUTES.contains(&text),
};

/// Stores of shared counters and caches.
pub(crate) const STORES: Shape = Map(&Kinds(&[diag::shape::Variant {
    kind: "redis",
    object: &REDIS,
    runs: false,
}]));

static REDIS: Object = Object {
    what: "a store that a fleet shares",
    fields: &[
        F::required("url", Secret, "URL of the store, with its password."),
        F::optional(
            "prefix",
            Shape::Form(&forms::WORDS),
            "Prefix of every key. Default: the project's name.",
        ),
        F::optional(
            "on_outage",
            Word(&["local", "open", "closed"]),
            "Behaviour while the store cannot be reached. Default: `local`, each gateway counts for itself.",
        ),
    ],
    rules: &[],
};

/// Treatment of paths that upstreams may read as other paths.
pub(crate) const PATH_READINGS: Field = F::optional(
    "path_readings",
    Word(&["strict", "keep"]),
    "Paths that an upstream may read as another path (with `%2F`, `%5C`, `%25`, `%3F`, `%23`, `;` or `//`, or a dot or blank at the end of a name). `strict`: 400 `path_ambiguous` unless the same operation owns every reading. `keep`: allow readings that belong to no operation or to operations with the same access. Default: `strict`; `keep` for a path that itself has one of these.",
);

/// Reports a timeout per try that leaves no time for another try.
pub(crate) fn check_tries(each: NodeRef<'_>, all: NodeRef<'_>, sink: &mut Sink) {
    let (Ok(each_ms), Ok(all_ms)) = (read::duration_ms(each), read::duration_ms(all)) else {
        return;
    };
    if each_ms < all_ms {
        return;
    }
    sink.push(
        Diagnostic::new(
            &CONTRADICTING_LIMITS,
            each.span(),
            format!("one try may take {each_ms}ms, and all tries together {all_ms}ms"),
        )
        .related(all.span(), "the timeout for all of them is here")
        .help("write a `per_try_timeout` that leaves time for another try"),
    );
}
