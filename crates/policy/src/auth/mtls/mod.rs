//! Client certificates (RFC 5280), from the TLS handshake or from a trusted proxy (RFC 9440).
//!
//! ```yaml
//! auth:
//!   partners: {kind: mtls, sans: [partner.example.org]}
//!   mesh: {kind: mtls, spiffe: ["spiffe://example.org/ns/*/sa/orders"]}
//! ```
//! The listener's `tls.client_auth` lists the trusted certificate authorities; the TLS handshake
//! verifies the certification path to one of them. This verifier checks the following for each
//! request.
//!
//! | Check | Section | Reason |
//! |---|---|---|
//! | the certificate can be read | RFC 5280 §4.1, RFC 9440 §2.2 | `malformed` |
//! | request time within the validity period | RFC 5280 §4.1.2.5 | `not_yet_valid`, `expired` |
//! | an allowed subject alternative name | RFC 5280 §4.2.1.6 | `name` |
//! | an allowed SPIFFE id | X509-SVID §2, §4 | `name` |
//! | an allowed subject | RFC 5280 §4.1.2.6, RFC 4514 | `name` |
//!
//! The crate `engine` refuses a certificate whose fingerprint the project has revoked (`revoked`).

#[cfg(feature = "author")]
pub mod author;
mod certificate;
mod presented;
pub mod spiffe;
mod subject;
#[cfg(test)]
mod tests;
#[cfg(feature = "author")]
pub mod witness;

pub use certificate::{Certificate, san};
pub use presented::PresentedCertificates;
pub use subject::{canonical, rfc4514};

use minicbor::{Decode, Encode};

use super::reasons::reasons;
use crate::declared::{Scalar, Settings, Value};

/// Settings of a verifier of client certificates, in the bundle. Lists are sorted. A certificate
/// must match at least one item of every non-empty list.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Allowed subject alternative names, in the form of [`san`].
    #[n(0)]
    sans: Vec<String>,
    /// Allowed SPIFFE ids, or patterns with `*` and `**`.
    #[n(1)]
    spiffe: Vec<String>,
    /// Allowed subjects, in the form of [`canonical`].
    #[n(2)]
    subjects: Vec<String>,
    #[n(3)]
    source: Source,
}

/// Source of the client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Source {
    /// TLS handshake of the connection.
    #[n(0)]
    Connection,
    /// Field `Client-Cert` of a trusted proxy.
    #[n(1)]
    Field,
}

reasons! {
    /// Reason why a certificate is refused.
    "certificate_"
    /// The certificate or the field that carries it cannot be read.
    Malformed "malformed";
    /// The validity period has not begun.
    NotYetValid "not_yet_valid";
    /// The validity period of the certificate, or of the consumer's entry, has ended.
    Expired "expired";
    /// The certificate has no allowed name.
    Name "name";
    /// The project has revoked the certificate by its fingerprint.
    Revoked "revoked";
}

impl Source {
    /// Source with this name in plans.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let all = [Self::Connection, Self::Field];
        all.into_iter().find(|source| source.name() == name)
    }

    /// Name of the source in plans.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Field => "client-cert",
        }
    }
}

impl Checked {
    /// Checks the validity period and the names of a certificate at a Unix time in seconds. The TLS
    /// handshake or the proxy has verified the path to a certificate authority.
    pub fn verify(&self, certificate: &Certificate, unix_s: u64) -> Result<(), Reason> {
        certificate.check_time(unix_s)?;
        let has = |known: &[String], name: &str| {
            known.binary_search_by(|one| one.as_str().cmp(name)).is_ok()
        };
        let mut sans = certificate.sans().iter();
        let is_named = self.sans.is_empty() || sans.any(|name| has(&self.sans, name));
        let id = certificate.spiffe();
        let is_id = self.spiffe.is_empty()
            || id.is_some_and(|id| {
                has(&self.spiffe, id) || self.spiffe.iter().any(|one| spiffe::matches(one, id))
            });
        let is_subject = self.subjects.is_empty() || has(&self.subjects, certificate.subject());
        match is_named && is_id && is_subject {
            true => Ok(()),
            false => Err(Reason::Name),
        }
    }

    /// Source of the client's certificate.
    #[must_use]
    pub fn source(&self) -> Source {
        self.source
    }
}

impl super::Verifier for Checked {
    fn settings(&self) -> Settings {
        let text = |text: &String| Scalar::Text(text.clone());
        let mut all = Settings::default();
        for (key, values) in [
            ("sans", &self.sans),
            ("spiffe", &self.spiffe),
            ("subjects", &self.subjects),
        ] {
            if !values.is_empty() {
                all = all.with(&[key], Value::Set(values.iter().map(text).collect()));
            }
        }
        match self.source {
            Source::Connection => all,
            Source::Field => all.with(
                &["header"],
                Value::One(text(&self.source.name().to_owned())),
            ),
        }
    }
}
