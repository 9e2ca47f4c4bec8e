//! `x-gateway`: what the author decides, by attach point.

use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink};
use policy::guard::validate;
use policy::traffic::{cache, mirror, retry, split};
use policy::transform::{deprecation, mock, rewrite};
use policy::{conditions, forms};

use Field as F;
use Shape::{
    Bool, Either, Form, Integer, Keyed, Kinds, List, Map, Name, Partly, Several, Size, Table, Text,
    Timeout, Word, WordOrName,
};

use super::shared::{self, ERRORS, PATH_READINGS};
use super::upstream::UPSTREAM;
use crate::lints::{INTERNAL_AND_PUBLIC, POLICIES_AND_APPEND};

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

/// Where a key of `x-gateway` belongs that stands at the wrong place.
fn elsewhere(key: &str) -> Option<String> {
    let has = |object: &Object| object.fields.iter().any(|field| field.key == key);
    let points = POINTS.iter().filter_map(|(point, shape)| match shape {
        Shape::Object(object) if has(object) => Some(*point),
        _ => None,
    });
    let named: Vec<String> = points
        .map(|point| match point {
            "root" => "at the document's root".to_owned(),
            "operation" => "at an operation".to_owned(),
            point => format!("at a {}", point.replace('-', " ")),
        })
        .collect();
    (!named.is_empty()).then(|| named.join(" or "))
}

/// The same for the document's root, whose defaults are for all operations.
fn below_root(key: &str) -> Option<String> {
    let default = ROOT_DEFAULTS.fields.iter().any(|field| field.key == key);
    match default {
        true => Some("under `defaults`, or at an operation".to_owned()),
        false => elsewhere(key),
    }
}

/// At a document's root.
pub static ROOT: Object = Object {
    what: "`x-gateway` of a document",
    rules: &[Rule::Elsewhere(below_root)],
    fields: &[
        F::later(
            "api",
            Form(&forms::WORDS),
            "The name of the API, where gateway.yaml does not give it one.",
        ),
        F::optional("owner", Text, "Who answers for the API."),
        F::optional(
            "upstreams",
            Map(&Shape::Object(&UPSTREAM)),
            "Services of this API, which nobody else can name. They are looked up before those of gateway.yaml, which has none of the same name; bundle, plans, metrics, logs and status call them `API/NAME`.",
        ),
        F::later(
            "auth",
            Map(&Kinds(policy::auth::KINDS)),
            "Verifiers of this API.",
        ),
        F::optional(
            "policies",
            Map(&Kinds(policy::KINDS)),
            "Policies of this API.",
        ),
        F::later(
            "errors",
            ERRORS,
            "How errors made by the gateway look, by their reason.",
        ),
        F::optional(
            "defaults",
            Shape::Object(&ROOT_DEFAULTS),
            "What holds for every operation of this document.",
        ),
        F::optional(
            "unmatched",
            WordOrName("deny", "an upstream"),
            "Who gets paths that the document does not describe: `deny` (nobody, 404), or an upstream, as the operation `API#unmatched` with the root's `security` and policies. What gateway.yaml says of the API comes first.",
        ),
        F::optional(
            "undeclared_methods",
            Word(&["deny", "pass"]),
            "Whether methods that the document does not describe, at paths that it does, reach its upstream: `deny` (405), or `pass`, as the operation `API#undeclared` with the root's `security` and policies. What gateway.yaml says of the API comes first.",
        ),
        F::optional(
            "public",
            Bool,
            "Anyone may call what `unmatched` and `undeclared_methods` let through.",
        ),
        F::optional(
            "undeclared_params",
            Partly(&["allow"], &["strip", "reject"]),
            "What happens to parameters that the document does not describe: `allow`.",
        ),
    ],
};

static ROOT_DEFAULTS: Object = Object {
    what: "the defaults of a document",
    rules: &[Rule::Apart(
        &["policies", "+policies"],
        &POLICIES_AND_APPEND,
    )],
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
            Timeout,
            "From the end of a request to the head of its response.",
        ),
        F::later(
            "validate",
            Shape::Object(&validate::author::SHAPE),
            "Whether messages are checked against the contract.",
        ),
        F::optional(
            "max_body",
            Size,
            "Bytes of a request's body; more is 413. Any number where nobody says it.",
        ),
        PATH_READINGS,
    ],
};

/// At a server.
pub static SERVER: Object = Object {
    what: "`x-gateway` of a server",
    rules: &[Rule::Elsewhere(elsewhere)],
    fields: &[
        F::optional(
            "upstream",
            Name("an upstream"),
            "The service behind it. The nearest `servers` count, as a whole: the operation's, the path's, the document's; they are a word like `upstream` in the `x-gateway` beside them.",
        ),
        F::optional(
            "weight",
            Integer(0, 1_000_000),
            "Its share of the requests, where several servers name an upstream: they are a `split` then.",
        ),
    ],
};

/// At a path item.
pub static PATH_ITEM: Object = Object {
    what: "`x-gateway` of a path",
    rules: &[
        Rule::Elsewhere(elsewhere),
        Rule::Apart(&["policies", "+policies"], &POLICIES_AND_APPEND),
    ],
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
            Word(&["strict", "redirect", "ignore"]),
            "What a final slash means that the path has not, or has: `strict`, another path; `redirect`, 308 to this one; `ignore`, nothing. A path that is described comes first.",
        ),
        PATH_READINGS,
        F::optional(
            "case_insensitive",
            Bool,
            "Whether the letters of the path, but not of the mount, match in any case.",
        ),
        F::optional(
            "priority",
            Integer(-1000, 1000),
            "Greater wins before templates are compared.",
        ),
        F::optional(
            "alias_of",
            Text,
            "The path key, as it stands under `paths`, that this path only documents, with the same security: this path is not served by itself.",
        ),
    ],
};

/// At an operation.
pub static OPERATION: Object = Object {
    what: "`x-gateway` of an operation",
    rules: &[
        Rule::Elsewhere(elsewhere),
        Rule::Apart(&["policies", "+policies"], &POLICIES_AND_APPEND),
        Rule::Holds(check_operation),
    ],
    fields: &[
        F::optional("upstream", Name("an upstream"), "Where requests go."),
        F::optional(
            "security",
            List(&Table(&List(&Text))),
            "Replaces the operation's `security`.",
        ),
        F::optional(
            "rewrite",
            Shape::Object(&rewrite::author::SHAPE),
            "What the upstream gets instead.",
        ),
        F::optional(
            "timeout",
            Timeout,
            "From the end of a request to the head of its response.",
        ),
        F::optional(
            "retries",
            Shape::Object(&retry::author::SHAPE),
            "What is tried again.",
        ),
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
        F::later(
            "cache",
            Shape::Object(&cache::author::SHAPE),
            "What is kept.",
        ),
        F::optional(
            "max_body",
            Size,
            "Bytes of a request's body; more is 413. Any number where nobody says it.",
        ),
        F::later(
            "validate",
            Shape::Object(&validate::author::SHAPE),
            "Whether messages are checked against the contract.",
        ),
        F::later(
            "mock",
            Either(&[Bool, Shape::Object(&mock::author::SHAPE)]),
            "Answers from the examples.",
        ),
        F::optional(
            "mirror",
            Shape::Object(&mirror::author::SHAPE),
            "Who gets a copy.",
        ),
        F::optional(
            "split",
            Several(&split::author::ENTRY),
            "How requests are shared out.",
        ),
        F::optional(
            "match",
            Shape::Object(&conditions::SHAPE),
            "What a request must have beside path and method.",
        ),
        F::optional(
            "deprecated",
            Shape::Object(&deprecation::author::SHAPE),
            "Since when, until when.",
        ),
        F::optional("public", Bool, "Anyone may call it."),
        F::optional("internal", Bool, "It is compiled, but nobody can call it."),
        F::later(
            "cost",
            Integer(1, 1 << 24),
            "How many tokens a request takes.",
        ),
        F::optional(
            "idempotent",
            Bool,
            "Whether it may be repeated, whatever its method is.",
        ),
        F::optional(
            "websocket",
            Bool,
            "Whether it can be upgraded to a WebSocket.",
        ),
        F::optional(
            "stream",
            Bool,
            "Whether its response has no end, so that silence in it is no failure.",
        ),
        F::optional("owner", Text, "Who answers for the operation."),
    ],
};

/// At a parameter.
pub static PARAMETER: Object = Object {
    what: "`x-gateway` of a parameter",
    rules: &[Rule::Elsewhere(elsewhere)],
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
    rules: &[
        Rule::Elsewhere(elsewhere),
        Rule::Apart(&["auth", "verify"], &BAD_VALUE),
    ],
    fields: &[
        F::optional(
            "auth",
            Either(&[Name("a verifier"), Kinds(policy::auth::KINDS)]),
            "Who checks the credential: a verifier by name, or later one written here.",
        ),
        F::later(
            "forward_as",
            Form(&forms::FIELD),
            "The field in which the upstream gets who calls.",
        ),
        F::optional(
            "strip_credential",
            Bool,
            "The upstream gets no credential of the scheme, on any operation of the API. Default: `false`.",
        ),
        F::later(
            "claims_to_headers",
            Table(&Form(&forms::FIELD)),
            "The fields in which the upstream gets claims, by claim.",
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
    rules: &[Rule::Elsewhere(elsewhere)],
    fields: &[
        F::later(
            "limits",
            Shape::Object(&SCHEMA_LIMITS),
            "How deep, how many, how long.",
        ),
        F::later("redact", Bool, "Whether it stays out of the log."),
    ],
};

/// At a response.
pub static RESPONSE: Object = Object {
    what: "`x-gateway` of a response",
    rules: &[Rule::Elsewhere(elsewhere)],
    fields: &[
        F::later(
            "headers",
            Shape::Object(&RESPONSE_HEADERS),
            "Fields that are set and removed.",
        ),
        F::later("cache_ttl", Timeout, "How long it is kept."),
    ],
};

static SCHEMA_LIMITS: Object = Object {
    what: "limits on values",
    fields: &[
        F::optional("depth", Integer(1, 1_000), "Levels of objects and arrays."),
        F::optional(
            "items",
            Integer(1, 1 << 24),
            "Items of one array, keys of one object.",
        ),
        F::optional("bytes", Size, "The length of a string."),
    ],
    rules: &[Rule::AnyOf(&["depth", "items", "bytes"])],
};

static RESPONSE_HEADERS: Object = Object {
    what: "fields of a response",
    fields: &[
        F::optional(
            "set",
            Keyed(&forms::FIELD, &Text),
            "Fields that replace what is there.",
        ),
        F::optional(
            "remove",
            List(&Form(&forms::FIELD)),
            "Fields that are taken away.",
        ),
    ],
    rules: &[Rule::AnyOf(&["set", "remove"])],
};

/// Checks the fields of an operation against each other.
fn check_operation(node: NodeRef<'_>, sink: &mut Sink) {
    let entry = |key: &str| node.entry(key).filter(|(_, value)| !value.is_null());
    if let Some((_, list)) = entry("split") {
        split::author::check_list(list, sink);
    }
    let each = entry("retries").and_then(|(_, retries)| retries.get("per_try_timeout"));
    if let (Some(each), Some((_, all))) = (each, entry("timeout")) {
        shared::check_tries(each, all, sink);
    }
    let says = |key: &str| entry(key).filter(|(_, value)| value.as_bool() == Some(true));
    if let (Some((internal, _)), Some((public, _))) = (says("internal"), says("public")) {
        sink.push(
            Diagnostic::new(
                &INTERNAL_AND_PUBLIC,
                public.key_span,
                "an operation that nobody can call cannot be public",
            )
            .related(internal.key_span, "it is internal here")
            .help("remove one of the two"),
        );
    }
}
