//! What a request must have beside path and method: `match` of an operation, `when` of a split.

use diag::shape::{BAD_VALUE, Field, Object, Rule, Shape};
use diag::{Diagnostic, NodeRef, Sink};

use crate::forms;

/// Conditions on fields and query parameters, all of which must hold.
pub static SHAPE: Object = Object {
    what: "conditions",
    fields: &[
        Field::optional(
            "headers",
            Shape::Keyed(&forms::FIELD, &Shape::Object(&TEST)),
            "Fields.",
        ),
        Field::optional(
            "query",
            Shape::Table(&Shape::Object(&TEST)),
            "Query parameters.",
        ),
    ],
    rules: &[],
};

static TEST: Object = Object {
    what: "a test of a value",
    fields: &[
        Field::optional("exact", Shape::Text, "It is this."),
        Field::optional("prefix", Shape::Text, "It begins with this."),
        Field::optional("present", Shape::True, "It is there."),
    ],
    rules: &[Rule::Holds(one_test)],
};

fn one_test(node: NodeRef<'_>, sink: &mut Sink) {
    let keys = ["exact", "prefix", "present"];
    let there = keys
        .iter()
        .filter(|key| node.get(key).is_some_and(|value| !value.is_null()));
    if there.count() != 1 {
        sink.push(
            Diagnostic::new(
                &BAD_VALUE,
                node.span(),
                "a test has exactly one of `exact`, `prefix` and `present`",
            )
            .help("write conditions on one value as tests of several, or choose one"),
        );
    }
}
