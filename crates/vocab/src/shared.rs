//! Shapes and checks that gateway.yaml and documents share.

use diag::shape::{BAD_VALUE, Field, NameKeys, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink, read};
use policy::forms;
use policy::limits::CONTRADICTING_LIMITS;

use crate::reasons;

use Field as F;
use Shape::{Integer, Kinds, Known, Name, Secret, Size, Text, Timeout, Word};

/// Error responses of the gateway, by reason, as gateway.yaml sets them.
pub const ERRORS: Shape = Known(&reasons::OF_GATEWAY_YAML, &Shape::Object(&ERROR));

/// Error responses in a document: only for reasons that a route can have.
pub(crate) const ERRORS_OF_ROUTES: Shape = Known(&reasons::OF_DOCUMENTS, &Shape::Object(&ERROR));

static ERROR: Object = Object {
    what: "an error response",
    fields: &[
        F::optional(
            "status",
            Integer(400, 599),
            "Status of the response. Default: the status of the reason.",
        ),
        F::optional(
            "body",
            Text,
            "Body of the response. Default: a problem document (RFC 9457).",
        ),
        F::optional(
            "content_type",
            Shape::Form(&forms::MEDIA_TYPE),
            "The body's media type. Default: `text/plain; charset=utf-8`.",
        ),
    ],
    rules: &[Rule::AnyOf(&["status", "body"])],
};

/// Stores for shared counters and caches.
pub(crate) const STORES: Shape = Shape::ByName(NameKeys::Define("a store"), &Kinds(STORE_KINDS));

/// Kinds of stores.
pub const STORE_KINDS: &[diag::shape::Variant] = &[diag::shape::Variant {
    kind: "redis",
    object: &REDIS,
    runs: true,
}];

static REDIS: Object = Object {
    what: "a store that a fleet shares",
    fields: &[
        F::required(
            "url",
            Secret,
            "URL of the store, with user and password: `redis://USER:PASSWORD@HOST:PORT/DB`, or `rediss://` for TLS. Redis and Valkey. With `cluster` or `sentinel` it can name several servers: `redis://USER:PASSWORD@HOST:PORT,HOST:PORT`.",
        ),
        F::optional(
            "cluster",
            Shape::Bool,
            "Redis Cluster: `url` names one or more of its nodes, from which gwd reads the list of \
            masters. Default: `false`.",
        ),
        F::optional(
            "sentinel",
            Shape::Form(&forms::WORDS),
            "Redis Sentinel: name of the master. `url` names one or more sentinels, which know the master's address; user, password and database are those of the master. Default: none.",
        ),
        F::optional(
            "prefix",
            Shape::Form(&forms::WORDS),
            "Prefix of every key. Default: the project's name.",
        ),
        F::optional(
            "on_outage",
            Word(&["local", "open", "closed"]),
            "Behaviour of limits while the store does not answer within 20ms. `local`: each gateway counts for itself. `open`: requests are admitted. `closed`: requests are refused (503 `store_unavailable`). Default: `local`.",
        ),
    ],
    rules: &[Rule::Apart(&["cluster", "sentinel"], &BAD_VALUE)],
};

/// Meaning of `timeout` and of `timeouts.request` of an upstream.
pub(crate) const RESPONSE_TIMEOUT: &str = "Maximum time from the end of a request to the head of \
    its response. Order of precedence: the operation, a `timeout` policy, `defaults` of the \
    document, `timeouts.request` of the upstream, `defaults` of gateway.yaml. Default: 15s.";

/// Key `upstream`: upstream of an operation's requests.
pub(crate) const REQUEST_UPSTREAM: Field = F::optional(
    "upstream",
    Name("an upstream"),
    "Upstream of the requests. Order of precedence: the operation, the path, `defaults` of the document, `defaults` of gateway.yaml. An operation without an upstream is an error (`no-upstream`). Default: none.",
);

/// Key `timeout`: time limit of a response.
pub(crate) const TIMEOUT: Field = F::optional("timeout", Timeout, RESPONSE_TIMEOUT);

/// Key `max_body`: size limit of a request's body.
pub(crate) const MAX_BODY: Field = F::optional(
    "max_body",
    Size,
    "Maximum size of a request's body; a larger one is refused with 413. Default: unlimited.",
);

/// Key `path_readings`: handling of paths that upstreams may understand as other paths.
pub(crate) const PATH_READINGS: Field = F::optional(
    "path_readings",
    Word(&["strict", "keep"]),
    "Paths that an upstream may read as another path, for instance because of `%2F`, `%5C`, `;` or \
    `//` (complete list: docs/paths.md). `strict`: 400 `path_ambiguous` unless every reading \
    matches the same operation. `keep`: allow readings that match no operation, or an operation of \
    the same API with the same access rules and upstream. Default: `strict`. A path that \
    itself has `;`, `//` or such an escape has `keep`, even if `defaults` contain `strict`.",
);

/// Key `streams`: handling of open streams when the credential of their request expires.
pub(crate) const STREAMS: Field = F::optional(
    "streams",
    Word(&["keep", "close"]),
    "Handling of uploads, responses and WebSockets that are open when a credential of the request expires: `close` ends them, `keep` does not. A credential expires at `exp` of a token, or at `not_after` of a certificate, of a key or of another entry of the consumer. Default: `keep`.",
);

/// Reports a timeout per attempt that leaves no time for a second attempt. `each` is the timeout
/// per attempt, and `all` is the timeout of all attempts together.
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
            format!(
                "the timeout of one attempt ({each_ms}ms) is not below that of all attempts \
                together ({all_ms}ms)"
            ),
        )
        .related(all.span(), "the timeout of all attempts is here")
        .help("write a `per_try_timeout` that leaves time for another attempt"),
    );
}
