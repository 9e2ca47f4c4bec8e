//! What is tried again, how often, and when not any more.
//!
//! ```yaml
//! policies:
//!   again: {kind: retry, attempts: 2, on: [connect-failure, gateway-error], per_try_timeout: 1s}
//! ```
//! Connect failures and stale connections of requests that are safe to repeat are tried again anyway.

#[cfg(feature = "author")]
pub mod author {
    //! What a user writes.

    use diag::shape::{Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read};

    use crate::forms;
    use crate::limits::{BACKOFF_BASE_MS, BACKOFF_MAX_MS, CONTRADICTING_LIMITS};

    /// The keys of `kind: retry` and of the fields `retries`.
    pub static SHAPE: Object = Object {
        what: "what is tried again",
        fields: &[
            Field::optional(
                "attempts",
                Shape::Integer(0, 10),
                "How often a request is sent again; 1 where nothing is said.",
            ),
            Field::optional(
                "on",
                Shape::Several(&Shape::Word(CONDITIONS)),
                "After what: connect-failure and refused-stream where nothing is said.",
            ),
            Field::optional(
                "statuses",
                Shape::Several(&Shape::Integer(400, 599)),
                "With `retriable-status-codes`: which.",
            ),
            Field::optional(
                "headers",
                Shape::Several(&Shape::Form(&forms::FIELD)),
                "With `retriable-headers`: fields of the response that ask for it.",
            ),
            Field::optional(
                "per_try_timeout",
                Shape::Timeout,
                "How long each try may take; the timeout of the operation holds for all of them together.",
            ),
            Field::optional(
                "backoff",
                Shape::Object(&BACKOFF),
                "How long it waits in between.",
            ),
            Field::optional(
                "budget",
                Shape::Object(&BUDGET),
                "How many requests may be such second tries.",
            ),
            Field::optional(
                "respect_retry_after",
                Shape::Bool,
                "Whether it waits as long as the upstream says.",
            ),
            Field::optional(
                "idempotency_key",
                Shape::Bool,
                "Whether `Idempotency-Key` makes a request one that may be repeated.",
            ),
            Field::optional(
                "max_body",
                Shape::Size,
                "Bytes of a body that are kept for another try; 64KiB where nothing is said.",
            ),
        ],
        rules: &[Rule::Holds(check)],
    };

    const CONDITIONS: &[&str] = &[
        "connect-failure",
        "refused-stream",
        "reset",
        "gateway-error",
        "5xx",
        "retriable-status-codes",
        "retriable-headers",
        "cancelled",
        "deadline-exceeded",
        "internal",
        "resource-exhausted",
        "unavailable",
    ];

    static BACKOFF: Object = Object {
        what: "the waits between tries",
        fields: &[
            Field::optional(
                "base",
                Shape::Timeout,
                "The shortest; 25ms where nothing is said.",
            ),
            Field::optional(
                "max",
                Shape::Timeout,
                "The longest; 250ms where nothing is said.",
            ),
        ],
        rules: &[],
    };

    static BUDGET: Object = Object {
        what: "the budget of second tries",
        fields: &[
            Field::optional(
                "ratio",
                Shape::Percent,
                "Of the requests in flight; 20% where nothing is said.",
            ),
            Field::optional(
                "min_concurrent",
                Shape::Integer(0, 1 << 16),
                "So many at once in any case; 3 where nothing is said.",
            ),
        ],
        rules: &[],
    };

    fn check(node: NodeRef<'_>, sink: &mut Sink) {
        for (list, condition) in [
            ("statuses", "retriable-status-codes"),
            ("headers", "retriable-headers"),
        ] {
            let on = node.get("on").into_iter().flat_map(NodeRef::items);
            let asked = on
                .filter_map(NodeRef::scalar_text)
                .any(|word| word == condition);
            if let Some((entry, _)) = node.entry(list).filter(|_| !asked) {
                sink.push(
                    Diagnostic::new(
                        &CONTRADICTING_LIMITS,
                        entry.key_span,
                        format!("`{list}` counts only with `{condition}`"),
                    )
                    .help(format!("add `{condition}` to `on`")),
                );
            }
        }
        let time = |key: &str, default: u64| {
            let value = node.get("backoff").and_then(|backoff| backoff.get(key));
            value
                .and_then(|value| Some((read::duration_ms(value).ok()?, Some(value.span()))))
                .unwrap_or((default, None))
        };
        let (base, max) = (time("base", BACKOFF_BASE_MS), time("max", BACKOFF_MAX_MS));
        if let Some(at) = base.1.or(max.1).filter(|_| base.0 > max.0) {
            sink.push(
                Diagnostic::new(
                    &CONTRADICTING_LIMITS,
                    at,
                    format!(
                        "the shortest wait ({}ms) is longer than the longest ({}ms)",
                        base.0, max.0
                    ),
                )
                .help("write a `base` below `max`"),
            );
        }
        check_budget(node, sink);
    }

    /// A budget that admits no try at all.
    fn check_budget(node: NodeRef<'_>, sink: &mut Sink) {
        let Some((entry, budget)) = node.entry("budget") else {
            return;
        };
        let none = budget
            .get("ratio")
            .and_then(|ratio| read::percent_ppm(ratio).ok())
            == Some(0)
            && budget.get("min_concurrent").and_then(NodeRef::as_i64) == Some(0);
        let attempts = node.get("attempts").and_then(NodeRef::as_i64).unwrap_or(1);
        if none && attempts > 0 {
            sink.push(
                Diagnostic::new(
                    &CONTRADICTING_LIMITS,
                    entry.key_span,
                    "this budget admits no second try",
                )
                .label(format!("`attempts` asks for {attempts}"))
                .help("write `attempts: 0`, or a `ratio` or `min_concurrent` above zero"),
            );
        }
    }
}
