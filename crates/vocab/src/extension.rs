//! `x-gateway`: settings by the author of an API, for each attach point (object of OpenAPI that may
//! have the key).

use diag::shape::{BAD_VALUE, Field, NameKeys, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink};
use policy::guard::validate;
use policy::traffic::{cache, mirror, retry, split};
use policy::transform::{deprecation, mock, rewrite};
use policy::{conditions, forms};

use Field as F;
use NameKeys::{Define, Refer};
use Shape::{
    Bool, Either, Form, Integer, Keyed, Kinds, List, Name, Several, Size, Table, Text, Timeout,
    Word, WordOrName,
};

use super::shared::{
    self, ERRORS_OF_ROUTES, MAX_BODY, PATH_READINGS, REQUEST_UPSTREAM, STREAMS, TIMEOUT,
};
use super::upstream::UPSTREAM;
use crate::lints::{INTERNAL_AND_PUBLIC, POLICIES_AND_APPEND};

/// Shapes of `x-gateway` by attach point. The names are those that `gwc schema x-gateway` prints.
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

/// Describes the attach points at which a misplaced key of `x-gateway` is valid. `None` if the key
/// is valid nowhere.
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

/// Help for a misplaced key at the root of a document: keys of operations belong under `defaults`
/// there.
fn below_root(key: &str) -> Option<String> {
    let default = ROOT_DEFAULTS.fields.iter().any(|field| field.key == key);
    match default {
        true => Some("under `defaults`, or at an operation".to_owned()),
        false => elsewhere(key),
    }
}

/// `x-gateway` at the root of a document.
pub static ROOT: Object = Object {
    what: "`x-gateway` of a document",
    rules: &[Rule::Elsewhere(below_root)],
    fields: &[
        F::optional(
            "api",
            Form(&forms::WORDS),
            "Name of the API, if `apis_glob` finds the document; `apis` of gateway.yaml names its APIs itself. Default: the name of the file.",
        ),
        F::optional(
            "owner",
            Text,
            "Owner of the API. Default: `owner` of gateway.yaml.",
        ),
        F::optional(
            "upstreams",
            Shape::ByName(Define("an upstream"), &Shape::Object(&UPSTREAM)),
            "Upstreams of this API alone. A name here must not exist in gateway.yaml; bundle, plans, metrics, logs and status name them `API/NAME`.",
        ),
        F::optional(
            "auth",
            Shape::ByName(Define("a verifier"), &Kinds(policy::auth::KINDS)),
            "Verifiers of this API alone. A name here must not exist in gateway.yaml; bundle, plans, metrics and logs name them `API/NAME`.",
        ),
        F::optional(
            "policies",
            Shape::ByName(Define("a policy"), &Kinds(policy::KINDS)),
            "Policies of this API.",
        ),
        F::optional(
            "errors",
            ERRORS_OF_ROUTES,
            "Form of the gateway's own errors, by their reason (`code` of the problem document).",
        ),
        F::optional(
            "defaults",
            Shape::Object(&ROOT_DEFAULTS),
            "Defaults for every operation of this document.",
        ),
        F::optional(
            "unmatched",
            WordOrName("deny", "an upstream"),
            "Destination of paths that the document does not describe: `deny` (404), or an upstream. Such requests belong to the operation `API#unmatched`, with the `security` and policies at the document's root. gateway.yaml overrides this. Default: `deny`.",
        ),
        F::optional(
            "undeclared_methods",
            Word(&["deny", "pass"]),
            "Undescribed methods of described paths: `deny` (405), or `pass` to the upstream. Such requests belong to the operation `API#undeclared`, with the `security` and policies at the document's root. gateway.yaml overrides this. Default: `deny`.",
        ),
        F::optional(
            "public",
            Bool,
            "Allow requests of `unmatched` and `undeclared_methods` without credentials. Default: `false`.",
        ),
        F::optional(
            "undeclared_params",
            Word(&["allow", "strip", "reject"]),
            "Forward, remove or refuse (400) query parameters that the operation does not describe. Default: `allow`.",
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
        REQUEST_UPSTREAM,
        F::optional(
            "policies",
            List(&Name("a policy")),
            "Policies of the chains; they replace those of gateway.yaml.",
        ),
        F::optional(
            "+policies",
            List(&Name("a policy")),
            "Policies in addition to those of gateway.yaml.",
        ),
        TIMEOUT,
        F::optional(
            "validate",
            Shape::Object(&validate::author::SHAPE),
            "Validation of messages against the document.",
        ),
        MAX_BODY,
        PATH_READINGS,
        STREAMS,
    ],
};

/// `x-gateway` at a server.
pub static SERVER: Object = Object {
    what: "`x-gateway` of a server",
    rules: &[Rule::Elsewhere(elsewhere)],
    fields: &[
        F::optional(
            "upstream",
            Name("an upstream"),
            "Upstream behind the server. Only the nearest `servers` list applies: the operation's, else the path's, else the document's. The key has the effect of `x-gateway: {upstream: …}` at the level of this list. Default: none.",
        ),
        F::optional(
            "weight",
            Integer(0, 1_000_000),
            "Weight of the upstream. Required if several servers name an upstream: requests are then split among these servers by weight. Default: none.",
        ),
    ],
};

/// `x-gateway` at a path item.
pub static PATH_ITEM: Object = Object {
    what: "`x-gateway` of a path",
    rules: &[
        Rule::Elsewhere(elsewhere),
        Rule::Apart(&["policies", "+policies"], &POLICIES_AND_APPEND),
    ],
    fields: &[
        REQUEST_UPSTREAM,
        F::optional(
            "policies",
            List(&Name("a policy")),
            "Policies of the chains; they replace inherited ones.",
        ),
        F::optional(
            "+policies",
            List(&Name("a policy")),
            "Policies in addition to the inherited ones.",
        ),
        F::optional(
            "match",
            Word(&["template", "prefix", "exact"]),
            "Requests that the path matches. `template`: those whose path matches the template. `prefix`: also those below it. `exact`: those with exactly this path, which must not have parameters. Default: `template`.",
        ),
        F::optional(
            "trailing_slash",
            Word(&["strict", "redirect", "ignore"]),
            "Meaning of an added or missing final slash: `strict`, another path; `redirect`, 308 \
to this path; `ignore`, the same path. A described path takes precedence. Default: `strict`.",
        ),
        PATH_READINGS,
        F::optional(
            "case_insensitive",
            Bool,
            "Ignore the letter case of the path, but not of the mount's base path. Default: `false`.",
        ),
        F::optional(
            "priority",
            Integer(-1000, 1000),
            "Priority. A greater one wins before templates are compared. Default: 0.",
        ),
        F::optional(
            "alias_of",
            Text,
            "Another path of this document, whose operations serve the requests. This path is documentation only; its `security` must equal that of the other path. Default: none.",
        ),
    ],
};

/// `x-gateway` at an operation.
pub static OPERATION: Object = Object {
    what: "`x-gateway` of an operation",
    rules: &[
        Rule::Elsewhere(elsewhere),
        Rule::Apart(&["policies", "+policies"], &POLICIES_AND_APPEND),
        Rule::Holds(check_operation),
    ],
    fields: &[
        REQUEST_UPSTREAM,
        F::optional(
            "security",
            List(&Shape::ByName(Refer(&["a security scheme"]), &List(&Text))),
            "Security requirement that replaces the operation's `security`.",
        )
        .guard(),
        F::optional(
            "rewrite",
            Shape::Object(&rewrite::author::SHAPE),
            "Changes to the request for the upstream.",
        ),
        TIMEOUT,
        F::optional(
            "retries",
            Shape::Object(&retry::author::SHAPE),
            "Retries of failed requests.",
        ),
        F::optional(
            "policies",
            List(&Name("a policy")),
            "Policies of the chain; they replace inherited ones.",
        ),
        F::optional(
            "+policies",
            List(&Name("a policy")),
            "Policies in addition to the inherited ones.",
        ),
        F::later(
            "cache",
            Shape::Object(&cache::author::SHAPE),
            "Cache of responses.",
        ),
        MAX_BODY,
        F::optional(
            "validate",
            Shape::Object(&validate::author::SHAPE),
            "Validation of messages against the document.",
        ),
        F::later(
            "mock",
            Either(&[Bool, Shape::Object(&mock::author::SHAPE)]),
            "Responses made from the examples of the document. Default: `false`.",
        ),
        F::optional(
            "mirror",
            Shape::Object(&mirror::author::SHAPE),
            "Upstream that receives copies of the requests.",
        ),
        F::optional(
            "split",
            Several(&split::author::ENTRY),
            "Shares of the callers for several upstreams: all requests of a caller go to one upstream. Each request of an unknown caller is distributed on its own. To distribute each request of all callers on its own, use a policy `kind: split` with `sticky: false`.",
        ),
        F::optional(
            "match",
            Shape::Object(&conditions::SHAPE),
            "Conditions on a request in addition to path and method.",
        ),
        F::optional(
            "deprecated",
            Shape::Object(&deprecation::author::SHAPE),
            "Dates of deprecation and sunset.",
        ),
        F::optional(
            "public",
            Bool,
            "Allow requests without credentials. Default: `false`.",
        ),
        F::optional(
            "internal",
            Bool,
            "Do not serve the operation. Its requests get 404, even if an operation of lower \
precedence matches them, too, such as `/users/{name}` for an internal `/users/admin`. Default: `false`.",
        ),
        F::optional(
            "cost",
            Integer(1, 1 << 24),
            "Tokens that a request takes from each rate limit. Default: 1.",
        ),
        F::optional(
            "idempotent",
            Bool,
            "Treat the operation as idempotent, whatever its method is: retries may repeat its requests. Default: `false`.",
        ),
        F::optional(
            "websocket",
            Bool,
            "Allow upgrades to WebSocket. Default: `false`.",
        ),
        F::optional(
            "stream",
            Bool,
            "The response is an endless stream; a pause in it is not a failure. Default: `false`.",
        ),
        STREAMS,
        F::optional(
            "owner",
            Text,
            "Owner of the operation. Default: `owner` of the API.",
        ),
    ],
};

/// `x-gateway` at a parameter.
pub static PARAMETER: Object = Object {
    what: "`x-gateway` of a parameter",
    rules: &[Rule::Elsewhere(elsewhere)],
    fields: &[
        F::optional(
            "log",
            Word(&["keep", "redact", "hash"]),
            "Form of the value in the access log: `keep` (as sent), `redact` (`REDACTED`), `hash` (a keyed hash; equal values have equal hashes until gwd restarts). For parameters in `path` and `query`, and for `User-Agent`. Default: `keep`; `redact` for query parameters with a usual name of a credential, such as `token`.",
        ),
        F::optional(
            "forward",
            Bool,
            "`false`: policies and `validate` see the parameter, the upstream and mirrors do not. For parameters in `query`, `header` and `cookie`. Default: `true`.",
        ),
    ],
};

/// `x-gateway` at a security scheme.
pub static SCHEME: Object = Object {
    what: "`x-gateway` of a security scheme",
    rules: &[
        Rule::Elsewhere(elsewhere),
        Rule::Apart(&["auth", "verify"], &BAD_VALUE),
    ],
    fields: &[
        F::optional(
            "auth",
            Either(&[
                Name("a verifier"),
                Several(&Name("a verifier")),
                Kinds(policy::auth::KINDS),
            ]),
            "Verifier of the credential: a name, a definition for this scheme alone, or a list of \
verifiers of tokens (`jwt`, `introspection`) with different issuers. The issuer of a token selects \
one of them. Default: none.",
        ),
        F::optional(
            "forward_as",
            Form(&forms::FIELD),
            "Field that names the caller to the upstream: the consumer's name, or else the subject \
of the token. Clients cannot set it on any operation of the document. Default: none.",
        ),
        F::optional(
            "strip_credential",
            Bool,
            "Remove the scheme's credential from requests to the upstream, on every operation of \
the API. Default: `false`.",
        ),
        F::optional(
            "claims_to_headers",
            Table(&Form(&forms::FIELD)),
            "Fields that pass claims of the caller to the upstream, by claim; only values that are \
a string, a number, `true` or `false`. Clients cannot set them on any operation of the document.",
        ),
        F::optional(
            "verify",
            Word(&["upstream"]),
            "Verification by the upstream; gwd checks only that a credential is present. Default: verification by `auth`.",
        ),
    ],
};

/// `x-gateway` at a schema.
pub static SCHEMA: Object = Object {
    what: "`x-gateway` of a schema",
    rules: &[Rule::Elsewhere(elsewhere)],
    fields: &[
        F::optional(
            "limits",
            Shape::Object(&SCHEMA_LIMITS),
            "Limits of the value and of all values inside it, which `validate` checks with the schema.",
        ),
        F::optional(
            "redact",
            Bool,
            "`true`: a parameter with this schema has `log: redact`. The pointers of `validate` \
            findings about a body, in refusals and in the log, end at this value and do not name \
            members inside it. Default: `false`.",
        ),
    ],
};

/// `x-gateway` at a response.
pub static RESPONSE: Object = Object {
    what: "`x-gateway` of a response",
    rules: &[Rule::Elsewhere(elsewhere)],
    fields: &[
        F::later(
            "headers",
            Shape::Object(&RESPONSE_HEADERS),
            "Fields to set and remove.",
        ),
        F::later(
            "cache_ttl",
            Timeout,
            "Lifetime of the response in the cache. Default: that of the response.",
        ),
    ],
};

static SCHEMA_LIMITS: Object = Object {
    what: "limits on values",
    fields: &[
        F::optional(
            "depth",
            Integer(1, 1_000),
            "Maximum number of nested arrays and objects; 1 allows an array or object without further ones in it. Default: unlimited.",
        ),
        F::optional(
            "items",
            Integer(1, 1 << 24),
            "Maximum number of items of an array and of members of an object. Default: unlimited.",
        ),
        F::optional(
            "bytes",
            Size,
            "Maximum length of a string and of the name of a member, as UTF-8. Default: unlimited.",
        ),
    ],
    rules: &[Rule::AnyOf(&["depth", "items", "bytes"])],
};

static RESPONSE_HEADERS: Object = Object {
    what: "fields of a response",
    fields: &[
        F::optional(
            "set",
            Keyed(&forms::FIELD, &Text),
            "Fields to set; existing ones are replaced.",
        ),
        F::optional("remove", List(&Form(&forms::FIELD)), "Fields to remove."),
    ],
    rules: &[Rule::AnyOf(&["set", "remove"])],
};

/// Checks combinations of keys in an operation's `x-gateway`.
fn check_operation(node: NodeRef<'_>, sink: &mut Sink) {
    let entry = |key: &str| node.entry(key).filter(|(_, value)| !value.is_null());
    if let Some((_, list)) = entry("split") {
        split::author::check_list(list, sink);
    }
    let each = entry("retries").and_then(|(_, retries)| retries.get("per_try_timeout"));
    if let (Some(each), Some((_, all))) = (each, entry("timeout")) {
        shared::check_tries(each, all, sink);
    }
    let is_true = |key: &str| entry(key).filter(|(_, value)| value.as_bool() == Some(true));
    if let (Some((internal, _)), Some((public, _))) = (is_true("internal"), is_true("public")) {
        sink.push(
            Diagnostic::new(
                &INTERNAL_AND_PUBLIC,
                public.key_span,
                "an internal operation cannot be public",
            )
            .related(internal.key_span, "it is internal here")
            .help("remove one of the two"),
        );
    }
}
