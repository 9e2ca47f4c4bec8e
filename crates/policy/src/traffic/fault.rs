//! Fault injection: delays and failures for testing clients.
//!
//! ```yaml
//! policies:
//!   storm: {kind: fault, delay: {time: 2s, percent: 10%}, abort: {status: 503, percent: 1%}}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape of `kind: fault` settings.

    use diag::shape::{Field, Object, Rule, Shape};

    /// The keys of `kind: fault`.
    pub static SHAPE: Object = Object {
        what: "injected faults",
        fields: &[
            Field::optional("delay", Shape::Object(&DELAY), "Delay of requests."),
            Field::optional("abort", Shape::Object(&ABORT), "Failure of requests."),
        ],
        rules: &[Rule::AnyOf(&["delay", "abort"])],
    };

    static DELAY: Object = Object {
        what: "a delay",
        fields: &[
            Field::required("time", Shape::Timeout, "Length of the delay."),
            Field::required(
                "percent",
                Shape::Percent,
                "Share of the requests that are delayed.",
            ),
        ],
        rules: &[],
    };

    static ABORT: Object = Object {
        what: "a failure",
        fields: &[
            Field::required(
                "status",
                Shape::Integer(400, 599),
                "Status of the response.",
            ),
            Field::required(
                "percent",
                Shape::Percent,
                "Share of the requests that fail.",
            ),
        ],
        rules: &[],
    };
}
