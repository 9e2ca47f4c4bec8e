//! Refuses clients by address, before anything else is looked at.
//!
//! ```yaml
//! policies:
//!   office: {kind: ip_filter, allow: [10.0.0.0/8]}
//! ```
//! `deny` wins over `allow`; where there is an `allow`, everybody else is refused (403 `ip_denied`).

#[cfg(feature = "author")]
pub mod author {
    //! Shape and checks of `kind: ip_filter` settings.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
    use diag::{Diagnostic, NodeRef, Sink};

    use crate::forms;

    /// The keys of `kind: ip_filter`.
    pub static SHAPE: Object = Object {
        what: "a filter of addresses",
        fields: &[
            Field::optional(
                "allow",
                Shape::Several(&RANGE),
                "Ranges of addresses that may call; nobody else.",
            ),
            Field::optional(
                "deny",
                Shape::Several(&RANGE),
                "Ranges of addresses that may not call, also where `allow` has them.",
            ),
        ],
        rules: &[Rule::AnyOf(&["allow", "deny"]), Rule::Holds(check)],
    };

    static RANGE: Shape = Shape::Form(&forms::RANGE);

    /// A range in both lists is refused: one of the two is a slip.
    fn check(node: NodeRef<'_>, sink: &mut Sink) {
        let items = |key: &str| {
            node.get(key)
                .into_iter()
                .flat_map(NodeRef::items)
                .collect::<Vec<_>>()
        };
        let allowed = items("allow");
        for denied in items("deny") {
            let same = allowed
                .iter()
                .find(|allowed| allowed.scalar_text() == denied.scalar_text());
            if let Some(allowed) = same {
                sink.push(
                    Diagnostic::new(
                        &BAD_VALUE,
                        denied.span(),
                        "this range is allowed and denied",
                    )
                    .related(allowed.span(), "it is allowed here")
                    .help("`deny` wins; remove one of the two"),
                );
            }
        }
    }
}
