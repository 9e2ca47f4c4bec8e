//! Unsigned tokens for examples in plans.
//!
//! A plan can show a token that only one of two versions accepts. gwc has no private key. The
//! signature of such a token is therefore a hash of the key's name. Only verifiers whose `Secrets`
//! allow it accept these tokens. gwd has no such verifier, because it is built without the feature
//! `author`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Header parameter of an example token. Value: the `witness_key` of each introspection verifier
/// for which the token counts as active.
pub const ASKED: &str = "asked";

/// Header parameter with the source and the names of the certificate that the token is bound to.
pub const BOUND: &str = "bound";

/// Header parameter with the proof of possession for the token.
pub const PROOF: &str = "proof";

/// Substitute for a signature that was made with the key of this name. [`super::Signing`] defines
/// key names.
#[must_use]
pub fn signature(key: &str) -> [u8; 32] {
    Sha256::digest(format!("signed by {key}")).into()
}

/// Encodes a token. `header` and `claims` are JSON objects; `key` is the name of the signing key.
#[must_use]
pub fn token(header: &str, claims: &str, key: &str) -> String {
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let (header, claims) = (header.as_bytes(), claims.as_bytes());
    format!(
        "{}.{}.{}",
        part(header),
        part(claims),
        part(&signature(key))
    )
}
