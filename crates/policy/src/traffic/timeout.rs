//! Timeout for the response of the upstream: from the end of the request to the head of the
//! response.
//! ```yaml
//! policies:
//!   patient: {kind: timeout, request: 60s}
//! ```
//! The policy applies to the whole exchange, and is no step of the chain. It has the same effect as
//! the field `timeout` of an operation, which takes precedence. When the timeout expires, the
//! client gets 504 `upstream_timeout`.

use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Absent::Unknown;
use crate::changes::Changes;
use crate::changes::Direction::More;
use crate::declared::{Scalar, Settings, Value};
use crate::phase::Phase;
use crate::policy::{Never, Policy};
use crate::secret::SecretUnavailable;
use crate::step::Setting;

/// A timeout, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Timeout in milliseconds.
    #[n(0)]
    request_ms: u64,
}

impl Checked {
    /// Timeout in milliseconds.
    #[must_use]
    pub fn request_ms(&self) -> u64 {
        self.request_ms
    }
}

impl Policy for Checked {
    type Filter = Never;

    const CHANGES: Changes = Changes::new(change_rows! {
        "request" as "timeout-changed": More(Unknown);
    });

    fn phase(&self) -> Option<Phase> {
        None
    }

    fn settings(&self) -> Settings {
        Settings::default().with(&["request"], Value::One(Scalar::Duration(self.request_ms)))
    }

    fn filter(&self, _: &Setting<'_>) -> Result<Option<Never>, SecretUnavailable> {
        Ok(None)
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: timeout` settings.

    use diag::shape::{Field, Object, Shape};
    use diag::{NodeRef, Sink, read};

    use super::Checked;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &["short: {kind: timeout, request: 900ms}"];

    /// The keys of `kind: timeout`.
    pub static SHAPE: Object = Object {
        what: "a timeout",
        rules: &[],
        fields: &[Field::required(
            "request",
            Shape::Timeout,
            "Maximum time from the end of the request to the head of the response. `timeout` of the operation takes precedence.",
        )],
    };

    /// Reads a timeout from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let request_ms = read::timeout_ms(node.get("request")?).ok()?;
        Some(Checked { request_ms })
    }
}
