//! Tokens bound to a client's key, with proof of possession (DPoP, RFC 9449).
//!
//! ```yaml
//! auth:
//!   bound: {kind: dpop, token: idp, algorithms: [ES256], window: 1m}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: dpop` settings.

    use diag::shape::{Field, Object, Shape};

    /// Keys of `kind: dpop`.
    pub static SHAPE: Object = Object {
        what: "tokens with proof of possession",
        fields: &[
            Field::required(
                "token",
                Shape::Name("a verifier"),
                "Verifier of the token itself: a `jwt` or `introspection`.",
            ),
            Field::optional(
                "algorithms",
                Shape::Several(&Shape::Word(&[
                    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
                ])),
                "Signature algorithms of proofs. Default: `ES256`.",
            ),
            Field::optional(
                "window",
                Shape::Timeout,
                "Maximum age of a proof. Default: 1m.",
            ),
            Field::optional(
                "nonce",
                Shape::Bool,
                "Require nonces of the gateway in proofs.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Store for the ids of proofs: `local`, or a store that a fleet shares.",
            ),
        ],
        rules: &[],
    };
}
