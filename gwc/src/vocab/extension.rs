//! `x-gateway`: what the author decides, by attach point.

use diag::shape::{Field, Object, Shape};

use Field as F;
use Shape::{Any, Bool, Duration, Integer, Kinds, List, Map, Name, Size, Table, Text, Word};

/// The shapes by attach point, as `gwc schema x-gateway` names them.
pub static POINTS: &[(&str, Shape)] = &[
    ("root", Shape::Object(&ROOT)),
    ("server", Shape::Object(&SERVER)),
    ("path-item", Shape::Object(&PATH_ITEM)),
    ("operation", Shape::Object(&OPERATION)),
    ("parameter", Shape::Object(&PARAMETER)),
    ("security-scheme", Shape::Object(&SCHEME)),
    ("schema", Shape::Object(&SCHEMA)),
    ("response", Shape::Object(&RESPONSE)),
];

/// At a document's root.
pub static ROOT: Object = Object {
    what: "`x-gateway` of a document",
    fields: &[
        F::later("api", Any, "The API as a whole."),
        F::optional("owner", Text, "Who answers for the API."),
        F::later("upstreams", Map(&Any), "Services of this API."),
        F::later("auth", Map(&Any), "Verifiers of this API."),
        F::optional(
            "policies",
            Map(&Kinds(policy::KINDS)),
            "Policies of this API.",
        ),
        F::later("errors", Map(&Any), "How errors made by the gateway look."),
        F::optional(
            "defaults",
            Shape::Object(&ROOT_DEFAULTS),
            "What holds for every operation of this document.",
        ),
        F::optional(
            "unmatched",
            Word(&["deny"]),
            "What happens to paths that the document does not describe: `deny`.",
        ),
        F::optional(
            "undeclared_methods",
            Word(&["deny"]),
            "What happens to methods that the document does not describe: `deny`.",
        ),
        F::optional(
            "undeclared_params",
            Word(&["allow"]),
            "What happens to parameters that the document does not describe: `allow`.",
        ),
    ],
};

static ROOT_DEFAULTS: Object = Object {
    what: "the defaults of a document",
    fields: &[
        F::optional("upstream", Name("an upstream"), "Where requests go."),
        F::optional(
            "policies",
            List(&Name("a policy")),
            "What the chains consist of, instead of the gateway's.",
        ),
        F::optional(
            "+policies",
            List(&Name("a policy")),
            "What the chains have beside the gateway's.",
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
    ],
};

/// At a server.
pub static SERVER: Object = Object {
    what: "`x-gateway` of a server",
    fields: &[
        F::later("upstream", Name("an upstream"), "The service behind it."),
        F::later(
            "weight",
            Integer(0, 1_000_000),
            "Its share of the requests.",
        ),
    ],
};

/// At a path item.
pub static PATH_ITEM: Object = Object {
    what: "`x-gateway` of a path",
    fields: &[
        F::optional("upstream", Name("an upstream"), "Where requests go."),
        F::optional(
            "policies",
            List(&Name("a policy")),
            "What the chains consist of.",
        ),
        F::optional(
            "+policies",
            List(&Name("a policy")),
            "What the chains have beside what they inherit.",
        ),
        F::optional(
            "match",
            Word(&["template", "prefix", "exact"]),
            "Whether everything below matches, too; `exact` says that the path has no parameter.",
        ),
        F::optional(
            "trailing_slash",
            Word(&["strict"]),
            "What a final slash means: `strict`, another path.",
        ),
        F::later("case_insensitive", Bool, "Whether case counts."),
        F::optional(
            "priority",
            Integer(-1000, 1000),
            "Greater wins before templates are compared.",
        ),
        F::later("alias_of", Text, "The path that this one only documents."),
    ],
};

/// At an operation.
pub static OPERATION: Object = Object {
    what: "`x-gateway` of an operation",
    fields: &[
        F::optional("upstream", Name("an upstream"), "Where requests go."),
        F::optional(
            "security",
            List(&Table(&List(&Text))),
            "Replaces the operation's `security`.",
        ),
        F::later("rewrite", Any, "What the upstream gets instead."),
        F::optional(
            "timeout",
            Duration,
            "From the end of a request to the head of its response.",
        ),
        F::later("retries", Any, "What is tried again."),
        F::optional(
            "policies",
            List(&Name("a policy")),
            "What the chain consists of.",
        ),
        F::optional(
            "+policies",
            List(&Name("a policy")),
            "What the chain has beside what it inherits.",
        ),
        F::later("cache", Any, "What is kept."),
        F::optional("max_body", Size, "Bytes of a request's body."),
        F::later(
            "validate",
            Any,
            "Whether messages are checked against the contract.",
        ),
        F::later("mock", Any, "Answers from the examples."),
        F::later("mirror", Any, "Who gets a copy."),
        F::later("split", Any, "How requests are shared out."),
        F::optional(
            "match",
            Shape::Object(&MATCH),
            "What a request must have beside path and method.",
        ),
        F::later("deprecated", Any, "Since when, until when."),
        F::optional("public", Bool, "Anyone may call it."),
        F::optional("internal", Bool, "It is compiled, but nobody can call it."),
        F::later(
            "cost",
            Integer(1, 1 << 24),
            "How many tokens a request takes.",
        ),
        F::later("idempotent", Bool, "Whether it may be repeated."),
        F::later("websocket", Bool, "Whether it can be upgraded."),
        F::later("stream", Bool, "Whether its response has no end."),
        F::optional("owner", Text, "Who answers for the operation."),
    ],
};

static MATCH: Object = Object {
    what: "conditions",
    fields: &[
        F::optional("headers", Table(&Shape::Object(&TEST)), "Fields."),
        F::optional("query", Table(&Shape::Object(&TEST)), "Query parameters."),
    ],
};

static TEST: Object = Object {
    what: "a test of a value",
    fields: &[
        F::optional("exact", Text, "It is this."),
        F::optional("prefix", Text, "It begins with this."),
        F::optional("present", Word(&["true"]), "It is there."),
    ],
};

/// At a parameter.
pub static PARAMETER: Object = Object {
    what: "`x-gateway` of a parameter",
    fields: &[
        F::later(
            "log",
            Word(&["keep", "redact", "hash"]),
            "How it is logged.",
        ),
        F::later("forward", Bool, "Whether the upstream gets it."),
    ],
};

/// At a security scheme.
pub static SCHEME: Object = Object {
    what: "`x-gateway` of a security scheme",
    fields: &[
        F::optional("auth", Name("a verifier"), "Who checks the credential."),
        F::later("forward_as", Any, "How the upstream gets the principal."),
        F::optional(
            "strip_credential",
            Bool,
            "Whether the upstream does not get to see the credential.",
        ),
        F::later(
            "claims_to_headers",
            Any,
            "Claims that the upstream gets as fields.",
        ),
        F::optional(
            "verify",
            Word(&["upstream"]),
            "The upstream checks the credential; here it must only be there.",
        ),
    ],
};

/// At a schema.
pub static SCHEMA: Object = Object {
    what: "`x-gateway` of a schema",
    fields: &[
        F::later("limits", Any, "How deep, how many, how long."),
        F::later("redact", Bool, "Whether it stays out of the log."),
    ],
};

/// At a response.
pub static RESPONSE: Object = Object {
    what: "`x-gateway` of a response",
    fields: &[
        F::later("headers", Any, "Fields that are set and removed."),
        F::later("cache_ttl", Duration, "How long it is kept."),
    ],
};
