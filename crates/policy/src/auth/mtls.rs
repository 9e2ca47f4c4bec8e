//! Client certificates (RFC 8705), from the handshake or from a proxy in front (RFC 9440).
//!
//! ```yaml
//! auth:
//!   partners: {kind: mtls, sans: ["partner.example.org"]}
//! ```
//! The listener's `tls.client_auth` says which authorities count.

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: mtls` settings.

    use diag::shape::{Field, Form, Object, Shape};

    use crate::forms;

    /// The keys of `kind: mtls`.
    pub static SHAPE: Object = Object {
        what: "client certificates",
        fields: &[
            Field::optional(
                "sans",
                Shape::Several(&Shape::Form(&forms::WORDS)),
                "Subject alternative names, of which one must be there.",
            ),
            Field::optional(
                "spiffe",
                Shape::Several(&Shape::Form(&SPIFFE_ID)),
                "SPIFFE ids, of which one must be there.",
            ),
            Field::optional(
                "header",
                Shape::Form(&forms::FIELD),
                "Field with the certificate from a trusted proxy: `Client-Cert` (RFC 9440).",
            ),
            Field::optional(
                "consumer",
                Shape::Word(&["subject", "san"]),
                "Part of the certificate that names the consumer. Default: `san`.",
            ),
        ],
        rules: &[],
    };

    static SPIFFE_ID: Form = Form {
        what: "a SPIFFE id such as `spiffe://example.org/orders`",
        pattern: r"spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)*",
        fits: |text| {
            let path = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
            let mut parts = text
                .strip_prefix("spiffe://")
                .unwrap_or_default()
                .split('/');
            let domain = parts.next().unwrap_or_default();
            !domain.is_empty()
                && domain.bytes().all(|b| path(b) && !b.is_ascii_uppercase())
                && parts.all(|part| !part.is_empty() && part.bytes().all(path))
        },
    };
}
