//! SHA-256 digests. All references to blobs are digests.
//!
//! A digest is written as `sha256:` and 64 lower-case hex digits, as in the OCI image
//! specification.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::malformed::Malformed;

/// SHA-256 of a blob, which identifies bundles, statements and records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Computes the digest of bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Computes one digest for each of `ends`: that of `start` followed by the end. Hashes `start`
    /// only once.
    pub fn of_each<E: AsRef<[u8]>>(
        start: &[u8],
        ends: impl IntoIterator<Item = E>,
    ) -> impl Iterator<Item = Self> {
        let start = Sha256::new_with_prefix(start);
        ends.into_iter()
            .map(move |end| Self(start.clone().chain_update(end).finalize().into()))
    }

    /// Creates a digest from a SHA-256 that was computed elsewhere, for example over a stream.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes of the digest.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Digest as 64 lower-case hex digits, which is the file name below `blobs/sha256/`.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0)
    }

    /// First 12 hexadecimal digits, for display only.
    #[must_use]
    pub fn short(&self) -> String {
        hex(&self.0[..6])
    }

    /// Parses 64 lower-case hex digits.
    ///
    /// # Errors
    /// [`Malformed`] for anything else, upper case included.
    pub fn from_hex(text: &str) -> Result<Self, Malformed> {
        unhex(text)
            .map(Self)
            .ok_or(Malformed::new("digest", "not 64 lower-case hex digits"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let hex = text
            .strip_prefix("sha256:")
            .ok_or(Malformed::new("digest", "does not begin with `sha256:`"))?;
        Self::from_hex(hex)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse()
            .map_err(|_| D::Error::custom("not `sha256:` and 64 lower-case hex digits"))
    }
}

/// Encodes bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

/// Decodes exactly 64 lower-case hex digits.
pub(crate) fn unhex(text: &str) -> Option<[u8; 32]> {
    let text: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

const fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_empty_digest_is_the_well_known_one() {
        let digest = Digest::of(b"");
        assert_eq!(
            digest.to_string(),
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(digest.short(), "e3b0c44298fc");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    #[test]
    fn texts_with_a_common_start_have_their_own_digests() {
        let ends = ["", "a", "bc"];
        let found: Vec<Digest> = Digest::of_each(b"start", ends).collect();
        let expected = ends.map(|end| Digest::of(format!("start{end}").as_bytes()));
        assert_eq!(found, expected);
    }

    #[test]
    fn other_spellings_are_refused() {
        let good = Digest::of(b"").to_string();
        for bad in [
            good.to_uppercase(),
            good.replace("sha256:", ""),
            good.replace("sha256:", "sha512:"),
            format!("{good}0"),
            good[..good.len() - 1].to_owned(),
            format!(" {good}"),
            good.replacen('e', "E", 1),
        ] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }
}
