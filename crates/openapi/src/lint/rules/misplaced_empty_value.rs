//! Rule for `allowEmptyValue` outside the query.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::{Place, edit};
use crate::spec::Version;
use crate::spec::objects::HEADER;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0386",
    name: "misplaced-empty-value",
    level: Level::Warn,
    summary: "`allowEmptyValue` outside the query",
    explain: "`allowEmptyValue` applies to `?name=` and `?name` in a query; OpenAPI allows it \
nowhere else (3.0.4 §4.8.12.2.1). In a path an empty value would be another path. The schema of a \
header or a cookie decides whether it may be empty.",
    bad: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: p, in: header, allowEmptyValue: true, schema: {type: string}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {parameters: {P: {name: p, in: query, allowEmptyValue: true, schema: {type: string}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some((entry, _)) = place.node.entry("allowEmptyValue") else {
        return;
    };
    let kind = match place.node.get("in").and_then(NodeRef::as_str) {
        _ if place.object_is(&HEADER) => "header",
        Some(kind @ ("path" | "header" | "cookie" | "querystring")) => kind,
        Some(_) | None => return,
    };
    let level = match place.version {
        Version::V30 => Level::Warn,
        Version::V31 | Version::V32 => Level::Error,
    };
    let message = match kind {
        "header" => "`allowEmptyValue` applies only to the query; this is a header".to_owned(),
        "querystring" => {
            "`allowEmptyValue` applies to one name; this parameter is the whole query".to_owned()
        }
        _ => {
            format!("`allowEmptyValue` applies only to the query; this parameter is in the {kind}")
        }
    };
    let finding = Diagnostic::new(&LINT, entry.key_span, message)
        .help("remove it, and let the schema allow an empty string")
        .level(level);
    let gone = edit::entry_removed(place.resolver.files(), place.node, "allowEmptyValue");
    sink.push(match gone {
        Some(gone) => finding.fix(gone, ""),
        None => finding,
    });
}
