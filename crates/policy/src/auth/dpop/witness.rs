//! Proofs for examples in plans: a text with the properties that a verifier checks, instead of a
//! signature. gwd, which is built without the feature `author`, never accepts them.

use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::{Checked, Reason, SCHEME};
use crate::auth::jwt::Algorithm;
use crate::head::RequestHead;

/// Thumbprint (`jkt`) of the key of all these proofs.
#[must_use]
pub fn thumbprint() -> [u8; 32] {
    Sha256::digest("key of witnesses").into()
}

/// Text of a proof: algorithm, age in milliseconds, and nonce if there is one.
#[must_use]
pub fn text(algorithm: &str, age_ms: u64, nonce: bool) -> String {
    let nonce = if nonce { " nonce" } else { "" };
    format!("witness {algorithm} {age_ms}{nonce}")
}

/// Properties of a proof, as written in its text.
pub(super) struct Shown {
    algorithm: Algorithm,
    age_ms: u64,
    nonce: bool,
}

impl Shown {
    pub(super) fn of(head: &RequestHead) -> Option<Self> {
        let text = head.headers.get(SCHEME).map(HeaderValue::to_str)?.ok()?;
        let mut words = text.strip_prefix("witness ")?.split(' ');
        Some(Self {
            algorithm: Algorithm::of(words.next()?)?,
            age_ms: words.next()?.parse().ok()?,
            nonce: words.next().is_some(),
        })
    }

    /// Returns the thumbprint of the key.
    ///
    /// # Errors
    /// The first check of a verifier that the proof fails.
    pub(super) fn check(&self, settings: &Checked) -> Result<[u8; 32], Reason> {
        if !settings.algorithms().contains(&self.algorithm) {
            return Err(Reason::Algorithm);
        }
        if self.age_ms > settings.window_ms() {
            return Err(Reason::Age);
        }
        match settings.needs_nonce() && !self.nonce {
            true => Err(Reason::Nonce),
            false => Ok(thumbprint()),
        }
    }
}
