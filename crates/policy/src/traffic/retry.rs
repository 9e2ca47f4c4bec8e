//! Retries of requests: conditions, attempts, backoff and budget.
//!
//! ```yaml
//! policies:
//!   again: {kind: retry, attempts: 2, on: [connect-failure, gateway-error], per_try_timeout: 1s}
//! ```
//! Requests that are safe to repeat are always retried after connect failures and after failures of
//! stale connections. The policy applies to the whole exchange, and is no step of the chain.
//! Precedence: `retries` of an operation, then this policy, then `retries` of the upstream. The
//! defaults are those of Envoy, except that a budget always applies.

use minicbor::{Decode, Encode};

use crate::change_rows;
use crate::changes::Absent::{Is, NoLimit};
use crate::changes::Changes;
use crate::changes::Direction::{Each, Less, More, Off, On};
use crate::declared::{Scalar, Settings, Value};
use crate::parameters::parameters;
use crate::phase::Phase;
use crate::policy::{Never, Policy};
use crate::secret::SecretUnavailable;
use crate::step::Setting;

/// Retry settings, in the bundle.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
#[cbor(map)]
pub struct Checked {
    /// Numbers for attempts, backoff, timeouts and budget.
    #[n(0)]
    pub times: Times,
    /// Conditions for a retry, in the order of [`Condition`], without duplicates.
    #[n(1)]
    pub on: Vec<Condition>,
    /// Statuses for [`Condition::Statuses`], sorted.
    #[n(2)]
    pub statuses: Vec<u16>,
    /// Field names for [`Condition::Headers`], in lower case, sorted.
    #[n(3)]
    pub headers: Vec<String>,
    /// True if a retry waits for the time in `Retry-After` (at most 30s) instead of the backoff.
    #[n(4)]
    pub respect_retry_after: bool,
    /// True if `Idempotency-Key` makes a request safe to repeat.
    #[n(5)]
    pub idempotency_key: bool,
}

parameters! {
    /// Numbers for attempts, backoff, timeouts and budget.
    pub struct Times {
        /// Maximum number of retries of a request. Default: 1.
        0 attempts: Count = 1 => "attempts";
        /// Base of the backoff, in milliseconds.
        1 backoff_base_ms: Ms = 25 => "backoff"."base";
        /// Maximum backoff, in milliseconds.
        2 backoff_max_ms: Ms = 250 => "backoff"."max";
        /// Share of the requests in flight that may be retries, in parts per million.
        3 budget_ppm: Share = 200_000 => "budget"."ratio";
        /// Number of concurrent retries that are always allowed.
        4 budget_min: Count = 3 => "budget"."min_concurrent";
        /// Maximum length of a body that is buffered for a retry, in bytes.
        5 max_body_bytes: Bytes = 65_536 => "max_body";
        or none
        /// Timeout of each attempt, in milliseconds. Default: none.
        6 per_try_ms: Ms => "per_try_timeout";
    }
}

macro_rules! conditions {
    ($($(#[$about:meta])* $tag:literal $word:literal $name:ident;)*) => {
        /// Condition for a retry, named as in Envoy.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
        #[cbor(index_only)]
        pub enum Condition {
            $($(#[$about])* #[n($tag)] $name,)*
        }

        impl Condition {
            /// Names of all conditions in the configuration, in the order of the variants.
            pub const WORDS: &[&str] = &[$($word),*];

            /// Name in the configuration.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            fn parse(text: &str) -> Option<Self> {
                match text { $($word => Some(Self::$name),)* _ => None }
            }
        }
    };
}

conditions! {
    /// The connection could not be established.
    0 "connect-failure" ConnectFailure;
    /// The upstream did not begin to process the request (RFC 9113 §8.7).
    1 "refused-stream" RefusedStream;
    /// The connection broke before the response head, or the attempt timed out.
    2 "reset" Reset;
    /// A response with status 502, 503 or 504.
    3 "gateway-error" GatewayError;
    /// Any 5xx response, or no response.
    4 "5xx" ServerError;
    /// A response with a status listed in `statuses`.
    5 "retriable-status-codes" Statuses;
    /// A response with a field listed in `headers`.
    6 "retriable-headers" Headers;
    /// A response with `grpc-status: 1` in its head.
    7 "cancelled" GrpcCancelled;
    /// A response with `grpc-status: 4` in its head.
    8 "deadline-exceeded" GrpcDeadlineExceeded;
    /// A response with `grpc-status: 13` in its head.
    9 "internal" GrpcInternal;
    /// A response with `grpc-status: 8` in its head.
    10 "resource-exhausted" GrpcResourceExhausted;
    /// A response with `grpc-status: 14` in its head.
    11 "unavailable" GrpcUnavailable;
}

impl Checked {
    /// Creates the settings from the configuration. Numbers that are not set have their defaults.
    #[must_use]
    pub fn of(settings: &Settings) -> Self {
        let mut on: Vec<Condition> = match settings.texts(&["on"]) {
            Some(words) => words.into_iter().filter_map(Condition::parse).collect(),
            None => DEFAULT_ON.to_vec(),
        };
        on.sort();
        on.dedup();
        let headers = settings.texts(&["headers"]).unwrap_or_default();
        let mut headers: Vec<String> = headers.iter().map(|name| name.to_lowercase()).collect();
        headers.sort();
        headers.dedup();
        Self {
            times: Times::of(settings),
            on,
            statuses: settings.numbers(&["statuses"]),
            headers,
            respect_retry_after: settings.flag(&["respect_retry_after"]).unwrap_or(false),
            idempotency_key: settings.flag(&["idempotency_key"]).unwrap_or(false),
        }
    }
}

impl Policy for Checked {
    type Filter = Never;

    const CHANGES: Changes = Changes::new(change_rows! {
        "on": Each(&["connect-failure", "refused-stream"]);
        "statuses": Each(&[]);
        "headers": Each(&[]);
        "idempotency_key": On;
        "respect_retry_after": Off;
        "attempts": More(Is(1));
        "per_try_timeout": More(NoLimit);
        "max_body": More(Is(65_536));
        "budget"."ratio": More(Is(200_000));
        "budget"."min_concurrent": More(Is(3));
        "backoff"."base": Less(Is(25));
        "backoff"."max": Less(Is(250));
    });

    fn phase(&self) -> Option<Phase> {
        Some(Phase::Attempt)
    }

    fn settings(&self) -> Settings {
        let texts = |all: &mut dyn Iterator<Item = &str>| {
            let mut all: Vec<Scalar> = all.map(|text| Scalar::Text(text.to_owned())).collect();
            all.sort();
            match all.is_empty() {
                true => Value::Empty,
                false => Value::Set(all),
            }
        };
        let mut settings = self.times.settings();
        if self.on != DEFAULT_ON {
            let on = texts(&mut self.on.iter().map(|one| one.word()));
            settings = settings.with(&["on"], on);
        }
        if !self.statuses.is_empty() {
            let all = self.statuses.iter();
            let all = all.map(|status| Scalar::Number((*status).into()));
            settings = settings.with(&["statuses"], Value::Set(all.collect()));
        }
        if !self.headers.is_empty() {
            let headers = texts(&mut self.headers.iter().map(String::as_str));
            settings = settings.with(&["headers"], headers);
        }
        for (key, flag) in [
            ("respect_retry_after", self.respect_retry_after),
            ("idempotency_key", self.idempotency_key),
        ] {
            if flag {
                settings = settings.with(&[key], Value::One(Scalar::Flag(true)));
            }
        }
        settings
    }

    fn filter(&self, _: &Setting<'_>) -> Result<Option<Never>, SecretUnavailable> {
        Ok(None)
    }
}

/// Default of `on`: failures in which the upstream cannot have processed the request.
const DEFAULT_ON: &[Condition] = &[Condition::ConnectFailure, Condition::RefusedStream];

#[cfg(feature = "author")]
pub mod author {
    //! Shape, checks and reader of `kind: retry` settings.

    use diag::shape::{Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read as units};

    use super::Checked;
    use crate::declared;
    use crate::forms;
    use crate::limits::{BACKOFF_BASE_MS, BACKOFF_MAX_MS, CONTRADICTING_LIMITS};

    /// Samples. Empty, because the settings of upstreams have the same keys.
    pub const SAMPLES: &[&str] = &[];

    /// The keys of `kind: retry` and of the fields `retries`.
    pub static SHAPE: Object = Object {
        what: "a retry policy",
        fields: &[
            Field::optional(
                "attempts",
                Shape::Integer(0, 10),
                "Maximum retries of a request under the conditions of `on`. Two further retries \
are always enabled: on another host after a failed connection, and once after a reused connection \
closes. The second applies only to requests that may be repeated. Default: 1.",
            ),
            Field::optional(
                "on",
                Shape::Several(&Shape::Word(super::Condition::WORDS)),
                "Conditions for a retry. Default: connect-failure and refused-stream.",
            ),
            Field::optional(
                "statuses",
                Shape::Several(&Shape::Integer(400, 599)),
                "With `retriable-status-codes`: the statuses.",
            ),
            Field::optional(
                "headers",
                Shape::Several(&Shape::Form(&forms::FIELD)),
                "With `retriable-headers`: response fields that request a retry.",
            ),
            Field::optional(
                "per_try_timeout",
                Shape::Timeout,
                "Maximum time of each attempt; the timeout of the operation bounds all of them together. Default: none.",
            ),
            Field::optional("backoff", Shape::Object(&BACKOFF), "Wait between attempts."),
            Field::optional(
                "budget",
                Shape::Object(&BUDGET),
                "Maximum share of requests that are retries.",
            ),
            Field::optional(
                "respect_retry_after",
                Shape::Bool,
                "Wait for the time in `Retry-After`. Default: `false`.",
            ),
            Field::optional(
                "idempotency_key",
                Shape::Bool,
                "Treat requests with `Idempotency-Key` as idempotent. Default: `false`.",
            ),
            Field::optional(
                "max_body",
                Shape::Size,
                "Maximum size of a body that is kept for a retry. Default: 64KiB.",
            ),
        ],
        rules: &[Rule::Holds(agree)],
    };

    static BACKOFF: Object = Object {
        what: "a retry backoff",
        fields: &[
            Field::optional(
                "base",
                Shape::Timeout,
                "Base of the exponential backoff: retry N waits a random time below (2^N - 1) times `base`, at most `max`. Default: 25ms.",
            ),
            Field::optional("max", Shape::Timeout, "Maximum wait. Default: 250ms."),
        ],
        rules: &[],
    };

    static BUDGET: Object = Object {
        what: "a retry budget",
        fields: &[
            Field::optional(
                "ratio",
                Shape::Percent,
                "Share of the requests in flight. Default: 20%.",
            ),
            Field::optional(
                "min_concurrent",
                Shape::Integer(0, 1 << 16),
                "Number of concurrent retries that the budget always allows. Default: 3.",
            ),
        ],
        rules: &[],
    };

    /// Reads settings from a node that fits [`SHAPE`].
    #[must_use]
    pub fn read(node: NodeRef<'_>) -> Checked {
        Checked::of(&declared::whole(node, &Shape::Object(&SHAPE)))
    }

    /// Reads a policy whose node fits [`SHAPE`].
    pub fn check(node: NodeRef<'_>, _: &mut Sink) -> Option<Checked> {
        Some(read(node))
    }

    fn agree(node: NodeRef<'_>, sink: &mut Sink) {
        for (list, condition) in [
            ("statuses", "retriable-status-codes"),
            ("headers", "retriable-headers"),
        ] {
            let on = node.get("on").into_iter().flat_map(NodeRef::items);
            let is_listed = on
                .filter_map(NodeRef::scalar_text)
                .any(|word| word == condition);
            if let Some((entry, _)) = node.entry(list).filter(|_| !is_listed) {
                sink.push(
                    Diagnostic::new(
                        &CONTRADICTING_LIMITS,
                        entry.key_span,
                        format!("`{list}` has no effect without `{condition}`"),
                    )
                    .help(format!("add `{condition}` to `on`")),
                );
            }
        }
        let time = |key: &str, default: u64| {
            let value = node.get("backoff").and_then(|backoff| backoff.get(key));
            value
                .and_then(|value| Some((units::duration_ms(value).ok()?, Some(value.span()))))
                .unwrap_or((default, None))
        };
        let (base, max) = (time("base", BACKOFF_BASE_MS), time("max", BACKOFF_MAX_MS));
        if let Some(at) = base.1.or(max.1).filter(|_| base.0 > max.0) {
            sink.push(
                Diagnostic::new(
                    &CONTRADICTING_LIMITS,
                    at,
                    format!("`base` ({}ms) is longer than `max` ({}ms)", base.0, max.0),
                )
                .help("write a `base` below `max`"),
            );
        }
        check_budget(node, sink);
    }

    /// Reports a budget that never allows a retry.
    fn check_budget(node: NodeRef<'_>, sink: &mut Sink) {
        let Some((entry, budget)) = node.entry("budget") else {
            return;
        };
        let none = budget
            .get("ratio")
            .and_then(|ratio| units::percent_ppm(ratio).ok())
            == Some(0)
            && budget.get("min_concurrent").and_then(NodeRef::as_i64) == Some(0);
        let attempts = node.get("attempts").and_then(NodeRef::as_i64).unwrap_or(1);
        if none && attempts > 0 {
            sink.push(
                Diagnostic::new(
                    &CONTRADICTING_LIMITS,
                    entry.key_span,
                    "this budget allows no retries",
                )
                .label(format!("`attempts` is {attempts}"))
                .help("write `attempts: 0`, or a `ratio` or `min_concurrent` above zero"),
            );
        }
    }
}
