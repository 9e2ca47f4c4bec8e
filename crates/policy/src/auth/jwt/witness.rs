//! Tokens that nobody signed, for the compiler's questions.
//!
//! A plan shows a token that one version takes and another does not, without having a private
//! key. In such a token the signature is a hash of the key that would have signed it. Only a
//! verifier whose `Secrets` say so takes it; gwd has no such verifier, because it is built without
//! the feature `author`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// The signature by the owner of a key, which is named as [`super::Signing`] does.
#[must_use]
pub fn signature(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("signed by {key}")))
}

/// A token with a header and claims in JSON.
#[must_use]
pub fn token(header: &str, claims: &str, key: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(header), part(claims), signature(key))
}
