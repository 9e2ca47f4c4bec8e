//! Rule for `nullable` without a `type` beside it.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::spec::Version;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0730",
    name: "nullable-without-type",
    level: Level::Warn,
    summary: "`nullable` without a `type` beside it",
    explain: "OpenAPI 3.0.3 says that `nullable` adds null to the `type` beside it. Without a \
`type` it has no effect, though most tools, gwc among them, accept null.",
    bad: v30!("paths: {}\ncomponents: {schemas: {A: {nullable: true}}}\n"),
    good: v30!("paths: {}\ncomponents: {schemas: {A: {type: string, nullable: true}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    if place.version == Version::V30
        && place.node.get("type").is_none()
        && let Some((entry, value)) = place.node.entry("nullable")
        && value.as_bool() == Some(true)
    {
        sink.push(
            Diagnostic::new(&LINT, entry.key_span, "`nullable` has no `type` beside it")
                .help("add the `type`"),
        );
    }
}
