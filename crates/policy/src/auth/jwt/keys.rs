//! Public keys of a verifier in the bundle, and selection of the key for a token.
//!
//! A key is selected by `kid` and by the kind of key that the algorithm needs (RFC 8725 §3.1). Keys
//! are never tried one after another, and a public key is never used as a shared secret.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use minicbor::{Decode, Encode};
use sha2::{Digest as _, Sha256};

use super::algorithm::{Algorithm, Family};

/// Minimum length of an RSA modulus whose signatures are verified on another thread: 3,072 bits.
const COSTLY_MODULUS_BYTES: usize = 3_072 / 8;
/// Maximum length of an RSA exponent whose signatures a worker verifies, in bytes. Keys in use have
/// the exponent 65537.
const CHEAP_EXPONENT_BYTES: usize = 3;

/// A public key (RFC 7517).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
#[cbor(map)]
pub struct PublicKey {
    /// Key id, `kid`.
    #[n(0)]
    pub kid: Option<String>,
    /// Only algorithm for which the key may be used (`alg`). `None`: any algorithm for this kind of
    /// key.
    #[n(1)]
    pub algorithm: Option<Algorithm>,
    /// Numbers that the public key consists of.
    #[n(2)]
    pub material: Material,
}

/// Numbers that a public key consists of, big-endian.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Material {
    /// RSA: modulus and exponent without leading zeros.
    #[n(0)]
    Rsa(
        #[cbor(n(0), with = "minicbor::bytes")] Vec<u8>,
        #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>,
    ),
    /// P-256: x and y, 32 bytes each.
    #[n(1)]
    P256(
        #[cbor(n(0), with = "minicbor::bytes")] Vec<u8>,
        #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>,
    ),
    /// P-384: x and y, 48 bytes each.
    #[n(2)]
    P384(
        #[cbor(n(0), with = "minicbor::bytes")] Vec<u8>,
        #[cbor(n(1), with = "minicbor::bytes")] Vec<u8>,
    ),
    /// Ed25519: 32 bytes.
    #[n(3)]
    Ed25519(#[cbor(n(0), with = "minicbor::bytes")] Vec<u8>),
}

impl Material {
    /// Kind of the key.
    #[must_use]
    pub const fn family(&self) -> Family {
        match self {
            Self::Rsa(..) => Family::Rsa,
            Self::P256(..) => Family::P256,
            Self::P384(..) => Family::P384,
            Self::Ed25519(_) => Family::Ed25519,
        }
    }

    /// True if verifying a signature takes more than 60 µs. Such signatures are not verified on a
    /// worker. P-384 takes 130 to 200 µs, RSA with 4,096 bits about 80 µs; the other keys at most
    /// 55 µs.
    #[must_use]
    pub fn is_costly(&self) -> bool {
        match self {
            Self::Rsa(n, e) => n.len() >= COSTLY_MODULUS_BYTES || e.len() > CHEAP_EXPONENT_BYTES,
            Self::P384(..) => true,
            Self::P256(..) | Self::Ed25519(_) => false,
        }
    }

    /// Thumbprint (RFC 7638): SHA-256 in base64url.
    #[must_use]
    pub fn thumbprint(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.thumbprint_sha256())
    }

    /// Thumbprint (RFC 7638) as the bytes of the SHA-256.
    #[must_use]
    pub fn thumbprint_sha256(&self) -> [u8; 32] {
        let base64 = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let curve = |name: &str, x: &[u8], y: &[u8]| {
            let (x, y) = (base64(x), base64(y));
            format!(r#"{{"crv":"{name}","kty":"EC","x":"{x}","y":"{y}"}}"#)
        };
        let canonical = match self {
            Self::Rsa(n, e) => {
                let (n, e) = (base64(n), base64(e));
                format!(r#"{{"e":"{e}","kty":"RSA","n":"{n}"}}"#)
            }
            Self::P256(x, y) => curve("P-256", x, y),
            Self::P384(x, y) => curve("P-384", x, y),
            Self::Ed25519(x) => {
                let x = base64(x);
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#)
            }
        };
        Sha256::digest(canonical).into()
    }
}

impl PublicKey {
    /// True if the key can verify tokens of an algorithm.
    #[must_use]
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        self.material.family() == algorithm.family()
            && self.algorithm.is_none_or(|only| only == algorithm)
    }

    /// Description of the key for plans: thumbprint, `alg` if the key has one, key id.
    #[must_use]
    pub fn describe(&self) -> String {
        let only = self.algorithm.map_or("", Algorithm::name);
        let space = if only.is_empty() { "" } else { " " };
        let kid = self.kid.as_deref().unwrap_or("(no kid)");
        format!("{} {only}{space}{kid}", self.material.thumbprint())
    }
}

/// Index of the key for a token. With `kid`, this is the key with that id; otherwise the only key
/// for the algorithm. `keys` contains each key's id, and true if the key is for the algorithm.
/// `None` if no key or several keys qualify.
pub(super) fn choose<'k>(
    keys: impl Iterator<Item = (Option<&'k str>, bool)>,
    kid: Option<&str>,
) -> Option<usize> {
    let fitting = keys.enumerate().filter(|(_, (_, fits))| *fits);
    let mut found = fitting.filter(|(_, (own, _))| kid.is_none() || *own == kid);
    match (found.next(), found.next()) {
        (Some((index, _)), None) => Some(index),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compares a thumbprint with the example of RFC 7638 §3.1.
    #[test]
    fn thumbprint_of_the_rfc_is_computed() {
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).unwrap();
        let key = Material::Rsa(decode(n), decode("AQAB"));
        assert_eq!(
            key.thumbprint(),
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
        );
    }

    #[test]
    fn keys_are_chosen_by_id_never_by_trying() {
        let keys = [(Some("a"), true), (Some("b"), true), (None, false)];
        let chosen = |kid| choose(keys.into_iter(), kid);
        assert_eq!(chosen(Some("a")), Some(0));
        assert_eq!(chosen(Some("b")), Some(1));
        assert_eq!(chosen(Some("c")), None);
        assert_eq!(chosen(None), None, "two keys fit");
        let keys = [(Some("a"), false), (Some("b"), true)];
        let chosen = |kid| choose(keys.into_iter(), kid);
        assert_eq!(chosen(None), Some(1));
        assert_eq!(chosen(Some("a")), None, "it is of another kind");
        let keys = [(Some("a"), true), (None, true)];
        let chosen = |kid| choose(keys.into_iter(), kid);
        assert_eq!(chosen(Some("a")), Some(0));
        assert_eq!(chosen(Some("c")), None);
        assert_eq!(chosen(None), None);
        let keys = [(None, true)];
        let chosen = |kid| choose(keys.into_iter(), kid);
        assert_eq!(chosen(None), Some(0));
        assert_eq!(chosen(Some("c")), None, "the key has no id");
    }
}
