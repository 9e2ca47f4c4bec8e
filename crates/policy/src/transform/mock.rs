//! Mock responses from the document's examples, without an upstream.
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
        what: "a response from the examples",
        fields: &[
            Field::optional(
                "status",
                Shape::Integer(200, 599),
                "Status of the response. Default: the first success status.",
            ),
            Field::optional(
                "media_type",
                Shape::Form(&forms::MEDIA_TYPE),
                "Media type of the response, if the client accepts more than one. Default: the first of the document.",
            ),
            Field::optional(
                "example",
                Shape::Form(&forms::WORDS),
                "Name of the example. Default: the first of the document.",
            ),
            Field::optional(
                "delay",
                Shape::Duration,
                "Delay of the response. Default: none.",
            ),
        ],
        rules: &[],
    };
}
