//! Keys and signatures: ECDSA over P-256 with SHA-256.
//!
//! Signing follows RFC 6979: it is deterministic and uses no random source. Of the two valid values
//! of S, signing uses the low one, and verification refuses the high one. Signatures are DER, so
//! that `openssl dgst -sha256 -verify` can check them.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, Signature, SigningKey, VerifyingKey};
use p256::elliptic_curve::rand_core::CryptoRngCore;
use p256::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, EncodePublicKey as _,
    LineEnding,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::{Digest, hex, unhex};
use crate::refused::Refused;

/// Traits of random sources for [`PrivateKey::generate`], and `OsRng`, the random source of the
/// operating system.
pub use p256::elliptic_curve::rand_core;

/// Id of a key: the SHA-256 of the public key's DER (SubjectPublicKeyInfo). The id in a signature
/// is not trusted: verification tries every trusted key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; 32]);

/// Private key for signing statements. Its `Debug` output contains only the key id.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

/// Public key for verifying statements.
#[derive(Clone, PartialEq, Eq)]
pub struct PublicKey {
    key: VerifyingKey,
    spki: Vec<u8>,
}

// === impl PrivateKey ===

impl PrivateKey {
    /// Generates a key with random bytes from `random`.
    #[must_use]
    pub fn generate(random: &mut impl CryptoRngCore) -> Self {
        Self(SigningKey::random(random))
    }

    /// Creates a key from 32 secret bytes, which the caller gets from the operating system. `None`
    /// for bytes that are not a valid key (about one in 2^32). The caller must then try other
    /// bytes.
    #[must_use]
    pub fn from_entropy(bytes: &[u8; 32]) -> Option<Self> {
        SigningKey::from_slice(bytes).ok().map(Self)
    }

    /// Reads a PKCS#8 PEM file (`BEGIN PRIVATE KEY`).
    ///
    /// # Errors
    /// [`Refused::Malformed`] for anything else, other curves included.
    pub fn from_pem(pem: &str) -> Result<Self, Refused> {
        SigningKey::from_pkcs8_pem(pem.trim_end())
            .map(Self)
            .map_err(|_| Refused::malformed("private key", "not a P-256 key in PKCS#8 PEM"))
    }

    /// Encodes the key as PKCS#8 PEM. The text is wiped from memory when dropped. Write the text to
    /// a file with mode 0600.
    #[must_use]
    pub fn to_pem(&self) -> impl AsRef<str> + AsRef<[u8]> + use<> {
        Pem(self
            .0
            .to_pkcs8_pem(LineEnding::LF)
            .expect("a key in memory has a PKCS#8 form"))
    }

    /// Public key of this private key.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey::new(*self.0.verifying_key())
    }

    /// Signs bytes. The signature is deterministic, DER-encoded, and has the low value of S.
    #[must_use]
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let signature: Signature = self.0.sign(bytes);
        let signature = signature.normalize_s().unwrap_or(signature);
        signature.to_der().as_bytes().to_vec()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({})", self.public().id())
    }
}

struct Pem<T>(T);

impl<T: std::ops::Deref<Target = String>> AsRef<str> for Pem<T> {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl<T: std::ops::Deref<Target = String>> AsRef<[u8]> for Pem<T> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

// === impl PublicKey ===

impl PublicKey {
    fn new(key: VerifyingKey) -> Self {
        let spki = key
            .to_public_key_der()
            .expect("a point on the curve has an SPKI form");
        Self {
            key,
            spki: spki.into_vec(),
        }
    }

    /// Reads an SPKI PEM file (`BEGIN PUBLIC KEY`).
    ///
    /// # Errors
    /// [`Refused::Malformed`] for anything else.
    pub fn from_pem(pem: &str) -> Result<Self, Refused> {
        VerifyingKey::from_public_key_pem(pem.trim_end())
            .map(Self::new)
            .map_err(|_| NOT_A_PUBLIC_KEY)
    }

    /// Parses the DER of a SubjectPublicKeyInfo with an uncompressed point, which is its canonical
    /// form.
    ///
    /// # Errors
    /// [`Refused::Malformed`] for any other input.
    pub fn from_spki(der: &[u8]) -> Result<Self, Refused> {
        let key = VerifyingKey::from_public_key_der(der).map_err(|_| NOT_A_PUBLIC_KEY)?;
        let key = Self::new(key);
        if key.spki != der {
            return Err(NOT_A_PUBLIC_KEY);
        }
        Ok(key)
    }

    /// Public key as SPKI PEM (`BEGIN PUBLIC KEY`).
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.key
            .to_public_key_pem(LineEnding::LF)
            .expect("a point on the curve has an SPKI form")
    }

    /// DER of the public key's SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// SHA-256 of [`PublicKey::spki`].
    #[must_use]
    pub fn id(&self) -> KeyId {
        KeyId(*Digest::of(&self.spki).as_bytes())
    }

    /// True if this key made the DER signature `der` of these bytes. False for a signature with the
    /// high value of S or with non-canonical DER.
    #[must_use]
    pub fn verifies(&self, bytes: &[u8], der: &[u8]) -> bool {
        let Ok(signature) = DerSignature::from_bytes(der) else {
            return false;
        };
        let Ok(signature) = Signature::try_from(signature) else {
            return false;
        };
        let exact = signature.to_der().as_bytes() == der;
        let low = signature.normalize_s().is_none();
        exact && low && self.key.verify(bytes, &signature).is_ok()
    }
}

const NOT_A_PUBLIC_KEY: Refused =
    Refused::malformed("public key", "not a P-256 SubjectPublicKeyInfo");

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.id())
    }
}

/// Serialises the key as base64 of its DER, which is the body of the PEM file on one line.
impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.spki))
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        STANDARD
            .decode(text.as_bytes())
            .ok()
            .and_then(|der| Self::from_spki(&der).ok())
            .ok_or_else(|| D::Error::custom("not the base64 of a P-256 SubjectPublicKeyInfo"))
    }
}

// === impl KeyId ===

impl KeyId {
    /// Bytes of the key id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for KeyId {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        unhex(text)
            .map(Self)
            .ok_or(Refused::malformed("key id", "not 64 lower-case hex digits"))
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeyId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| D::Error::custom("a key id is 64 lower-case hex digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> PrivateKey {
        PrivateKey::from_entropy(&[7; 32]).unwrap()
    }

    /// Test vector of RFC 6979 A.2.5, P-256 with SHA-256, message "sample". S is normalised to the
    /// low value.
    #[test]
    fn signs_as_rfc_6979_says() {
        let secret =
            unhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721").unwrap();
        let key = PrivateKey::from_entropy(&secret).unwrap();
        let der = key.sign(b"sample");
        assert_eq!(
            hex(&der[5..37]),
            "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716"
        );
        assert!(key.public().verifies(b"sample", &der));
        assert!(!key.public().verifies(b"test", &der));
    }

    #[test]
    fn pem_round_trip_and_no_secret_in_debug() {
        let key = key();
        let pem = key.to_pem();
        let text: &str = pem.as_ref();
        assert!(text.starts_with("-----BEGIN PRIVATE KEY-----\n"));
        let again = PrivateKey::from_pem(text).unwrap();
        assert_eq!(again.public(), key.public());
        assert_eq!(
            format!("{key:?}"),
            format!("PrivateKey({})", key.public().id())
        );
        let public = PublicKey::from_pem(&key.public().to_pem()).unwrap();
        assert_eq!(public, key.public());
        assert_eq!(PublicKey::from_spki(public.spki()).unwrap(), public);
        assert_eq!(
            public.id().to_string(),
            Digest::of(public.spki()).hex(),
            "the id is the sha256 of the SPKI"
        );
    }

    #[test]
    fn only_one_spelling_of_a_signature_verifies() {
        let key = key();
        let der = key.sign(b"x");
        let low = Signature::from_der(&der).unwrap();
        let (r, s) = low.split_scalars();
        let high = Signature::from_scalars(r, -s).unwrap();
        assert!(
            key.0.verifying_key().verify(b"x", &high).is_ok(),
            "p256 alone accepts it"
        );
        assert!(!key.public().verifies(b"x", high.to_der().as_bytes()));
        let mut long = der.clone();
        long.push(0);
        assert!(!key.public().verifies(b"x", &long));
        let mut ber = vec![0x30, 0x81, der[1]];
        ber.extend_from_slice(&der[2..]);
        assert!(!key.public().verifies(b"x", &ber));
        assert!(!key.public().verifies(b"x", &[]));
        assert!(key.public().verifies(b"x", &der));
    }
}
