//! Unsigned tokens for examples in plans.
//!
//! A plan can show a token that only one of two versions accepts although gwc has no private key.
//! The signature of such a token is a hash of the key's name. Only verifiers whose `Secrets` allow
//! it accept these tokens. gwd has no such verifier, because it is built without the feature
//! `author`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Header parameter with the keys of the introspection endpoints that report the token as active.
pub const ASKED: &str = "asked";

/// Header parameter with the source and the names of the certificate that the token is bound to.
pub const BOUND: &str = "bound";

/// Header parameter with the proof of possession that belongs to the token.
pub const PROOF: &str = "proof";

/// Substitute for the signature by a key. The name of the key is as in [`super::Signing`].
#[must_use]
pub fn signature(key: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("signed by {key}")))
}

/// Encodes a token from a header and claims in JSON.
#[must_use]
pub fn token(header: &str, claims: &str, key: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    format!("{}.{}.{}", part(header), part(claims), signature(key))
}
