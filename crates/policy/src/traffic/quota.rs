//! Quota: limit on requests per calendar period or sliding window.
//!
//! ```yaml
//! policies:
//!   monthly: {kind: quota, limit: 100000, period: month, time_zone: Europe/Berlin, key: consumer}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: quota` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};

    use crate::forms;

    /// The keys of `kind: quota`.
    pub static SHAPE: Object = Object {
        what: "a quota",
        fields: &[
            Field::required("limit", Shape::Integer(1, 1 << 40), "Requests per period."),
            Field::optional(
                "period",
                Shape::Word(&["minute", "hour", "day", "week", "month"]),
                "Calendar period.",
            ),
            Field::optional("window", Shape::Timeout, "Sliding period, instead."),
            Field::optional(
                "time_zone",
                Shape::Form(&forms::TIME_ZONE),
                "With `period`: time zone of days. Default: `UTC`.",
            ),
            Field::optional(
                "key",
                Shape::Form(&forms::COUNTER_KEY),
                "Key of the quota. Default: `consumer`.",
            ),
            Field::optional(
                "anonymous",
                Shape::Word(&["address"]),
                "Replacement for an absent key: the client's address.",
            ),
            Field::optional(
                "store",
                Shape::Name("a store or `local`"),
                "Store for counters: `local`, or a store that a fleet shares.",
            ),
        ],
        rules: &[
            Rule::One(&["period", "window"]),
            Rule::Apart(&["window", "time_zone"], &BAD_VALUE),
        ],
    };
}
