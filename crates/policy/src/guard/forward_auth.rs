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
            Field::optional("url", Shape::Form(&forms::URL), "The service's URL."),
            Field::optional(
                "upstream",
                Shape::Name("an upstream"),
                "The service, if it is an upstream.",
            ),
            Field::optional(
                "path",
                Shape::Form(&forms::PATH),
                "With `upstream`: the path that is asked; `/` where nothing is said.",
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
                "How long the answer may take; 1s where nothing is said.",
            ),
            Field::optional(
                "on_outage",
                Shape::Word(&["closed", "open"]),
                "What holds while nobody answers: `closed`, everybody is refused.",
            ),
            Field::optional(
                "cache",
                Shape::Duration,
                "How long an answer counts for the same question.",
            ),
        ],
        rules: &[
            Rule::One(&["url", "upstream"]),
            Rule::Apart(&["url", "path"], &BAD_VALUE),
        ],
    };

    static FIELD: Shape = Shape::Form(&forms::FIELD);
}
