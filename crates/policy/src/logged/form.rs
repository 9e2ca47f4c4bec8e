//! Parameters with a form of their own, keyed hashes, and paths with hidden parts.

use std::fmt::Write as _;
use std::ops::Range;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use minicbor::{Decode, Encode};

use crate::auth::decode_query;

/// Text in place of a redacted value.
pub const REDACTED: &str = "REDACTED";

/// Parameter whose values the access log does not contain as usual.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct LoggedParameter {
    /// Place of the parameter.
    #[n(0)]
    pub place: LoggedPlace,
    /// Name of the parameter; in lower case for a field.
    #[n(1)]
    pub name: String,
    /// Form of the values.
    #[n(2)]
    pub form: LogForm,
}

/// Place of a parameter that the access log contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum LoggedPlace {
    /// Part of the path.
    #[n(0)]
    Path,
    /// Query parameter.
    #[n(1)]
    Query,
    /// Request field `User-Agent`.
    #[n(2)]
    UserAgent,
}

/// Form of a value in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum LogForm {
    /// The value as the client sent it, although the name is usual for credentials.
    #[n(0)]
    Keep,
    /// [`REDACTED`].
    #[n(1)]
    Redact,
    /// Keyed hash of the value ([`HashKey::hash`]).
    #[n(2)]
    Hash,
}

/// Key of the hashes of one process.
pub struct HashKey(hmac::Key);

// === impl LoggedParameter ===

impl LoggedParameter {
    /// Place and name, as settings name the parameter.
    #[must_use]
    pub fn label(&self) -> (&'static str, &str) {
        let place = match self.place {
            LoggedPlace::Path => "path",
            LoggedPlace::Query => "query",
            LoggedPlace::UserAgent => "header",
        };
        (place, &self.name)
    }
}

// === impl LogForm ===

impl LogForm {
    /// Word for the form in `x-gateway`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Keep => "keep",
            Self::Redact => "redact",
            Self::Hash => "hash",
        }
    }
}

// === impl HashKey ===

impl HashKey {
    /// New random key.
    ///
    /// # Panics
    /// If the system has no random numbers.
    #[must_use]
    pub fn random() -> Self {
        let mut secret = [0; 32];
        let filled = SystemRandom::new().fill(&mut secret);
        filled.expect("the system has random numbers");
        Self::of(&secret)
    }

    fn of(secret: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// `hash:` and the first 16 hexadecimal digits of the HMAC-SHA-256 of a value, after its
    /// percent-decoding. Equal values have equal hashes in one process. Without the key, the
    /// hash of a guessed value cannot be compared.
    #[must_use]
    pub fn hash(&self, value: &str) -> String {
        let tag = hmac::sign(&self.0, &decode_query(value));
        let mut text = String::from("hash:");
        for byte in &tag.as_ref()[..8] {
            let _infallible = write!(text, "{byte:02x}");
        }
        text
    }
}

/// Path with other text in place of some of its parts. `parts` are byte ranges of the path, with the
/// forms that `hide` gets together with the text of the part. Overlapping parts are hidden as one.
pub fn shown_path(
    path: &str,
    mut parts: Vec<(Range<usize>, LogForm)>,
    hide: impl Fn(LogForm, &str) -> String,
) -> String {
    parts.sort_by_key(|(range, _)| (range.start, std::cmp::Reverse(range.end)));
    let mut shown = String::with_capacity(path.len());
    let mut at = 0;
    for (range, form) in parts {
        let start = range.start.max(at);
        let (Some(before), Some(hidden)) = (path.get(at..start), path.get(start..range.end)) else {
            continue;
        };
        shown.push_str(before);
        if !hidden.is_empty() {
            shown.push_str(&hide(form, hidden));
        }
        at = range.end;
    }
    shown.push_str(path.get(at..).unwrap_or_default());
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_depend_on_key_and_decoded_value() {
        let [one, other] = [b"one", b"two"].map(|secret| HashKey::of(secret));
        assert_eq!(one.hash("a%40b"), one.hash("a@b"));
        assert_ne!(one.hash("a@b"), one.hash("a@c"));
        assert_ne!(one.hash("a@b"), other.hash("a@b"));
        assert_eq!(one.hash("").len(), "hash:".len() + 16);
        assert_ne!(HashKey::random().hash("a"), HashKey::random().hash("a"));
    }

    #[test]
    fn parts_of_a_path_are_hidden() {
        let hide = |form: LogForm, text: &str| format!("<{} {text}>", form.word());
        let shown = |parts: &[(Range<usize>, LogForm)]| shown_path("/a/bc/d", parts.to_vec(), hide);
        assert_eq!(shown(&[]), "/a/bc/d");
        assert_eq!(shown(&[(3..5, LogForm::Redact)]), "/a/<redact bc>/d");
        assert_eq!(
            shown(&[(6..7, LogForm::Hash), (1..2, LogForm::Redact)]),
            "/<redact a>/bc/<hash d>"
        );
        assert_eq!(
            shown(&[
                (3..5, LogForm::Redact),
                (3..4, LogForm::Hash),
                (4..7, LogForm::Hash)
            ]),
            "/a/<redact bc><hash /d>"
        );
        assert_eq!(shown(&[(5..99, LogForm::Redact)]), "/a/bc/d");
    }
}
