//! Keeps responses and gives them again (RFC 9111, RFC 5861).
//!
//! ```yaml
//! policies:
//!   catalogue: {kind: cache, ttl: 60s, stale_while_revalidate: 30s, key: {query: [page]}}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: cache` settings.

    use diag::shape::{Field, Object, Shape};

    use crate::forms;

    /// The keys of `kind: cache` and of the field `cache`.
    pub static SHAPE: Object = Object {
        what: "what is kept",
        fields: &[
            Field::optional(
                "ttl",
                Shape::Timeout,
                "How long a response counts that does not say it itself.",
            ),
            Field::optional(
                "methods",
                Shape::Several(&Shape::Word(&["GET", "HEAD"])),
                "Methods whose responses are kept: GET and HEAD.",
            ),
            Field::optional(
                "statuses",
                Shape::Several(&Shape::Integer(200, 599)),
                "Statuses that are kept where the response does not say it.",
            ),
            Field::optional(
                "key",
                Shape::Object(&KEY),
                "What tells responses apart beside host, path and `Vary`.",
            ),
            Field::optional(
                "stale_while_revalidate",
                Shape::Duration,
                "How long an old response is given while a new one is fetched.",
            ),
            Field::optional(
                "stale_if_error",
                Shape::Duration,
                "How long an old response is given while the upstream fails.",
            ),
            Field::optional(
                "max_object",
                Shape::Size,
                "Bytes of a response that is kept.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Where responses are kept: `local`, or a store that a fleet shares.",
            ),
        ],
        rules: &[],
    };

    static KEY: Object = Object {
        what: "what tells responses apart",
        fields: &[
            Field::optional(
                "query",
                Shape::List(&Shape::Text),
                "Query parameters; all where nothing is said.",
            ),
            Field::optional(
                "headers",
                Shape::List(&Shape::Form(&forms::FIELD)),
                "Fields of the request.",
            ),
            Field::optional("cookies", Shape::List(&Shape::Text), "Cookies."),
            Field::optional(
                "consumer",
                Shape::Bool,
                "Whether each consumer has responses of its own.",
            ),
        ],
        rules: &[],
    };
}
