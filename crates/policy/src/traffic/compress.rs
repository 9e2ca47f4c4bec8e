//! Compression of responses for clients that accept it (RFC 9110 §12.5.3).
//!
//! ```yaml
//! policies:
//!   smaller: {kind: compress, algorithms: [zstd, gzip], min_size: 1KiB}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: compress` settings.

    use diag::shape::{Field, Object, Shape};

    use crate::forms;

    /// The keys of `kind: compress`.
    pub static SHAPE: Object = Object {
        what: "compression of responses",
        fields: &[
            Field::optional(
                "algorithms",
                Shape::Several(&Shape::Word(&["zstd", "br", "gzip"])),
                "Encodings, the preferred first.",
            ),
            Field::optional(
                "level",
                Shape::Integer(1, 11),
                "Compression level. Default: that of the encoding.",
            ),
            Field::optional(
                "min_size",
                Shape::Size,
                "Minimum size of a compressed response. Default: 1KiB.",
            ),
            Field::optional(
                "types",
                Shape::Several(&Shape::Form(&forms::MEDIA_TYPE)),
                "Media types, `text/*` for a family.",
            ),
        ],
        rules: &[],
    };
}
