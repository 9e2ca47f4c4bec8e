//! Finding about conditions of one path on two spellings of a query parameter that some servers
//! treat as the same parameter.

use bundle::ir::Condition;
use diag::{Diagnostic, Sink};
use policy::auth::is_read_as;
use vocab::condition_lints::LOOKALIKE_CONDITIONS;

use crate::Operation;
use crate::overlap::subset;
use crate::table::Route;

/// Reports an operation with conditions on two spellings of one query parameter.
pub(super) fn of_one(operation: &Operation, sink: &mut Sink) {
    let names: Vec<&str> = parameters(operation).collect();
    let found = names.iter().enumerate().find_map(|(index, one)| {
        let mut later = names[index + 1..].iter();
        Some((*one, *later.find(|other| are_alike(one, other))?))
    });
    if let Some(pair) = found {
        sink.push(finding(operation, pair));
    }
}

/// Reports two operations of one path with conditions on two spellings of one query parameter.
pub(super) fn of_two(first: &Route<'_>, second: &Route<'_>, sink: &mut Sink) {
    let templates = (&first.template, &second.template);
    if !subset(templates.0, templates.1) || !subset(templates.1, templates.0) {
        return;
    }
    let (first, second) = (first.operation, second.operation);
    let found = parameters(second).find_map(|one| {
        let mut others = parameters(first);
        Some((one, others.find(|other| are_alike(one, other))?))
    });
    if let Some(pair) = found {
        let other = format!("`{}` is here", first.key);
        sink.push(finding(second, pair).related(first.path_span, other));
    }
}

/// Names of the query parameters in the conditions of an operation.
fn parameters(operation: &Operation) -> impl Iterator<Item = &str> {
    operation
        .conditions
        .iter()
        .filter_map(|condition| match condition {
            Condition::Query(name, _) => Some(name.as_str()),
            Condition::Header(..) => None,
        })
}

/// True if two names differ, but some servers treat them as the same parameter.
fn are_alike(one: &str, other: &str) -> bool {
    let (a, b) = (one.as_bytes(), other.as_bytes());
    a != b && (is_read_as(a, b) || is_read_as(b, a))
}

fn finding(operation: &Operation, (one, other): (&str, &str)) -> Diagnostic {
    let (one, other) = (one.escape_debug(), other.escape_debug());
    let message = format!("some servers read `{one}` and `{other}` as the same parameter");
    Diagnostic::new(&LOOKALIKE_CONDITIONS, operation.path_span, message)
        .label(format!(
            "gwd refuses requests with `{one}`, because `{other}` selects an operation here"
        ))
        .help("use one spelling in all conditions of this path, or give one operation another path")
}
