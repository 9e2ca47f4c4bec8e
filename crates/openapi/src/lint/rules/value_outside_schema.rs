//! Rule for a `default` or `enum` value that violates its own schema.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use super::value_of_other_type::is_of_types;
use crate::lint::Place;
use crate::spec::schema::{Fault, Verdict};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0350",
    name: "value-outside-schema",
    level: Level::Warn,
    summary: "a `default` or `enum` value that its schema refuses",
    explain: "A `default` can be invalid: not one of the `enum`, above the `maximum`, not matching \
the `pattern`. A request that omits the field then implies a value that validation would refuse. \
An `enum` value that another keyword refuses can never be sent. Values of another \
type are reported by `value-of-other-type`.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, enum: [a, b], default: c}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, enum: [a, b], default: b}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let default = place
        .node
        .entry("default")
        .map(|(_, value)| ("the default", value));
    let listed = place.node.get("enum").into_iter().flat_map(NodeRef::items);
    // An `enum` value always satisfies `enum`; check it only if the schema has other keywords.
    let others = place
        .node
        .entries()
        .any(|(entry, _)| is_assertion(&entry.key));
    let listed = listed
        .filter(|_| others)
        .map(|value| ("the `enum` value", value));
    for (what, value) in default.into_iter().chain(listed) {
        // Null often means "no value", even if the schema is not nullable.
        if value.is_null() || !is_of_types(place.node, value) {
            continue;
        }
        if let Verdict::Invalid(faults) = place.schemas.validate(place.node, value) {
            sink.push(finding(&LINT, what, &faults));
        }
    }
}

fn is_assertion(key: &str) -> bool {
    !matches!(
        key,
        "type"
            | "enum"
            | "default"
            | "example"
            | "examples"
            | "description"
            | "title"
            | "format"
            | "nullable"
            | "deprecated"
    )
}

/// Creates one finding for a value, with the first fault and the number of further faults.
pub(super) fn finding(lint: &'static Lint, what: &str, faults: &[Fault]) -> Diagnostic {
    let Some(first) = faults
        .iter()
        .min_by_key(|fault| (fault.value, fault.keyword))
    else {
        unreachable!("an invalid value has a fault");
    };
    let message = match faults.len() {
        1 => format!("the schema refuses {what}"),
        2 => format!("the schema refuses {what}, for this and one other reason"),
        count => format!(
            "the schema refuses {what}, for this and {} other reasons",
            count - 1
        ),
    };
    Diagnostic::new(lint, first.value, message)
        .label(first.why.clone())
        .related(first.keyword, "this keyword refuses it")
}
