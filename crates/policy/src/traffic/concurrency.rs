//! Limit on concurrent requests by key, across all workers.
//!
//! ```yaml
//! policies:
//!   few: {kind: concurrency, limit: 50, key: consumer}
//! ```
//! A request counts from its admission until the last byte of its response was written to the
//! connection, or until it is aborted. A WebSocket counts until it ends. Requests above the limit
//! get 429 with the fields of draft-ietf-httpapi-ratelimit-headers (`qu="concurrent-requests"`),
//! without `Retry-After`, because the time of the next free permit is unknown.
//!
//! Clients that send bodies or read responses slowly may together hold half of the limit of a key,
//! rounded down. Above that, a slow upload ends with 408, and a slow response is aborted. With a
//! limit of 1, a slow client holds the permit until another request is refused, and loses it within
//! a second.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Absent::{Is, Unknown};
use crate::changes::Changes;
use crate::changes::Direction::{Callers, Either, More};
use crate::cx::{Cx, LeaseNotice};
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::key::{Key, Reader};
use crate::phase::Phase;
use crate::plans::Plans;
use crate::policy::Policy;
use crate::secret::SecretUnavailable;
use crate::step::{Reject, Run, Setting, StateId, Step};

/// A concurrency limit, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Maximum number of concurrent requests.
    #[n(0)]
    limit: u64,
    /// Key of the counter.
    #[n(1)]
    key: Key,
    /// Plans to whose consumers the limit applies. Default: all callers.
    #[n(2)]
    plans: Option<Plans>,
}

/// A concurrency limit at run time.
#[derive(Debug)]
pub struct Filter {
    name: Box<str>,
    state: StateId,
    limit: u64,
    key: Reader,
    plans: Option<Plans>,
}

static LIMITED: Reject = Reject {
    status: 429,
    code: "concurrency_limited",
    title: "Too many requests at once",
};

// === impl Checked ===

/// Feature of limits whose key is a claim.
const BY_CLAIM: &str = "policy:concurrency:claim";
/// Feature of limits by cookie, query parameter or several properties. A gwd with this feature also
/// has [`BY_CLAIM`].
const KEYS: &str = "policy:concurrency:keys";
/// Feature of limits of plans. A gwd with this feature also has [`KEYS`].
const PLANS: &str = "policy:concurrency:plans";

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::new(change_rows! {
        "limit": More(Unknown);
        "wait": More(Is(0));
        "key" as "limit-key-changed": Either;
        "plans": Callers;
    });

    const IS_LIMIT: bool = true;

    const FEATURES: &'static [&'static str] = &[BY_CLAIM, KEYS, PLANS];

    // Limits by address run before authentication, all others after it.
    fn phase(&self) -> Option<Phase> {
        Some(self.key.phase())
    }

    fn settings(&self) -> Settings {
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let settings = Settings::default()
            .with(&["limit"], Value::One(Scalar::Number(limit)))
            .with(&["key"], self.key.setting());
        Plans::setting(self.plans.as_ref(), settings)
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        Ok(Some(Filter {
            name: setting.name.into(),
            state: setting.state,
            limit: self.limit,
            key: self.key.reader(),
            plans: self.plans.clone(),
        }))
    }

    fn feature(&self) -> Option<&'static str> {
        if self.plans.is_some() {
            return Some(PLANS);
        }
        if self.key.is_new() {
            return Some(KEYS);
        }
        self.key.has_claim().then_some(BY_CLAIM)
    }

    fn key(&self) -> Option<&Key> {
        Some(&self.key)
    }

    fn plans_mut(&mut self) -> Option<&mut Option<Plans>> {
        Some(&mut self.plans)
    }

    fn counter(&self) -> String {
        format!("{:?} in flight", self.key)
    }
}

// === impl Filter ===

impl Filter {
    /// True if the limit applies to the request's caller.
    #[must_use]
    pub fn applies(&self, cx: &Cx<'_>) -> bool {
        Plans::apply(self.plans.as_ref(), cx)
    }
}

impl Run for Filter {
    fn read_fields(&self) -> Vec<HeaderName> {
        self.key.fields()
    }

    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        if !self.applies(cx) {
            return Step::Continue;
        }
        let (_, tag) = self.key.read(self.state, cx.limits.tables(false), head, cx);
        let taken = cx.limits.leases.take(tag, self.limit);
        let count = taken.as_ref().map_or(self.limit, |(_, count)| *count);
        let notice = LeaseNotice {
            policy: &self.name,
            limit: self.limit,
            remaining: self.limit.saturating_sub(count),
        };
        if cx
            .leased
            .is_none_or(|told| taken.is_none() || notice.remaining < told.remaining)
        {
            cx.leased = Some(notice);
        }
        match taken {
            Some((lease, _)) => {
                cx.leases.add(lease);
                Step::Continue
            }
            None => {
                cx.refund();
                Step::Reject(&LIMITED)
            }
        }
    }
}

/// Adds the state of a concurrency limit to the response fields that rate limits use as well.
pub fn write_fields(notice: &LeaseNotice<'_>, headers: &mut HeaderMap) {
    let LeaseNotice {
        policy,
        limit,
        remaining,
    } = *notice;
    let said = format!("\"{policy}\";q={limit};qu=\"concurrent-requests\"");
    let left = format!("\"{policy}\";r={remaining}");
    for (name, text) in [("ratelimit-policy", said), ("ratelimit", left)] {
        let name = HeaderName::from_static(name);
        // All policies write into the same list field (RFC 9651 §3.1).
        let before = headers.get(&name).and_then(|value| value.to_str().ok());
        let text = before.map_or(text.clone(), |before| format!("{before}, {text}"));
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: concurrency` settings.

    use diag::shape::{Field, Object, Shape};
    use diag::{NodeRef, Sink, read};

    use super::Checked;
    use crate::key::{self, Key};

    /// The keys of `kind: concurrency`.
    pub static SHAPE: Object = Object {
        what: "a limit on concurrent requests",
        fields: &[
            Field::required(
                "limit",
                Shape::Integer(1, 1 << 24),
                "Maximum requests in flight; a request counts until its response has ended.",
            ),
            Field::optional(
                "key",
                key::author::SHAPE,
                "Key of the limit: `route`, `consumer`, `address`, `header:NAME`, `cookie:NAME`, `query:NAME` or `claim:NAME`, or a list of them, which form one key. A request without it, or with several values of it, counts by its address. Default: `route`.",
            ),
            Field::optional(
                "algorithm",
                Shape::Partly(&["fixed"], &["adaptive"]),
                "Adaptation of the limit to the latency. Default: `fixed`.",
            ),
            Field::later(
                "wait",
                Shape::Duration,
                "Maximum time that a request waits for its turn. Default: none.",
            ),
        ],
        rules: &[],
    };

    /// Reads a limit from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        let key = match node.get("key").filter(|key| !key.is_null()) {
            None => Key::Route,
            Some(node) => key::author::read(node)?,
        };
        let limit = read::integer(node.get("limit")?, 1, 1 << 24).ok()?;
        let limit = u64::try_from(limit).ok()?;
        Some(Checked {
            limit,
            key,
            plans: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cx::tests::{head, with_cx};

    fn filter(state: u64, limit: u64) -> Filter {
        Filter {
            name: "few".into(),
            state: StateId(state),
            limit,
            key: Reader::Route,
            plans: None,
        }
    }

    #[test]
    fn permits_are_held_until_the_leases_are_dropped() {
        let few = filter(1, 2);
        let ask = || {
            with_cx(|cx| {
                (
                    matches!(few.on_request(&mut head("/"), cx), Step::Continue),
                    std::mem::take(&mut cx.leases),
                )
            })
        };
        let (admitted, one) = ask();
        let (also, two) = ask();
        assert!(admitted && also);
        assert!(!ask().0, "a third");
        drop(one);
        let (again, three) = ask();
        assert!(again);
        drop((two, three));
    }

    #[test]
    fn concurrency_refusing_refunds_the_rate_limit() {
        use crate::traffic::rate_limit::tests::{cx, limits, per_hour};
        let shared = limits();
        let (rate, few) = (per_hour("rate", 1, 2, &Key::Address), filter(2, 1));
        let admits = |step: Step| matches!(step, Step::Continue);
        let mut holder = cx(&shared, "10.0.0.1");
        assert!(admits(rate.on_request(&mut head("/"), &mut holder)));
        assert!(admits(few.on_request(&mut head("/"), &mut holder)));
        for _ in 0..3 {
            let mut refused = cx(&shared, "10.0.0.1");
            assert!(admits(rate.on_request(&mut head("/"), &mut refused)));
            assert!(!admits(few.on_request(&mut head("/"), &mut refused)));
        }
        let mut after = cx(&shared, "10.0.0.1");
        assert!(admits(rate.on_request(&mut head("/"), &mut after)));
        drop(holder);
    }

    #[test]
    fn the_tightest_of_two_concurrency_limits_is_reported() {
        use crate::traffic::rate_limit::tests::{cx, limits};
        for (first, second) in [(5, 2), (2, 5)] {
            let shared = limits();
            let (one, mut two) = (filter(1, first), filter(2, second));
            two.name = "two".into();
            let mut cx = cx(&shared, "10.0.0.1");
            for limit in [&one, &two] {
                let step = limit.on_request(&mut head("/"), &mut cx);
                assert!(matches!(step, Step::Continue));
            }
            let notice = cx.leased.unwrap();
            let tightest = if first < second { "few" } else { "two" };
            assert_eq!((notice.policy, notice.remaining), (tightest, 1));
        }
    }

    #[test]
    fn fields_tell_the_limit_beside_those_of_rates() {
        let mut headers = HeaderMap::new();
        headers.insert(
            "ratelimit-policy",
            HeaderValue::from_static("\"p\";q=5;w=60"),
        );
        let notice = LeaseNotice {
            policy: "few",
            limit: 50,
            remaining: 3,
        };
        write_fields(&notice, &mut headers);
        let policy = "\"p\";q=5;w=60, \"few\";q=50;qu=\"concurrent-requests\"";
        assert_eq!(headers["ratelimit-policy"], policy);
        assert_eq!(headers["ratelimit"], "\"few\";r=3");
    }
}
