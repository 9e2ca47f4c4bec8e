//! API keys of consumers. The gateway stores only their SHA-256.
//!
//! ```yaml
//! auth: {keys: {kind: api_key}}
//! consumers: {acme: {keys: [{sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08}]}}
//! ```
//! The security scheme names the location of the key (`in: header`, `query` or `cookie`, or `http:
//! bearer`). Keys are looked up by hash, so that the time of a comparison reveals nothing about a
//! key. A key must be long and random (128 bits or more), because the hash of a guessable key can
//! be guessed as well.

use minicbor::{Decode, Encode};

use crate::declared::Settings;

/// Settings of a verifier of API keys, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {}

impl super::Verifier for Checked {
    fn settings(&self) -> Settings {
        Settings::default()
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: api_key` settings.

    use diag::NodeRef;
    use diag::shape::Object;

    use super::Checked;

    /// Keys of `kind: api_key`: none.
    pub static SHAPE: Object = Object {
        what: "API keys of consumers",
        rules: &[],
        fields: &[],
    };

    pub(in crate::auth) fn check(_: NodeRef<'_>) -> Option<Checked> {
        Some(Checked {})
    }
}
