//! Verification of tokens (RFC 7519 §7.2, RFC 8725, RFC 9068 §4).
//!
//! | Checked | Section | Reason |
//! |---|---|---|
//! | size, form, members once | RFC 7515 §5.2, RFC 7519 §4 | `too_large`, `malformed` |
//! | `crit`, `b64` | RFC 7515 §4.1.11, RFC 7797 | `critical` |
//! | `iss` | RFC 8725 §3.8 | `issuer` |
//! | `alg` is in the list | RFC 8725 §3.1 | `algorithm` |
//! | `typ`, `cty` | RFC 8725 §3.11, RFC 9068 §4 | `type` |
//! | key by `kid` and `alg` | RFC 7515 §6, RFC 8725 §3.1 | `key` |
//! | signature | RFC 7515 §5.2 | `signature` |
//! | `aud` | RFC 8725 §3.9 | `audience` |
//! | `exp`, `nbf`, `iat`, lifetime | RFC 7519 §4.1 | `expired`, `not_yet_valid`, `lifetime` |
//! | further claims | RFC 8725 §3.10 | `claims` |

use std::sync::Arc;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto;
use sha2::{Digest as _, Sha256};

use super::TokenCache;
use super::algorithm::Algorithm;
use super::identity::{Identity, key, single};
use super::json::{Json, Object};
use super::keys::{Material, PublicKey, choose};
use super::token::{Token, parse};
use super::{Checked, KeySource};
use crate::secret::{Form, SecretCell, SecretUnavailable, Secrets};

/// Largest time that a token may name, the end of the year 9999 in seconds since 1970.
const TIME_MAX_S: u64 = 253_402_300_799;

/// Longest identity in bytes: `sub`, the client, the consumer.
const NAME_MAX: usize = 1024;

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident $label:literal;)*) => {
        /// Reason for which a token is refused. Clients do not see it; logs and metrics do.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[$doc])* $name,)*
        }

        impl Reason {
            /// All reasons.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Label in logs and metrics.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$name => $label,)* }
            }

            /// Reason of the refusal in the metric of rejections.
            #[must_use]
            pub const fn metric(self) -> &'static str {
                match self { $(Self::$name => concat!("token_", $label),)* }
            }
        }
    };
}

reasons! {
    /// Longer than `token_bytes`.
    TooLarge "too_large";
    /// Not a token in compact serialization with a signature.
    Malformed "malformed";
    /// Its algorithm is not in the list.
    Algorithm "algorithm";
    /// Requires an extension.
    Critical "critical";
    /// Another type, or a nested token.
    Type "type";
    /// Another issuer.
    Issuer "issuer";
    /// No key has its key id and algorithm.
    Key "key";
    /// The signature is not the key's.
    Signature "signature";
    /// Other audiences.
    Audience "audience";
    /// Expired.
    Expired "expired";
    /// Not yet valid, or issued in the future.
    NotYetValid "not_yet_valid";
    /// Lifetime above `max_lifetime`.
    Lifetime "lifetime";
    /// A claim is absent or has a wrong form.
    Claims "claims";
    /// Revoked.
    Revoked "revoked";
}

/// Verifier of the tokens of one issuer.
pub struct Verifier {
    settings: Checked,
    /// Hash of the settings: verifiers with the same ones take the same tokens.
    id: [u8; 32],
    keys: Keys,
    #[cfg(feature = "author")]
    takes_witnesses: bool,
}

enum Keys {
    Set(Box<[Key]>),
    Secret(Arc<SecretCell>),
}

struct Key {
    public: PublicKey,
    decoding: DecodingKey,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Verifier")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Checked {
    /// The verifier that runs.
    ///
    /// # Errors
    /// The shared secret cannot be resolved.
    pub fn verifier(&self, secrets: &dyn Secrets) -> Result<Verifier, SecretUnavailable> {
        let keys = match &self.keys {
            KeySource::Set(keys) => Keys::Set(keys.iter().map(Key::of).collect()),
            // No gateway takes it.
            KeySource::Url(_) => Keys::Set(Box::default()),
            KeySource::Secret(reference) => {
                let bytes_min = self.algorithms.iter().map(|one| one.secret_bytes_min());
                let bytes_min = bytes_min.max().unwrap_or(0);
                Keys::Secret(secrets.cell(reference, Form::SharedSecret { bytes_min })?)
            }
        };
        Ok(Verifier {
            settings: self.clone(),
            id: Sha256::digest(minicbor::to_vec(self).unwrap_or_default()).into(),
            keys,
            #[cfg(feature = "author")]
            takes_witnesses: secrets.takes_witnesses(),
        })
    }
}

impl Verifier {
    /// The issuer whose tokens it checks.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.settings.issuer
    }

    /// Checks a token as [`Self::verify`] does, or finds it among those that were checked.
    ///
    /// # Errors
    /// The first check that the token does not pass.
    pub fn verify_with(
        &self,
        token: &[u8],
        unix_s: u64,
        cache: Option<&TokenCache>,
    ) -> Result<Arc<Identity>, Reason> {
        let cache = cache.filter(|_| matches!(self.keys, Keys::Set(_)));
        let Some(cache) = cache.filter(|_| token.len() as u64 <= self.settings.token_bytes) else {
            return self.verify(token, unix_s).map(Arc::new);
        };
        let key = Sha256::new_with_prefix(self.id).chain_update(token);
        let key = key.finalize().into();
        if let Some(known) = cache.get(&key, unix_s) {
            return Ok(known);
        }
        let identity = self.verify(token, unix_s).map(Arc::new)?;
        cache.keep(key, &identity, token.len(), unix_s);
        Ok(identity)
    }

    /// Checks a token at a time in seconds since 1970.
    ///
    /// # Errors
    /// The first check that the token does not pass.
    pub fn verify(&self, token: &[u8], unix_s: u64) -> Result<Identity, Reason> {
        let settings = &self.settings;
        let token = parse(token, settings.token_bytes)?;
        // Another verifier may be the one of the issuer.
        if token.claims.get("iss").and_then(Json::as_text) != Some(&settings.issuer) {
            return Err(Reason::Issuer);
        }
        if !settings.algorithms.contains(&token.algorithm) {
            return Err(Reason::Algorithm);
        }
        let typ = token.typ.as_deref().unwrap_or_default();
        if !settings.types.iter().any(|one| one == typ) {
            return Err(Reason::Type);
        }
        self.check_signature(&token)?;
        self.check_audience(&token.claims)?;
        let ends_s = self.check_times(&token.claims, unix_s)?;
        self.identity(&token, ends_s)
    }

    fn check_signature(&self, token: &Token<'_>) -> Result<(), Reason> {
        #[cfg(feature = "author")]
        if self.takes_witnesses {
            match (self.is_witness(token), &self.keys) {
                (true, _) => return Ok(()),
                // The compiler knows no secret.
                (false, Keys::Secret(_)) => return Err(Reason::Signature),
                (false, Keys::Set(_)) => {}
            }
        }
        let secret;
        let key = match &self.keys {
            Keys::Set(keys) => {
                let fits = keys.iter().map(|key| {
                    let kid = key.public.kid.as_deref();
                    (kid, key.public.fits(token.algorithm))
                });
                let index = choose(fits, token.kid.as_deref()).ok_or(Reason::Key)?;
                &keys[index].decoding
            }
            Keys::Secret(cell) => {
                secret = DecodingKey::from_secret(&cell.value());
                &secret
            }
        };
        let algorithm = of_library(token.algorithm);
        match crypto::verify(token.signature, token.signed, key, algorithm) {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Reason::Signature),
        }
    }

    #[cfg(feature = "author")]
    fn is_witness(&self, token: &Token<'_>) -> bool {
        let kid = token.kid.as_deref();
        let signings = self.settings.signings();
        let any_kid = matches!(self.keys, Keys::Secret(_));
        let mut fitting = signings.iter().filter(|one| {
            one.algorithm == token.algorithm && (any_kid || one.kid.as_deref() == kid)
        });
        fitting.any(|one| super::witness::signature(&one.key) == token.signature)
    }

    fn check_audience(&self, claims: &Object) -> Result<(), Reason> {
        let own = claims.get("aud").ok_or(Reason::Audience)?;
        let own = own.texts().ok_or(Reason::Claims)?;
        let wanted = &self.settings.audience;
        match own.iter().any(|one| wanted.iter().any(|it| it == one)) {
            true => Ok(()),
            false => Err(Reason::Audience),
        }
    }

    /// The second from which on the token is refused.
    fn check_times(&self, claims: &Object, unix_s: u64) -> Result<u64, Reason> {
        let settings = &self.settings;
        let (now_ms, leeway_ms) = (unix_s.saturating_mul(1000), settings.leeway_ms);
        let time = |name| claims.get(name).map(milliseconds).transpose();
        let (begins, issued) = (time("nbf")?, time("iat")?);
        let ends = time("exp")?.ok_or(Reason::Claims)?;
        if now_ms >= ends + leeway_ms {
            return Err(Reason::Expired);
        }
        let future = |at: &u64| *at > now_ms + leeway_ms;
        if begins.iter().chain(&issued).any(future) {
            return Err(Reason::NotYetValid);
        }
        if let Some(most) = settings.max_lifetime_ms
            && ends.saturating_sub(issued.ok_or(Reason::Claims)?) > most
        {
            return Err(Reason::Lifetime);
        }
        Ok((ends + leeway_ms).div_ceil(1000))
    }

    fn identity(&self, token: &Token<'_>, ends_s: u64) -> Result<Identity, Reason> {
        let (settings, claims) = (&self.settings, &token.claims);
        let absent = |name: &String| matches!(claims.get(name), None | Some(Json::Null));
        if settings.required_claims.iter().any(absent) {
            return Err(Reason::Claims);
        }
        let consumer = settings.consumer_claim.as_deref();
        let client = name(claims, "client_id")?.or(name(claims, "azp")?);
        let subject = name(claims, "sub")?;
        Ok(Identity {
            key: key(&settings.issuer, subject.as_deref(), client.as_deref()),
            issuer: settings.issuer.as_str().into(),
            subject,
            client,
            consumer: consumer.map(|one| name(claims, one)).transpose()?.flatten(),
            claims: single(claims),
            scopes: words(claims, &settings.scope_claim)?,
            groups: words(claims, &settings.groups_claim)?,
            ends_s,
            sha256: Sha256::digest(token.signed).into(),
            all: claims.clone(),
        })
    }
}

impl Key {
    fn of(public: &PublicKey) -> Self {
        let point = |x: &[u8], y: &[u8]| [&[4], x, y].concat();
        let decoding = match &public.material {
            Material::Rsa(n, e) => DecodingKey::from_rsa_raw_components(n, e),
            Material::P256(x, y) | Material::P384(x, y) => DecodingKey::from_ec_der(&point(x, y)),
            Material::Ed25519(x) => DecodingKey::from_ed_der(x),
        };
        Self {
            public: public.clone(),
            decoding,
        }
    }
}

fn of_library(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    use jsonwebtoken::Algorithm as Library;
    match algorithm {
        Algorithm::Rs256 => Library::RS256,
        Algorithm::Rs384 => Library::RS384,
        Algorithm::Rs512 => Library::RS512,
        Algorithm::Ps256 => Library::PS256,
        Algorithm::Ps384 => Library::PS384,
        Algorithm::Ps512 => Library::PS512,
        Algorithm::Es256 => Library::ES256,
        Algorithm::Es384 => Library::ES384,
        Algorithm::EdDsa => Library::EdDSA,
        Algorithm::Hs256 => Library::HS256,
        Algorithm::Hs384 => Library::HS384,
        Algorithm::Hs512 => Library::HS512,
    }
}

/// A time (RFC 7519 §2, `NumericDate`) in milliseconds since 1970. Seconds may have a fraction;
/// negative times, exponents and times after the year 9999 are refused.
fn milliseconds(json: &Json) -> Result<u64, Reason> {
    let Json::Number(text) = json else {
        return Err(Reason::Claims);
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: u64 = whole.parse().map_err(|_| Reason::Claims)?;
    if seconds > TIME_MAX_S || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Reason::Claims);
    }
    let digits = fraction.bytes().chain(*b"000").take(3);
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + u64::from(digit - b'0'));
    Ok(seconds * 1000 + thousandths)
}

/// A claim that names somebody: a text of bounded length without control characters.
fn name(claims: &Object, claim: &str) -> Result<Option<Box<str>>, Reason> {
    let text = match claims.get(claim) {
        None | Some(Json::Null) => return Ok(None),
        Some(Json::Text(text)) => text,
        Some(_) => return Err(Reason::Claims),
    };
    let fits = text.len() <= NAME_MAX && !text.is_empty() && !text.chars().any(char::is_control);
    fits.then(|| Some(text.clone())).ok_or(Reason::Claims)
}

/// Words of a claim, sorted: a text with blanks (RFC 8693 §4.2) or a list of texts.
fn words(claims: &Object, claim: &str) -> Result<Box<[Box<str>]>, Reason> {
    let mut words: Vec<Box<str>> = match claims.get(claim) {
        None | Some(Json::Null) => Vec::new(),
        Some(Json::Text(text)) => text
            .split(' ')
            .filter(|word| !word.is_empty())
            .map(Into::into)
            .collect(),
        Some(list) => {
            let texts = list.texts().ok_or(Reason::Claims)?;
            texts.into_iter().map(Into::into).collect()
        }
    };
    words.sort();
    words.dedup();
    Ok(words.into())
}
