//! Rate limit: a counter per key, shared by all workers.
//!
//! ```yaml
//! policies:
//!   per_client: {kind: rate_limit, limit: 100/s, burst: 20, key: consumer, anonymous: address}
//!   per_minute: {kind: rate_limit, limit: 600/min, algorithm: sliding_window, key: [consumer, route]}
//!   no_spikes: {kind: rate_limit, limit: 50/s, algorithm: leaky, mode: log}
//! ```
//! A refused request gets 429 with `Retry-After` (RFC 9110 §10.2.3) and the fields of
//! draft-ietf-httpapi-ratelimit-headers. A request is counted before it is forwarded. If a later
//! limit of the chain refuses it, the tokens of earlier limits are returned.

use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Absent::{Is, Unknown};
use crate::changes::Changes;
use crate::changes::Direction::{
    Access, Callers, Costs, Each, Either, More, Other, Outage, Restarts, Stored,
};
use crate::cx::{Cx, RateNotice};
use crate::declared::{Scalar, Settings, Value};
use crate::guard::csrf::Mode;
use crate::head::RequestHead;
use crate::key::Key;
use crate::phase::Phase;
use crate::plans::Plans;
use crate::policy::Policy;
use crate::protection::Protection;
use crate::rate::{self, Tokens};
use crate::secret::{SecretRef, SecretUnavailable};
use crate::step::{Reject, Run, Setting, Step};
use crate::store;
use crate::traffic::cost::{self, Cost};
use crate::traffic::counter::{Counter, Limit};
use crate::traffic::synced;

/// A rate limit, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Tokens per period.
    #[n(0)]
    count: u64,
    /// Period in milliseconds.
    #[n(1)]
    period_ms: u64,
    /// Maximum number of tokens in the bucket.
    #[n(2)]
    burst: u64,
    /// Key of the counter.
    #[n(3)]
    key: Key,
    /// Algorithm. Default: a token bucket.
    #[n(4)]
    algorithm: Option<Algorithm>,
    /// Handling of requests beyond the limit. Default: [`Mode::Block`].
    #[n(5)]
    mode: Option<Mode>,
    /// Store of the counters. Default: this process.
    #[n(6)]
    store: Option<store::Checked>,
    /// Plans to whose consumers the limit applies. Default: all callers.
    #[n(7)]
    plans: Option<Plans>,
    /// True if responses also have the fields `X-RateLimit-*`.
    #[n(8)]
    #[cbor(skip_if = "std::ops::Not::not")]
    x_ratelimit: bool,
    /// Length of the leases in milliseconds (`sync: synced`). `None`: the limit is exact.
    #[n(9)]
    lease_ms: Option<u64>,
    /// Cost of a request. `None`: the cost of the operation.
    #[n(10)]
    cost: Option<Cost>,
}

/// Algorithm other than the token bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Algorithm {
    /// Sliding window: at most `limit` requests in any period, estimated from two weighted windows.
    #[n(0)]
    SlidingWindow,
    /// Leaky bucket (spike arrest): evenly spaced requests. A token bucket with a burst of 1.
    #[n(1)]
    Leaky,
}

/// A rate limit at run time.
#[derive(Debug)]
pub struct Filter {
    name: Box<str>,
    tokens: Tokens,
    counter: Counter,
    logs: bool,
    plans: Option<Plans>,
    x_ratelimit: bool,
}

static LIMITED: Reject =
    Reject::new(429, "rate_limited", "Too many requests").with_meaning("a `rate_limit` is reached");

// === impl Checked ===

impl Checked {
    /// Quota of the limit, with the algorithm of the counter.
    #[must_use]
    pub fn tokens(&self) -> Tokens {
        let algorithm = match self.algorithm {
            Some(Algorithm::SlidingWindow) => rate::Algorithm::Window,
            Some(Algorithm::Leaky) | None => rate::Algorithm::Bucket,
        };
        Tokens {
            algorithm,
            count: self.count,
            period_ms: self.period_ms,
            burst: self.burst,
        }
    }

    /// False if the limit only logs.
    pub(super) fn refuses(&self) -> bool {
        self.mode != Some(Mode::Log)
    }

    /// Cost of a request. `None`: the cost of the operation.
    #[must_use]
    pub fn cost(&self) -> Option<&Cost> {
        self.cost.as_ref()
    }

    /// Plans to whose consumers the limit applies. `None`: all callers.
    pub(super) fn plans(&self) -> Option<&Plans> {
        self.plans.as_ref()
    }
}

impl Algorithm {
    fn word(self) -> &'static str {
        match self {
            Self::SlidingWindow => "sliding_window",
            Self::Leaky => "leaky",
        }
    }
}

/// Feature that a gateway needs for limits whose key is a claim.
const BY_CLAIM: &str = "policy:rate_limit:claim";
/// Feature that a gateway needs for limits with an algorithm, with a mode, or by cookie, query
/// parameter or several properties. A gwd with this feature also has [`BY_CLAIM`].
const ALGORITHMS: &str = "policy:rate_limit:algorithms";

/// Feature that a gateway needs for limits with a store. A gwd with this feature also has
/// [`ALGORITHMS`].
const STORE: &str = "policy:rate_limit:store";

/// Feature that a gateway needs for limits with `plans`. A gwd with this feature also has
/// [`STORE`].
const PLANS: &str = "policy:rate_limit:plans";

/// Feature that a gateway needs for limits with `X-RateLimit-*`. A gwd with this feature also has
/// [`PLANS`].
const X_FIELDS: &str = "policy:rate_limit:x_ratelimit";

/// Feature that a gateway needs for limits with leases, and for limits whose store has several
/// servers. A gwd with this feature also has [`X_FIELDS`].
const SYNCED: &str = "policy:rate_limit:synced";

/// Feature that a gateway needs for limits with `cost`. A gwd with this feature also has
/// [`SYNCED`].
const COST: &str = "policy:rate_limit:cost";
/// Feature that a gateway needs for limits whose plans have groups. A gwd with this feature also
/// has [`COST`].
const GROUPS: &str = "policy:rate_limit:groups";

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::new(change_rows! {
        "limit" as "rate-changed": More(Unknown);
        "burst" as "burst-changed": More(Unknown);
        "period_requests" as "window-limit-changed": More(Unknown);
        "key" as "limit-key-changed": Either;
        "algorithm": Either;
        "mode": Each(&[]);
        "store"."on_outage": Outage;
        "store"."*": Restarts;
        "store": Stored;
        "plans": Callers;
        "groups": Access;
        "x_ratelimit": Other;
        "sync": Each(&[]);
        "lease": Other;
        "over_admission": More(Is(0));
        "cost": Costs;
    });

    const REFUSALS: &'static [&'static Reject] = &[&LIMITED, &cost::INVALID];

    const PROTECTION: Option<Protection> = Some(Protection::Limit);

    const FEATURES: &'static [&'static str] = &[
        BY_CLAIM, ALGORITHMS, STORE, PLANS, X_FIELDS, SYNCED, COST, GROUPS,
    ];

    // Limits by address run before authentication and protect it. Limits by other keys need the
    // result of authentication.
    fn phase(&self) -> Option<Phase> {
        Some(self.key.phase())
    }

    fn settings(&self) -> Settings {
        let burst = i64::try_from(self.burst).unwrap_or(i64::MAX);
        let word = |word: &str| Value::One(Scalar::Text(word.to_owned()));
        let mut settings = Settings::default()
            .with(
                &["limit"],
                Value::One(Scalar::rate(self.count, self.period_ms)),
            )
            .with(&["key"], self.key.setting());
        // A sliding window admits all requests of a period at once. `5/s` and `300/min` are the
        // same rate, but not the same limit.
        let at_once = match self.algorithm {
            Some(Algorithm::SlidingWindow) => "period_requests",
            Some(Algorithm::Leaky) | None => "burst",
        };
        settings = settings.with(&[at_once], Value::One(Scalar::Number(burst)));
        if let Some(algorithm) = self.algorithm {
            settings = settings.with(&["algorithm"], word(algorithm.word()));
        }
        if let Some(store) = &self.store {
            settings = store.settings(settings);
        }
        settings = synced::settings(self.lease_ms, self.tokens(), settings);
        settings = Plans::setting(self.plans.as_ref(), settings);
        settings = Cost::setting(self.cost.as_ref(), settings);
        if self.x_ratelimit {
            settings = settings.with(&[X_RATELIMIT], Value::One(Scalar::Flag(true)));
        }
        match self.mode {
            None => settings,
            Some(Mode::Block) => settings.with(&["mode"], word("block")),
            Some(Mode::Log) => settings.with(&["mode"], word("log")),
        }
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        Ok(Some(Filter {
            name: setting.name.into(),
            tokens: self.tokens(),
            counter: Counter {
                state: setting.state,
                key: self.key.reader(),
                store: self
                    .store
                    .as_ref()
                    .map(|store| store.store(setting.secrets))
                    .transpose()?,
                lease_ms: self.lease_ms,
                cost: Cost::filter(self.cost.as_ref()),
                quota: false,
            },
            logs: self.mode == Some(Mode::Log),
            plans: self.plans.clone(),
            x_ratelimit: self.x_ratelimit,
        }))
    }

    fn feature(&self) -> Option<&'static str> {
        if self.plans.as_ref().is_some_and(Plans::has_groups) {
            return Some(GROUPS);
        }
        let is_distributed = self
            .store
            .as_ref()
            .is_some_and(store::Checked::is_distributed);
        if self.cost.is_some() {
            return Some(COST);
        }
        if self.lease_ms.is_some() || is_distributed {
            return Some(SYNCED);
        }
        if self.x_ratelimit {
            return Some(X_FIELDS);
        }
        if self.plans.is_some() {
            return Some(PLANS);
        }
        if self.store.is_some() {
            return Some(STORE);
        }
        if self.algorithm.is_some() || self.mode.is_some() || self.key.is_new() {
            return Some(ALGORITHMS);
        }
        self.key.has_claim().then_some(BY_CLAIM)
    }

    fn key(&self) -> Option<&Key> {
        Some(&self.key)
    }

    fn recovery_ms(&self) -> u64 {
        let at_once = u128::from(self.burst) * u128::from(self.period_ms);
        u64::try_from(at_once / u128::from(self.count.max(1))).unwrap_or(u64::MAX)
    }

    fn store(&self) -> Option<&store::Checked> {
        self.store.as_ref()
    }

    fn store_mut(&mut self) -> Option<&mut store::Checked> {
        self.store.as_mut()
    }

    fn plans_mut(&mut self) -> Option<&mut Option<Plans>> {
        Some(&mut self.plans)
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.store.iter().map(|store| &store.url).collect()
    }

    fn counter(&self) -> String {
        let algorithm = self.algorithm.map_or("token_bucket", Algorithm::word);
        format!("{:?} {algorithm}", self.key)
    }
}

// === impl Filter ===

impl Run for Filter {
    fn read_fields(&self) -> Vec<HeaderName> {
        self.counter.fields()
    }

    fn depends_on_path(&self) -> bool {
        self.counter.cost.reads_path()
    }

    fn depends_on_query(&self) -> bool {
        self.counter.key.reads_query() || self.counter.cost.reads_query()
    }

    fn on_request<'a>(&'a self, head: &mut RequestHead, cx: &mut Cx<'a>) -> Step {
        if !self.applies(cx) {
            return Step::Continue;
        }
        let taken = self.counter.take(self.tokens, cx.now_ns, head, cx);
        let counted = match taken.decision(self.logs, cx) {
            Ok(counted) => counted,
            Err(step) => return step,
        };
        let limit = Limit {
            policy: &self.name,
            tokens: self.tokens,
            reject: &LIMITED,
            logs: self.logs,
            x_ratelimit: self.x_ratelimit,
        };
        limit.step(counted, cx)
    }
}

impl Filter {
    /// True if the limit applies to the request's caller.
    #[must_use]
    pub fn applies(&self, cx: &Cx<'_>) -> bool {
        Plans::apply(self.plans.as_ref(), cx)
    }
}

/// Setting that adds the fields `X-RateLimit-*` to responses.
pub(super) const X_RATELIMIT: &str = "x_ratelimit";

/// Writes the state of a rate limit into the response fields `RateLimit-Policy` and `RateLimit`.
/// With `x_ratelimit`, also writes the older fields `X-RateLimit-*`. If the request was refused,
/// also writes `Retry-After`.
pub fn write_fields(notice: &RateNotice<'_>, headers: &mut HeaderMap) {
    let RateNotice {
        policy,
        tokens,
        remaining,
        retry_after_ms,
        refused,
        has_x_fields,
    } = *notice;
    let seconds = |ms: u64| ms.div_ceil(1_000);
    let quota = format!(
        "\"{policy}\";q={};w={}",
        tokens.count,
        seconds(tokens.period_ms).max(1)
    );
    let left = format!("\"{policy}\";r={remaining};t={}", seconds(retry_after_ms));
    for (name, text) in [("ratelimit-policy", quota), ("ratelimit", left)] {
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    if has_x_fields {
        for (name, number) in [
            ("x-ratelimit-limit", tokens.count),
            ("x-ratelimit-remaining", remaining),
            ("x-ratelimit-reset", seconds(retry_after_ms)),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(number));
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
    use diag::{Diagnostic, NodeRef, Sink, read};

    use super::{Algorithm, Checked, X_RATELIMIT};
    use crate::guard::csrf::Mode;
    use crate::key::{self, Key};
    use crate::rate::WINDOW_MAX;
    use crate::store;
    use crate::traffic::{cost, synced};

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        "slow: {kind: rate_limit, algorithm: token_bucket, limit: 10/s, burst: 5, key: consumer, anonymous: address, store: local}",
        "fleet: {kind: rate_limit, limit: 73/s, key: address, store: shared, sync: synced, lease: 3s, x_ratelimit: true, cost: \"size(request.path) + 74\"}",
    ];

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
                "Maximum requests at once. Default: as many as `limit`; 1 with `leaky`. `sliding_window` has no burst.",
            ),
            Field::optional(
                "key",
                key::author::SHAPE,
                "Key of the limit: `consumer`, `address`, `route`, `header:NAME`, `cookie:NAME`, `query:NAME` or `claim:NAME`, or a list of them, which form one key. A request that lacks the key, or has several values for it, counts by the client's address. Default: `consumer`.",
            ),
            Field::optional(
                "anonymous",
                Shape::Word(&["address"]),
                "Key of a request that has no value for `key`: `address`, the client's address. Default: `address`.",
            ),
            Field::optional(
                "algorithm",
                Shape::Word(&["token_bucket", "sliding_window", "leaky"]),
                "Algorithm that counts requests. `token_bucket`: bursts up to `burst`, then the rate. `sliding_window`: at most `limit` in any period. `leaky`: evenly spaced requests. Default: `token_bucket`.",
            ),
            Field::optional(
                "mode",
                Shape::Word(&["block", "log"]),
                "`log`: requests beyond the limit are served; each is logged and counted in a metric. Default: `block`.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Store of the counters: `local`, or the name of one of `stores`, which a fleet shares. Default: `local`.",
            ),
            synced::author::SYNC,
            synced::author::LEASE,
            cost::author::COST,
            Field::optional(X_RATELIMIT, Shape::Bool, X_RATELIMIT_MEANING),
        ],
    };

    /// Description of the key `x_ratelimit` in reference pages.
    pub(in crate::traffic) const X_RATELIMIT_MEANING: &str = "Send `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset` (seconds until the next request is admitted, 0: now) in addition to `RateLimit`. Default: `false`.";

    /// Reads a limit from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, sink: &mut Sink) -> Option<Checked> {
        let before = sink.findings().len();
        let store = store::author::read(node);
        let key = match node.get("key").filter(|key| !key.is_null()) {
            None => Some(Key::Consumer),
            Some(node) => key::author::read(node),
        };
        let rate = read::rate(node.get("limit")?).ok()?;
        let word = |key: &str| node.get(key).and_then(NodeRef::scalar_text);
        let algorithm = match word("algorithm") {
            Some("sliding_window") => Some(Algorithm::SlidingWindow),
            Some("leaky") => Some(Algorithm::Leaky),
            _ => None,
        };
        let burst = node.get("burst").filter(|burst| !burst.is_null());
        if algorithm == Some(Algorithm::SlidingWindow) {
            check_window(node.get("limit")?, rate.count, burst, sink);
        }
        let burst = match burst {
            Some(burst) => u64::try_from(read::integer(burst, 1, 1 << 24).ok()?).ok()?,
            None if algorithm == Some(Algorithm::Leaky) => 1,
            None => rate.count.min(1 << 24),
        };
        let mode = (word("mode") == Some("log")).then_some(Mode::Log);
        let lease_ms = synced::author::read(node, sink);
        let fine = sink.findings().len() == before;
        let key = key.filter(|_| fine)?;
        Some(Checked {
            count: rate.count,
            period_ms: rate.period_ms,
            burst,
            key,
            algorithm,
            mode,
            store,
            plans: None,
            x_ratelimit: node.get(X_RATELIMIT).and_then(NodeRef::as_bool) == Some(true),
            lease_ms,
            cost: cost::author::read(node),
        })
    }

    /// Reports a `burst` for a sliding window, which has no burst, and a limit that is too large
    /// for the counters of a window.
    fn check_window(limit: NodeRef<'_>, count: u64, burst: Option<NodeRef<'_>>, sink: &mut Sink) {
        if let Some(burst) = burst {
            let message =
                "a sliding window has no `burst`: it admits `limit` requests in any period";
            sink.push(
                Diagnostic::new(&shape::BAD_VALUE, burst.span(), message)
                    .help("remove `burst`, or write `algorithm: token_bucket`"),
            );
        }
        if count > WINDOW_MAX {
            let message = format!("a sliding window counts up to {WINDOW_MAX} requests");
            sink.push(
                Diagnostic::new(&shape::BAD_VALUE, limit.span(), message)
                    .help("shorten the period, or write `algorithm: token_bucket`"),
            );
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
