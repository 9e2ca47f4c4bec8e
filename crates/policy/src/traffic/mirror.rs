//! Sends copies of requests to another upstream, and forgets its answers.
//!
//! ```yaml
//! policies:
//!   shadow: {kind: mirror, upstream: next, percent: 5%}
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! What a user writes.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink, read};

    /// The keys of `kind: mirror` and of the field `mirror`.
    pub static SHAPE: Object = Object {
        what: "who gets a copy",
        fields: &[
            Field::required("upstream", Shape::Name("an upstream"), "Where copies go."),
            Field::optional(
                "percent",
                Shape::Percent,
                "How many of the requests; all where nothing is said.",
            ),
        ],
        rules: &[Rule::Holds(check)],
    };

    fn check(node: NodeRef<'_>, sink: &mut Sink) {
        let percent = node.get("percent");
        if let Some(percent) = percent.filter(|node| read::percent_ppm(*node) == Ok(0)) {
            sink.push(
                Diagnostic::new(&BAD_VALUE, percent.span(), "nothing is copied")
                    .help("write a percentage above `0%`, or remove the mirror"),
            );
        }
    }
}
