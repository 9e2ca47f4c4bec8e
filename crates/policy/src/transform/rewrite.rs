//! Changes what the upstream gets: path, query, host, method.
//!
//! ```yaml
//! policies:
//!   below: {kind: rewrite, path: "/internal{path}", query: {remove: [debug]}}
//! ```
//! `{path}` is what follows the target's path otherwise, `{NAME}` a path parameter, both as bytes.

#[cfg(feature = "author")]
pub mod author {
    //! What a user writes.

    use diag::shape::{Field, Object, Rule, Shape};

    use crate::forms;

    /// The keys of `kind: rewrite` and of the field `rewrite`.
    pub static SHAPE: Object = Object {
        what: "what the upstream gets instead",
        fields: &[
            Field::optional(
                "path",
                Shape::Form(&forms::PATH_TEMPLATE),
                "What follows the target's path, with `{path}` and path parameters.",
            ),
            Field::optional("query", Shape::Object(&QUERY), "Changes to the query."),
            Field::optional("host", Shape::Form(&forms::HOST), "The host."),
            Field::optional("method", Shape::Form(&forms::METHOD), "The method."),
        ],
        rules: &[Rule::AnyOf(&["path", "query", "host", "method"])],
    };

    static QUERY: Object = Object {
        what: "changes to a query",
        fields: &[
            Field::optional(
                "set",
                Shape::Table(&Shape::Text),
                "Parameters that replace those of the same name.",
            ),
            Field::optional(
                "add",
                Shape::Table(&Shape::Text),
                "Parameters that stand beside those of the same name.",
            ),
            Field::optional(
                "remove",
                Shape::List(&Shape::Text),
                "Parameters that are taken away.",
            ),
        ],
        rules: &[],
    };
}
