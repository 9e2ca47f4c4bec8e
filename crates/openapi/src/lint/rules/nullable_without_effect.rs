//! Rule for `nullable` in a version that removed it.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink, Span};

use crate::lint::{Place, edit};
use crate::spec::Version;
use sources::v31;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0361",
    name: "nullable-without-effect",
    level: Level::Warn,
    summary: "`nullable` in OpenAPI 3.1 or later, where it has no effect",
    explain: "`nullable` is a keyword of OpenAPI 3.0. From 3.1 on schemas are JSON Schema, where \
null is a type: without it in `type`, null is refused whatever `nullable` says.",
    bad: v31!("paths: {}\ncomponents: {schemas: {A: {type: string, nullable: true}}}\n"),
    good: v31!("paths: {}\ncomponents: {schemas: {A: {type: [string, 'null']}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if place.version == Version::V30 {
        return;
    }
    if let Some((entry, value)) = place.node.entry("nullable")
        && value.as_bool() == Some(true)
    {
        let kind = place
            .node
            .get("type")
            .filter(|kind| kind.as_str().is_some());
        let help = match kind.and_then(NodeRef::as_str) {
            Some(kind) => format!("write `type: [{}, \"null\"]`", kind.escape_debug()),
            None => {
                "add `\"null\"` to `type`, or `{type: \"null\"}` to the alternatives".to_owned()
            }
        };
        let finding = Diagnostic::new(
            &LINT,
            entry.key_span,
            "`nullable` has no effect from OpenAPI 3.1 on: null is refused",
        )
        .help(help);
        let gone = edit::entry_removed(place.resolver.files(), place.node, "nullable");
        sink.push(match (kind, gone) {
            (Some(kind), Some(gone)) => {
                let span = kind.span();
                finding
                    .fix(span.slice(0, 0), "[")
                    .fix(
                        Span {
                            start: span.end,
                            ..span
                        },
                        ", \"null\"]",
                    )
                    .fix(gone, "")
            }
            _ => finding,
        });
    }
}
