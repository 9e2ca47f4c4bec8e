//! Parser of tokens (RFC 7515 §3.1, RFC 7519). The signature is not verified here, so the result is
//! untrusted.
//!
//! The parser is strict: base64url without padding and stray bits, no duplicate members, no
//! critical extensions, no nested tokens. Verifiers ignore `jku`, `x5u`, `jwk` and `x5c`, so that a
//! token cannot name its own key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use sha2::{Digest as _, Sha256};

use super::Reason;
use super::algorithm::Algorithm;
use super::json::{self, Json, Object};

/// Parsed token in compact serialization.
pub struct Token<'t> {
    /// Algorithm of the signature.
    pub algorithm: Algorithm,
    /// Header parameter `kid`.
    pub kid: Option<Box<str>>,
    /// Header parameter `typ` in lower case without `application/` (RFC 7515 §4.1.9).
    pub typ: Option<Box<str>>,
    /// Header of the token (JOSE header).
    pub header: Object,
    /// Claims of the token.
    pub claims: Object,
    /// Bytes that the signature covers: the encoded header and claims.
    pub signed: &'t [u8],
    /// Signature, decoded.
    pub signature: Vec<u8>,
}

/// Parses a token of at most `bytes_max` bytes.
///
/// # Errors
/// The reason why the token cannot be valid.
pub fn parse(token: &[u8], bytes_max: u64) -> Result<Token<'_>, Reason> {
    if token.len() as u64 > bytes_max {
        return Err(Reason::TooLarge);
    }
    let text = std::str::from_utf8(token).map_err(|_| Reason::Malformed)?;
    let (signed, signature) = text.rsplit_once('.').ok_or(Reason::Malformed)?;
    // Five parts would be an encrypted token.
    let (header, claims) = signed.split_once('.').ok_or(Reason::Malformed)?;
    if claims.contains('.') {
        return Err(Reason::Malformed);
    }
    let header = object(header)?;
    if header.get("crit").is_some() || header.get("b64").is_some() {
        return Err(Reason::Critical);
    }
    let text = |name: &str| match header.get(name) {
        None => Ok(None),
        Some(Json::Text(text)) => Ok(Some(text)),
        Some(_) => Err(Reason::Malformed),
    };
    let (kid, typ) = (text("kid")?.cloned(), text("typ")?);
    let typ = typ.map(|typ| media_type(typ).into());
    let algorithm = text("alg")?.ok_or(Reason::Malformed)?;
    let algorithm = Algorithm::of(algorithm).ok_or(Reason::Algorithm)?;
    if text("cty")?.is_some_and(|cty| media_type(cty).contains("jwt")) {
        return Err(Reason::Type);
    }
    // Refuse an undecodable signature before any cryptographic operation.
    let signature = URL_SAFE_NO_PAD
        .decode(signature)
        .map_err(|_| Reason::Malformed)?;
    Ok(Token {
        algorithm,
        kid,
        typ,
        header,
        claims: object(claims)?,
        signed: signed.as_bytes(),
        signature,
    })
}

/// SHA-256 of the bytes that the signature of a token covers, which identifies the token in
/// revocation lists. `None` if the token is malformed.
#[must_use]
pub fn signed_part(token: &[u8]) -> Option<[u8; 32]> {
    let token = parse(token, u64::MAX).ok()?;
    Some(Sha256::digest(token.signed).into())
}

/// Media type in lower case, without the prefix `application/`.
pub(in crate::auth) fn media_type(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix("application/") {
        Some(short) => short.to_owned(),
        None => lower,
    }
}

fn object(part: &str) -> Result<Object, Reason> {
    let bytes = URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Reason::Malformed)?;
    json::object(&bytes).map_err(|_| Reason::Malformed)
}
