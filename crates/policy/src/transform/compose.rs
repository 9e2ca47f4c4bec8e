//! Responses composed of the responses of several upstreams.
//!
//! ```yaml
//! policies:
//!   page:
//!     kind: compose
//!     calls: {user: {upstream: users, path: "/u/{id}"}, cart: {upstream: carts, path: "/c/{id}", optional: true}}
//!     body: '{"user": {{ user }}, "cart": {{ cart }}}'
//! ```

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: compose` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use std::collections::{BTreeMap, BTreeSet};

    use diag::{Diagnostic, NodeRef, Sink, suggest};

    use crate::forms;

    /// The keys of `kind: compose`.
    pub static SHAPE: Object = Object {
        what: "a response from several calls",
        fields: &[
            Field::required("calls", Shape::Map(&Shape::Object(&CALL)), "Calls by name."),
            Field::required(
                "body",
                Shape::Form(&forms::WORDS),
                "Template of the response, over the responses of the calls.",
            ),
            Field::optional(
                "timeout",
                Shape::Timeout,
                "Maximum time of all calls together. Default: the timeout of the operation.",
            ),
        ],
        rules: &[Rule::Holds(check)],
    };

    static CALL: Object = Object {
        what: "a call",
        fields: &[
            Field::required(
                "upstream",
                Shape::Name("an upstream"),
                "Upstream of the call.",
            ),
            Field::required(
                "path",
                Shape::Form(&forms::PATH_TEMPLATE),
                "Path, with path parameters.",
            ),
            Field::optional(
                "method",
                Shape::Form(&forms::METHOD),
                "Method. Default: GET.",
            ),
            Field::optional(
                "after",
                Shape::List(&Shape::Text),
                "Calls whose responses this call needs.",
            ),
            Field::optional(
                "timeout",
                Shape::Timeout,
                "Maximum time of the call. Default: the timeout of the upstream.",
            ),
            Field::optional(
                "optional",
                Shape::Bool,
                "Continue without this call if it fails. Default: `false`.",
            ),
        ],
        rules: &[],
    };

    /// Checks that `after` names existing calls and has no cycles.
    fn check(node: NodeRef<'_>, sink: &mut Sink) {
        let Some(calls) = node.get("calls") else {
            return;
        };
        let mut waits: BTreeMap<&str, Vec<NodeRef<'_>>> = BTreeMap::new();
        for (entry, call) in calls.entries() {
            let after = call.get("after").into_iter().flat_map(NodeRef::items);
            waits.insert(&entry.key, after.collect());
        }
        for name in waits.values().flatten() {
            let text = name.scalar_text().unwrap_or_default();
            if !waits.contains_key(text) {
                sink.push(
                    Diagnostic::new(
                        &BAD_VALUE,
                        name.span(),
                        format!("there is no call `{}`", text.escape_debug()),
                    )
                    .help(suggest::one_of(waits.keys().copied(), 8)),
                );
            }
        }
        let mut done: BTreeSet<&str> = BTreeSet::new();
        loop {
            let ready = |after: &Vec<NodeRef<'_>>| {
                let mut names = after.iter().filter_map(|name| name.scalar_text());
                names.all(|name| done.contains(name) || !waits.contains_key(name))
            };
            let next: Vec<&str> = waits
                .iter()
                .filter(|(name, after)| !done.contains(*name) && ready(after))
                .map(|(name, _)| *name)
                .collect();
            if next.is_empty() {
                break;
            }
            done.extend(next);
        }
        let stuck = waits.iter().find(|(name, _)| !done.contains(*name));
        if let Some((name, after)) = stuck
            && let Some(at) = after.first()
        {
            sink.push(
                Diagnostic::new(
                    &BAD_VALUE,
                    at.span(),
                    format!("the call `{name}` depends on itself"),
                )
                .help("remove a name from `needs`, so that one call can begin"),
            );
        }
    }
}
