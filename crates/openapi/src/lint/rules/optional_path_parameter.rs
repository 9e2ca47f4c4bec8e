//! Rule for a path parameter without `required: true`.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, suggest};

use crate::lint::{Place, edit};
use crate::spec::first_key;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0327",
    name: "optional-path-parameter",
    level: Level::Error,
    summary: "a path parameter without `required: true`",
    explain: "A path without one of its segments is another path, so OpenAPI requires `required: \
true` on every parameter with `in: path`.",
    bad: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: p, in: path, schema: {type: string}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: p, in: path, required: true, schema: {type: string}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let node = place.node;
    if node.get("in").and_then(NodeRef::as_str) != Some("path") {
        return;
    }
    let required = node.get("required");
    match required.map(|value| (value, value.as_bool())) {
        Some((_, Some(true))) => {}
        Some((value, Some(false))) => sink.push(
            Diagnostic::new(&LINT, value.span(), "a path parameter cannot be optional")
                .help("write `true`")
                .fix(value.span(), "true"),
        ),
        // `wrong-field-type` reports a value that is not a boolean.
        Some((_, None)) => {}
        None => {
            let message = "a path parameter needs `required: true`";
            let finding = Diagnostic::new(&LINT, first_key(node), message);
            // A misspelt `required` is reported with its own fix; do not add a second `required`.
            let misspelt = |key: &str| suggest::nearest(key, ["required"]).is_some();
            let edit = (!node.entries().any(|(entry, _)| misspelt(&entry.key)))
                .then(|| edit::entry_before(place.resolver.files(), node, "in", "required", "true"))
                .flatten();
            sink.push(match edit {
                Some((at, text)) => finding.fix(at, text),
                None => finding,
            });
        }
    }
}
