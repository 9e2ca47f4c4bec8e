//! Tokens that are bound to a client (RFC 7800): to its certificate (RFC 8705 §3) or to its public
//! key (RFC 9449 §6). The claim `cnf` of a token, or the member `cnf` of an introspection
//! endpoint's answer, names the certificate or key.
//!
//! A client needs the bound certificate or key to use a bound token. Each request must prove the
//! binding, also if the token comes from the cache of verified tokens.
//!
//! | Member of `cnf` | Proof | Section |
//! |---|---|---|
//! | `x5t#S256` | the client's certificate has this SHA-256, and is in its validity period | RFC 8705 §3.1 |
//! | `jkt` | a proof of DPoP by the key with this thumbprint | RFC 9449 §6.1 |
//! | any other member | none: the token is refused | RFC 7800 §3 |

#[cfg(feature = "author")]
pub(in crate::auth) mod author;
#[cfg(test)]
pub(super) mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};

use super::jwt::Reason;
use super::jwt::json::{Json, Object};
use super::mtls::Source;
use super::token::TokenRequest;
use crate::declared::{Scalar, Settings, Value};

/// Name of the setting for tokens bound to certificates.
pub const CERTIFICATE_BINDING: &str = "certificate_binding";
/// Name of the setting for the field that carries the certificate.
pub const CERTIFICATE_HEADER: &str = "certificate_header";

/// Handling of tokens that are bound to the client's certificate (settings `certificate_binding`
/// and `certificate_header`). Verifiers without these settings refuse such tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Binding {
    /// True if tokens without binding are refused.
    #[n(0)]
    pub required: bool,
    /// Source of the client's certificate: the connection or a field of a trusted proxy.
    #[n(1)]
    pub source: Source,
}

/// Proofs that a token requires according to its claim `cnf`. Contains at least one proof.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// SHA-256 that the client's certificate in DER must have.
    pub certificate: Option<[u8; 32]>,
    /// SHA-256 thumbprint that the client's public key must have (RFC 7638). `None`: no proof of
    /// possession of a key is required.
    pub key: Option<[u8; 32]>,
}

impl Confirmation {
    /// Reads the claim `cnf`. `None` if the token has no such claim.
    ///
    /// # Errors
    /// [`Reason::Binding`] if `cnf` requires no proof, or a proof that is not supported.
    pub(super) fn of(claims: &Object) -> Result<Option<Self>, Reason> {
        let members = match claims.get("cnf") {
            None => return Ok(None),
            Some(Json::Object(members)) => members,
            Some(_) => return Err(Reason::Binding),
        };
        let mut all = Self {
            certificate: None,
            key: None,
        };
        for (name, value) in members.iter() {
            let hash = value.as_text().and_then(sha256).ok_or(Reason::Binding)?;
            match name {
                "x5t#S256" => all.certificate = Some(hash),
                "jkt" => all.key = Some(hash),
                _ => return Err(Reason::Binding),
            }
        }
        let is_bound = all.certificate.is_some() || all.key.is_some();
        is_bound.then_some(Some(all)).ok_or(Reason::Binding)
    }
}

/// Decodes a SHA-256 in base64url without padding.
fn sha256(text: &str) -> Option<[u8; 32]> {
    URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()
}

impl Binding {
    /// Value of the setting `certificate_binding` for this binding.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self.required {
            true => "required",
            false => "optional",
        }
    }

    /// Adds the binding settings to the settings of a verifier, for the comparison in plans.
    pub(super) fn add_to(self, settings: Settings) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let settings = settings.with(&[CERTIFICATE_BINDING], text(self.word()));
        match self.source {
            Source::Connection => settings,
            Source::Field => settings.with(&[CERTIFICATE_HEADER], text(self.source.name())),
        }
    }
}

/// Checks that a request contains the proofs that its token requires, and that the token requires
/// the proofs that its verifier demands. `key` is the thumbprint of the key that signed the
/// request's DPoP proof.
///
/// # Errors
/// [`Reason::Binding`] if a required proof is missing or wrong, or if the verifier requires a
/// binding that the token does not have.
pub(super) fn check(
    binding: Option<Binding>,
    demanded: Option<&Confirmation>,
    key: Option<&[u8; 32]>,
    request: &TokenRequest<'_>,
) -> Result<(), Reason> {
    let certificate = demanded.and_then(|one| one.certificate.as_ref());
    let is_shown = match (certificate, binding) {
        (Some(sha256), Some(binding)) => shows(binding.source, sha256, request),
        (Some(_), None) => false,
        (None, binding) => !binding.is_some_and(|binding| binding.required),
    };
    let is_proved = demanded.and_then(|one| one.key.as_ref()) == key;
    match is_shown && is_proved {
        true => Ok(()),
        false => Err(Reason::Binding),
    }
}

/// True if the request's certificate has this SHA-256 and is in its validity period. The TLS
/// handshake or the proxy has verified the certificate's path.
fn shows(source: Source, sha256: &[u8; 32], request: &TokenRequest<'_>) -> bool {
    let shown = request.presented;
    let shown = shown.and_then(|one| one.get(source, request.client_cert));
    shown.is_some_and(|read| {
        read.is_ok_and(|certificate| {
            certificate.sha256() == sha256 && certificate.check_time(request.unix_s).is_ok()
        })
    })
}
