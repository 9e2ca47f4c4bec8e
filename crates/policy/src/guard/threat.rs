//! Limits on bodies that could exhaust a parser.
//!
//! ```yaml
//! policies:
//!   waf: {kind: threat, json: {depth: 32, items: 10000}}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: threat` settings.

    use diag::shape::{Field, Object, Rule, Shape};

    /// The keys of `kind: threat`.
    pub static SHAPE: Object = Object {
        what: "limits on the structure of bodies",
        fields: &[
            Field::optional("json", Shape::Object(&JSON), "JSON bodies."),
            Field::optional(
                "xml",
                Shape::Object(&XML),
                "XML bodies; entities and external references are always refused.",
            ),
        ],
        rules: &[Rule::AnyOf(&["json", "xml"])],
    };

    const COUNT: Shape = Shape::Integer(1, 1 << 24);

    static JSON: Object = Object {
        what: "limits on JSON",
        fields: &[
            Field::optional(
                "depth",
                Shape::Integer(1, 1_000),
                "Maximum depth of objects and arrays.",
            ),
            Field::optional("keys", COUNT, "Maximum number of keys in an object."),
            Field::optional("items", COUNT, "Maximum number of items in an array."),
            Field::optional("key_bytes", Shape::Size, "Maximum length of a key."),
            Field::optional("string_bytes", Shape::Size, "Maximum length of a string."),
        ],
        rules: &[Rule::AnyOf(&[
            "depth",
            "keys",
            "items",
            "key_bytes",
            "string_bytes",
        ])],
    };

    static XML: Object = Object {
        what: "limits on XML",
        fields: &[
            Field::optional(
                "depth",
                Shape::Integer(1, 1_000),
                "Maximum depth of elements.",
            ),
            Field::optional(
                "children",
                COUNT,
                "Maximum number of children of an element.",
            ),
            Field::optional(
                "attributes",
                COUNT,
                "Maximum number of attributes of an element.",
            ),
            Field::optional(
                "text_bytes",
                Shape::Size,
                "Maximum length of a text node or an attribute's value.",
            ),
        ],
        rules: &[Rule::AnyOf(&[
            "depth",
            "children",
            "attributes",
            "text_bytes",
        ])],
    };
}
