//! Lets only those through who have what it names; it stands beside `security`, never instead.
//!
//! ```yaml
//! policies:
//!   admins: {kind: authorize, groups: [admin], claims: {department: [sales, support]}}
//! ```
//! Every key that is written must hold; within a list one item is enough, but all `scopes`.

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: authorize` settings.

    use diag::shape::{Field, Object, Rule, Shape};

    use crate::forms;

    /// The keys of `kind: authorize`.
    pub static SHAPE: Object = Object {
        what: "what a caller must have",
        fields: &[
            Field::optional("scopes", WORDS, "Scopes, all of them."),
            Field::optional(
                "claims",
                Shape::Table(&Shape::Either(&[WORDS, Shape::Text])),
                "Required claims, each with its allowed values.",
            ),
            Field::optional("groups", WORDS, "Groups, one of them."),
            Field::optional("roles", WORDS, "Roles, one of them."),
            Field::optional(
                "expression",
                Shape::Form(&forms::WORDS),
                "CEL expression that must be true.",
            ),
        ],
        rules: &[Rule::AnyOf(&[
            "scopes",
            "claims",
            "groups",
            "roles",
            "expression",
        ])],
    };

    const WORDS: Shape = Shape::Several(&Shape::Form(&forms::WORDS));
}
