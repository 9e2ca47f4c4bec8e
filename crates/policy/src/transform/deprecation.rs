//! Tells clients that an operation goes away (RFC 9745, RFC 8594).
//!
//! ```yaml
//! policies:
//!   leaving: {kind: deprecation, since: 2026-01-01, sunset: 2026-11-11, link: "https://example.org/v2"}
//! ```
//! After the sunset the gateway answers 410.

#[cfg(feature = "author")]
pub mod author {
    //! What a user writes.

    use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape, read_date};
    use diag::{Diagnostic, NodeRef, Sink};

    use crate::forms;

    /// The keys of `kind: deprecation` and of the field `deprecated`.
    pub static SHAPE: Object = Object {
        what: "since when and until when",
        fields: &[
            Field::optional("since", Shape::Date, "The day from which it is deprecated."),
            Field::optional("sunset", Shape::Date, "The last day on which it answers."),
            Field::optional("link", Shape::Form(&forms::URL), "Where clients read more."),
        ],
        rules: &[
            Rule::AnyOf(&["since", "sunset", "link"]),
            Rule::Holds(check),
        ],
    };

    fn check(node: NodeRef<'_>, sink: &mut Sink) {
        let date = |key: &str| {
            let value = node.get(key)?;
            Some((read_date(value.scalar_text()?)?, value.span()))
        };
        if let (Some((since, first)), Some((sunset, last))) = (date("since"), date("sunset"))
            && sunset < since
        {
            sink.push(
                Diagnostic::new(&BAD_VALUE, last, "it ends before it is deprecated")
                    .related(first, "it is deprecated from here")
                    .help("write a `sunset` that is not before `since` (RFC 8594 §3)"),
            );
        }
    }
}
