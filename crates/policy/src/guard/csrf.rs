//! Refuses requests that a foreign page made a browser send: `Sec-Fetch-Site` and `Origin` tell.
//!
//! ```yaml
//! policies:
//!   own_pages: {kind: csrf, origins: ["https://app.example.org"]}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: csrf` settings.

    use diag::shape::{Field, Object, Shape};

    use crate::forms;

    /// The keys of `kind: csrf`.
    pub static SHAPE: Object = Object {
        what: "a check for foreign pages",
        fields: &[
            Field::optional(
                "origins",
                Shape::List(&Shape::Form(&forms::PLAIN_ORIGIN)),
                "Origins whose pages may send unsafe requests beside the API's own.",
            ),
            Field::optional(
                "mode",
                Shape::Word(&["log", "block"]),
                "Action on a forged request: refuse or only log it. Default: `block`.",
            ),
        ],
        rules: &[],
    };
}
