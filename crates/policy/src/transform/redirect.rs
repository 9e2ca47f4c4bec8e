//! Sends the client elsewhere (RFC 9110 §15.4).
//!
//! ```yaml
//! policies:
//!   to_https: {kind: redirect, status: 308, scheme: https}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! What a user writes.

    use diag::shape::{Field, Object, Rule, Shape};

    use crate::forms;

    /// The keys of `kind: redirect`.
    pub static SHAPE: Object = Object {
        what: "where the client is sent",
        fields: &[
            Field::optional(
                "status",
                Shape::Word(&["301", "302", "303", "307", "308"]),
                "The status; 308 where nothing is said.",
            ),
            Field::optional("scheme", Shape::Word(&["http", "https"]), "Another scheme."),
            Field::optional("host", Shape::Form(&forms::HOST_NAME), "Another host."),
            Field::optional(
                "port",
                Shape::Integer(1, 65_535),
                "Another port; the scheme's own where that is changed.",
            ),
            Field::optional(
                "path",
                Shape::Form(&forms::PATH_TEMPLATE),
                "Another path, with `{path}` and path parameters.",
            ),
            Field::optional(
                "keep_query",
                Shape::Bool,
                "Whether the query stays; `true` where nothing is said.",
            ),
        ],
        rules: &[Rule::AnyOf(&["scheme", "host", "port", "path"])],
    };
}
