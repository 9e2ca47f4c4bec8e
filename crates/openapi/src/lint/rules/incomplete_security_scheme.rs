//! Rule for a security scheme without the fields that its type needs.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0334",
    name: "incomplete-security-scheme",
    level: Level::Error,
    summary: "a security scheme without the fields that its type needs",
    explain: "`apiKey` needs `name` and `in`, `http` needs `scheme`, `oauth2` needs `flows`, `openIdConnect` needs \
`openIdConnectUrl`. Without them the place of the credential is unknown.",
    bad: v30!("paths: {}\ncomponents: {securitySchemes: {key: {type: apiKey, name: k}}}\n"),
    good: v30!(
        "paths: {}\ncomponents: {securitySchemes: {key: {type: apiKey, name: k, in: header}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let kind = place
        .node
        .get("type")
        .and_then(NodeRef::as_str)
        .unwrap_or_default();
    let needed: &[&str] = match kind {
        "apiKey" => &["name", "in"],
        "http" => &["scheme"],
        "oauth2" => &["flows"],
        "openIdConnect" => &["openIdConnectUrl"],
        _ => &[],
    };
    for field in needed {
        if place.node.get(field).is_none() {
            sink.push(
                Diagnostic::new(
                    &LINT,
                    place.at,
                    format!("a scheme of type `{kind}` needs the field `{field}`"),
                )
                .label(format!("`{field}` is missing")),
            );
        }
    }
}
