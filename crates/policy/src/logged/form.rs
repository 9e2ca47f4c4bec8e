//! Forms of parameter values in the access log: parameters with a setting, keyed hashes, and paths
//! with hidden parts.

use std::fmt::Write as _;
use std::ops::Range;

use aws_lc_rs::hmac;
use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use minicbor::{Decode, Encode};

use crate::auth::decode_query;

/// Text that replaces a redacted value.
pub const REDACTED: &str = "REDACTED";

/// Parameter with a setting for the form of its values in the access log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(map)]
pub struct LoggedParameter {
    /// Location of the parameter.
    #[n(0)]
    pub place: LoggedLocation,
    /// Name of the parameter. The name of a field is in lower case.
    #[n(1)]
    pub name: String,
    /// Form of the values in the access log.
    #[n(2)]
    pub form: LogForm,
}

/// Location of a parameter whose value can occur in the access log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
#[cbor(index_only)]
pub enum LoggedLocation {
    /// Path parameter.
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
    /// The value as the client sent it, although a parameter of this name usually contains a
    /// credential.
    #[n(0)]
    Keep,
    /// The text [`REDACTED`] instead of the value.
    #[n(1)]
    Redact,
    /// Keyed hash of the value ([`HashKey::hash`]).
    #[n(2)]
    Hash,
}

/// Key for hashes of values. It is random, so hashes of two processes differ.
pub struct HashKey(hmac::Key);

// === impl LoggedParameter ===

impl LoggedParameter {
    /// Location and name, in the form in which settings refer to the parameter.
    #[must_use]
    pub fn label(&self) -> (&'static str, &str) {
        let place = match self.place {
            LoggedLocation::Path => "path",
            LoggedLocation::Query => "query",
            LoggedLocation::UserAgent => "header",
        };
        (place, &self.name)
    }
}

// === impl LogForm ===

impl LogForm {
    /// Name of the form in `x-gateway`.
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
    /// Creates a random key.
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

    /// Replaces a value by `hash:` and the first 16 hexadecimal digits of the HMAC-SHA-256 of the
    /// percent-decoded value. Equal values have equal hashes in one process. Without the key,
    /// a guess of the value cannot be checked against the hash.
    #[must_use]
    pub fn hash(&self, value: &str) -> String {
        self.hash_decoded(&decode_query(value))
    }

    /// Like [`Self::hash`], for a value that is not percent-encoded.
    #[must_use]
    pub fn hash_decoded(&self, value: &[u8]) -> String {
        let tag = hmac::sign(&self.0, value);
        let mut text = String::from("hash:");
        for byte in &tag.as_ref()[..8] {
            let _infallible = write!(text, "{byte:02x}");
        }
        text
    }
}

/// Returns a path in which some parts are replaced. `parts` are byte ranges of the path, each with
/// its form. `hide` gets the form and the text of a part, and returns the replacement. Overlapping
/// parts are replaced as one.
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

/// Parts of a path that may be the user information of a URL (`USER:PASSWORD@`): the text of a
/// segment before its last `@`. Clients that use the gateway as a proxy, or build a URL twice, send
/// user information in a path that no operation describes.
pub fn user_information(path: &str) -> impl Iterator<Item = (Range<usize>, LogForm)> {
    let mut start = 0;
    path.split('/').filter_map(move |segment| {
        let from = start;
        start += segment.len() + 1;
        let length = segment.rfind('@').max(segment.rfind("%40"))?;
        (length > 0).then_some((from..from + length, LogForm::Redact))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_information_ends_at_the_last_at_sign() {
        let hide = |_: LogForm, _: &str| REDACTED.to_owned();
        for (path, expected) in [
            ("/http://joe:secret@h/x", "/http://REDACTED@h/x"),
            ("/https:/joe%3As%40cret%40h/x", "/https:/REDACTED%40h/x"),
            ("//joe:p%40ss@h:80", "//REDACTED@h:80"),
            ("/a:b@c@d/e@f", "/REDACTED@d/REDACTED@f"),
            ("/@scope/name:x", "/@scope/name:x"),
            ("/%40scope", "/%40scope"),
            ("/", "/"),
        ] {
            let parts = user_information(path).collect();
            let expected = expected.replace("REDACTED", REDACTED);
            assert_eq!(shown_path(path, parts, hide), expected, "{path}");
        }
    }

    #[test]
    fn hashes_depend_on_key_and_decoded_value() {
        let [one, other] = [b"one", b"two"].map(|secret| HashKey::of(secret));
        assert_eq!(one.hash("a%40b"), one.hash("a@b"));
        assert_eq!(one.hash("a%40b"), one.hash_decoded(b"a@b"));
        assert_ne!(one.hash_decoded(b"a%40b"), one.hash_decoded(b"a@b"));
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
