//! Unsigned substitutes for DPoP proofs. gwc uses them in the example requests of plans. A
//! substitute is a text with the properties that a verifier checks. gwd is built without the
//! feature `author` and never accepts a substitute.

use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use super::{Checked, Reason, SCHEME};
use crate::auth::jwt::Algorithm;
use crate::head::RequestHead;

/// Thumbprint (`jkt`) of the key that all substitutes share.
#[must_use]
pub fn thumbprint() -> [u8; 32] {
    Sha256::digest("key of witnesses").into()
}

/// Creates the substitute of a proof with this algorithm and age, and with a nonce if `nonce` is
/// true.
#[must_use]
pub fn text(algorithm: &str, age_ms: u64, nonce: bool) -> String {
    let nonce = if nonce { " nonce" } else { "" };
    format!("witness {algorithm} {age_ms}{nonce}")
}

/// Properties of a proof, parsed from its substitute.
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

    /// Checks the properties against the settings of a verifier, and returns the key's thumbprint.
    ///
    /// # Errors
    /// The reason of the first check that the proof fails.
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
