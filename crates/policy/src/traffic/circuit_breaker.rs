//! Leaves an upstream alone that fails, and tries carefully whether it works again.
//!
//! ```yaml
//! policies:
//!   fuse: {kind: circuit_breaker, consecutive_failures: 5, open: 30s, half_open_requests: 1}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! What a user writes.

    use diag::shape::{Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read};

    use crate::limits::CONTRADICTING_LIMITS;

    /// The keys of `kind: circuit_breaker` and of an upstream's `circuit_breaker`.
    pub static SHAPE: Object = Object {
        what: "when an upstream is left alone",
        fields: &[
            Field::optional(
                "consecutive_failures",
                Shape::Integer(1, 100_000),
                "Failures without a success in between.",
            ),
            Field::optional(
                "failure_ratio",
                Shape::Percent,
                "The share of failures within `window`.",
            ),
            Field::optional(
                "slow_calls",
                Shape::Object(&SLOW),
                "The share of slow responses within `window`.",
            ),
            Field::optional(
                "window",
                Shape::Timeout,
                "What ratios are counted over; 10s where nothing is said.",
            ),
            Field::optional(
                "min_requests",
                Shape::Integer(1, 1 << 24),
                "Requests within `window` from which a ratio counts; 20 where nothing is said.",
            ),
            Field::optional(
                "open",
                Shape::Timeout,
                "How long it is left alone at first; 30s where nothing is said.",
            ),
            Field::optional(
                "open_max",
                Shape::Timeout,
                "How long at most, after failing again and again; 5m where nothing is said.",
            ),
            Field::optional(
                "half_open_requests",
                Shape::Integer(1, 10_000),
                "Requests that try whether it works again; 1 where nothing is said.",
            ),
            Field::optional(
                "scope",
                Shape::Word(&["upstream", "target"]),
                "What is left alone: the whole upstream, or one target.",
            ),
        ],
        rules: &[
            Rule::AnyOf(&["consecutive_failures", "failure_ratio", "slow_calls"]),
            Rule::Holds(check),
        ],
    };

    static SLOW: Object = Object {
        what: "what is slow",
        fields: &[
            Field::required(
                "above",
                Shape::Timeout,
                "A response that takes longer is slow.",
            ),
            Field::required("ratio", Shape::Percent, "The share of slow responses."),
        ],
        rules: &[],
    };

    fn check(node: NodeRef<'_>, sink: &mut Sink) {
        let time = |key: &str, default: u64| {
            node.get(key)
                .and_then(|value| read::duration_ms(value).ok())
                .unwrap_or(default)
        };
        let (open, most) = (time("open", 30_000), time("open_max", 300_000));
        let at = node.entry("open_max").or_else(|| node.entry("open"));
        if let Some((entry, _)) = at.filter(|_| open > most) {
            sink.push(
                Diagnostic::new(
                    &CONTRADICTING_LIMITS,
                    entry.key_span,
                    format!("it is left alone for {open}ms at first, and for {most}ms at most"),
                )
                .help("write an `open` below `open_max`"),
            );
        }
        let slow = node.get("slow_calls").and_then(|slow| slow.get("ratio"));
        for ratio in node.get("failure_ratio").into_iter().chain(slow) {
            if read::percent_ppm(ratio) == Ok(0) {
                sink.push(
                    Diagnostic::new(
                        &CONTRADICTING_LIMITS,
                        ratio.span(),
                        "a share of nothing is always reached",
                    )
                    .help("write a percentage above `0%`"),
                );
            }
        }
    }
}
