//! Asks another service whether a request may pass.
//!
//! ```yaml
//! policies:
//!   ask: {kind: forward_auth, upstream: identity, path: /check, timeout: 200ms, on_outage: closed}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: forward_auth` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};

    use crate::forms;

    /// The keys of `kind: forward_auth`.
    pub static SHAPE: Object = Object {
        what: "a question to another service",
        fields: &[
            Field::optional("url", Shape::Form(&forms::URL), "URL of the service."),
            Field::optional(
                "upstream",
                Shape::Name("an upstream"),
                "Service, if it is an upstream.",
            ),
            Field::optional(
                "path",
                Shape::Form(&forms::PATH),
                "With `upstream`: path of the authorization request. Default: `/`.",
            ),
            Field::optional(
                "request_headers",
                Shape::List(&FIELD),
                "Fields of the request that the service sees; method, host and path always.",
            ),
            Field::optional(
                "response_headers",
                Shape::List(&FIELD),
                "Fields of the answer that the upstream gets.",
            ),
            Field::optional(
                "timeout",
                Shape::Timeout,
                "Maximum time for an answer. Default: 1s.",
            ),
            Field::optional(
                "on_outage",
                Shape::Word(&["closed", "open"]),
                "Behaviour while the service does not answer. Default: `closed`, everybody is refused.",
            ),
            Field::optional(
                "cache",
                Shape::Duration,
                "Lifetime of an answer in the cache.",
            ),
        ],
        rules: &[
            Rule::One(&["url", "upstream"]),
            Rule::Apart(&["url", "path"], &BAD_VALUE),
        ],
    };

    static FIELD: Shape = Shape::Form(&forms::FIELD);
}
