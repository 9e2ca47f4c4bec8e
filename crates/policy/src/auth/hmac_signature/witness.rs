//! Signatures for examples in plans: a text with what a verifier compares, without a MAC. gwd, which is
//! built without the feature `author`, never accepts one.
//!
//! ```text
//! witness hmac-sha256 KEYID=${env:NAME} 300000 nonce digest @method @path
//! ```

use super::{Algorithm, Checked, Reason};

/// Text of a signature: algorithm, key id with the reference of its secret, age in milliseconds, and the
/// facts that it has: `nonce`, `digest` and covered components. Blanks are escaped.
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

/// Text without blanks.
fn escaped(text: &str) -> String {
    text.replace('%', "%25").replace(' ', "%20")
}

fn plain(text: &str) -> String {
    text.replace("%20", " ").replace("%25", "%")
}

/// Properties of a signature, as written in its text.
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

    /// Returns the key id.
    ///
    /// # Errors
    /// The first check of a verifier that the signature fails.
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
