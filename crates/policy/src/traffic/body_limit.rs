//! Limits on the size of bodies. If an operation also has `max_body`, the smaller limit applies.
//!
//! ```yaml
//! policies:
//!   small: {kind: body_limit, request: 64KiB}
//! ```
//! A request whose `Content-Length` exceeds the limit is refused before its body is read. A request
//! without `Content-Length` fails once its body exceeds the limit. The limits apply to the length
//! of the body as it is transferred, in its content coding (RFC 9110 §8.4).

use http::header::CONTENT_LENGTH;
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Absent::NoLimit;
use crate::changes::Changes;
use crate::changes::Direction::More;
use crate::cx::Cx;
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::invalid::TOO_LARGE;
use crate::phase::Phase;
use crate::policy::Policy;
use crate::protection::Protection;
use crate::reject::Reject;
use crate::secret::SecretUnavailable;
use crate::step::{Run, Setting, Step};

/// Limits on bodies, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Maximum length of a request's body, in bytes. `None`: no limit.
    #[n(0)]
    request_bytes: Option<u64>,
    /// Maximum length of a response's body, in bytes. `None`: no limit.
    #[n(1)]
    response_bytes: Option<u64>,
}

/// Limits on bodies at run time, in bytes.
#[derive(Debug)]
pub struct Filter {
    request_max: u64,
    response_max: u64,
}

// === impl Checked ===

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::new(change_rows! {
        "request": More(NoLimit);
        "response": More(NoLimit);
    });

    const REFUSALS: &'static [&'static Reject] = &[&TOO_LARGE];

    const PROTECTION: Option<Protection> = Some(Protection::Limit);

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Validate)
    }

    fn settings(&self) -> Settings {
        let sides = [
            ("request", self.request_bytes),
            ("response", self.response_bytes),
        ];
        let mut settings = Settings::default();
        for (key, bytes) in sides {
            if let Some(bytes) = bytes {
                settings = settings.with(&[key], Value::One(Scalar::Size(bytes)));
            }
        }
        settings
    }

    fn filter(&self, _: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        Ok(Some(Filter {
            request_max: self.request_bytes.unwrap_or(u64::MAX),
            response_max: self.response_bytes.unwrap_or(u64::MAX),
        }))
    }
}

// === impl Filter ===

impl Run for Filter {
    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        let length = head.headers.get(CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        if length.is_some_and(|length| length > self.request_max) {
            cx.refund_quotas();
            return Step::Reject(&TOO_LARGE);
        }
        let limits = &mut cx.body_limits;
        limits.request = limits.request.min(self.request_max);
        limits.response = limits.response.min(self.response_max);
        Step::Continue
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: body_limit` settings.

    use diag::shape::{Field, Object, Rule, Shape};
    use diag::{NodeRef, Sink, read};

    use super::Checked;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &["narrow: {kind: body_limit, request: 74KiB, response: 75KiB}"];

    /// The keys of `kind: body_limit`.
    pub static SHAPE: Object = Object {
        what: "a limit on bodies",
        fields: &[
            Field::optional(
                "request",
                Shape::Size,
                "Maximum size of a request's body; a larger one is refused with 413. Default: unlimited.",
            ),
            Field::optional(
                "response",
                Shape::Size,
                "Maximum size of a response's body; a larger one is replaced by 502 if its length is known, otherwise the response is aborted. Default: unlimited.",
            ),
        ],
        rules: &[Rule::AnyOf(&["request", "response"])],
    };

    /// Reads settings from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let size = |key: &str| {
            let node = node.get(key).filter(|node| !node.is_null())?;
            read::size_bytes(node).ok()
        };
        Some(Checked {
            request_bytes: size("request"),
            response_bytes: size("response"),
        })
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::body_limits::BodyLimits;
    use crate::cx::tests::{filter, head, with_cx};

    #[test]
    fn length_above_the_limit_is_refused_at_the_head() {
        let limit = filter(&Checked {
            request_bytes: Some(10),
            response_bytes: None,
        });
        let refused = |length: Option<&'static str>| {
            with_cx(|cx| {
                let mut head = head("/a");
                if let Some(length) = length {
                    let value = HeaderValue::from_static(length);
                    head.headers.insert(CONTENT_LENGTH, value);
                }
                let step = limit.on_request(&mut head, cx);
                (matches!(step, Step::Reject(_)), cx.body_limits)
            })
        };
        assert!(refused(Some("11")).0);
        let limits = BodyLimits {
            request: 10,
            response: u64::MAX,
        };
        assert_eq!(refused(Some("10")), (false, limits));
        assert_eq!(refused(None), (false, limits));
    }

    #[test]
    fn smallest_limit_of_a_chain_applies() {
        let limits = [(Some(10), None), (Some(20), Some(5)), (None, Some(7))];
        let limits = limits.map(|(request_bytes, response_bytes)| {
            filter(&Checked {
                request_bytes,
                response_bytes,
            })
        });
        let found = with_cx(|cx| {
            for limit in &limits {
                let _continue = limit.on_request(&mut head("/a"), cx);
            }
            cx.body_limits
        });
        let expected = BodyLimits {
            request: 10,
            response: 5,
        };
        assert_eq!(found, expected);
    }
}
