//! Content of a signed request. The signature covers the field `Content-Digest` (RFC 9530), not the
//! content itself. The content is therefore hashed while it arrives, and its digest is compared at
//! the end.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest;
use md5::{Digest as _, Md5};
use sfv::{BareItem, ListEntry};

use super::{Reason, structured};

/// Request content that a verified signature permits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// The content must be empty, because the signature covers no digest of it.
    Empty,
    /// The content must have all of these digests. At least one digest is present.
    Digests {
        /// SHA-256 of the content.
        sha256: Option<[u8; 32]>,
        /// SHA-512 of the content.
        sha512: Option<[u8; 64]>,
    },
    /// The content must have this MD5 (RFC 1864), in the styles `aliyun` and `tencent`. MD5 is
    /// weak: an attacker who chooses the content that a client signs can make other content with
    /// the same digest.
    Md5([u8; 16]),
}

/// Digest computation for content while the content arrives.
pub struct Hashing {
    content: Content,
    sha256: Option<digest::Context>,
    sha512: Option<digest::Context>,
    md5: Option<Md5>,
    is_empty: bool,
}

impl std::fmt::Debug for Content {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Digests { .. } => "Digests(…)",
            Self::Md5(_) => "Md5(…)",
        })
    }
}

impl Content {
    /// Parses a value of `Content-Digest`. Ignores members with algorithms other than SHA-256 and
    /// SHA-512 (RFC 9530 §2, §5).
    ///
    /// # Errors
    /// The value is malformed, or has neither `sha-256` nor `sha-512`.
    pub(super) fn of(value: &[u8]) -> Result<Self, Reason> {
        let members = structured::dictionary(value).map_err(|_| Reason::Digest)?;
        let bytes = |name: &str| match members.get(name) {
            None => Ok(None),
            Some(ListEntry::Item(item)) => match &item.bare_item {
                BareItem::ByteSequence(bytes) => Ok(Some(bytes.as_slice())),
                _ => Err(Reason::Digest),
            },
            Some(ListEntry::InnerList(_)) => Err(Reason::Digest),
        };
        let sha256 = bytes("sha-256")?.map(<[u8; 32]>::try_from);
        let sha512 = bytes("sha-512")?.map(<[u8; 64]>::try_from);
        if sha256.is_none() && sha512.is_none() {
            return Err(Reason::Digest);
        }
        Ok(Self::Digests {
            sha256: sha256.transpose().map_err(|_| Reason::Digest)?,
            sha512: sha512.transpose().map_err(|_| Reason::Digest)?,
        })
    }

    /// Starts the computation of the digests.
    #[must_use]
    pub fn hashing(self) -> Hashing {
        let (has_256, has_512) = match &self {
            Self::Empty | Self::Md5(_) => (false, false),
            Self::Digests { sha256, sha512 } => (sha256.is_some(), sha512.is_some()),
        };
        let begin = |algorithm| digest::Context::new(algorithm);
        Hashing {
            content: self,
            sha256: has_256.then(|| begin(&digest::SHA256)),
            sha512: has_512.then(|| begin(&digest::SHA512)),
            md5: matches!(self, Self::Md5(_)).then(Md5::new),
            is_empty: true,
        }
    }

    /// True if the signature allows this complete content.
    #[must_use]
    pub fn is(self, content: &[u8]) -> bool {
        let mut hashing = self.hashing();
        hashing.add(content);
        hashing.is_expected()
    }
}

impl Hashing {
    /// Adds the next bytes of the content to the digests.
    pub fn add(&mut self, bytes: &[u8]) {
        self.is_empty &= bytes.is_empty();
        for context in [&mut self.sha256, &mut self.sha512].into_iter().flatten() {
            context.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }

    /// True if the content cannot match any more, regardless of further bytes: bytes arrived
    /// although the signature allows no content.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        self.content == Content::Empty && !self.is_empty
    }

    /// True if the content that was added matches all digests. Call at the end of the content.
    #[must_use]
    pub fn is_expected(self) -> bool {
        let (sha256, sha512) = match (self.content, self.md5) {
            (Content::Digests { sha256, sha512 }, _) => (sha256, sha512),
            (Content::Md5(expected), Some(md5)) => {
                return verify_slices_are_equal(&md5.finalize(), &expected).is_ok();
            }
            (Content::Empty | Content::Md5(_), _) => return self.is_empty,
        };
        let same = |expected: Option<&[u8]>, context: Option<digest::Context>| {
            let Some((expected, context)) = expected.zip(context) else {
                return true;
            };
            verify_slices_are_equal(context.finish().as_ref(), expected).is_ok()
        };
        let first = same(sha256.as_ref().map(|one| &one[..]), self.sha256);
        let second = same(sha512.as_ref().map(|one| &one[..]), self.sha512);
        first && second
    }
}

impl std::fmt::Debug for Hashing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hashing(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Digests of RFC 9530 §B.1 and §B.2, of `{"hello": "world"}` and a line end.
    const SHA256: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    const SHA512: &str = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";
    const HELLO: &[u8] = b"{\"hello\": \"world\"}\n";

    #[test]
    fn all_known_digests_are_compared() {
        let both = format!("{SHA256}, {SHA512}");
        let wrong = format!("{SHA256}, sha-512=:{}:", "A".repeat(86) + "==");
        let unknown = format!("md5=:AAAA:, {SHA256};x=1, unixsum=4");
        for (value, content, expected) in [
            (SHA256, HELLO, true),
            (SHA512, HELLO, true),
            (both.as_str(), HELLO, true),
            (unknown.as_str(), HELLO, true),
            (wrong.as_str(), HELLO, false),
            (SHA256, &HELLO[..18], false),
            (SHA256, b"", false),
            (
                "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:",
                b"",
                true,
            ),
        ] {
            let read = Content::of(value.as_bytes()).unwrap();
            assert_eq!(read.is(content), expected, "{value}");
        }
        // RFC 1321 §A.5.
        let abc =
            Content::Md5(*b"\x90\x01\x50\x98\x3c\xd2\x4f\xb0\xd6\x96\x3f\x7d\x28\xe1\x7f\x72");
        assert!(abc.is(b"abc") && !abc.is(b"abd") && !abc.is(b""));
        assert!(Content::Empty.is(b""));
        assert!(!Content::Empty.is(b"x"));
    }

    #[test]
    fn content_in_pieces_has_the_same_digest() {
        let read = Content::of(SHA256.as_bytes()).unwrap();
        let mut hashing = read.hashing();
        for piece in HELLO.chunks(7) {
            hashing.add(piece);
            assert!(!hashing.is_hopeless());
        }
        assert!(hashing.is_expected());
        let mut none = Content::Empty.hashing();
        none.add(b"");
        assert!(!none.is_hopeless());
        none.add(b"x");
        assert!(none.is_hopeless());
    }

    #[test]
    fn digests_that_cannot_be_checked_are_refused() {
        for value in [
            "",
            "md5=:1B2M2Y8AsgTpgAmY7PhCfg==:",
            "sha-256",
            "sha-256=?1",
            "sha-256=\"RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=\"",
            "sha-256=(:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:)",
            "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabA==:",
            "sha-256=RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=",
            "SHA-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:",
            &format!("{SHA256}, {SHA256}"),
            &format!("{SHA256}, sha-512=1"),
        ] {
            assert_eq!(
                Content::of(value.as_bytes()),
                Err(Reason::Digest),
                "{value}"
            );
        }
    }
}
