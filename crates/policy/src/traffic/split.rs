//! Shares requests out among upstreams.
//!
//! ```yaml
//! policies:
//!   canary: {kind: split, among: [{upstream: stable, weight: 95}, {upstream: canary, weight: 5}]}
//! ```
//! An entry with `when` is asked first and takes every request that fits.

#[cfg(feature = "author")]
pub mod author {
    //! What a user writes.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use std::collections::BTreeMap;

    use diag::{Diagnostic, NodeRef, Sink};

    use crate::conditions;

    /// The keys of `kind: split`.
    pub static SHAPE: Object = Object {
        what: "how requests are shared out",
        fields: &[Field::required(
            "among",
            Shape::Several(&ENTRY),
            "The upstreams.",
        )],
        rules: &[Rule::Holds(check_among)],
    };

    /// One of the upstreams; also an item of an operation's `split`.
    pub static ENTRY: Shape = Shape::Object(&Object {
        what: "a share of the requests",
        fields: &[
            Field::required("upstream", Shape::Name("an upstream"), "Where they go."),
            Field::optional(
                "weight",
                Shape::Integer(0, 1_000_000),
                "Its share of the requests; 1 where nothing is said.",
            ),
            Field::optional(
                "when",
                Shape::Object(&conditions::SHAPE),
                "What a request must have to go there, whatever the weights are.",
            ),
        ],
        rules: &[],
    });

    fn check_among(node: NodeRef<'_>, sink: &mut Sink) {
        if let Some(list) = node.get("among") {
            check(list, sink);
        }
    }

    /// Checks the list of a split: some entry takes what no condition does, and no upstream has
    /// two shares.
    pub fn check(list: NodeRef<'_>, sink: &mut Sink) {
        let mut first = BTreeMap::new();
        let mut sum = 0;
        for item in list
            .items()
            .filter(|item| item.get("when").is_none_or(NodeRef::is_null))
        {
            sum += item.get("weight").and_then(NodeRef::as_i64).unwrap_or(1);
            let Some(name) = item.get("upstream") else {
                continue;
            };
            let Some(text) = name.scalar_text() else {
                continue;
            };
            if let Some(before) = first.insert(text, name.span()) {
                sink.push(
                    Diagnostic::new(
                        &BAD_VALUE,
                        name.span(),
                        format!("`{}` has two shares", text.escape_debug()),
                    )
                    .related(before, "its other share is here")
                    .help("add up the two weights"),
                );
            }
        }
        if sum == 0 && list.items().next().is_some() {
            sink.push(
                Diagnostic::new(&BAD_VALUE, list.span(), "no share has a weight above zero")
                    .label("requests that no `when` takes would go nowhere")
                    .help("give an entry without `when` a weight above 0"),
            );
        }
    }
}
