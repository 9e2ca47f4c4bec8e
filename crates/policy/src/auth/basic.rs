//! User name and password (RFC 7617); the gateway knows the sha256 of `user:password` only.
//!
//! ```yaml
//! auth: {staff: {kind: basic, realm: museum}}
//! consumers: {alice: {basic: [{sha256: …}]}}     # printf %s 'alice:PASSWORD' | sha256sum
//! ```
//! The hash covers the user name, so that equal passwords look different. It is fast: use
//! generated passwords of 128 bits or more, not ones that people choose.

use minicbor::{Decode, Encode};

use crate::declared::{Scalar, Settings, Value};

/// The verifier as the bundle carries it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    #[n(0)]
    realm: Option<String>,
}

impl Checked {
    /// The realm of the challenge.
    #[must_use]
    pub fn realm(&self) -> Option<&str> {
        self.realm.as_deref()
    }

    /// Its settings, for comparison.
    #[must_use]
    pub fn settings(&self) -> Settings {
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

    /// The keys of `kind: basic`.
    pub static SHAPE: Object = Object {
        what: "user names and passwords",
        rules: &[],
        fields: &[Field::optional(
            "realm",
            Shape::Text,
            "Name of the protected space, sent to the client (RFC 9110 §11.5).",
        )],
    };

    pub(in crate::auth) fn check(node: NodeRef<'_>) -> Checked {
        let realm = node.get("realm").and_then(NodeRef::scalar_text);
        Checked {
            realm: realm.map(|realm| {
                realm
                    .chars()
                    .filter(|c| !c.is_control() && !matches!(c, '"' | '\\'))
                    .collect()
            }),
        }
    }
}
