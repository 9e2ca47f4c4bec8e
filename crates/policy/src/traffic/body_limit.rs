//! Limits on the size of bodies.
//!
//! ```yaml
//! policies:
//!   small: {kind: body_limit, request: 64KiB}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: body_limit` settings.

    use diag::shape::{Field, Object, Rule, Shape};

    /// The keys of `kind: body_limit`.
    pub static SHAPE: Object = Object {
        what: "a limit on bodies",
        fields: &[
            Field::optional(
                "request",
                Shape::Size,
                "Maximum size of a request's body; a larger one is 413.",
            ),
            Field::optional(
                "response",
                Shape::Size,
                "Maximum size of a response's body; a larger one is 502.",
            ),
        ],
        rules: &[Rule::AnyOf(&["request", "response"])],
    };
}
