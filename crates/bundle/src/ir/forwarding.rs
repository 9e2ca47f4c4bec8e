//! Forwarding settings of an operation: rewrites, splits, mirrors, upgrades and retries.

use minicbor::{Decode, Encode};
use policy::Policy as _;
use policy::auth::Place;
use policy::declared::{Scalar, Settings, Value};
use policy::guard::validate;
use policy::logged::{LoggedParameter, RedactedValue};
use policy::traffic::{mirror, split};
use policy::transform::{deprecation, rewrite};
use policy::validation::{Mode, Undeclared};

/// Forwarding settings of an operation. Settings with default values are not encoded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Forwarding {
    /// True if a request may be retried regardless of its method (semantics.md §3).
    #[n(0)]
    #[cbor(skip_if = "is_unsaid")]
    pub idempotent: bool,
    /// True if a request can be upgraded to a WebSocket (RFC 6455, RFC 8441). Fields for other
    /// upgrades are removed.
    #[n(1)]
    #[cbor(skip_if = "is_unsaid")]
    pub websocket: bool,
    /// True if responses have no defined end, such as event streams. Pauses in such responses cause
    /// no timeout.
    #[n(2)]
    #[cbor(skip_if = "is_unsaid")]
    pub stream: bool,
    /// Rewrite of the request for the upstream. The rewrite, the split, the mirror and the
    /// deprecation run as steps after the chain. `None`: no rewrite.
    #[n(3)]
    pub rewrite: Option<rewrite::Checked>,
    /// Traffic split between upstreams. `None`: no split.
    #[n(4)]
    pub split: Option<split::Checked>,
    /// Upstream that receives copies of requests. `None`: no mirror.
    #[n(5)]
    pub mirror: Option<mirror::Checked>,
    /// Dates of the operation's deprecation and removal. `None`: not deprecated.
    #[n(6)]
    pub deprecated: Option<deprecation::Checked>,
    /// Fields of [`OVERRIDE_FIELDS`] that the operation describes and that are therefore forwarded.
    /// Sorted.
    #[n(7)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub override_fields: Vec<String>,
    /// Tokens that a request takes from each rate limit of the chain. `None`: 1.
    #[n(8)]
    pub cost: Option<u32>,
    /// True if responses and WebSockets are ended when a credential of the request expires.
    #[n(9)]
    #[cbor(skip_if = "is_unsaid")]
    pub closes_streams: bool,
    /// Validation of requests and responses. Requests are validated before the transformations of
    /// the chain. `None`: no validation.
    #[n(10)]
    pub validate: Option<validate::Checked>,
    /// Locations of the parameters with `forward: false`, which the upstream does not receive.
    /// Sorted.
    #[n(11)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub not_forwarded: Vec<Place>,
    /// Parameters that the access log shows in another form than the default: kept, redacted or
    /// hashed. Sorted.
    #[n(12)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub logged: Vec<LoggedParameter>,
    /// Locations of redacted values (`redact`) in bodies and parameters. The findings of validation
    /// do not describe these values. Sorted.
    #[n(13)]
    #[cbor(skip_if = "Vec::is_empty")]
    pub redacted: Vec<RedactedValue>,
}

/// Request fields with which frameworks override the path or the method. An upstream that evaluates
/// such a field can serve an operation that the gateway did not authorise. Sorted.
pub const OVERRIDE_FIELDS: [&str; 9] = [
    "path-info",
    "script-name",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-method",
    "x-original-uri",
    "x-original-url",
    "x-rewrite-url",
];

impl Forwarding {
    /// True if all settings have their defaults.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Settings that run as steps after the chain, in the order of the steps, with their keys in
    /// `x-gateway`.
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
            cost: _,
            closes_streams: _,
            validate: _,
            not_forwarded: _,
            logged: _,
            redacted: _,
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

    /// Names of the upstreams of the split and the mirror.
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
            .filter(|(_, is_set)| *is_set)
            .map(|(key, _)| key)
    }

    /// Features that a gateway must have for these settings. The names are those in a bundle's
    /// `needs`.
    pub fn needs(&self) -> impl Iterator<Item = String> {
        let overrides = self.override_fields.first().map(|_| "override_fields");
        let streams = self.closes_streams.then_some("streams");
        let overrides = overrides.into_iter().chain(self.cost.map(|_| "cost"));
        let overrides = overrides.chain(streams);
        let overrides = overrides.chain(self.not_forwarded.first().map(|_| "not_forwarded"));
        let overrides = overrides.chain(self.logged.first().map(|_| "log"));
        let overrides = overrides.chain(self.redacted.first().map(|_| "redact"));
        let checked = self.validate.as_ref();
        let validates = checked.filter(|checked| checked.request != Mode::Off);
        let strict = checked.filter(|checked| checked.undeclared != Undeclared::Allow);
        let responses = checked.filter(|checked| checked.response != Mode::Off);
        let overrides = overrides
            .chain(validates.map(|_| "validate"))
            .chain(strict.map(|_| "undeclared_params"))
            .chain(responses.map(|_| "validate_response"));
        let keys = self.flags().chain(self.steps().map(|(key, _)| key));
        let keys = keys.chain(overrides);
        keys.map(|key| format!("operation:{key}"))
    }

    /// Path of the setting `forward` of a parameter.
    #[must_use]
    pub fn parameter_path(place: &Place) -> [&str; 4] {
        let (kind, name) = parameter(place);
        ["parameters", kind, name, "forward"]
    }

    /// All settings under their keys in `x-gateway`, which plans compare.
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
        for place in &self.not_forwarded {
            let path = Self::parameter_path(place);
            settings = settings.with(&path, Value::One(Scalar::Flag(false)));
        }
        for one in &self.redacted {
            let path = ["redact", &one.label()];
            settings = settings.with(&path, Value::One(Scalar::Flag(true)));
        }
        for one in &self.logged {
            let form = Scalar::Text(one.form.word().to_owned());
            let (place, name) = one.label();
            let path = ["parameters", place, name, "log"];
            settings = settings.with(&path, Value::One(form));
        }
        if let Some(cost) = self.cost {
            settings = settings.with(&["cost"], Value::One(Scalar::Number(cost.into())));
        }
        if self.closes_streams {
            let close = Value::One(Scalar::Text("close".into()));
            settings = settings.with(&["streams"], close);
        }
        if let Some(checked) = &self.validate {
            if checked.request != Mode::Off || checked.response != Mode::Off {
                settings = settings.with_below(&["validate"], checked.settings());
            }
            if checked.undeclared != Undeclared::Allow {
                let word = Scalar::Text(checked.undeclared.word().to_owned());
                settings = settings.with(&["undeclared_params"], Value::One(word));
            }
        }
        for (key, checked) in self.steps() {
            // In an operation, the value of `split` is the list itself: there is no key `among`.
            let value = match &checked {
                policy::Checked::Split(split) => split.list(),
                other => other.settings(),
            };
            settings = settings.with_below(&[key], value);
        }
        settings
    }
}

fn is_unsaid(flag: &bool) -> bool {
    !*flag
}

/// Location and name of a parameter, as in settings.
fn parameter(place: &Place) -> (&'static str, &str) {
    match place {
        Place::Header(name) => ("header", name),
        Place::Query(name) => ("query", name),
        Place::Cookie(name) => ("cookie", name),
        // Not reached: parameters do not have these locations.
        Place::Authorization(scheme) => ("authorization", scheme),
        Place::Certificate => ("certificate", ""),
    }
}
