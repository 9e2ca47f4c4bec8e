//! Limits on the complexity of GraphQL queries.
//!
//! ```yaml
//! policies:
//!   graphs: {kind: graphql_guard, depth: 10, aliases: 20, introspection: false}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: graphql_guard` settings.

    use diag::shape::{Field, Object, Rule, Shape};

    /// The keys of `kind: graphql_guard`.
    pub static SHAPE: Object = Object {
        what: "limits on GraphQL queries",
        fields: &[
            Field::optional(
                "depth",
                Shape::Integer(1, 1_000),
                "Maximum depth of selections. Default: unlimited.",
            ),
            Field::optional(
                "aliases",
                COUNT,
                "Maximum number of aliases in a query. Default: unlimited.",
            ),
            Field::optional(
                "complexity",
                COUNT,
                "Maximum number of fields in a query; a field inside a list counts once for each requested item. Default: unlimited.",
            ),
            Field::optional(
                "tokens",
                COUNT,
                "Maximum number of tokens in a query. Default: unlimited.",
            ),
            Field::optional(
                "batch",
                Shape::Integer(1, 10_000),
                "Maximum number of queries in a request. Default: unlimited.",
            ),
            Field::optional(
                "introspection",
                Shape::Bool,
                "Allow introspection of the schema. Default: `true`.",
            ),
        ],
        rules: &[Rule::AnyOf(&[
            "depth",
            "aliases",
            "complexity",
            "tokens",
            "batch",
            "introspection",
        ])],
    };

    const COUNT: Shape = Shape::Integer(1, 1 << 24);
}
