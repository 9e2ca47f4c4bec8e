//! Validation of messages: parameters and bodies against their schemas.
//!
//! ```yaml
//! policies:
//!   strict: {kind: validate, request: block, response: log}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: validate` settings.

    use diag::shape::{Field, Object, Rule, Shape};

    /// The keys of `kind: validate`, of the field `validate`, and of `defaults.validate`.
    pub static SHAPE: Object = Object {
        what: "message validation",
        fields: &[
            Field::optional(
                "request",
                MODE,
                "Validation of requests: off, logged, or refused (400).",
            ),
            Field::optional(
                "response",
                MODE,
                "Validation of responses: off, logged, or replaced (502).",
            ),
        ],
        rules: &[Rule::AnyOf(&["request", "response"])],
    };

    const MODE: Shape = Shape::Word(&["off", "log", "block"]);
}
