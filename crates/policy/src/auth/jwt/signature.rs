//! Verification of a token's signature (RFC 7515 §5.2) with jsonwebtoken and aws-lc-rs.
//!
//! The library's verifiers parse the key for each signature, because the library's `DecodingKey` is
//! bytes. Parsing an RSA key computes the constants of its modulus, which takes a third of the time
//! of a verification. Therefore gwd prepares a verifier ([`Parsed`]) for each key of a key set,
//! once when the set is loaded. Keys that are used once, and shared secrets, use the library's
//! verifier.
//!
//! A slow verification ([`Material::is_costly`]) is a [`Check`], which gwd performs on a thread for
//! computations.

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    RsaPublicKeyComponents,
};
use jsonwebtoken::DecodingKey;
use jsonwebtoken::crypto::JwtVerifier;
use jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER;
use jsonwebtoken::signature::{Error, Verifier};

use super::algorithm::Algorithm;
use super::keys::{Material, PublicKey, choose};
use super::token::Token;
use crate::signature::Check;

/// A public key, prepared for the verification of signatures.
pub(super) struct Key {
    public: PublicKey,
    /// Verifiers of the key, one for each algorithm with which the key can be used.
    verifiers: Arc<[Parsed]>,
}

/// Verifier of jsonwebtoken with a parsed key.
struct Parsed {
    algorithm: Algorithm,
    key: ParsedPublicKey,
}

impl Verifier<Vec<u8>> for Parsed {
    fn verify(&self, signed: &[u8], signature: &Vec<u8>) -> Result<(), Error> {
        let verified = self.key.verify_sig(signed, signature);
        verified.map_err(|_| Error::new())
    }
}

impl JwtVerifier for Parsed {
    fn algorithm(&self) -> jsonwebtoken::Algorithm {
        of_library(self.algorithm)
    }
}

impl Key {
    /// Prepares a public key. A key that aws-lc-rs refuses verifies no signature.
    pub(super) fn of(public: &PublicKey) -> Self {
        let fitting = Algorithm::ALL.iter().filter(|one| public.fits(**one));
        let verifiers = fitting.filter_map(|one| {
            let key = parsed(&public.material, *one)?;
            Some(Parsed {
                algorithm: *one,
                key,
            })
        });
        Self {
            verifiers: verifiers.collect(),
            public: public.clone(),
        }
    }

    /// True if the key fits the algorithm of a token and made the token's signature.
    pub(super) fn is_signer(&self, token: &Token<'_>) -> bool {
        is_verified(
            &self.verifiers,
            token.algorithm,
            token.signed,
            &token.signature,
        )
    }

    /// Check of a token's signature on another thread. `None` for a key that is cheap enough for
    /// [`Self::is_signer`].
    pub(super) fn check_elsewhere(&self, token: &Token<'_>) -> Option<Check> {
        self.public.material.is_costly().then(|| {
            let verifiers = Arc::clone(&self.verifiers);
            check(token, &self.public, move |algorithm, signed, signature| {
                is_verified(&verifiers, algorithm, signed, signature)
            })
        })
    }

    /// True if verifying a signature with this key is too expensive for a worker.
    pub(super) fn is_costly(&self) -> bool {
        self.public.material.is_costly()
    }
}

fn is_verified(
    verifiers: &[Parsed],
    algorithm: Algorithm,
    signed: &[u8],
    signature: &Vec<u8>,
) -> bool {
    let mut fitting = verifiers.iter().filter(|one| one.algorithm == algorithm);
    fitting.any(|one| one.verify(signed, signature).is_ok())
}

/// Check of a token's signature with `verify`, which gets algorithm, signed bytes and signature.
fn check(
    token: &Token<'_>,
    public: &PublicKey,
    verify: impl Fn(Algorithm, &[u8], &Vec<u8>) -> bool + Send + Sync + 'static,
) -> Check {
    let thumbprint = public.material.thumbprint_sha256();
    let (algorithm, signed) = (token.algorithm, Box::<[u8]>::from(token.signed));
    let signature = token.signature.clone();
    let identity = [
        &thumbprint[..],
        algorithm.name().as_bytes(),
        token.signed,
        &token.signature,
    ];
    Check::new(&identity, move || verify(algorithm, &signed, &signature))
}

/// Selects the key for a token by key id and algorithm. `None` if no key or several keys qualify.
pub(super) fn key_of<'k>(keys: &'k [Key], token: &Token<'_>) -> Option<&'k Key> {
    let fits = keys.iter().map(|key| {
        let kid = key.public.kid.as_deref();
        (kid, key.public.fits(token.algorithm))
    });
    choose(fits, token.kid.as_deref()).map(|index| &keys[index])
}

/// True if the signature of a token was made with a key that is used once, such as the key of a
/// proof. False if the key is not for the token's algorithm.
pub(super) fn is_signed_once(token: &Token<'_>, public: &PublicKey) -> bool {
    let key = decoding_key(&public.material);
    is_signed(token.algorithm, token.signed, &token.signature, &key)
}

/// Check of a signature like [`is_signed_once`], for another thread. `None` if the key is cheap
/// enough for [`is_signed_once`] on a worker.
pub(super) fn check_once_elsewhere(token: &Token<'_>, public: &PublicKey) -> Option<Check> {
    public.material.is_costly().then(|| {
        let key = decoding_key(&public.material);
        check(token, public, move |algorithm, signed, signature| {
            is_signed(algorithm, signed, signature, &key)
        })
    })
}

fn decoding_key(material: &Material) -> DecodingKey {
    match material {
        Material::Rsa(n, e) => DecodingKey::from_rsa_raw_components(n, e),
        Material::P256(x, y) | Material::P384(x, y) => DecodingKey::from_ec_der(&point(x, y)),
        Material::Ed25519(x) => DecodingKey::from_ed_der(x),
    }
}

/// True if the signature of a token was made with a shared secret.
pub(super) fn is_secret_signature(token: &Token<'_>, secret: &[u8]) -> bool {
    let key = DecodingKey::from_secret(secret);
    is_signed(token.algorithm, token.signed, &token.signature, &key)
}

/// Verifies a signature with the library's own verifier, which parses the key. False if the
/// algorithm needs another kind of key.
fn is_signed(algorithm: Algorithm, signed: &[u8], signature: &Vec<u8>, key: &DecodingKey) -> bool {
    let verifier = (DEFAULT_PROVIDER.verifier_factory)(&of_library(algorithm), key);
    verifier.is_ok_and(|verifier| verifier.verify(signed, signature).is_ok())
}

/// Uncompressed form of a point (SEC 1 §2.3.3).
fn point(x: &[u8], y: &[u8]) -> Vec<u8> {
    [&[4], x, y].concat()
}

/// Converts a key to the form of aws-lc-rs. `None` if the algorithm needs another kind of key, or
/// if aws-lc-rs refuses the key.
fn parsed(material: &Material, algorithm: Algorithm) -> Option<ParsedPublicKey> {
    let parsed = match (material, algorithm) {
        (Material::Rsa(n, e), algorithm) => {
            RsaPublicKeyComponents { n, e }.to_parsed_public_key(rsa_parameters(algorithm)?)
        }
        (Material::P256(x, y), Algorithm::Es256) => {
            ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point(x, y))
        }
        (Material::P384(x, y), Algorithm::Es384) => {
            ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, point(x, y))
        }
        (Material::Ed25519(x), Algorithm::EdDsa) => ParsedPublicKey::new(&ED25519, x),
        (Material::P256(..) | Material::P384(..) | Material::Ed25519(_), _) => return None,
    };
    parsed.ok()
}

fn rsa_parameters(algorithm: Algorithm) -> Option<&'static RsaParameters> {
    match algorithm {
        Algorithm::Rs256 => Some(&RSA_PKCS1_2048_8192_SHA256),
        Algorithm::Rs384 => Some(&RSA_PKCS1_2048_8192_SHA384),
        Algorithm::Rs512 => Some(&RSA_PKCS1_2048_8192_SHA512),
        Algorithm::Ps256 => Some(&RSA_PSS_2048_8192_SHA256),
        Algorithm::Ps384 => Some(&RSA_PSS_2048_8192_SHA384),
        Algorithm::Ps512 => Some(&RSA_PSS_2048_8192_SHA512),
        Algorithm::Es256
        | Algorithm::Es384
        | Algorithm::EdDsa
        | Algorithm::Hs256
        | Algorithm::Hs384
        | Algorithm::Hs512 => None,
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
