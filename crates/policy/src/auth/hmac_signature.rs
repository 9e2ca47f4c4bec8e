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

    /// Keys of `kind: hmac_signature`.
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
                "Signature algorithms of requests. Default: `hmac-sha256`.",
            ),
            Field::optional(
                "style",
                Shape::Word(&["rfc9421", "aliyun", "tencent"]),
                "Format of the signature. Default: `rfc9421`.",
            ),
            Field::optional(
                "components",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Parts that the signature must cover. Default: `@method`, `@target-uri` and `@authority`.",
            ),
            Field::optional(
                "content_digest",
                Shape::Bool,
                "Require that the signature covers the body, by `Content-Digest`.",
            ),
            Field::optional(
                "window",
                Shape::Timeout,
                "Maximum age of a signature. Default: 5m.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Store for nonces: `local`, or a store that a fleet shares.",
            ),
        ],
        rules: &[],
    };
}
