//! Quota: limit on requests per calendar period or rolling window.
//!
//! ```yaml
//! policies:
//!   monthly: {kind: quota, limit: 100000, period: month, time_zone: Europe/Berlin, key: consumer}
//!   trial: {kind: quota, limit: 500, window: 30d, warn: [80%, 95%]}
//! ```
//! A refused request gets 429 with `Retry-After` (RFC 9110 §10.2.3): the time to the end of the
//! period. Responses have the fields of draft-ietf-httpapi-ratelimit-headers, and `Quota-Warning`
//! beyond a threshold of `warn`. A request is counted before it is forwarded. If a later limit of
//! the chain refuses the request, the count is undone. The count is kept if two conditions hold:
//! clients can invent the key (an address, a field), and another service was called or a password
//! was checked in between.
//!
//! The counters follow the wall clock and survive a restart, unlike those of `rate_limit`.

use http::header::{HeaderMap, HeaderName, HeaderValue};
use minicbor::{Decode, Encode};

use crate::calendar::{Calendar, Unit, Zone};
use crate::change_rows;
use crate::changes::Absent::{Is, Unknown};
use crate::changes::Changes;
use crate::changes::Direction::{
    Access, Callers, Costs, Each, Either, Less, More, Other, Outage, Restarts, Stored,
};
use crate::cx::{Cx, QuotaWarning};
use crate::declared::{Scalar, Settings, Value};
use crate::guard::csrf::Mode;
use crate::head::RequestHead;
use crate::key::Key;
use crate::phase::Phase;
use crate::plans::Plans;
use crate::policy::Policy;
use crate::protection::Protection;
use crate::rate::{Algorithm, Tokens};
use crate::secret::{SecretRef, SecretUnavailable};
use crate::step::{Reject, Run, Setting, Step};
use crate::store;
use crate::traffic::cost::{self, Cost};
use crate::traffic::counter::{Counter, Limit};
use crate::traffic::rate_limit;
use crate::traffic::rate_limit::X_RATELIMIT;
use crate::traffic::synced;

/// A quota, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Requests per period.
    #[n(0)]
    limit: u64,
    /// Calendar period or rolling window.
    #[n(1)]
    span: Span,
    /// Key of the counter.
    #[n(2)]
    key: Key,
    /// Handling of requests beyond the limit. `None`: [`Mode::Block`].
    #[n(3)]
    mode: Option<Mode>,
    /// Warning thresholds: used shares of the quota in parts per million, ascending. Responses have
    /// a warning once a request reaches a threshold.
    #[n(4)]
    warn: Vec<u32>,
    /// Store of the counters. Default: this process.
    #[n(5)]
    store: Option<store::Checked>,
    /// Plans to whose consumers the quota applies. Default: all callers.
    #[n(6)]
    plans: Option<Plans>,
    /// True if responses also have the fields `X-RateLimit-*`.
    #[n(7)]
    #[cbor(skip_if = "std::ops::Not::not")]
    x_ratelimit: bool,
    /// Length of the leases in milliseconds (`sync: synced`). `None`: the limit is exact.
    #[n(8)]
    lease_ms: Option<u64>,
    /// Cost of a request. `None`: the cost of the operation.
    #[n(9)]
    cost: Option<Cost>,
}

/// Period of a quota.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Span {
    /// Calendar period in a time zone.
    #[n(0)]
    Calendar(#[n(0)] Unit, #[n(1)] Zone),
    /// Rolling window of this length, in milliseconds.
    #[n(1)]
    Rolling(#[n(0)] u64),
}

/// A quota at run time.
#[derive(Debug)]
pub struct Filter {
    name: Box<str>,
    limit: u64,
    span: RunSpan,
    counter: Counter,
    plans: Option<Plans>,
    logs: bool,
    warn: Box<[u32]>,
    x_ratelimit: bool,
}

/// Period of a quota at run time.
#[derive(Debug)]
enum RunSpan {
    Calendar(Calendar),
    Rolling(u64),
}

static EXHAUSTED: Reject =
    Reject::new(429, "quota_exhausted", "Quota exhausted").with_meaning("a `quota` is used up");

/// Response field with the warning thresholds that were reached.
pub const WARNING: HeaderName = HeaderName::from_static("quota-warning");

// === impl Checked ===

impl Checked {
    /// Requests per period.
    #[must_use]
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Cost of a request. `None`: the cost of the operation.
    #[must_use]
    pub fn cost(&self) -> Option<&Cost> {
        self.cost.as_ref()
    }

    /// True if a rate limit has no effect beside this quota. Both count the same callers by the
    /// same key. The quota is not above the requests that the rate limit admits at once. The rate
    /// limit regains its tokens at least as fast.
    #[must_use]
    pub fn hides(&self, rate: &rate_limit::Checked) -> bool {
        let tokens = rate.tokens();
        let period_ms = match &self.span {
            Span::Calendar(unit, _) => unit.least_ms(),
            Span::Rolling(ms) => *ms,
        };
        let tokens_in = |count: u64, period_ms: u64| u128::from(count) * u128::from(period_ms);
        let is_slower =
            tokens_in(self.limit, tokens.period_ms) <= tokens_in(tokens.count, period_ms);
        // Gateways with separate counters together admit more requests than one counter in a store.
        let is_shared = self.store.is_some() || rate.store().is_none();
        self.limit <= tokens.capacity()
            && is_slower
            && is_shared
            && self.mode != Some(Mode::Log)
            && rate.refuses()
            && rate.key() == Some(&self.key)
            && rate.plans() == self.plans.as_ref()
            && rate.cost() == self.cost()
    }
}

/// Feature that a gateway needs for quotas with a store.
const STORE: &str = "policy:quota:store";
/// Feature that a gateway needs for quotas with `plans`. A gwd with this feature also has
/// [`STORE`].
const PLANS: &str = "policy:quota:plans";

/// Feature that a gateway needs for quotas with `X-RateLimit-*`. A gwd with this feature also has
/// [`PLANS`].
const X_FIELDS: &str = "policy:quota:x_ratelimit";

/// Feature that a gateway needs for limits with leases, and for limits whose store has several
/// servers. A gwd with this feature also has [`X_FIELDS`].
const SYNCED: &str = "policy:quota:synced";

/// Feature that a gateway needs for limits with `cost`. A gwd with this feature also has
/// [`SYNCED`].
const COST: &str = "policy:quota:cost";
/// Feature that a gateway needs for limits whose plans have groups. A gwd with this feature also
/// has [`COST`].
const GROUPS: &str = "policy:quota:groups";

impl Policy for Checked {
    type Filter = Filter;

    const CHANGES: Changes = Changes::new(change_rows! {
        "limit": More(Unknown);
        "window": Less(Unknown);
        "period": Either;
        "time_zone": Either;
        "key" as "limit-key-changed": Either;
        "mode": Each(&[]);
        "warn": Other;
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

    const REFUSALS: &'static [&'static Reject] = &[&EXHAUSTED, &cost::INVALID];

    const PROTECTION: Option<Protection> = Some(Protection::Limit);

    const FEATURES: &'static [&'static str] = &[STORE, PLANS, X_FIELDS, SYNCED, COST, GROUPS];

    // A quota runs after authentication and after limits by address, whatever its key. Requests
    // that these steps refuse do not use the quota.
    fn phase(&self) -> Option<Phase> {
        Some(Phase::Limit)
    }

    fn settings(&self) -> Settings {
        let text = |text: &str| Value::One(Scalar::Text(text.to_owned()));
        let limit = i64::try_from(self.limit).unwrap_or(i64::MAX);
        let mut settings = Settings::default()
            .with(&["limit"], Value::One(Scalar::Number(limit)))
            .with(&["key"], self.key.setting());
        settings = match &self.span {
            Span::Calendar(unit, zone) => settings
                .with(&["period"], text(unit.name()))
                .with(&["time_zone"], text(zone.name())),
            Span::Rolling(ms) => settings.with(&["window"], Value::One(Scalar::Duration(*ms))),
        };
        if let Some(mode) = self.mode {
            let word = match mode {
                Mode::Block => "block",
                Mode::Log => "log",
            };
            settings = settings.with(&["mode"], text(word));
        }
        if let Some(store) = &self.store {
            settings = store.settings(settings);
        }
        let window_ms = match self.span {
            Span::Calendar(..) => None,
            Span::Rolling(ms) => Some(ms),
        };
        let tokens = synced::tokens_of_quota(self.limit, window_ms);
        settings = synced::settings(self.lease_ms, tokens, settings);
        settings = Plans::setting(self.plans.as_ref(), settings);
        settings = Cost::setting(self.cost.as_ref(), settings);
        if self.x_ratelimit {
            settings = settings.with(&[X_RATELIMIT], Value::One(Scalar::Flag(true)));
        }
        if self.warn.is_empty() {
            return settings;
        }
        let warn = self.warn.iter().map(|share| Scalar::Share(*share));
        settings.with(&["warn"], Value::Set(warn.collect()))
    }

    fn filter(&self, setting: &Setting<'_>) -> Result<Option<Filter>, SecretUnavailable> {
        Ok(Some(Filter {
            name: setting.name.into(),
            limit: self.limit,
            span: match &self.span {
                Span::Calendar(unit, zone) => RunSpan::Calendar(Calendar::new(*unit, zone)),
                Span::Rolling(ms) => RunSpan::Rolling(*ms),
            },
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
                quota: true,
            },
            plans: self.plans.clone(),
            logs: self.mode == Some(Mode::Log),
            warn: self.warn.as_slice().into(),
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
        let synced = (is_distributed || self.lease_ms.is_some()).then_some(SYNCED);
        let x_fields = synced.or(self.x_ratelimit.then_some(X_FIELDS));
        let plans = x_fields.or(self.plans.as_ref().map(|_| PLANS));
        plans.or(self.store.as_ref().map(|_| STORE))
    }

    fn key(&self) -> Option<&Key> {
        Some(&self.key)
    }

    fn recovery_ms(&self) -> u64 {
        match &self.span {
            Span::Rolling(window_ms) => *window_ms,
            Span::Calendar(Unit::Minute, _) => 60_000,
            Span::Calendar(..) => u64::MAX,
        }
    }

    fn store(&self) -> Option<&store::Checked> {
        self.store.as_ref()
    }

    fn plans_mut(&mut self) -> Option<&mut Option<Plans>> {
        Some(&mut self.plans)
    }

    fn store_mut(&mut self) -> Option<&mut store::Checked> {
        self.store.as_mut()
    }

    fn secrets(&self) -> Vec<&SecretRef> {
        self.store.iter().map(|store| &store.url).collect()
    }

    fn counter(&self) -> String {
        let algorithm = match self.span {
            Span::Calendar(..) => "calendar",
            Span::Rolling(_) => "rolling",
        };
        format!("{:?} quota {algorithm}", self.key)
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
        let tokens = self.tokens(cx.unix_s);
        let now_ns = cx.unix_s.saturating_mul(1_000_000_000);
        let taken = self.counter.take(tokens, now_ns, head, cx);
        let counted = match taken.decision(self.logs, cx) {
            Ok(counted) => counted,
            Err(step) => return step,
        };
        self.warn(counted.0.remaining, cx);
        let limit = Limit {
            policy: &self.name,
            tokens,
            reject: &EXHAUSTED,
            logs: self.logs,
            x_ratelimit: self.x_ratelimit,
        };
        limit.step(counted, cx)
    }
}

impl Filter {
    /// True if the quota applies to the request's caller.
    #[must_use]
    pub fn applies(&self, cx: &Cx<'_>) -> bool {
        Plans::apply(self.plans.as_ref(), cx)
    }

    /// Quota for a request at a time (Unix time, seconds). A calendar quota applies to the period
    /// that contains this time.
    fn tokens(&self, unix_s: u64) -> Tokens {
        let (algorithm, period_ms) = match &self.span {
            RunSpan::Calendar(calendar) => {
                let period = calendar.period(unix_s);
                (Algorithm::Calendar(period.end_min), period.length_ms())
            }
            RunSpan::Rolling(ms) => (Algorithm::Window, *ms),
        };
        Tokens {
            algorithm,
            count: self.limit,
            period_ms,
            burst: self.limit,
        }
    }

    /// Records the highest warning threshold that the request reached.
    fn warn<'a>(&'a self, remaining: u64, cx: &mut Cx<'a>) {
        if self.warn.is_empty() {
            return;
        }
        let used = u128::from(self.limit - remaining.min(self.limit));
        let passed =
            |share: &&u32| used * 1_000_000 >= u128::from(self.limit) * u128::from(**share);
        if let Some(share) = self.warn.iter().rev().find(passed) {
            cx.warned.push(QuotaWarning {
                policy: &self.name,
                share_ppm: *share,
            });
        }
    }
}

/// Writes the thresholds that the request reached into `Quota-Warning`: a list of policy names as
/// strings (RFC 9651), each with the used share in percent as the parameter `used`.
pub fn write_warnings(warned: &[QuotaWarning<'_>], headers: &mut HeaderMap) {
    let mut text = String::new();
    for QuotaWarning { policy, share_ppm } in warned {
        let comma = if text.is_empty() { "" } else { ", " };
        let used = Scalar::Share(*share_ppm).to_string();
        text = format!(
            "{text}{comma}\"{policy}\";used={}",
            used.trim_end_matches('%')
        );
    }
    if let Ok(value) = HeaderValue::try_from(text) {
        headers.insert(WARNING, value);
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: quota` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read};

    use super::{Checked, Span, Unit, X_RATELIMIT, Zone};
    use crate::forms;
    use crate::guard::csrf::Mode;
    use crate::key::{self, Key};
    use crate::rate::{CALENDAR_MAX, WINDOW_MAX};
    use crate::store;
    use crate::traffic::rate_limit::author::X_RATELIMIT_MEANING;
    use crate::traffic::{cost, synced};

    /// Largest limit.
    const LIMIT_MAX: i64 = 1_000_000_000_000;
    const _: () = assert!(LIMIT_MAX as u64 <= CALENDAR_MAX);
    /// Longest rolling window: 366 days.
    const WINDOW_MS_MAX: u64 = 366 * 86_400_000;

    /// Sample policies with all keys of this kind. Each sample is a line below `policies` in
    /// gateway.yaml.
    pub const SAMPLES: &[&str] = &[
        "monthly: {kind: quota, limit: 71, period: month, time_zone: Asia/Tokyo, key: address, warn: [81%], mode: log}",
        "rolling: {kind: quota, limit: 72, window: 73h, key: route, store: watched, x_ratelimit: true, cost: \"cost * 75\"}",
    ];

    /// The keys of `kind: quota`.
    pub static SHAPE: Object = Object {
        what: "a quota",
        fields: &[
            Field::required(
                "limit",
                Shape::Integer(1, LIMIT_MAX),
                "Requests per period.",
            ),
            Field::optional(
                "period",
                Shape::Word(&["minute", "hour", "day", "week", "month"]),
                "Calendar period. Weeks begin on Monday.",
            ),
            Field::optional(
                "window",
                Shape::Timeout,
                "Rolling period instead of `period`: at most `limit` requests in any time of this \
                length. Maximum: 366d. Maximum of `limit` with `window`: 16777215.",
            ),
            Field::optional(
                "time_zone",
                Shape::Form(&forms::TIME_ZONE),
                "With `period`: time zone of days, with its daylight saving time. Default: `UTC`.",
            ),
            Field::optional(
                "key",
                key::author::SHAPE,
                "Key of the quota, with the values of `key` in `rate_limit`. Default: `consumer`.",
            ),
            Field::optional(
                "anonymous",
                Shape::Word(&["address"]),
                "Key of a request that has no value for `key`: `address`, the client's address. Default: `address`.",
            ),
            Field::optional(
                "warn",
                Shape::Either(&[Shape::Percent, Shape::Several(&Shape::Percent)]),
                "Used shares of the quota, such as `80%`, beyond which responses have the field `Quota-Warning` and a metric counts them. Default: none.",
            ),
            Field::optional(
                "mode",
                Shape::Word(&["block", "log"]),
                "`log`: requests beyond the limit are served; each is logged and counted in a metric. Default: `block`.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Store of the counters: `local` (kept across restarts), or the name of one of `stores`, which a fleet shares. Default: `local`.",
            ),
            synced::author::SYNC,
            synced::author::LEASE,
            cost::author::COST,
            Field::optional(X_RATELIMIT, Shape::Bool, X_RATELIMIT_MEANING),
        ],
        rules: &[
            Rule::One(&["period", "window"]),
            Rule::Apart(&["window", "time_zone"], &BAD_VALUE),
        ],
    };

    /// Reads a quota from a node that fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, sink: &mut Sink) -> Option<Checked> {
        let before = sink.findings().len();
        let given = |key: &str| node.get(key).filter(|node| !node.is_null());
        let key = given("key").map_or(Some(Key::Consumer), key::author::read);
        let limit = u64::try_from(read::integer(node.get("limit")?, 1, LIMIT_MAX).ok()?).ok()?;
        let word = |key: &str| given(key).and_then(NodeRef::scalar_text);
        let span = match (word("period"), given("window")) {
            (Some(period), _) => {
                let mut units = Unit::ALL.into_iter();
                let (_, unit) = units.find(|(name, _)| *name == period)?;
                let zone = word("time_zone").map_or(Some(Zone::utc()), Zone::new)?;
                Span::Calendar(unit, zone)
            }
            (None, window) => Span::Rolling(rolling(window?, (node.get("limit")?, limit), sink)?),
        };
        let warn = given("warn").map(|node| thresholds(node, sink));
        let mode = (word("mode") == Some("log")).then_some(Mode::Log);
        let lease_ms = synced::author::read(node, sink);
        let fine = sink.findings().len() == before;
        Some(Checked {
            limit,
            span,
            key: key.filter(|_| fine)?,
            mode,
            warn: warn.unwrap_or_default(),
            x_ratelimit: node.get(X_RATELIMIT).and_then(NodeRef::as_bool) == Some(true),
            store: store::author::read(node),
            plans: None,
            lease_ms,
            cost: cost::author::read(node),
        })
    }

    /// Reads a rolling window. Reports a window that the counters cannot represent.
    fn rolling(
        window: NodeRef<'_>,
        (limit, count): (NodeRef<'_>, u64),
        sink: &mut Sink,
    ) -> Option<u64> {
        let ms = read::duration_ms(window).ok()?;
        if !(1_000..=WINDOW_MS_MAX).contains(&ms) {
            let message = "the window must be from 1s to 366d";
            sink.push(
                Diagnostic::new(&BAD_VALUE, window.span(), message)
                    .help("write a window between `1s` and `366d`, or a `period`"),
            );
        }
        if count > WINDOW_MAX {
            let message = format!("a rolling window counts up to {WINDOW_MAX} requests");
            sink.push(
                Diagnostic::new(&BAD_VALUE, limit.span(), message)
                    .help("write a `period`, or a smaller limit"),
            );
        }
        Some(ms)
    }

    /// Reads the thresholds of `warn`. Reports thresholds that are never or always reached.
    fn thresholds(node: NodeRef<'_>, sink: &mut Sink) -> Vec<u32> {
        let one = |node: NodeRef<'_>, sink: &mut Sink| {
            let share = read::percent_ppm(node).ok()?;
            if share == 0 || share > 1_000_000 {
                let message = "a threshold must be above 0% and at most 100%";
                sink.push(
                    Diagnostic::new(&BAD_VALUE, node.span(), message)
                        .help("write a share of the quota, such as `80%`"),
                );
            }
            Some(share)
        };
        let mut shares: Vec<u32> = match node.scalar_text() {
            Some(_) => one(node, sink).into_iter().collect(),
            None => node.items().filter_map(|node| one(node, sink)).collect(),
        };
        shares.sort_unstable();
        shares.dedup();
        shares
    }
}

#[cfg(test)]
mod tests;
