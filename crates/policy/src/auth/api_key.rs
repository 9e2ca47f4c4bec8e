//! A key that a consumer holds; the gateway knows its sha256 only.
//!
//! ```yaml
//! auth: {keys: {kind: api_key}}
//! consumers: {acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}}
//! ```
//! The scheme says where the key stands (`in: header`, `query` or `cookie`, or `http: bearer`).
//! Keys are looked up by their hash, so that no comparison depends on how much of a key is right;
//! they must be long and random (128 bits or more), because a hash of a guessable text is
//! guessable too.

use minicbor::{Decode, Encode};

/// The verifier as the bundle carries it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: api_key` settings.

    use diag::shape::Object;

    use super::Checked;

    /// `kind: api_key` has no further keys.
    pub static SHAPE: Object = Object {
        what: "keys held by consumers",
        rules: &[],
        fields: &[],
    };

    pub(in crate::auth) fn check() -> Checked {
        Checked {}
    }
}
