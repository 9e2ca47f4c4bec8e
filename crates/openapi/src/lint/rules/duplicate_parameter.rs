//! Rule for two parameters with the same name and location.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, Span};

use std::borrow::Cow;
use std::collections::HashMap;

use crate::lint::Place;
use crate::spec::first_key;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0337",
    name: "duplicate-parameter",
    level: Level::Error,
    summary: "two parameters with the same name and location",
    explain: "A parameter is identified by its `name` and `in`, and must occur only once in a list \
of parameters. An operation may replace a parameter of its path item. The letter case of a \
header's name does not count.",
    bad: v30!(
        "paths: {/a: {parameters: [{name: p, in: query, schema: {}}, {name: p, in: query, schema: {}}]}}\n"
    ),
    good: v30!(
        "paths: {/a: {parameters: [{name: p, in: query, schema: {}}, {name: p, in: header, schema: {}}]}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let list = place
        .node
        .get("parameters")
        .and_then(|list| place.resolver.resolve(list));
    let mut first_of: HashMap<(Cow<'_, str>, &str), Span> = HashMap::new();
    for item in list.into_iter().flat_map(NodeRef::items) {
        let Some(parameter) = place.resolver.resolve(item) else {
            continue;
        };
        let text = |key| parameter.get(key).and_then(NodeRef::as_str);
        let (Some(name), Some(kind)) = (text("name"), text("in")) else {
            continue;
        };
        let span = first_key(item);
        // Header field names are case-insensitive (RFC 9110 §5.1).
        let key = match kind {
            "header" => (Cow::Owned(name.to_ascii_lowercase()), kind),
            _ => (Cow::Borrowed(name), kind),
        };
        match first_of.get(&key) {
            None => drop(first_of.insert(key, span)),
            Some(first) => sink.push(
                Diagnostic::new(
                    &LINT,
                    span,
                    format!(
                        "the {kind} parameter `{}` occurs twice",
                        name.escape_debug()
                    ),
                )
                .related(*first, "first here"),
            ),
        }
    }
}
