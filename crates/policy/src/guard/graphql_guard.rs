//! Refuses GraphQL queries that cost more than they should.
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
            Field::optional("depth", Shape::Integer(1, 1_000), "Levels of selections."),
            Field::optional("aliases", COUNT, "Aliases in a query."),
            Field::optional(
                "complexity",
                COUNT,
                "Fields, each times the lists that it stands in.",
            ),
            Field::optional("tokens", COUNT, "Tokens of a query's text."),
            Field::optional(
                "batch",
                Shape::Integer(1, 10_000),
                "Queries in one request.",
            ),
            Field::optional(
                "introspection",
                Shape::Bool,
                "Whether the schema may be asked for.",
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
