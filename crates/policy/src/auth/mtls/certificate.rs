//! Client certificate (RFC 5280) as the data that identifies the client: names, validity period and
//! fingerprint. The certificate is parsed once per connection.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::{Reason, rfc4514, spiffe};
use crate::auth::jwt::Identity;
use crate::auth::jwt::json::{Json, Object};

/// Maximum number of subject alternative names. A certificate with more names is refused as
/// malformed.
const SANS_MAX: usize = 256;
/// Maximum length of a name, in bytes. Longer names of a certificate are ignored.
const NAME_MAX: usize = 2048;

/// Client certificate with the data that identifies the client.
#[derive(Debug)]
pub struct Certificate {
    sha256: [u8; 32],
    not_before_s: u64,
    not_after_s: u64,
    /// Subject alternative names, sorted, without duplicates.
    sans: Box<[Box<str>]>,
    spiffe: Option<Box<str>>,
    subject: Box<str>,
    /// Names of the certificate in the form in which a consumer lists them. See
    /// [`Self::credentials`].
    credentials: Box<[Box<str>]>,
    identity: Arc<Identity>,
}

/// Data of a parsed certificate.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) sha256: [u8; 32],
    pub(super) not_before_s: u64,
    pub(super) not_after_s: u64,
    pub(super) sans: Vec<String>,
    pub(super) spiffe: Option<String>,
    pub(super) subject: String,
    pub(super) issuer: String,
}

/// Normalises a subject alternative name for comparison: DNS names and the domains of mail
/// addresses become lower case. Names of different kinds have different syntax and are never equal.
/// `None` for an invalid name.
#[must_use]
pub fn san(text: &str) -> Option<String> {
    if text.len() > NAME_MAX {
        return None;
    }
    match (text.contains(':'), text.split_once('@')) {
        (true, _) => uri(text),
        (false, Some(_)) => mail(text),
        (false, None) => dns(text),
    }
}

fn dns(name: &str) -> Option<String> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    (!name.is_empty() && name.bytes().all(known)).then(|| name.to_ascii_lowercase())
}

fn mail(address: &str) -> Option<String> {
    let (local, domain) = address.split_once('@')?;
    let known = |byte: u8| byte.is_ascii_graphic() && !b":@\"\\(),;<>[]".contains(&byte);
    let fits = !local.is_empty() && local.bytes().all(known);
    let domain = dns(domain).filter(|_| fits)?;
    Some(format!("{local}@{domain}"))
}

fn uri(uri: &str) -> Option<String> {
    let (scheme, _) = uri.split_once(':')?;
    let known =
        |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:/?#[]@!$&'()*+,;=%".contains(&byte);
    let is_scheme = scheme
        .bytes()
        .next()
        .is_some_and(|b| b.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    (is_scheme && uri.bytes().all(known)).then(|| uri.to_owned())
}

impl Certificate {
    /// Parses a certificate in DER.
    ///
    /// # Errors
    /// [`Reason::Malformed`] if the bytes cannot be parsed or the certificate has too many names.
    pub fn parse(der: &[u8]) -> Result<Self, Reason> {
        let malformed = |_| Reason::Malformed;
        let (rest, read) = X509Certificate::from_der(der).map_err(|_| Reason::Malformed)?;
        if !rest.is_empty() {
            return Err(Reason::Malformed);
        }
        let names = read.subject_alternative_name().map_err(malformed)?;
        let names = names.map_or(&[][..], |names| &names.value.general_names);
        if names.len() > SANS_MAX {
            return Err(Reason::Malformed);
        }
        let sans = names.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) if !name.contains([':', '@']) => san(name),
            GeneralName::RFC822Name(name) if !name.contains(':') => {
                san(name).filter(|_| name.contains('@'))
            }
            GeneralName::URI(name) if name.contains(':') => san(name),
            _ => None,
        });
        let mut uris = names.iter().filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
        // The certificate of a workload has exactly one URI and is not a CA certificate (X509-SVID
        // §2, §3).
        let id = match (uris.next(), uris.next(), read.is_ca()) {
            (Some(id), None, false) if spiffe::is_id(id) => Some(id.to_owned()),
            _ => None,
        };
        let seconds = |at: i64| u64::try_from(at).unwrap_or(0);
        let validity = read.validity();
        Ok(Self::of(Parts {
            sha256: Sha256::digest(der).into(),
            not_before_s: seconds(validity.not_before.timestamp()),
            not_after_s: seconds(validity.not_after.timestamp()),
            sans: sans.collect(),
            spiffe: id,
            subject: rfc4514(read.subject()),
            issuer: rfc4514(read.issuer()),
        }))
    }

    pub(super) fn of(parts: Parts) -> Self {
        let mut sans: Vec<Box<str>> = parts.sans.iter().map(|one| one.as_str().into()).collect();
        sans.sort_unstable();
        sans.dedup();
        let fingerprint = parts.sha256.iter().map(|byte| format!("{byte:02x}"));
        let mut credentials = vec![format!("sha256 {}", fingerprint.collect::<String>())];
        credentials.extend(sans.iter().map(|name| format!("san {name}")));
        if !parts.subject.is_empty() {
            credentials.push(format!("subject {}", parts.subject));
        }
        Self {
            identity: Arc::new(identity(&parts, &sans)),
            sha256: parts.sha256,
            not_before_s: parts.not_before_s,
            not_after_s: parts.not_after_s,
            sans: sans.into(),
            spiffe: parts.spiffe.map(Into::into),
            subject: parts.subject.into(),
            credentials: credentials.into_iter().map(Into::into).collect(),
        }
    }

    /// Checks the validity period at the time of a request. Connections can stay open beyond the
    /// validity of their certificate.
    pub(in crate::auth) fn check_time(&self, unix_s: u64) -> Result<(), Reason> {
        match (unix_s < self.not_before_s, unix_s > self.not_after_s) {
            (true, _) => Err(Reason::NotYetValid),
            (false, true) => Err(Reason::Expired),
            (false, false) => Ok(()),
        }
    }

    /// SHA-256 fingerprint of the DER encoding.
    #[must_use]
    pub fn sha256(&self) -> &[u8; 32] {
        &self.sha256
    }

    /// Subject alternative names (DNS, URI, mail), sorted.
    #[must_use]
    pub fn sans(&self) -> &[Box<str>] {
        &self.sans
    }

    /// SPIFFE id. `None` if the certificate has none.
    #[must_use]
    pub fn spiffe(&self) -> Option<&str> {
        self.spiffe.as_deref()
    }

    /// Subject in the format of RFC 4514. May be empty.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Names of the certificate in the form in which a consumer lists them: `sha256 HEX`, `san
    /// NAME` and `subject NAME`.
    #[must_use]
    pub fn credentials(&self) -> &[Box<str>] {
        &self.credentials
    }

    /// Identity of the caller with this certificate.
    #[must_use]
    pub fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }
}

/// Creates the identity with the claims `sub`, `san`, `spiffe`, `subject`, `issuer` and `x5t#S256`.
/// The claim `sub` is the SPIFFE id, otherwise the first subject alternative name, otherwise the
/// distinguished name.
fn identity(parts: &Parts, sans: &[Box<str>]) -> Identity {
    let distinguished = Some(parts.subject.as_str()).filter(|name| !name.is_empty());
    let spiffe = parts.spiffe.as_deref();
    let sub = spiffe.or(sans.first().map(|one| &**one)).or(distinguished);
    let thumbprint = URL_SAFE_NO_PAD.encode(parts.sha256);
    let text = |text: &str| Json::Text(text.into());
    let names: Vec<Json> = sans.iter().map(|name| text(name)).collect();
    let claims = [
        ("issuer", Some(text(&parts.issuer))),
        ("san", (!names.is_empty()).then_some(Json::List(names))),
        ("spiffe", spiffe.map(text)),
        ("sub", sub.map(text)),
        ("subject", distinguished.map(text)),
        ("x5t#S256", Some(text(&thumbprint))),
    ];
    let claims = claims.into_iter();
    let claims = claims.filter_map(|(name, value)| Some((name.into(), value?)));
    // The prefix of NUL and `x` distinguishes these keys from consumer names and from the keys of
    // callers with tokens.
    let key = [b"\0x", sub.unwrap_or(&thumbprint).as_bytes()].concat();
    Identity::of_claims(
        Object::new(claims.collect()),
        sub,
        key.into(),
        parts.not_after_s.saturating_add(1),
        parts.sha256,
    )
}
