//! Circuit breaker: stops requests to a failing upstream, then probes whether it has recovered.
//!
//! ```yaml
//! policies:
//!   breaker: {kind: circuit_breaker, consecutive_failures: 5, open: 30s, half_open_requests: 1}
//! ```
//! The policy applies to the whole exchange, and is not a step of the chain. An operation with this
//! policy has its own breaker, in addition to the upstream's breaker. A request that a breaker
//! refuses gets 503 `circuit_open` with `Retry-After`.

use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Absent::{Is, NoLimit};
use crate::changes::Changes;
use crate::changes::Direction::{Either, Less, More};
use crate::declared::{Scalar, Settings, Value};
use crate::parameters::parameters;
use crate::phase::Phase;
use crate::policy::{Never, Policy};
use crate::protection::Protection;
use crate::secret::SecretUnavailable;
use crate::step::Setting;

/// Circuit-breaker settings, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Thresholds that open the breaker, and times for which it stays open.
    #[n(0)]
    pub numbers: Numbers,
    /// Scope of one breaker: the upstream or a target.
    #[n(1)]
    pub scope: Scope,
}

/// Scope of one breaker. Default: the whole upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
#[cbor(index_only)]
pub enum Scope {
    /// The whole upstream.
    #[default]
    #[n(0)]
    Upstream,
    /// Each target has its own breaker.
    #[n(1)]
    Target,
}

parameters! {
    /// Thresholds and times of a circuit breaker.
    pub struct Numbers {
        /// Window of the ratios, in milliseconds.
        0 window_ms: Ms = 10_000 => "window";
        /// Minimum number of requests within the window for the ratios to count.
        1 min_requests: Count = 20 => "min_requests";
        /// Time for which the breaker first stays open, in milliseconds.
        2 open_ms: Ms = 30_000 => "open";
        /// Maximum time for which the breaker stays open after repeated failures, in milliseconds.
        3 open_max_ms: Ms = 300_000 => "open_max";
        /// Maximum number of concurrent probes while half-open. The same number of successes closes
        /// the breaker.
        4 half_open_requests: Count = 1 => "half_open_requests";
        or none
        /// Number of consecutive failures that opens the breaker. Default: disabled.
        5 consecutive_failures: Count => "consecutive_failures";
        /// Share of failures within the window that opens the breaker, in parts per million.
        /// Default: disabled.
        6 failure_ppm: Share => "failure_ratio";
        /// Response time above which a response counts as slow, in milliseconds. Default: disabled.
        7 slow_ms: Ms => "slow_calls"."above";
        /// Share of slow responses within the window that opens the breaker, in parts per million.
        /// Default: disabled.
        8 slow_ppm: Share => "slow_calls"."ratio";
    }
}

impl Checked {
    /// Creates the settings from the configuration. Numbers that are not set have their defaults.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        Self {
            numbers: Numbers::of(settings),
            scope: match settings.text(&["scope"]) {
                Some("target") => Scope::Target,
                _ => Scope::Upstream,
            },
        }
    }
}

impl Policy for Checked {
    type Filter = Never;

    const CHANGES: Changes = Changes::new(change_rows! {
        "consecutive_failures": More(NoLimit);
        "failure_ratio": More(NoLimit);
        "slow_calls"."above": More(NoLimit);
        "slow_calls"."ratio": More(NoLimit);
        "min_requests": More(Is(20));
        "half_open_requests": More(Is(1));
        "window": Either;
        "open": Less(Is(30_000));
        "open_max": Less(Is(300_000));
        "scope": Either;
    });

    const PROTECTION: Option<Protection> = Some(Protection::Limit);

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Attempt)
    }

    fn settings(&self) -> Settings {
        let settings = self.numbers.settings();
        match self.scope {
            Scope::Upstream => settings,
            Scope::Target => {
                let scope = Scalar::Text("target".to_owned());
                settings.with(&["scope"], Value::One(scope))
            }
        }
    }

    fn filter(&self, _: &Setting<'_>) -> Result<Option<Never>, SecretUnavailable> {
        Ok(None)
    }
}

#[cfg(feature = "author")]
pub mod author {
    //! Shape, checks and reader of `kind: circuit_breaker` settings.

    use diag::shape::{Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read as units};

    use super::Checked;
    use crate::declared;
    use crate::limits::CONTRADICTING_LIMITS;

    /// Samples. Empty, because the settings of upstreams have the same keys.
    pub const SAMPLES: &[&str] = &[];

    /// The keys of `kind: circuit_breaker` and of an upstream's `circuit_breaker`.
    pub static SHAPE: Object = Object {
        what: "a circuit breaker",
        fields: &[
            Field::optional(
                "consecutive_failures",
                Shape::Integer(1, 100_000),
                "Consecutive failures that open the breaker. Default: disabled.",
            ),
            Field::optional(
                "failure_ratio",
                Shape::Percent,
                "Share of failures within `window` that opens the breaker. Default: disabled.",
            ),
            Field::optional(
                "slow_calls",
                Shape::Object(&SLOW),
                "Share of slow responses within `window` that opens the breaker. Default: disabled.",
            ),
            Field::optional(
                "window",
                Shape::Timeout,
                "Time over which ratios are counted. Default: 10s.",
            ),
            Field::optional(
                "min_requests",
                Shape::Integer(1, 1 << 24),
                "Minimum requests within `window` before a ratio applies. Default: 20.",
            ),
            Field::optional(
                "open",
                Shape::Timeout,
                "Time for which the breaker stays open the first time. Default: 30s.",
            ),
            Field::optional(
                "open_max",
                Shape::Timeout,
                "Maximum time for which the breaker is open after repeated failures. Default: 5m.",
            ),
            Field::optional(
                "half_open_requests",
                Shape::Integer(1, 10_000),
                "Test requests while the breaker is half open. Default: 1.",
            ),
            Field::optional(
                "scope",
                Shape::Word(&["upstream", "target"]),
                "Scope of a breaker: the whole upstream, or one target. Default: `upstream`.",
            ),
        ],
        rules: &[
            Rule::AnyOf(&["consecutive_failures", "failure_ratio", "slow_calls"]),
            Rule::Holds(agree),
        ],
    };

    static SLOW: Object = Object {
        what: "a limit on slow responses",
        fields: &[
            Field::required(
                "above",
                Shape::Timeout,
                "Time after which a response is slow.",
            ),
            Field::required("ratio", Shape::Percent, "Share of slow responses."),
        ],
        rules: &[],
    };

    /// Reads a circuit breaker's settings from a node that fits [`SHAPE`].
    #[must_use]
    pub fn read(node: NodeRef<'_>) -> Checked {
        Checked::of(&declared::whole(node, &Shape::Object(&SHAPE)))
    }

    /// Reads a policy whose node fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        Some(read(node))
    }

    fn agree(node: NodeRef<'_>, sink: &mut Sink) {
        let time = |key: &str, default: u64| {
            node.get(key)
                .and_then(|value| units::duration_ms(value).ok())
                .unwrap_or(default)
        };
        let (open, most) = (time("open", 30_000), time("open_max", 300_000));
        let at = node.entry("open_max").or_else(|| node.entry("open"));
        if let Some((entry, _)) = at.filter(|_| open > most) {
            sink.push(
                Diagnostic::new(
                    &CONTRADICTING_LIMITS,
                    entry.key_span,
                    format!("the first open period is {open}ms, but the maximum is {most}ms"),
                )
                .help("write an `open` below `open_max`"),
            );
        }
        let slow = node.get("slow_calls").and_then(|slow| slow.get("ratio"));
        for ratio in node.get("failure_ratio").into_iter().chain(slow) {
            if units::percent_ppm(ratio) == Ok(0) {
                sink.push(
                    Diagnostic::new(
                        &CONTRADICTING_LIMITS,
                        ratio.span(),
                        "a ratio of `0%` opens the breaker even if no request fails",
                    )
                    .help("write a percentage above `0%`"),
                );
            }
        }
    }
}
