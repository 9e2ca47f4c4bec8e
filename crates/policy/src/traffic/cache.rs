//! Response cache (RFC 9111, RFC 5861).
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
        what: "a response cache",
        fields: &[
            Field::optional(
                "ttl",
                Shape::Timeout,
                "Lifetime of a response that states none. Default: such a response is not cached.",
            ),
            Field::optional(
                "methods",
                Shape::Several(&Shape::Word(&["GET", "HEAD"])),
                "Methods whose responses are cached: GET and HEAD.",
            ),
            Field::optional(
                "statuses",
                Shape::Several(&Shape::Integer(200, 599)),
                "Statuses of responses that are cached even without caching fields.",
            ),
            Field::optional(
                "key",
                Shape::Object(&KEY),
                "Parts of the cache key in addition to host, path and `Vary`.",
            ),
            Field::optional(
                "stale_while_revalidate",
                Shape::Duration,
                "Time for which a stale response is served while a new one is fetched. Default: none.",
            ),
            Field::optional(
                "stale_if_error",
                Shape::Duration,
                "Time for which a stale response is served while the upstream fails. Default: none.",
            ),
            Field::optional(
                "max_object",
                Shape::Size,
                "Maximum size of a cached response. Default: unlimited.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Store for responses: `local`, or a store that a fleet shares. Default: `local`.",
            ),
        ],
        rules: &[],
    };

    static KEY: Object = Object {
        what: "a cache key",
        fields: &[
            Field::optional(
                "query",
                Shape::List(&Shape::Text),
                "Query parameters. Default: all.",
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
                "Separate the responses of each consumer. Default: `false`.",
            ),
        ],
        rules: &[],
    };
}
