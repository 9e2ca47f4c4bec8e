//! Limit on concurrent requests by key, across all workers.
//!
//! ```yaml
//! policies:
//!   few: {kind: concurrency, limit: 50, key: consumer}
//!   patient: {kind: concurrency, limit: 8, wait: 500ms}
//!   measured: {kind: concurrency, limit: 200, algorithm: adaptive, min_limit: 5}
//! ```
//! A request counts from its admission until the last byte of its response was written to the
//! connection, or until it is aborted. A WebSocket counts until it ends. Requests above the limit
//! get 429 with the fields of draft-ietf-httpapi-ratelimit-headers (`qu="concurrent-requests"`),
//! without `Retry-After`, because the time of the next free permit is unknown.
//!
//! With `wait`, a request above the limit waits in the queue of its key. In a queue, callers take
//! turns: consumers, subjects of tokens, or otherwise client addresses and their networks. The
//! request gets 503 if no permit was free within `wait`, and 429 if the queue is full.
//!
//! With `algorithm: adaptive`, the limit of each route follows the latency of the upstream, between
//! `min_limit` and `limit`.
//!
//! Clients that send bodies or read responses slowly may together hold half of the limit of a key,
//! rounded down. Above that, a slow upload ends with 408, and a slow response is aborted. With a
//! limit of 1, a slow client holds the permit until another request is refused, and loses it within
//! a second.

use std::net::{IpAddr, Ipv6Addr};

use http::header::{HeaderMap, HeaderName, HeaderValue};
use minicbor::{Decode, Encode};

use crate::adaptive::{Bounds, EstimateId};
use crate::ask::{Answer, AskId, Effect, Outage};
use crate::change_rows;
use crate::changes::Absent::{Is, Unknown};
use crate::changes::Changes;
use crate::changes::Direction::{Access, Callers, Either, More};
use crate::cx::{Cx, LeaseNotice, Principal};
use crate::declared::{Scalar, Settings, Value};
use crate::head::RequestHead;
use crate::key::{Key, Reader};
use crate::leases::{Lease, PermitWait};
use crate::phase::Phase;
use crate::plans::Plans;
use crate::policy::Policy;
use crate::protection::Protection;
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
    /// Maximum time in milliseconds that a request waits for a permit. Default: a request without a
    /// permit is refused.
    #[n(3)]
    wait_ms: Option<u64>,
    /// Minimum of an adaptive limit, whose maximum is `limit`. Default: the limit is fixed.
    #[n(4)]
    min_limit: Option<u64>,
}

/// Concurrency limit at run time.
#[derive(Debug)]
pub struct Filter {
    name: Box<str>,
    state: StateId,
    limit: u64,
    key: Reader,
    plans: Option<Plans>,
    /// Maximum time that a request waits for a permit, in milliseconds. 0: requests do not wait.
    wait_ms: u64,
    /// Minimum of an adaptive limit. `None`: the limit is fixed.
    min_limit: Option<u64>,
}

static LIMITED: Reject = Reject::new(429, "concurrency_limited", "Too many concurrent requests")
    .with_meaning("a `concurrency` limit is reached");

static WAITED: Reject = Reject::new(
    503,
    "concurrency_wait_ended",
    "Too many concurrent requests; the wait for a permit timed out",
)
.with_meaning("no permit of a `concurrency` limit became free within `wait`");

// === impl Checked ===

/// Feature that a gateway needs for limits whose key is a claim.
const BY_CLAIM: &str = "policy:concurrency:claim";
/// Feature that a gateway needs for limits by cookie, query parameter or several properties. A gwd
/// with this feature also has [`BY_CLAIM`].
const KEYS: &str = "policy:concurrency:keys";
/// Feature that a gateway needs for limits with `plans`. A gwd with this feature also has [`KEYS`].
const PLANS: &str = "policy:concurrency:plans";
/// Feature that a gateway needs for limits with a queue (`wait`). A gwd with this feature also has
/// [`PLANS`].
const WAIT: &str = "policy:concurrency:wait";
/// Feature that a gateway needs for adaptive limits. A gwd with this feature also has [`WAIT`].
const ADAPTIVE: &str = "policy:concurrency:adaptive";
/// Feature that a gateway needs for limits whose plans have groups. A gwd with this feature also
/// has [`ADAPTIVE`].
const GROUPS: &str = "policy:concurrency:groups";

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::new(change_rows! {
        "limit": More(Unknown);
        "wait": More(Is(0));
        "algorithm": Either;
        "min_limit": More(Unknown);
        "key" as "limit-key-changed": Either;
        "plans": Callers;
        "groups": Access;
    });

    const REFUSALS: &'static [&'static Reject] = &[&LIMITED, &WAITED];

    const PROTECTION: Option<Protection> = Some(Protection::Limit);

    const FEATURES: &'static [&'static str] = &[BY_CLAIM, KEYS, PLANS, WAIT, ADAPTIVE, GROUPS];

    // Limits by address run before authentication, all others after it.
    fn phase(&self) -> Option<Phase> {
        Some(self.key.phase())
    }

    fn settings(&self) -> Settings {
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let mut settings = Settings::default()
            .with(&["limit"], Value::One(Scalar::Number(limit)))
            .with(&["key"], self.key.setting());
        if let Some(wait_ms) = self.wait_ms {
            settings = settings.with(&["wait"], Value::One(Scalar::Duration(wait_ms)));
        }
        if let Some(min) = self.min_limit {
            let min = i64::try_from(min).unwrap_or(i64::MAX);
            settings = settings
                .with(
                    &["algorithm"],
                    Value::One(Scalar::Text("adaptive".to_owned())),
                )
                .with(&["min_limit"], Value::One(Scalar::Number(min)));
        }
        Plans::setting(self.plans.as_ref(), settings)
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        Ok(Some(Filter {
            name: setting.name.into(),
            state: setting.state,
            limit: self.limit,
            key: self.key.reader(),
            plans: self.plans.clone(),
            wait_ms: self.wait_ms.unwrap_or(0),
            min_limit: self.min_limit,
        }))
    }

    fn feature(&self) -> Option<&'static str> {
        if self.plans.as_ref().is_some_and(Plans::has_groups) {
            return Some(GROUPS);
        }
        if self.min_limit.is_some() {
            return Some(ADAPTIVE);
        }
        if self.wait_ms.is_some() {
            return Some(WAIT);
        }
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

    fn depends_on_query(&self) -> bool {
        self.key.reads_query()
    }

    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        if !self.applies(cx) {
            return Step::Continue;
        }
        let (_, tag) = self.key.read(self.state, cx.limits.tables(false), head, cx);
        let limit = self.current(tag, cx);
        if self.wait_ms > 0 {
            return self.wait(tag, limit, cx);
        }
        match cx.limits.leases.take(tag, limit.permits) {
            Some(taken) => self.admitted(taken, limit, cx),
            None => self.refused(&LIMITED, limit, cx),
        }
    }
}

/// Limit of a key at the time of a request.
#[derive(Clone, Copy)]
struct CurrentLimit {
    permits: u64,
    /// Estimate of an adaptive limit. `None`: the limit is fixed.
    estimate: Option<EstimateId>,
}

impl Filter {
    /// Current limit of a key: adaptive, or the maximum if too many keys have adaptive limits.
    fn current(&self, tag: u64, cx: &Cx<'_>) -> CurrentLimit {
        let bounds = |min| Bounds {
            min,
            max: self.limit,
        };
        let route = cx.route.map_or("", |route| route.as_str());
        let adaptive = self.min_limit.and_then(|min| {
            let leases = &cx.limits.leases;
            leases.adaptive(tag, bounds(min), cx.now_ns, [&self.name, route])
        });
        CurrentLimit {
            permits: adaptive.map_or(self.limit, |(_, limit)| limit),
            estimate: adaptive.map(|(estimate, _)| estimate),
        }
    }

    /// Takes a permit, or returns a step that waits for a permit.
    fn wait<'a>(&'a self, tag: u64, limit: CurrentLimit, cx: &mut Cx<'a>) -> Step {
        let wait = PermitWait {
            tag,
            limit: limit.permits,
            wait_ms: self.wait_ms,
            estimate: limit.estimate,
            turn: turn(cx),
        };
        let answer = cx.answers.get(&AskId::of_wait(&wait)).cloned();
        match answer {
            None => match cx.limits.leases.take(tag, limit.permits) {
                Some(taken) => self.admitted(taken, limit, cx),
                None => Step::Ask(Box::new(Effect::Permit(Box::new(wait)))),
            },
            Some(Answer::Permit(count)) => {
                self.notice(Some(count), limit, cx);
                Step::Continue
            }
            Some(Answer::Outage(Outage::Overflow)) => self.refused(&LIMITED, limit, cx),
            Some(_) => self.refused(&WAITED, limit, cx),
        }
    }

    /// Stores a permit in the context, which holds it until the response has ended.
    fn admitted<'a>(
        &'a self,
        (lease, count): (Lease, u64),
        limit: CurrentLimit,
        cx: &mut Cx<'a>,
    ) -> Step {
        self.notice(Some(count), limit, cx);
        cx.permits.add(lease.with_estimate(limit.estimate));
        Step::Continue
    }

    /// Refuses a request that got no permit. Returns the tokens that the request took from rate
    /// limits and quotas.
    fn refused<'a>(
        &'a self,
        reject: &'static Reject,
        limit: CurrentLimit,
        cx: &mut Cx<'a>,
    ) -> Step {
        self.notice(None, limit, cx);
        cx.refund();
        Step::Reject(reject)
    }

    /// Stores the state of the limit for the response fields. `count` is the number of permits in
    /// use; `None` if the request is refused.
    fn notice<'a>(&'a self, count: Option<u64>, limit: CurrentLimit, cx: &mut Cx<'a>) {
        let limit = limit.permits;
        let notice = LeaseNotice {
            policy: &self.name,
            limit,
            remaining: limit.saturating_sub(count.unwrap_or(limit)),
        };
        if cx
            .concurrency_notice
            .is_none_or(|current| count.is_none() || notice.remaining < current.remaining)
        {
            cx.concurrency_notice = Some(notice);
        }
    }
}

/// Address by which waiting requests take turns. For an authenticated caller it is an artificial
/// address in the unique local range (RFC 4193), with a keyed hash of the caller. So callers behind
/// one proxy take turns, and a caller with many addresses has one turn.
fn turn(cx: &Cx<'_>) -> IpAddr {
    let Some(caller) = cx.principal.as_ref().and_then(Principal::key) else {
        return cx.client;
    };
    let hash = cx.limits.known.tag(StateId(0), &[b"turn", caller]);
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&hash.to_be_bytes());
    bytes[0] = 0xfd;
    Ipv6Addr::from(bytes).into()
}

/// Adds the state of a concurrency limit to the response fields that rate limits use as well.
pub fn write_fields(notice: &LeaseNotice<'_>, headers: &mut HeaderMap) {
    let LeaseNotice {
        policy,
        limit,
        remaining,
    } = *notice;
    let quota = format!("\"{policy}\";q={limit};qu=\"concurrent-requests\"");
    let left = format!("\"{policy}\";r={remaining}");
    for (name, text) in [("ratelimit-policy", quota), ("ratelimit", left)] {
        let name = HeaderName::from_static(name);
        // Append to the list field, because other policies write into it as well (RFC 9651 §3.1).
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

    use diag::shape::{self, Field, Object, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read};

    use super::Checked;
    use crate::key::{self, Key};

    /// Default of `min_limit`, as in Envoy's adaptive concurrency filter.
    const MIN_LIMIT: u64 = 3;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        "planned: {kind: concurrency, limit: 76, key: consumer, wait: 77ms}",
        "measured: {kind: concurrency, limit: 78, algorithm: adaptive, min_limit: 7}",
    ];

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
                "Key of the limit: `route`, `consumer`, `address`, `header:NAME`, `cookie:NAME`, `query:NAME` or `claim:NAME`, or a list of them, which form one key. A request that lacks the key, or has several values for it, counts by the client's address. Default: `route`.",
            ),
            Field::optional(
                "algorithm",
                Shape::Word(&["fixed", "adaptive"]),
                "`adaptive`: the limit of each route follows the latency of the upstream, between `min_limit` and `limit`; the initial limit is 20. Default: `fixed`.",
            ),
            Field::optional(
                "min_limit",
                Shape::Integer(1, 1 << 24),
                "Minimum of an adaptive limit. Default: 3, or `limit` if that is less.",
            ),
            Field::optional(
                "wait",
                Shape::Timeout,
                "Maximum time that a request above the limit waits for a permit. After this time, it gets 503 `concurrency_wait_ended`. Waiting requests of different callers get permits in turn. The time is in addition to `timeout`. Default: requests do not wait.",
            ),
        ],
        rules: &[],
    };

    /// Reads a limit from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, sink: &mut Sink) -> Option<Checked> {
        let key = match node.get("key").filter(|key| !key.is_null()) {
            None => Key::Route,
            Some(node) => key::author::read(node)?,
        };
        let wait_ms = match node.get("wait").filter(|wait| !wait.is_null()) {
            None => None,
            Some(wait) => Some(read::timeout_ms(wait).ok()?),
        };
        let limit = read::integer(node.get("limit")?, 1, 1 << 24).ok()?;
        let limit = u64::try_from(limit).ok()?;
        let min_limit = min_limit(node, &key, limit, sink).ok()?;
        Some(Checked {
            limit,
            key,
            plans: None,
            wait_ms,
            min_limit,
        })
    }

    /// Reads the minimum of an adaptive limit. `None` for a fixed one.
    ///
    /// # Errors
    /// A finding was reported: the keys contradict each other.
    fn min_limit(
        node: NodeRef<'_>,
        key: &Key,
        limit: u64,
        sink: &mut Sink,
    ) -> Result<Option<u64>, ()> {
        let given = |name: &str| node.get(name).filter(|given| !given.is_null());
        let algorithm = given("algorithm").filter(|word| word.scalar_text() == Some("adaptive"));
        let min = given("min_limit");
        let number = |min: NodeRef<'_>| read::integer(min, 1, 1 << 24).ok();
        let number = min.and_then(number).and_then(|min| u64::try_from(min).ok());
        let (place, message, help) = match (algorithm, min) {
            (None, None) => return Ok(None),
            (None, Some(min)) => (
                min,
                "`min_limit` has no effect without `algorithm: adaptive`".to_owned(),
                "write `algorithm: adaptive`, or remove `min_limit`",
            ),
            (Some(algorithm), _) if *key != Key::Route => (
                given("key").unwrap_or(algorithm),
                "an adaptive limit needs `key: route`, because it follows the latency of the route's upstream"
                    .to_owned(),
                "write `key: route`, or remove `algorithm`",
            ),
            (Some(_), Some(min)) if number.is_some_and(|number| number > limit) => (
                min,
                format!("`min_limit` is above `limit`, which is {limit}"),
                "lower `min_limit`, or raise `limit`",
            ),
            (Some(_), _) => return Ok(Some(number.unwrap_or(MIN_LIMIT.min(limit)))),
        };
        sink.push(Diagnostic::new(&shape::BAD_VALUE, place.span(), message).help(help));
        Err(())
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
            wait_ms: 0,
            min_limit: None,
        }
    }

    #[test]
    fn permits_are_in_use_until_the_leases_are_dropped() {
        let few = filter(1, 2);
        let ask = || {
            with_cx(|cx| {
                (
                    matches!(few.on_request(&mut head("/"), cx), Step::Continue),
                    std::mem::take(&mut cx.permits),
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
    fn waiting_asks_for_a_permit_unless_one_is_free() {
        let mut few = filter(3, 1);
        few.wait_ms = 500;
        let ask = |answer: Option<Answer>| {
            with_cx(|cx| {
                let tag = few
                    .key
                    .read(few.state, cx.limits.tables(false), &head("/"), cx)
                    .1;
                let wait = PermitWait {
                    tag,
                    limit: 1,
                    wait_ms: 500,
                    estimate: None,
                    turn: cx.client,
                };
                if let Some(answer) = answer {
                    cx.answers.add(AskId::of_wait(&wait), answer);
                }
                let result = match few.on_request(&mut head("/"), cx) {
                    Step::Continue => "continue",
                    Step::Reject(reject) => reject.code,
                    Step::Ask(effect) => match *effect {
                        Effect::Permit(requested) if *requested == wait => "ask",
                        _ => "another effect",
                    },
                    Step::Reply(_) => "reply",
                };
                let left = cx.concurrency_notice.map(|notice| notice.remaining);
                (result, left, std::mem::take(&mut cx.permits))
            })
        };
        let (result, left, permits) = ask(None);
        assert_eq!((result, left), ("continue", Some(0)));
        for (answer, expected) in [
            (None, ("ask", None)),
            (Some(Answer::Permit(1)), ("continue", Some(0))),
            (
                Some(Answer::Outage(Outage::Overflow)),
                ("concurrency_limited", Some(0)),
            ),
            (
                Some(Answer::Outage(Outage::Timeout)),
                ("concurrency_wait_ended", Some(0)),
            ),
        ] {
            let (result, left, leases) = ask(answer);
            assert_eq!((result, left), expected);
            assert!(leases.is_empty());
        }
        drop(permits);
        assert_eq!(ask(None).0, "continue");
    }

    #[test]
    fn adaptive_limit_admits_as_many_as_the_estimate() {
        let limits = crate::traffic::rate_limit::tests::limits();
        let mut few = filter(4, 200);
        few.min_limit = Some(3);
        let mut permits = Vec::new();
        for admitted in 1..=21 {
            let mut cx = crate::traffic::rate_limit::tests::cx(&limits, "10.0.0.1");
            let step = few.on_request(&mut head("/"), &mut cx);
            assert_eq!(matches!(step, Step::Continue), admitted <= 20, "{admitted}");
            let notice = cx.concurrency_notice.unwrap();
            assert_eq!(
                (notice.limit, notice.remaining),
                (20, 20 - admitted.min(20))
            );
            permits.push(std::mem::take(&mut cx.permits));
        }
        // Observe twenty requests in flight with a rising latency.
        for window in 1..100u64 {
            for leases in &permits[..20] {
                leases.observe(window * 1_000_000, window * 1_000_000_000);
            }
        }
        permits.drain(..16);
        let mut cx = crate::traffic::rate_limit::tests::cx(&limits, "10.0.0.1");
        let step = few.on_request(&mut head("/"), &mut cx);
        assert!(
            matches!(step, Step::Reject(_)),
            "{:?}",
            limits.0.leases.adapted()
        );
        let adapted = limits.0.leases.adapted();
        assert_eq!((adapted.len(), &*adapted[0].policy), (1, "few"));
    }

    #[test]
    fn callers_have_turns_of_their_own() {
        let turn_of = |consumer: Option<&'static str>| {
            with_cx(|cx| {
                cx.principal = consumer.map(|consumer| Principal {
                    consumer: Some(consumer),
                    scheme: "key",
                    claims: crate::NO_CLAIMS,
                    groups: &[],
                    plan: None,
                    token: None,
                });
                turn(cx)
            })
        };
        let (acme, other) = (turn_of(Some("acme")), turn_of(Some("other")));
        assert_eq!(turn_of(None).to_string(), "10.0.0.1");
        assert_eq!(acme, turn_of(Some("acme")));
        let networks = |turn| crate::network::Networks::of(turn).all();
        assert_ne!(networks(acme), networks(other));
        assert!(acme.to_string().starts_with("fd"), "{acme}");
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
            let notice = cx.concurrency_notice.unwrap();
            let tightest = if first < second { "few" } else { "two" };
            assert_eq!((notice.policy, notice.remaining), (tightest, 1));
        }
    }

    #[test]
    fn fields_of_rate_limits_are_extended() {
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
