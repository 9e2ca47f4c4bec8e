//! Limits the rate of requests: a token bucket per key, shared by all workers.
//!
//! ```yaml
//! policies:
//!   per_client: {kind: rate_limit, limit: 100/s, burst: 20, key: consumer, anonymous: address}
//! ```
//! A refused request gets 429 with `Retry-After` (RFC 9110 §10.2.3) and the fields of
//! draft-ietf-httpapi-ratelimit-headers; the request is counted before it is forwarded, and what
//! one limit of a chain counted is given back when a later limit refuses.

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use minicbor::{Decode, Encode};

use crate::cx::{Charge, Cx, RateNotice};
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::key::{Key, Reader};
use crate::phase::Phase;
use crate::policy::Policy;
use crate::rate::Tokens;
use crate::secret::SecretUnavailable;
use crate::step::{Reject, Run, Setting, StateId, Step};

/// A limit as the bundle carries it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Tokens per period.
    #[n(0)]
    count: u64,
    /// The period in milliseconds.
    #[n(1)]
    period_ms: u64,
    /// The most tokens at once.
    #[n(2)]
    burst: u64,
    /// Key of the bucket.
    #[n(3)]
    key: Key,
}

/// A limit that runs.
#[derive(Debug)]
pub struct Filter {
    name: Box<str>,
    state: StateId,
    tokens: Tokens,
    key: Reader,
}

static LIMITED: Reject = Reject {
    status: 429,
    code: "rate_limited",
    title: "Too many requests",
};

// === impl Checked ===

impl Checked {
    /// The quota.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        Tokens {
            count: self.count,
            period_ms: self.period_ms,
            burst: self.burst,
        }
    }
}

/// Feature of a limit that is keyed by a claim.
const BY_CLAIM: &str = "policy:rate_limit:claim";

impl Policy for Checked {
    type Filter = Filter;

    const FEATURES: &'static [&'static str] = &[BY_CLAIM];

    // Its place in the chain: address limits protect authentication, the others need it.
    fn phase(&self) -> Option<Phase> {
        Some(self.key.phase())
    }

    fn settings(&self) -> Settings {
        let burst = i64::try_from(self.burst).unwrap_or(i64::MAX);
        Settings::default()
            .with(
                &["limit"],
                Value::One(Scalar::rate(self.count, self.period_ms)),
            )
            .with(&["burst"], Value::One(Scalar::Number(burst)))
            .with(&["key"], Value::One(Scalar::Text(self.key.to_string())))
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        Ok(Some(Filter {
            name: setting.name.into(),
            state: setting.state,
            tokens: self.tokens(),
            key: self.key.reader(),
        }))
    }

    fn feature(&self) -> Option<&'static str> {
        matches!(self.key, Key::Claim(_)).then_some(BY_CLAIM)
    }

    fn key(&self) -> Option<&Key> {
        Some(&self.key)
    }

    fn counter(&self) -> String {
        format!("{:?} token_bucket", self.key)
    }
}

// === impl Filter ===

impl Run for Filter {
    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        let (anonymous, tag) = self.key.read(self.state, head, cx);
        let table = if anonymous {
            &cx.limits.anonymous
        } else {
            &cx.limits.known
        };
        let admission = table.take(self.state, tag, self.tokens, cx.now_ns);
        let notice = RateNotice {
            policy: &self.name,
            tokens: self.tokens,
            remaining: admission.remaining,
            retry_after_ms: admission.wait_ticks.div_ceil(10_000),
            refused: !admission.admitted,
        };
        if cx
            .rate
            .is_none_or(|told| notice.refused || notice.remaining < told.remaining)
        {
            cx.rate = Some(notice);
        }
        if admission.admitted {
            cx.charged(Charge {
                anonymous,
                state: self.state,
                tag,
                tokens: self.tokens,
            });
            return Step::Continue;
        }
        cx.refund();
        Step::Reject(&LIMITED)
    }
}

/// Writes what a limit left to say into a response: `RateLimit-Policy`, `RateLimit`, and
/// `Retry-After` after a refusal.
pub fn write_fields(notice: &RateNotice<'_>, headers: &mut HeaderMap) {
    let RateNotice {
        policy,
        tokens,
        remaining,
        retry_after_ms,
        refused,
    } = *notice;
    let seconds = |ms: u64| ms.div_ceil(1_000);
    let said = format!(
        "\"{policy}\";q={};w={}",
        tokens.count,
        seconds(tokens.period_ms).max(1)
    );
    let left = format!("\"{policy}\";r={remaining};t={}", seconds(retry_after_ms));
    for (name, text) in [("ratelimit-policy", said), ("ratelimit", left)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if refused {
        headers.insert(
            RETRY_AFTER,
            HeaderValue::from(seconds(retry_after_ms).max(1)),
        );
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: rate_limit` settings.

    use diag::shape::{self, Field, Object, Shape};
    use diag::{NodeRef, Sink, read};

    use super::Checked;
    use crate::forms;
    use crate::key::{self, Key};

    /// The keys of `kind: rate_limit`.
    pub static SHAPE: Object = Object {
        what: "a rate limit",
        rules: &[],
        fields: &[
            Field::required(
                "limit",
                Shape::Rate,
                "Requests per period, for instance `100/s`.",
            ),
            Field::optional(
                "burst",
                Shape::Integer(1, 1 << 24),
                "Maximum requests at once. Default: as many as `limit`.",
            ),
            Field::optional(
                "key",
                Shape::Form(&forms::COUNTER_KEY),
                "Key of the limit: `consumer`, `address`, `route`, `header:NAME` or `claim:NAME`. A request without it counts by its address. Default: `consumer`.",
            ),
            Field::optional(
                "anonymous",
                Shape::Word(&["address"]),
                "Replacement for an absent key: the client's address.",
            ),
            Field::optional(
                "algorithm",
                Shape::Partly(&["token_bucket"], &["sliding_window", "leaky"]),
                "Algorithm that counts requests. Default: `token_bucket`.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Store for counters: `local`, or later a store that a fleet shares.",
            ),
        ],
    };

    /// Reads a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, sink: &mut Sink) -> Option<Checked> {
        let before = sink.findings().len();
        let store = node.get("store").filter(|store| !store.is_null());
        if let Some(store) = store.filter(|store| store.scalar_text() != Some("local")) {
            sink.push(shape::not_available(
                store.span(),
                "a limit that a fleet shares",
                "write `local`",
            ));
        }
        let key = match node.get("key").filter(|key| !key.is_null()) {
            None => Some(Key::Consumer),
            Some(node) => key::author::read(node),
        };
        let rate = read::rate(node.get("limit")?).ok()?;
        let burst = match node.get("burst").filter(|burst| !burst.is_null()) {
            Some(burst) => u64::try_from(read::integer(burst, 1, 1 << 24).ok()?).ok()?,
            None => rate.count.min(1 << 24),
        };
        let fine = sink.findings().len() == before;
        let key = key.filter(|_| fine)?;
        Some(Checked {
            count: rate.count,
            period_ms: rate.period_ms,
            burst,
            key,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::hash::RandomState;
    use std::sync::Arc;

    use super::*;
    use crate::cx::tests::head;
    use crate::cx::{Limits, Principal, Revoked};
    use crate::rate::RateTable;

    /// Counters of their own, roomy enough that no key shares an overflow counter.
    pub(crate) fn limits() -> (Limits, Revoked) {
        let table = || RateTable::new(1_024, RandomState::new());
        let limits = Limits {
            known: table(),
            anonymous: table(),
            leases: Arc::default(),
        };
        (limits, Revoked::default())
    }

    /// A context at second 1 of a client with this address.
    pub(crate) fn cx<'a>((limits, revoked): &'a (Limits, Revoked), client: &str) -> Cx<'a> {
        Cx::new(1_000_000_000, 0, client.parse().unwrap(), limits, revoked)
    }

    /// `count` requests per hour, all at once if the client likes.
    pub(crate) fn per_hour(name: &str, state: u64, count: u64, key: &Key) -> Filter {
        Filter {
            name: name.into(),
            state: StateId(state),
            tokens: Tokens {
                count,
                period_ms: 3_600_000,
                burst: count,
            },
            key: key.reader(),
        }
    }

    fn admits<'a>(limit: &'a Filter, cx: &mut Cx<'a>) -> bool {
        matches!(limit.on_request(&mut head("/"), cx), Step::Continue)
    }

    #[test]
    fn second_limit_refusing_refunds_the_first() {
        let shared = limits();
        let (wide, narrow) = (
            per_hour("wide", 1, 2, &Key::Address),
            per_hour("narrow", 2, 1, &Key::Address),
        );
        let mut admitted = cx(&shared, "10.0.0.1");
        assert!(admits(&wide, &mut admitted) && admits(&narrow, &mut admitted));
        for _ in 0..3 {
            let mut refused = cx(&shared, "10.0.0.1");
            assert!(admits(&wide, &mut refused), "the token came back");
            assert!(!admits(&narrow, &mut refused));
        }
        let mut cx = cx(&shared, "10.0.0.1");
        assert!(admits(&wide, &mut cx));
        assert_eq!(
            cx.rate.unwrap().remaining,
            0,
            "two tokens are gone, not five"
        );
    }

    #[test]
    fn anonymous_callers_have_a_bucket_per_address() {
        let shared = limits();
        let limit = per_hour("limit", 1, 1, &Key::Consumer);
        for (client, admitted) in [
            ("10.0.0.1", true),
            ("10.0.0.2", true),
            ("10.0.0.1", false),
            ("10.0.0.2", false),
            ("2001:db8:1:2::1", true),
            ("2001:db8:1:2::2", false),
            ("2001:db8:1:3::1", true),
        ] {
            assert_eq!(
                admits(&limit, &mut cx(&shared, client)),
                admitted,
                "{client}"
            );
        }
    }

    #[test]
    fn consumers_have_a_bucket_each_wherever_they_are() {
        let shared = limits();
        let limit = per_hour("limit", 1, 1, &Key::Consumer);
        for (consumer, client, admitted) in [
            ("acme", "10.0.0.1", true),
            ("globex", "10.0.0.1", true),
            ("acme", "10.0.0.2", false),
            ("globex", "10.0.0.2", false),
        ] {
            let mut cx = cx(&shared, client);
            cx.principal = Some(Principal {
                consumer: Some(consumer),
                scheme: "key",
                claims: crate::NO_CLAIMS,
                groups: &[],
                token: None,
            });
            assert_eq!(admits(&limit, &mut cx), admitted, "{consumer} {client}");
        }
    }

    #[test]
    fn the_tightest_of_two_limits_is_reported() {
        for (first, second) in [(5, 2), (2, 5)] {
            let shared = limits();
            let (one, two) = (
                per_hour("one", 1, first, &Key::Address),
                per_hour("two", 2, second, &Key::Address),
            );
            let mut cx = cx(&shared, "10.0.0.1");
            assert!(admits(&one, &mut cx) && admits(&two, &mut cx));
            let notice = cx.rate.unwrap();
            let tightest = if first < second { "one" } else { "two" };
            assert_eq!((notice.policy, notice.remaining), (tightest, 1));
        }
    }

    #[test]
    fn fields_say_when_to_come_back() {
        let tokens = Tokens {
            count: 5,
            period_ms: 60_000,
            burst: 5,
        };
        let notice = RateNotice {
            policy: "p",
            tokens,
            remaining: 0,
            retry_after_ms: 11_200,
            refused: true,
        };
        let mut headers = HeaderMap::new();
        write_fields(&notice, &mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"p\";q=5;w=60");
        assert_eq!(headers["ratelimit"], "\"p\";r=0;t=12");
        assert_eq!(headers["retry-after"], "12");
    }
}
