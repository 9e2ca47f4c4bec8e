//! Opaque tokens, asked about at who made them (RFC 7662).
//!
//! ```yaml
//! auth:
//!   tokens: {kind: introspection, url: "https://idp.example.org/introspect", client_id: gateway, client_secret: "${file:/run/secrets/idp}"}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: introspection` settings.

    use diag::shape::{Field, Object, Shape};

    use crate::forms;

    /// The keys of `kind: introspection`.
    pub static SHAPE: Object = Object {
        what: "tokens that are asked about",
        fields: &[
            Field::required("url", Shape::Form(&forms::HTTPS_URL), "Who is asked."),
            Field::required(
                "client_id",
                Shape::Form(&forms::WORDS),
                "Who the gateway is there.",
            ),
            Field::required("client_secret", Shape::Secret, "How it proves that."),
            Field::optional(
                "audience",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Values of `aud`, of which one must be there.",
            ),
            Field::optional(
                "timeout",
                Shape::Timeout,
                "How long an answer may take; 2s where nothing is said.",
            ),
            Field::optional(
                "cache",
                Shape::Duration,
                "How long `active` counts, never beyond the token's end; 60s where nothing is said.",
            ),
            Field::optional(
                "cache_inactive",
                Shape::Duration,
                "How long `inactive` counts; 5s where nothing is said.",
            ),
            Field::optional(
                "on_outage",
                Shape::Word(&["closed", "cached"]),
                "What holds while nobody answers: `closed`, or what is known already.",
            ),
        ],
        rules: &[],
    };
}
