//! Writes bodies anew from a template.
//!
//! ```yaml
//! policies:
//!   wrap: {kind: transform, response: {body: '{"data": {{ body }}}', content_type: application/json}}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: transform` settings.

    use diag::shape::{Field, Object, Rule, Shape};

    use crate::forms;

    /// The keys of `kind: transform`.
    pub static SHAPE: Object = Object {
        what: "bodies written anew",
        fields: &[
            Field::optional("request", Shape::Object(&BODY), "The request's body."),
            Field::optional("response", Shape::Object(&BODY), "The response's body."),
        ],
        rules: &[Rule::AnyOf(&["request", "response"])],
    };

    static BODY: Object = Object {
        what: "a new body",
        fields: &[
            Field::required("body", Shape::Form(&forms::WORDS), "The template."),
            Field::optional(
                "content_type",
                Shape::Form(&forms::MEDIA_TYPE),
                "What it is; what it was where nothing is said.",
            ),
            Field::optional(
                "max_body",
                Shape::Size,
                "Bytes of a body that can be written anew; 1MiB where nothing is said.",
            ),
        ],
        rules: &[],
    };
}
