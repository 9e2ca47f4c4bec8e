//! Unsigned tokens for the example requests of plans.
//!
//! A plan can show a token that only one of two versions accepts. gwc has no private keys, so the
//! signature of such a token is a hash of the key's name. Only verifiers whose `Secrets` allow it
//! accept these tokens. gwd never accepts them, because it is built without the feature `author`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

/// Name of a header parameter of example tokens. Its value lists the `witness_key` of each
/// introspection verifier that treats the token as active.
pub const ASKED: &str = "asked";

/// Name of a header parameter of example tokens. Its value is the source and the names of the
/// certificate to which the token is bound.
pub const BOUND: &str = "bound";

/// Name of a header parameter of example tokens. Its value is the proof of possession.
pub const PROOF: &str = "proof";

/// Substitute for a signature in an example token: the SHA-256 of a text that contains `key`. `key`
/// is the name in [`super::Signing`].
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
