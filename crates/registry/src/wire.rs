//! Parsers of a registry's JSON responses, with limits.

use bundle::digest::Digest;
use bundle::oci::Descriptor;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Media type of an index of manifests.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// Maximum length of a page of tags, in bytes. Some registries send all tags in one page.
pub const TAGS_BYTES_MAX: u64 = 16 << 20;
/// Maximum length of all pages of a list of tags together, in bytes.
pub const TAG_LIST_BYTES_MAX: u64 = 32 << 20;
/// Maximum length of a tag, in bytes (OCI distribution specification 1.1, "Pulling manifests").
const TAG_BYTES_MAX: usize = 128;
/// Maximum number of tags of a repository.
pub const TAGS_MAX: usize = 200_000;
/// Maximum length of an index, in bytes.
pub const INDEX_BYTES_MAX: u64 = 4 << 20;
/// Maximum number of manifests that an index lists.
pub const INDEX_MAX: usize = 10_000;
/// Maximum length of the response of a token endpoint, in bytes.
pub const TOKEN_BYTES_MAX: u64 = 64 << 10;
/// Maximum length of an error response that is read, in bytes.
pub const ERROR_BYTES_MAX: u64 = 16 << 10;
/// Maximum length of the registry's own text in an error message, in characters.
const SHOWN_MAX: usize = 120;

/// Error: a response of a registry cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);

/// Entry of an index of manifests. Entries of other digest algorithms are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// Reference to the manifest.
    pub descriptor: Descriptor,
    /// `artifactType` of the manifest.
    pub artifact_type: Option<String>,
}

/// Token from a token endpoint. Its memory is overwritten on drop.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct Token(pub String);

#[derive(Deserialize)]
struct Tags {
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Tokens {
    token: Option<String>,
    access_token: Option<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Index {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Vec<Entry>,
}

#[derive(Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    media_type: String,
    digest: String,
    size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Vec<Error>,
}

#[derive(Deserialize)]
struct Error {
    code: Option<String>,
    message: Option<String>,
}

/// Reads a page of tags.
///
/// # Errors
/// The bytes are not a list of tags, the list is too long, or a tag is longer than 128 bytes.
pub fn tags(bytes: &[u8]) -> Result<Vec<String>, Unreadable> {
    check(bytes, TAGS_BYTES_MAX)?;
    let read: Tags =
        serde_json::from_slice(bytes).map_err(|_| Unreadable("the list of tags is not valid"))?;
    let tags = read.tags.unwrap_or_default();
    if tags.len() > TAGS_MAX {
        return Err(Unreadable("the repository has too many tags"));
    }
    match tags.iter().any(|tag| tag.len() > TAG_BYTES_MAX) {
        true => Err(Unreadable("the list has a tag of more than 128 bytes")),
        false => Ok(tags),
    }
}

/// Reads the token in the response of a token endpoint.
///
/// # Errors
/// The bytes contain no usable token.
pub fn token(bytes: &[u8]) -> Result<Token, Unreadable> {
    check(bytes, TOKEN_BYTES_MAX)?;
    let read: Tokens =
        serde_json::from_slice(bytes).map_err(|_| Unreadable("the token is not valid JSON"))?;
    let token = read.token.filter(|token| !token.is_empty());
    let token = token.or(read.access_token).map(Token);
    let usable =
        |token: &Token| !token.0.is_empty() && token.0.bytes().all(|byte| byte.is_ascii_graphic());
    token
        .filter(usable)
        .ok_or(Unreadable("the answer has no token"))
}

/// Reads an index of manifests.
///
/// # Errors
/// The bytes are not an index, or the index lists too many manifests.
pub fn index(bytes: &[u8]) -> Result<Vec<IndexEntry>, Unreadable> {
    check(bytes, INDEX_BYTES_MAX)?;
    let read: Index =
        serde_json::from_slice(bytes).map_err(|_| Unreadable("the index is not valid"))?;
    let other = read.media_type.is_some_and(|kind| kind != INDEX);
    if read.schema_version != 2 || other {
        return Err(Unreadable("the index has another format"));
    }
    if read.manifests.len() > INDEX_MAX {
        return Err(Unreadable("the index lists too many manifests"));
    }
    let entries = read.manifests.into_iter().filter_map(|entry| {
        Some(IndexEntry {
            descriptor: Descriptor {
                digest: entry.digest.parse().ok()?,
                media_type: entry.media_type,
                size: entry.size,
            },
            artifact_type: entry.artifact_type,
        })
    });
    Ok(entries.collect())
}

/// Writes an index of manifests.
#[must_use]
pub fn write_index(entries: &[IndexEntry]) -> Vec<u8> {
    let manifests = entries.iter().map(|entry| Entry {
        media_type: entry.descriptor.media_type.clone(),
        digest: entry.descriptor.digest.to_string(),
        size: entry.descriptor.size,
        artifact_type: entry.artifact_type.clone(),
    });
    let index = Index {
        schema_version: 2,
        media_type: Some(INDEX.to_owned()),
        manifests: manifests.collect(),
    };
    serde_json::to_vec(&index).expect("strings and numbers always have a JSON form")
}

/// Digests that an index lists.
#[must_use]
pub fn digests(entries: &[IndexEntry]) -> Vec<Digest> {
    let digests = entries.iter().map(|entry| entry.descriptor.digest);
    digests.collect()
}

/// First error of an error response, for a message: printable ASCII, shortened. `None` if the
/// response has no error in the specified format.
#[must_use]
pub fn error(bytes: &[u8]) -> Option<String> {
    check(bytes, ERROR_BYTES_MAX).ok()?;
    let read: Errors = serde_json::from_slice(bytes).ok()?;
    let first = read.errors.into_iter().next()?;
    let text = match (first.code, first.message) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (one, other) => one.or(other)?,
    };
    let printable = |c: char| match c.is_ascii_graphic() || c == ' ' {
        true => c,
        false => '?',
    };
    Some(text.chars().take(SHOWN_MAX).map(printable).collect())
}

fn check(bytes: &[u8], max: u64) -> Result<(), Unreadable> {
    match bytes.len() as u64 > max {
        true => Err(Unreadable("the answer is too long")),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_registries_are_read() {
        let read = tags(br#"{"name":"a","tags":["x","y"]}"#).unwrap();
        assert_eq!(read, ["x", "y"]);
        assert!(tags(br#"{"name":"a","tags":null}"#).unwrap().is_empty());
        assert_eq!(token(br#"{"token":"abc"}"#).unwrap().0, "abc");
        let both = br#"{"token":"","access_token":"abc","expires_in":60}"#;
        assert_eq!(token(both).unwrap().0, "abc");
        let entry = IndexEntry {
            descriptor: Descriptor::empty(),
            artifact_type: Some("a/b".to_owned()),
        };
        let written = write_index(std::slice::from_ref(&entry));
        assert_eq!(index(&written).unwrap(), [entry]);
        let other = br#"{"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"sha512:00","size":1,"annotations":{}}]}"#;
        assert!(index(other).unwrap().is_empty());
        let denied = br#"{"errors":[{"code":"DENIED","message":"no\u001b access"}]}"#;
        assert_eq!(error(denied).unwrap(), "DENIED: no? access");
    }

    #[test]
    fn bad_answers_are_refused() {
        for bad in [
            &b""[..],
            b"{",
            b"[]",
            b"{\"tags\":[1]}",
            b"<html>",
            b"{\"tags\":\"x\"}",
        ] {
            assert!(tags(bad).is_err(), "{bad:?}");
            assert!(index(bad).is_err(), "{bad:?}");
            assert!(token(bad).is_err(), "{bad:?}");
            assert_eq!(error(bad), None, "{bad:?}");
        }
        assert!(token(b"{\"token\":\"a b\"}").is_err());
        assert!(token(b"{\"token\":\"a\\nb\"}").is_err());
        assert!(token(&vec![b' '; TOKEN_BYTES_MAX as usize + 1]).is_err());
        let many = format!("{{\"tags\":[{}\"\"]}}", "\"\",".repeat(TAGS_MAX));
        assert!(tags(many.as_bytes()).is_err());
        let long = |length| format!("{{\"tags\":[\"{}\"]}}", "t".repeat(length));
        assert!(tags(long(TAG_BYTES_MAX).as_bytes()).is_ok());
        assert!(tags(long(TAG_BYTES_MAX + 1).as_bytes()).is_err());
        assert_eq!(error(&[b' '; ERROR_BYTES_MAX as usize + 1]), None);
    }
}
