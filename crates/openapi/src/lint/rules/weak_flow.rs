//! Rule for an obsolete OAuth flow.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0365",
    name: "weak-flow",
    level: Level::Warn,
    summary: "an obsolete OAuth flow",
    explain: "The implicit flow puts tokens into URLs, the password flow gives passwords to clients; RFC 9700 and OAuth 2.1 drop both. Clients of \
all kinds use `authorizationCode` with PKCE, machines `clientCredentials`.",
    bad: v30!(
        "paths: {}\ncomponents: {securitySchemes: {s: {type: oauth2, flows: {implicit: {authorizationUrl: 'https://a.test/a', scopes: {read: r}}}}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {securitySchemes: {s: {type: oauth2, flows: {clientCredentials: {tokenUrl: 'https://a.test/t', scopes: {read: r}}}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(flows) = place.node.get("flows") else {
        return;
    };
    for (key, instead) in [
        ("implicit", "use `authorizationCode` with PKCE"),
        (
            "password",
            "use `authorizationCode`, or `clientCredentials` for machines",
        ),
    ] {
        if let Some((entry, _)) = flows.entry(key) {
            let message = format!("the {key} flow is obsolete");
            sink.push(Diagnostic::new(&LINT, entry.key_span, message).help(instead));
        }
    }
}
