//! Replacement of bodies by a template.
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
        what: "rewritten bodies",
        fields: &[
            Field::optional("request", Shape::Object(&BODY), "Body of the request."),
            Field::optional("response", Shape::Object(&BODY), "Body of the response."),
        ],
        rules: &[Rule::AnyOf(&["request", "response"])],
    };

    static BODY: Object = Object {
        what: "a new body",
        fields: &[
            Field::required("body", Shape::Form(&forms::WORDS), "Template of the body."),
            Field::optional(
                "content_type",
                Shape::Form(&forms::MEDIA_TYPE),
                "Media type of the body. Default: unchanged.",
            ),
            Field::optional(
                "max_body",
                Shape::Size,
                "Maximum size of a body that is rewritten. Default: 1MiB.",
            ),
        ],
        rules: &[],
    };
}
