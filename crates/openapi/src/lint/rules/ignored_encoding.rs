//! Rule for `encoding` of a media type that has no parts.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::lint::edit;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0375",
    name: "ignored-encoding",
    level: Level::Warn,
    summary: "`encoding` of a media type that has no parts",
    explain: "`encoding` describes how the properties of a form or the parts of a multipart body \
are written. Other media types have neither, so it has no effect.",
    bad: v30!(
        "paths: {}\ncomponents: {requestBodies: {B: {content: {application/json: {schema: {type: object, properties: {a: {type: string}}}, encoding: {a: {contentType: text/plain}}}}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {requestBodies: {B: {content: {multipart/form-data: {schema: {type: object, properties: {a: {type: string}}}, encoding: {a: {contentType: text/plain}}}}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let name = place.resolver.files().sources.text(place.at);
    let name = name.trim_matches(['"', '\'']).to_ascii_lowercase();
    let parts =
        name.starts_with("multipart/") || name.starts_with("application/x-www-form-urlencoded");
    // The key of a shared component is its name and not a media type. A range such as `*/*` may
    // include forms.
    if parts || !name.contains('/') || name.contains('*') {
        return;
    }
    for key in ["encoding", "prefixEncoding", "itemEncoding"] {
        if let Some((entry, _)) = place.node.entry(key) {
            let message = format!("`{key}` has no effect for `{}`", name.escape_debug());
            let finding = Diagnostic::new(&LINT, entry.key_span, message);
            let gone = edit::entry_removed(place.resolver.files(), place.node, key);
            sink.push(match gone {
                Some(gone) => finding.help("remove it").fix(gone, ""),
                None => finding.help("remove it"),
            });
        }
    }
}
