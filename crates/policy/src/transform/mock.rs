//! Answers from the document's examples, without an upstream.
//!
//! ```yaml
//! policies:
//!   pretend: {kind: mock, status: 200, example: happy, delay: 50ms}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: mock` settings.

    use diag::shape::{Field, Object, Shape};

    use crate::forms;

    /// The keys of `kind: mock` and of the field `mock`.
    pub static SHAPE: Object = Object {
        what: "an answer from the examples",
        fields: &[
            Field::optional(
                "status",
                Shape::Integer(200, 599),
                "Which response; the first that succeeds where nothing is said.",
            ),
            Field::optional(
                "media_type",
                Shape::Form(&forms::MEDIA_TYPE),
                "Which media type, where the client takes several.",
            ),
            Field::optional(
                "example",
                Shape::Form(&forms::WORDS),
                "Which of its examples.",
            ),
            Field::optional("delay", Shape::Duration, "How long it takes."),
        ],
        rules: &[],
    };
}
