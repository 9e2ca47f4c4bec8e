//! Rule for a field that does not belong to the security scheme's type.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::lint::edit;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0385",
    name: "ignored-scheme-field",
    level: Level::Warn,
    summary: "a field that security schemes of this type do not have",
    explain: "`name` and `in` are for `apiKey`, `scheme` and `bearerFormat` for `http`, `flows` for `oauth2`, \
`openIdConnectUrl` for `openIdConnect`. Beside another `type` they have no effect.",
    bad: v30!(
        "paths: {}\ncomponents: {securitySchemes: {s: {type: http, scheme: basic, in: header}}}\n"
    ),
    good: v30!("paths: {}\ncomponents: {securitySchemes: {s: {type: http, scheme: basic}}}\n"),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(kind) = place.node.get("type") else {
        return;
    };
    let Some(text) = kind.as_str() else { return };
    for (field, of) in [
        ("name", "apiKey"),
        ("in", "apiKey"),
        ("scheme", "http"),
        ("bearerFormat", "http"),
        ("flows", "oauth2"),
        ("oauth2MetadataUrl", "oauth2"),
        ("openIdConnectUrl", "openIdConnect"),
    ] {
        if of == text {
            continue;
        }
        if let Some((entry, _)) = place.node.entry(field) {
            let message = format!("`{field}` has no meaning in a scheme of this type");
            let finding = Diagnostic::new(&LINT, entry.key_span, message)
                .related(kind.span(), "the type")
                .help(format!("remove it; it is for `type: {of}`"));
            let gone = edit::entry_removed(place.resolver.files(), place.node, field);
            sink.push(match gone {
                Some(gone) => finding.fix(gone, ""),
                None => finding,
            });
        }
    }
}
