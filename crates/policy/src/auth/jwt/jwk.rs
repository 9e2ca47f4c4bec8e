//! Parser of public keys in JWK sets (RFC 7517, RFC 7518 §6, RFC 8037 §2), for sets in a project
//! and sets that gwd fetches.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::algorithm::{Algorithm, Family};
use super::json::{self, Json, Object};
use super::keys::{Material, PublicKey};

/// Maximum number of keys in a set.
pub(super) const KEYS_MAX: usize = 100;

/// Names of the members that only private keys and shared secrets have.
const PRIVATE: &[&str] = &["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Encodings of the Ed25519 points of small order. A public key with one of these encodings is
/// refused, because one signature can be valid for many messages with this key.
const SMALL_ORDER: [[u8; 32]; 7] = [
    with_ends(0, 0, 0),
    with_ends(1, 0, 0),
    with_ends(0xec, 0xff, 0x7f),
    with_ends(0xed, 0xff, 0x7f),
    with_ends(0xee, 0xff, 0x7f),
    [
        0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98,
        0xf0, 0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53,
        0xfc, 0x05,
    ],
    [
        0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67,
        0x0f, 0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac,
        0x03, 0x7a,
    ],
];

const fn with_ends(first: u8, middle: u8, last: u8) -> [u8; 32] {
    let mut bytes = [middle; 32];
    bytes[0] = first;
    bytes[31] = last;
    bytes
}

/// Access to the members of a key in a JWK set. Implemented for the parser of project files and the
/// parser of fetched sets.
pub(in crate::auth) trait Jwk {
    /// Value of a member that is a string.
    fn text(&self, name: &str) -> Option<&str>;
    /// True if the key has the member.
    fn has(&self, name: &str) -> bool;
    /// Strings of the list `key_ops`. `None` if the key has no such member.
    fn operations(&self) -> Option<Vec<&str>>;
}

/// Reason why a key is not used.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::auth) enum KeyError {
    /// The key is invalid, private or weak. The second field is a help text for the author of the
    /// key.
    Bad(String, &'static str),
    /// The type of the key (`kty` or `crv`) is unknown.
    Unknown(String),
}

/// Parses a fetched key set. Leaves out keys that are not for signatures, private keys, weak keys
/// and keys of unknown types.
///
/// # Errors
/// Text of the reason why the set has no usable key.
pub fn read_set(bytes: &[u8]) -> Result<Vec<PublicKey>, &'static str> {
    let set = json::object(bytes).map_err(|_| "it is not a JSON object")?;
    let Some(Json::List(all)) = set.get("keys") else {
        return Err("it has no list `keys` (RFC 7517 §5)");
    };
    if all.len() > KEYS_MAX {
        return Err("it has more than 100 keys");
    }
    let objects = all.iter().filter_map(|key| match key {
        Json::Object(key) if !is_for_encryption(key) => Some(key),
        _ => None,
    });
    let mut keys: Vec<PublicKey> = objects.filter_map(|object| key(object).ok()).collect();
    keys.sort();
    keys.dedup();
    match keys.is_empty() {
        true => Err("it has no usable public key"),
        false => Ok(keys),
    }
}

impl Jwk for Object {
    fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Json::as_text)
    }

    fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    fn operations(&self) -> Option<Vec<&str>> {
        let Json::List(all) = self.get("key_ops")? else {
            return Some(Vec::new());
        };
        Some(all.iter().filter_map(Json::as_text).collect())
    }
}

/// True if a key is for encryption, not for signatures (RFC 7517 §4.2, §4.3).
pub(in crate::auth) fn is_for_encryption(key: &impl Jwk) -> bool {
    let operations = key.operations().map(|all| all.contains(&"verify"));
    key.text("use").is_some_and(|purpose| purpose != "sig") || operations == Some(false)
}

/// Parses a public key.
///
/// # Errors
/// The key is invalid, private, weak or of an unknown type.
pub(in crate::auth) fn key(node: &impl Jwk) -> Result<PublicKey, KeyError> {
    if let Some(private) = PRIVATE.iter().find(|name| node.has(name)) {
        return Err(KeyError::Bad(
            format!("`{private}` is the private part of a key"),
            "replace the key everywhere, and write its public members only",
        ));
    }
    let text = |name: &str| node.text(name);
    let material = match (text("kty"), text("crv")) {
        (Some("RSA"), _) => rsa(node)?,
        (Some("EC"), Some("P-256")) => point(node, Family::P256, 32)?,
        (Some("EC"), Some("P-384")) => point(node, Family::P384, 48)?,
        (Some("OKP"), Some("Ed25519")) => point(node, Family::Ed25519, 32)?,
        (Some(kty), curve) => {
            let curve = curve.map_or(String::new(), |curve| {
                format!(" with `crv` `{}`", curve.escape_debug())
            });
            let kty = kty.escape_debug();
            return Err(KeyError::Unknown(format!(
                "`kty` `{kty}`{curve} is not a known kind of key"
            )));
        }
        (None, _) => {
            return Err(KeyError::Bad(
                "this is not a key: it has no `kty`".to_owned(),
                "write a JWK (RFC 7517 §4)",
            ));
        }
    };
    let algorithm = match text("alg") {
        None => None,
        Some(name) => match Algorithm::of(name) {
            Some(algorithm) if algorithm.family() == material.family() => Some(algorithm),
            _ => {
                let name = name.escape_debug();
                return Err(KeyError::Unknown(format!(
                    "the key's type does not support `alg: {name}`"
                )));
            }
        },
    };
    Ok(PublicKey {
        kid: text("kid").map(str::to_owned),
        algorithm,
        material,
    })
}

fn number(node: &impl Jwk, name: &str) -> Result<Vec<u8>, KeyError> {
    let text = node.text(name);
    let bytes = text.and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    bytes.ok_or_else(|| {
        KeyError::Bad(
            format!("`{name}` is not base64url without padding"),
            "write a JWK (RFC 7518 §6)",
        )
    })
}

fn rsa(node: &impl Jwk) -> Result<Material, KeyError> {
    let plain = |bytes: Vec<u8>| {
        let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
        bytes[zeros..].to_vec()
    };
    let (n, e) = (plain(number(node, "n")?), plain(number(node, "e")?));
    let bits =
        (n.len() * 8).saturating_sub(n.first().map_or(0, |top| top.leading_zeros() as usize));
    if !(2048..=8192).contains(&bits) {
        return Err(KeyError::Bad(
            format!("an RSA key of {bits} bits"),
            "use a key of 2048 to 8192 bits (RFC 7518 §3.3)",
        ));
    }
    let remainder = |divisor: u32| {
        n.iter()
            .fold(0u32, |rest, byte| (rest << 8 | u32::from(*byte)) % divisor)
    };
    if (2..1000).any(|divisor| remainder(divisor) == 0) {
        return Err(KeyError::Bad(
            "the modulus has a small factor".to_owned(),
            "make a new key: this one can be broken",
        ));
    }
    let fits = e.len() <= 4 && e != [1] && e.last().is_some_and(|last| last % 2 == 1);
    if !fits {
        return Err(KeyError::Bad(
            "the exponent is not odd, or is not in 3 to 2^32".to_owned(),
            "make a new key with the exponent 65537",
        ));
    }
    Ok(Material::Rsa(n, e))
}

fn point(node: &impl Jwk, family: Family, bytes: usize) -> Result<Material, KeyError> {
    let off = || {
        KeyError::Bad(
            "the key is not a point on its curve".to_owned(),
            "copy the public members (`x`, and `y` of an EC key) unchanged from the issuer",
        )
    };
    let x = number(node, "x")?;
    if x.len() != bytes {
        return Err(off());
    }
    if family == Family::Ed25519 {
        let mut unsigned: [u8; 32] = x.as_slice().try_into().map_err(|_| off())?;
        unsigned[31] &= 0x7f;
        if SMALL_ORDER.contains(&unsigned) {
            return Err(KeyError::Bad(
                "the key is a point of small order".to_owned(),
                "generate a new key: anyone can forge signatures for this key",
            ));
        }
        ParsedPublicKey::new(&ED25519, &x).map_err(|_| off())?;
        return Ok(Material::Ed25519(x));
    }
    let y = number(node, "y")?;
    let whole = [&[4], x.as_slice(), y.as_slice()].concat();
    if y.len() != bytes {
        return Err(off());
    }
    if family == Family::P256 {
        ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, &whole).map_err(|_| off())?;
        return Ok(Material::P256(x, y));
    }
    ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, &whole).map_err(|_| off())?;
    Ok(Material::P384(x, y))
}

#[cfg(test)]
mod tests {
    use super::*;

    const X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

    #[test]
    fn unusable_keys_of_a_provider_are_left_out() {
        let good = format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"a","x":"{X}"}}"#);
        let set =
            |more: &str| read_set(format!(r#"{{"keys":[{more}{good}],"other":1}}"#).as_bytes());
        for other in [
            String::new(),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}","d":"AAAA"}},"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}","use":"enc"}},"#),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{X}","key_ops":["sign"]}},"#),
            r#"{"kty":"oct","k":"AAAA"},"#.to_owned(),
            r#"{"kty":"RSA","n":"AQAB","e":"AQAB"},"#.to_owned(),
            r#"{"kty":"new"},"#.to_owned(),
            "1,".to_owned(),
        ] {
            let keys = set(&other).unwrap();
            assert_eq!(keys.len(), 1, "{other}");
            assert_eq!(keys[0].kid.as_deref(), Some("a"));
        }
    }

    #[test]
    fn set_without_a_usable_key_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            r#"{"keys": []}"#,
            r#"{"keys": {}}"#,
            r#"{"keys": [{"kty":"oct","k":"AAAA"}]}"#,
            r#"{"keys": [], "keys": []}"#,
            "<html>",
        ] {
            assert!(read_set(text.as_bytes()).is_err(), "{text}");
        }
        let many = vec!["{}"; KEYS_MAX + 1].join(",");
        let many = format!(r#"{{"keys":[{many}]}}"#);
        assert_eq!(read_set(many.as_bytes()), Err("it has more than 100 keys"));
    }
}
