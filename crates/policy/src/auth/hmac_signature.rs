//! Requests signed with a shared secret (RFC 9421, RFC 9530).
//!
//! ```yaml
//! auth:
//!   signed: {kind: hmac_signature, algorithms: [hmac-sha256], secrets: {acme: "${file:/run/secrets/acme}"}, window: 5m}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: hmac_signature` settings.

    use diag::shape::{Field, Object, Shape};

    use crate::forms;

    /// The keys of `kind: hmac_signature`.
    pub static SHAPE: Object = Object {
        what: "signed requests",
        fields: &[
            Field::required(
                "secrets",
                Shape::Map(&Shape::Secret),
                "Secrets by the key id that the signature names.",
            ),
            Field::optional(
                "algorithms",
                Shape::Several(&Shape::Word(&["hmac-sha256", "hmac-sha512"])),
                "What requests may be signed with: `hmac-sha256`.",
            ),
            Field::optional(
                "style",
                Shape::Word(&["rfc9421", "aliyun", "tencent"]),
                "Whose format the signature has: `rfc9421`.",
            ),
            Field::optional(
                "components",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "What the signature must cover; `@method`, `@target-uri` and `@authority` where nothing is said.",
            ),
            Field::optional(
                "content_digest",
                Shape::Bool,
                "Whether it must cover the body, by `Content-Digest`.",
            ),
            Field::optional(
                "window",
                Shape::Timeout,
                "How old a signature may be; 5m where nothing is said.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Where nonces are kept: `local`, or a store that a fleet shares.",
            ),
        ],
        rules: &[],
    };
}
