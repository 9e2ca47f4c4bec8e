//! User names with passwords (RFC 7617). The gateway stores only hashes.
//!
//! ```yaml
//! auth: {staff: {kind: basic, realm: museum}}
//! consumers:
//!   robot: {basic: [{sha256: …}]}                   # printf %s 'robot:PASSWORD' | sha256sum
//!   alice: {basic: [{user: alice, argon2id: …}]}    # printf %s 'PASSWORD' | argon2 "$(openssl rand -hex 8)" -id -k 19456 -t 2 -p 1 -e
//! ```
//! `sha256` is fast: it is for generated passwords of 128 bits or more. It is the hash of user name
//! and password, so that equal passwords have different hashes. `argon2id` is for passwords that
//! people choose ([`crate::password`]).

use minicbor::{Decode, Encode};

use crate::declared::{Scalar, Settings, Value};

/// Settings of a verifier of user names and passwords, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    #[n(0)]
    realm: Option<String>,
}

impl Checked {
    /// Realm of the challenge (`WWW-Authenticate`).
    #[must_use]
    pub fn realm(&self) -> Option<&str> {
        self.realm.as_deref()
    }
}

impl super::Verifier for Checked {
    fn settings(&self) -> Settings {
        self.realm.iter().fold(Settings::default(), |all, realm| {
            all.with(&["realm"], Value::One(Scalar::Text(realm.clone())))
        })
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: basic` settings.

    use diag::NodeRef;
    use diag::shape::{Field, Object, Shape};

    use super::Checked;

    /// Keys of `kind: basic`.
    pub static SHAPE: Object = Object {
        what: "user names and passwords",
        rules: &[],
        fields: &[Field::optional(
            "realm",
            Shape::Text,
            "Name of the protected space, sent to the client (RFC 9110 §11.5). Default: `gateway`.",
        )],
    };

    pub(in crate::auth) fn check(node: NodeRef<'_>) -> Option<Checked> {
        let realm = node.get("realm").and_then(NodeRef::scalar_text);
        let is_plain = |c: &char| !c.is_control() && !matches!(c, '"' | '\\');
        Some(Checked {
            realm: realm.map(|realm| realm.chars().filter(is_plain).collect()),
        })
    }
}
