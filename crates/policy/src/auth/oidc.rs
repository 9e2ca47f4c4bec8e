//! Browser logins by OpenID Connect, with the identity in a session cookie.
//!
//! ```yaml
//! auth:
//!   login:
//!     kind: oidc
//!     issuer: https://idp.example.org
//!     client_id: shop
//!     client_secret: ${file:/run/secrets/oidc}
//!     redirect_path: /login/done
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: oidc` settings.

    use diag::shape::{Field, Object, Shape};

    use crate::forms;

    /// Keys of `kind: oidc`.
    pub static SHAPE: Object = Object {
        what: "logins by OpenID Connect",
        fields: &[
            Field::required(
                "issuer",
                Shape::Form(&forms::HTTPS_URL),
                "Issuer; its discovery document must name the same issuer.",
            ),
            Field::required(
                "client_id",
                Shape::Form(&forms::WORDS),
                "Client id of the gateway at the provider.",
            ),
            Field::required(
                "client_secret",
                Shape::Secret,
                "Client authentication at the endpoint.",
            ),
            Field::required(
                "redirect_path",
                Shape::Form(&forms::PATH),
                "Redirect URI for the provider.",
            ),
            Field::optional(
                "logout_path",
                Shape::Form(&forms::PATH),
                "Path that ends the session.",
            ),
            Field::optional(
                "scopes",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Requested scopes. Default: `openid`.",
            ),
            Field::optional(
                "audience",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Values of `aud` beside the client's id.",
            ),
            Field::optional("session", Shape::Object(&SESSION), "Session settings."),
        ],
        rules: &[],
    };

    static SESSION: Object = Object {
        what: "a session",
        fields: &[
            Field::optional("cookie", Shape::Form(&forms::FIELD), "Name of the cookie."),
            Field::optional(
                "lifetime",
                Shape::Timeout,
                "Lifetime of a session. Default: 1h.",
            ),
            Field::optional("secret", Shape::Secret, "Key that encrypts the cookie."),
            Field::optional(
                "same_site",
                Shape::Word(&["strict", "lax"]),
                "`SameSite` of the cookie. Default: `lax`.",
            ),
        ],
        rules: &[],
    };
}
