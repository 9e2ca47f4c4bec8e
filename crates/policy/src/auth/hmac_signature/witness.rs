//! Substitutes for signatures, without a MAC. gwc uses them in the example requests of plans. A
//! substitute is a text with the properties that a verifier checks. gwd is built without the
//! feature `author` and never accepts a substitute.
//!
//! ```text
//! witness hmac-sha256 KEYID=${env:NAME} 300000 nonce digest @method @path
//! ```

use super::{Algorithm, Checked, Reason};

/// Creates the substitute of a signature. `key` is the key id with the reference of its secret;
/// `facts` are the covered components and the keywords `nonce` and `digest`. Spaces are escaped.
pub fn text<'f>(
    algorithm: &str,
    key: &str,
    age_ms: u64,
    facts: impl IntoIterator<Item = &'f str>,
) -> String {
    let facts = facts.into_iter().map(escaped);
    let facts: Vec<String> = facts.collect();
    let key = escaped(key);
    format!("witness {algorithm} {key} {age_ms} {}", facts.join(" "))
}

/// Replaces `%` and spaces by percent-escapes.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace(' ', "%20")
}

fn plain(text: &str) -> String {
    text.replace("%20", " ").replace("%25", "%")
}

/// Properties of a signature, parsed from its substitute.
pub(super) struct Shown {
    algorithm: Algorithm,
    key: String,
    age_ms: u64,
    facts: Vec<String>,
}

impl Shown {
    pub(super) fn of(credential: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(credential).ok()?;
        let mut words = text.strip_prefix("witness ")?.split(' ');
        Some(Self {
            algorithm: Algorithm::of(words.next()?)?,
            key: plain(words.next()?),
            age_ms: words.next()?.parse().ok()?,
            facts: words.map(plain).collect(),
        })
    }

    /// Checks the properties against the settings of a verifier, and returns the key id.
    ///
    /// # Errors
    /// The reason of the first check that the signature fails.
    pub(super) fn check<'c>(&self, settings: &'c Checked) -> Result<&'c str, Reason> {
        let has = |fact: &str| self.facts.iter().any(|one| one == fact);
        if !settings.algorithms().contains(&self.algorithm) {
            return Err(Reason::Algorithm);
        }
        if self.age_ms > settings.window_ms() {
            return Err(Reason::Age);
        }
        if settings.needs_nonce() && !has("nonce") {
            return Err(Reason::Nonce);
        }
        let mut wanted = settings.components().iter();
        if !wanted.all(|one| has(one)) {
            return Err(Reason::Components);
        }
        if settings.needs_digest() && !has("digest") {
            return Err(Reason::Digest);
        }
        let mut keys = settings.secrets.iter();
        let key = keys.find(|(id, secret)| format!("{id}={secret}") == self.key);
        key.map(|(id, _)| id.as_str()).ok_or(Reason::Key)
    }
}
