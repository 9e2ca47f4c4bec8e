//! Rule for a path item that is a reference.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::spec::reference::reference;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0725",
    name: "path-item-reference",
    level: Level::Warn,
    summary: "a path item that is a reference",
    explain: "Some tools do not follow `$ref` in the place of a path item.",
    bad: &[
        (
            "openapi.yaml",
            "openapi: 3.0.3\ninfo: {title: t, version: \"1\"}\npaths: {/a: {$ref: a.yaml}}\n",
        ),
        ("a.yaml", "get: {responses: {'200': {description: ok}}}\n"),
    ],
    good: v30!("paths:\n  /a:\n    get: {responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    for (_, item) in place.node.entries() {
        if let Some(reference) = reference(item) {
            sink.push(Diagnostic::new(
                &LINT,
                reference.span(),
                "the path item is a reference",
            ));
        }
    }
}
