//! Rule for a path item's key that is not a method.

use diag::{Diagnostic, Level, Lint, Sink, Span, suggest};

use crate::spec::{Method, Version};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0321",
    name: "unknown-method",
    level: Level::Error,
    summary: "a path item's key that is not a method",
    explain: "A path item's keys are a few fields and the methods in lower case: `get`, `put`, \
`post`, `delete`, `options`, `head`, `patch`, `trace`; from 3.2 on `query`. An operation under \
another key is never routed.",
    bad: v30!("paths:\n  /a:\n    GET: {responses: {'200': {description: ok}}}\n"),
    good: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
};

/// Reports an unknown key of a path item. Called by the structure check, which compares keys with
/// the valid fields.
pub(crate) fn report(key: &str, span: Span, version: Version, sink: &mut Sink) {
    let lower = key.to_ascii_lowercase();
    let shown = key.escape_debug();
    let known = |name: &&str| Method::of_key(name, version).is_some();
    let names = || Method::FIELDS.iter().map(|(name, _)| *name);
    let mut finding = Diagnostic::new(&LINT, span, format!("`{shown}` is not a method"));
    if lower != key && known(&lower.as_str()) {
        finding = finding
            .label("methods are written in lower case")
            .help(format!("write `{lower}`"))
            .fix(span, lower);
    } else if key == "query" {
        finding = finding
            .label("a method from OpenAPI 3.2 on")
            .help("remove the method, or write the version in `openapi` that has it");
    } else {
        let fields = ["summary", "description", "servers", "parameters"];
        finding = match suggest::nearest(key, names().filter(known).chain(fields)) {
            Some(near) => finding
                .label(format!("did you mean `{near}`?"))
                .fix(span, near),
            None => finding.help(suggest::one_of(names().filter(known), 12)),
        };
    }
    sink.push(finding);
}
