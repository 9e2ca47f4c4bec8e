//! Shapes and checks that gateway.yaml and documents share.

use diag::shape::{Field, Form, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink, read};
use policy::forms;
use policy::limits::CONTRADICTING_LIMITS;

use Field as F;
use Shape::{Integer, Keyed, Kinds, Map, Secret, Text, Word};

/// Form of errors made by the gateway, by their reason.
pub const ERRORS: Shape = Keyed(&REASON, &Shape::Object(&ERROR));

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

/// Reasons why the gateway refuses or fails, by their codes in problem documents, log and metrics.
const REASONS: &[&str] = &[
    "body_too_large",
    "cache_only",
    "circuit_open",
    "concurrency_limited",
    "condition_ambiguous",
    "credential_ambiguous",
    "credential_conflict",
    "credential_invalid",
    "credential_missing",
    "csrf_denied",
    "dns_failed",
    "expectation_failed",
    "forward_auth_denied",
    "forward_auth_unavailable",
    "framing_invalid",
    "grpc_deadline_exceeded",
    "head_invalid",
    "header_timeout",
    "headers_too_large",
    "host_invalid",
    "insufficient_scope",
    "ip_denied",
    "keys_unavailable",
    "loop_detected",
    "method_not_allowed",
    "no_condition_matched",
    "no_healthy_upstream",
    "no_route",
    "not_authorized",
    "not_ready",
    "overload",
    "path_ambiguous",
    "path_invalid",
    "quota_exhausted",
    "rate_limited",
    "request_body_invalid",
    "request_timeout",
    "retry_limit",
    "schema_invalid",
    "sunset",
    "target_invalid",
    "target_too_long",
    "threat_found",
    "trace_refused",
    "upstream_connect_failed",
    "upstream_connect_timeout",
    "upstream_overflow",
    "upstream_protocol_error",
    "upstream_reset",
    "upstream_timeout",
    "upstream_tls_alert",
    "upstream_tls_certificate",
    "upstream_tls_failed",
];

static REASON: Form = Form {
    what: "a reason for which the gateway refuses or fails, such as `rate_limited`, `no_route` or `upstream_timeout`",
    pattern: "[a-z][a-z0-9_]*",
    fits: |text| REASONS.contains(&text),
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
