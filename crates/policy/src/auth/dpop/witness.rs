//! Proofs for examples in plans: a text with what a verifier compares, without a signature. gwd, which
//! is built without the feature `author`, never accepts one.

use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::{Checked, Reason, SCHEME};
use crate::auth::jwt::Algorithm;
use crate::head::RequestHead;

/// Thumbprint (`jkt`) of the key that all these proofs have.
#[must_use]
pub fn thumbprint() -> [u8; 32] {
    Sha256::digest("key of witnesses").into()
}

/// Text of a proof: its algorithm, its age in milliseconds, and if it has a nonce.
#[must_use]
pub fn text(algorithm: &str, age_ms: u64, nonce: bool) -> String {
    let nonce = if nonce { " nonce" } else { "" };
    format!("witness {algorithm} {age_ms}{nonce}")
}

/// Settings of a witness's proof, as written in its text.
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

    /// Thumbprint of its key, or the first check of a verifier that it fails.
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
