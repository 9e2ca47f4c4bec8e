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
            Field::required(
                "url",
                Shape::Form(&forms::HTTPS_URL),
                "Introspection endpoint.",
            ),
            Field::required(
                "client_id",
                Shape::Form(&forms::WORDS),
                "Client id of the gateway at the endpoint.",
            ),
            Field::required(
                "client_secret",
                Shape::Secret,
                "Client authentication at the endpoint.",
            ),
            Field::optional(
                "audience",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Values of `aud`, of which one must be there.",
            ),
            Field::optional(
                "timeout",
                Shape::Timeout,
                "Maximum time for an answer. Default: 2s.",
            ),
            Field::optional(
                "cache",
                Shape::Duration,
                "Lifetime of the answer `active` in the cache, at most until the token expires. Default: 60s.",
            ),
            Field::optional(
                "cache_inactive",
                Shape::Duration,
                "Lifetime of the answer `inactive` in the cache. Default: 5s.",
            ),
            Field::optional(
                "on_outage",
                Shape::Word(&["closed", "cached"]),
                "Behaviour while the endpoint does not answer: `closed` refuses, `cached` uses known answers. Default: `closed`.",
            ),
        ],
        rules: &[],
    };
}
