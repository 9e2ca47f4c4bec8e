//! Invariant files: conditions on the operations of a gateway, which gwc checks at each
//! compilation. `invariants` of gateway.yaml names the files.

use diag::shape::{Field, Form, Object, Rule, Shape};
use policy::forms;

use Field as F;
use Shape::{List, NamePattern, Several, Timeout, True};

/// Shape of an invariant file.
pub static INVARIANTS: Shape = List(&Shape::Object(&INVARIANT));

static INVARIANT: Object = Object {
    what: "an invariant",
    rules: &[],
    fields: &[
        F::required(
            "name",
            Shape::Form(&forms::WORDS),
            "Name of the invariant, unique in the project.",
        ),
        F::optional(
            "where",
            Shape::Object(&WHERE),
            "Operations that the invariant is about: those that fit every key. Default: all.",
        ),
        F::required(
            "require",
            Shape::Object(&REQUIRE),
            "Requirements on each of these operations. All must hold.",
        ),
    ],
};

static WHERE: Object = Object {
    what: "a selection of operations",
    rules: &[Rule::AnyOf(&[
        "path",
        "methods",
        "apis",
        "operations",
        "tags",
        "owners",
        "listeners",
        "upstreams",
        "auth",
        "policies",
        "kinds",
        "anonymous",
    ])],
    fields: &[
        F::optional(
            "path",
            Shape::Form(&PATH_PATTERN),
            "Path of requests, with the base path of the mount: `*` stands for one segment, `**` at the end for any number of segments.",
        ),
        F::optional(
            "methods",
            Several(&Shape::Form(&forms::METHOD)),
            "Methods of requests.",
        ),
        F::optional(
            "apis",
            Several(&NamePattern("an API")),
            "Names of APIs; `*` stands for any text.",
        ),
        F::optional(
            "operations",
            Several(&NamePattern("an operation")),
            "Keys of operations, as `gwc route` prints them; `*` stands for any text.",
        ),
        F::optional(
            "tags",
            Several(&NamePattern("a tag")),
            "Tags of operations; `*` stands for any text.",
        ),
        F::optional(
            "owners",
            Several(&NamePattern("an owner")),
            "Owners of operations; `*` stands for any text.",
        ),
        F::optional(
            "listeners",
            Several(&NamePattern("a listener")),
            "Listeners at which the operation can be reached; `*` stands for any text.",
        ),
        F::optional(
            "upstreams",
            Several(&NamePattern("an upstream")),
            "Upstreams that may receive the request, a copy of it, or a `forward_auth` request about it; `*` stands for any text.",
        ),
        F::optional(
            "auth",
            Several(&NamePattern("a verifier")),
            "Operations with an alternative of `security` whose credential one of these verifiers checks; `*` stands for any text.",
        ),
        F::optional(
            "policies",
            Several(&NamePattern("a policy")),
            "Operations for which one of these policies runs; `*` stands for any text.",
        ),
        F::optional(
            "kinds",
            Several(&Shape::Word(policy::KIND_NAMES)),
            "Operations for which a policy of one of these kinds runs, also with `mode: log`.",
        ),
        F::optional(
            "anonymous",
            True,
            "Operations that admit callers without a credential that the gateway checks.",
        ),
    ],
};

static REQUIRE: Object = Object {
    what: "a requirement",
    rules: &[Rule::AnyOf(&[
        "unreachable",
        "authenticated",
        "auth",
        "policies",
        "kinds",
        "not_kinds",
        "upstreams",
        "not_upstreams",
        "listeners",
        "timeout",
        "max_body",
    ])],
    fields: &[
        F::optional("unreachable", True, "There is no such operation."),
        F::optional(
            "authenticated",
            True,
            "Each alternative of `security` has a credential that the gateway checks.",
        ),
        F::optional(
            "auth",
            Several(&NamePattern("a verifier")),
            "Each alternative of `security` has a credential that one of these verifiers checks.",
        ),
        F::optional(
            "policies",
            Several(&NamePattern("a policy")),
            "All of these policies run.",
        ),
        F::optional(
            "kinds",
            Several(&Shape::Word(policy::KIND_NAMES)),
            "A policy of one of these kinds runs and does more than log.",
        ),
        F::optional(
            "not_kinds",
            Several(&Shape::Word(policy::KIND_NAMES)),
            "No policy of one of these kinds runs, such as `cache`.",
        ),
        F::optional(
            "upstreams",
            Several(&NamePattern("an upstream")),
            "Only these upstreams receive the request, copies of it, or `forward_auth` requests about it; `*` stands for any text.",
        ),
        F::optional(
            "not_upstreams",
            Several(&NamePattern("an upstream")),
            "None of these upstreams receives the request, a copy of it, or a `forward_auth` request about it; `*` stands for any text.",
        ),
        F::optional(
            "listeners",
            Several(&NamePattern("a listener")),
            "The operation can be reached only at these listeners; `*` stands for any text.",
        ),
        F::optional("timeout", Timeout, "Greatest timeout of the response head."),
        F::optional(
            "max_body",
            Shape::Size,
            "Greatest length of a request body; an operation without a limit violates it.",
        ),
    ],
};

/// Path whose segments are literals or `*`, with `**` as an optional last segment.
static PATH_PATTERN: Form = Form {
    what: "a path such as `/admin/**` or `/users/*/keys`",
    pattern: r"/.*",
    fits: |text| {
        let Some(rest) = text.strip_prefix('/') else {
            return false;
        };
        let mut segments = rest.split('/').rev();
        let last = segments.next().unwrap_or_default();
        let fits = |segment: &str| segment == "*" || !segment.contains(['*', '?', '#', '{', '}']);
        (last == "**" || fits(last)) && segments.all(|segment| fits(segment) && !segment.is_empty())
    },
};

#[cfg(test)]
mod tests {
    use super::PATH_PATTERN;

    #[test]
    fn stars_are_whole_segments_of_a_path() {
        for good in ["/", "/a", "/a/", "/**", "/*/b", "/a/*/**"] {
            assert!((PATH_PATTERN.fits)(good), "{good}");
        }
        for bad in ["", "a", "/a*", "/**/a", "//a", "/a//**", "/{id}", "/a?b"] {
            assert!(!(PATH_PATTERN.fits)(bad), "{bad}");
        }
    }
}
