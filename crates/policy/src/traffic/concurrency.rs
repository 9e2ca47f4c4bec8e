//! Limits how many requests are in flight at once.
//!
//! ```yaml
//! policies:
//!   few: {kind: concurrency, limit: 50, key: consumer}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! What a user writes.

    use diag::shape::{Field, Object, Shape};

    use crate::forms;

    /// The keys of `kind: concurrency`.
    pub static SHAPE: Object = Object {
        what: "a limit on requests at once",
        fields: &[
            Field::required(
                "limit",
                Shape::Integer(1, 1 << 24),
                "Requests in flight; the most of them under `adaptive`.",
            ),
            Field::optional(
                "key",
                Shape::Form(&forms::COUNTER_KEY),
                "Who shares it: `route`.",
            ),
            Field::optional(
                "algorithm",
                Shape::Word(&["fixed", "adaptive"]),
                "Whether the limit follows the latency: `fixed`.",
            ),
            Field::optional(
                "wait",
                Shape::Duration,
                "How long a request may wait for its turn; not at all where nothing is said.",
            ),
        ],
        rules: &[],
    };
}
