//! What an operation says about where its requests go and how they travel.

use minicbor::{Decode, Encode};
use policy::declared::{Scalar, Settings, Value};

/// What an operation says about its requests on their way to the service. Nothing is written
/// for what is not said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Forwarding {
    /// It may be repeated whatever its method is (semantics.md §3).
    #[n(0)]
    #[cbor(skip_if = "is_unsaid")]
    pub idempotent: bool,
    /// It can be upgraded to a WebSocket (RFC 6455, RFC 8441); other upgrades are lost.
    #[n(1)]
    #[cbor(skip_if = "is_unsaid")]
    pub websocket: bool,
    /// Its response has no end: silence does not break it off.
    #[n(2)]
    #[cbor(skip_if = "is_unsaid")]
    pub stream: bool,
}

impl Forwarding {
    /// Whether nothing is said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What a gateway must be able to do to run it, in the words of `needs`.
    pub fn needs(&self) -> impl Iterator<Item = String> {
        let Self {
            idempotent,
            websocket,
            stream,
        } = self;
        let said = [
            ("operation:idempotent", *idempotent),
            ("operation:websocket", *websocket),
            ("operation:stream", *stream),
        ];
        let said = said.into_iter().filter(|(_, said)| *said);
        said.map(|(need, _)| need.to_owned())
    }

    /// The same as settings under the words of `x-gateway`, for comparison.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let Self {
            idempotent,
            websocket,
            stream,
        } = self;
        let flags = [
            ("idempotent", *idempotent),
            ("websocket", *websocket),
            ("stream", *stream),
        ];
        let mut settings = Settings::default();
        for (key, _) in flags.into_iter().filter(|(_, said)| *said) {
            settings = settings.with(&[key], Value::One(Scalar::Flag(true)));
        }
        settings
    }
}

fn is_unsaid(flag: &bool) -> bool {
    !*flag
}
