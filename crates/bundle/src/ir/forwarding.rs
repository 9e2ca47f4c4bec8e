//! Forwarding settings of an operation: rewrites, splits, mirrors, upgrades and repetition.

use minicbor::{Decode, Encode};
use policy::Policy as _;
use policy::declared::{Scalar, Settings, Value};
use policy::traffic::{mirror, split};
use policy::transform::{deprecation, rewrite};

/// Forwarding settings of an operation. Defaults are not written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Forwarding {
    /// True if requests may be repeated whatever their method is (semantics.md §3).
    #[n(0)]
    #[cbor(skip_if = "is_unsaid")]
    pub idempotent: bool,
    /// True if requests can be upgraded to a WebSocket (RFC 6455, RFC 8441); other upgrades are
    /// lost.
    #[n(1)]
    #[cbor(skip_if = "is_unsaid")]
    pub websocket: bool,
    /// Its response has no end: silence does not break it off.
    #[n(2)]
    #[cbor(skip_if = "is_unsaid")]
    pub stream: bool,
    /// Parts of the request that the upstream gets instead of the client's. This is a step after
    /// the chain, as are the next three.
    #[n(3)]
    pub rewrite: Option<rewrite::Checked>,
    /// Shares of the requests by upstream.
    #[n(4)]
    pub split: Option<split::Checked>,
    /// The upstream that gets copies of requests.
    #[n(5)]
    pub mirror: Option<mirror::Checked>,
    /// Since when it is deprecated, until when it answers.
    #[n(6)]
    pub deprecated: Option<deprecation::Checked>,
    /// The fields of [`OVERRIDE_FIELDS`] that the upstream gets: those that the operation declares.
    /// Sorted.
    #[n(7)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub override_fields: Vec<String>,
}

/// Request fields by which frameworks replace the path or the method that they serve. An upstream
/// that honours one serves another operation than the gateway has checked. Sorted.
pub const OVERRIDE_FIELDS: [&str; 5] = [
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-url",
    "x-rewrite-url",
];

impl Forwarding {
    /// True if all settings have their defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The settings that are steps after the chain, with the words of `x-gateway`, in their order.
    pub fn steps(&self) -> impl Iterator<Item = (&'static str, policy::Checked)> {
        let Self {
            idempotent: _,
            websocket: _,
            stream: _,
            rewrite,
            split,
            mirror,
            deprecated,
            override_fields: _,
        } = self;
        use policy::Checked::{Deprecation, Mirror, Rewrite, Split};
        let steps = [
            ("deprecated", deprecated.clone().map(Deprecation)),
            ("rewrite", rewrite.clone().map(Rewrite)),
            ("split", split.clone().map(Split)),
            ("mirror", mirror.clone().map(Mirror)),
        ];
        let steps = steps.into_iter();
        steps.filter_map(|(key, checked)| Some((key, checked?)))
    }

    /// The services that it names.
    pub fn upstreams(&self) -> impl Iterator<Item = &str> {
        let split = self.split.iter().flat_map(split::Checked::upstreams);
        split.chain(self.mirror.iter().map(mirror::Checked::upstream))
    }

    fn flags(&self) -> impl Iterator<Item = &'static str> {
        let flags = [
            ("idempotent", self.idempotent),
            ("websocket", self.websocket),
            ("stream", self.stream),
        ];
        flags
            .into_iter()
            .filter(|(_, said)| *said)
            .map(|(key, _)| key)
    }

    /// Features that a gateway needs to run the settings, in the words of `needs`.
    pub fn needs(&self) -> impl Iterator<Item = String> {
        let overrides = self.override_fields.first().map(|_| "override_fields");
        let keys = self.flags().chain(self.steps().map(|(key, _)| key));
        let keys = keys.chain(overrides);
        keys.map(|key| format!("operation:{key}"))
    }

    /// The same as settings under the words of `x-gateway`, for comparison.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let mut settings = Settings::default();
        for key in self.flags() {
            settings = settings.with(&[key], Value::One(Scalar::Flag(true)));
        }
        for name in &self.override_fields {
            let path = ["override_fields", name.as_str()];
            settings = settings.with(&path, Value::One(Scalar::Flag(true)));
        }
        for (key, checked) in self.steps() {
            // A split's list has no key of its own at an operation.
            let said = match &checked {
                policy::Checked::Split(split) => split.list(),
                other => other.settings(),
            };
            settings = settings.with_below(&[key], said);
        }
        settings
    }
}

fn is_unsaid(flag: &bool) -> bool {
    !*flag
}
