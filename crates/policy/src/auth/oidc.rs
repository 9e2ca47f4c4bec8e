//! Logs users of browsers in (OpenID Connect), and keeps who they are in a session cookie.
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

    /// The keys of `kind: oidc`.
    pub static SHAPE: Object = Object {
        what: "logins by OpenID Connect",
        fields: &[
            Field::required(
                "issuer",
                Shape::Form(&forms::HTTPS_URL),
                "The provider; its discovery document must name the same.",
            ),
            Field::required(
                "client_id",
                Shape::Form(&forms::WORDS),
                "Who the gateway is to it.",
            ),
            Field::required("client_secret", Shape::Secret, "How it proves that."),
            Field::required(
                "redirect_path",
                Shape::Form(&forms::PATH),
                "Where the provider sends the browser back to.",
            ),
            Field::optional(
                "logout_path",
                Shape::Form(&forms::PATH),
                "A path that ends the session.",
            ),
            Field::optional(
                "scopes",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "What is asked for; `openid` where nothing is said.",
            ),
            Field::optional(
                "audience",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Values of `aud` beside the client's id.",
            ),
            Field::optional("session", Shape::Object(&SESSION), "The session."),
        ],
        rules: &[],
    };

    static SESSION: Object = Object {
        what: "a session",
        fields: &[
            Field::optional("cookie", Shape::Form(&forms::FIELD), "The cookie's name."),
            Field::optional(
                "lifetime",
                Shape::Timeout,
                "How long it lasts; 1h where nothing is said.",
            ),
            Field::optional("secret", Shape::Secret, "What it is sealed with."),
            Field::optional(
                "same_site",
                Shape::Word(&["strict", "lax"]),
                "Whether links from other pages carry it: `lax`.",
            ),
        ],
        rules: &[],
    };
}
