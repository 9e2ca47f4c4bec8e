//! Rule for an invalid URL or e-mail address.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::lint::template::{self, Part};
use crate::spec::objects::{CONTACT, SERVER};

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0378",
    name: "malformed-url",
    level: Level::Warn,
    summary: "a malformed URL or e-mail address",
    explain: "The field takes a URL (RFC 3986; relative ones are fine in most places) or an e-mail \
address. `$self` must not have a fragment. A server's URL must have neither a query nor a \
fragment, because paths are appended to it.",
    bad: &[(
        "openapi.yaml",
        "openapi: 3.0.3\ninfo: {title: t, version: \"1\", contact: {url: a b}}\npaths: {}\n",
    )],
    good: &[(
        "openapi.yaml",
        "openapi: 3.0.3\ninfo: {title: t, version: \"1\", contact: {url: 'https://a.example'}}\npaths: {}\n",
    )],
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    for key in FIELDS {
        if let Some(value) = place.node.get(key)
            && let Some(text) = value.as_str()
            && let Some(why) = fault(place, key, text)
        {
            let message = format!("`{}` {why}", text.escape_debug());
            sink.push(Diagnostic::new(&LINT, value.span(), message));
        }
    }
}

const FIELDS: &[&str] = &[
    "url",
    "email",
    "termsOfService",
    "externalValue",
    "openIdConnectUrl",
    "authorizationUrl",
    "deviceAuthorizationUrl",
    "tokenUrl",
    "refreshUrl",
    "oauth2MetadataUrl",
    "$self",
];

fn fault(place: &Place<'_, '_>, key: &str, text: &str) -> Option<&'static str> {
    if key == "email" {
        let address = text.split_once('@');
        let fine = address.is_some_and(|(name, host)| !name.is_empty() && !host.is_empty());
        let fine = fine && !text.contains(char::is_whitespace);
        return (place.object_is(&CONTACT) && !fine).then_some("is not an e-mail address");
    }
    let is_server = place.object_is(&SERVER);
    let mut plain = text.to_owned();
    if is_server {
        // A variable may have any value, so only the literal parts are checked. Another rule
        // reports malformed braces.
        let parts = template::parts(text).into_iter().map(|part| match part {
            Part::Literal { text, .. } => text,
            Part::Parameter { .. } | Part::Unclosed { .. } | Part::Unopened { .. } => "1",
        });
        plain = parts.collect();
    }
    let Ok(url) = fluent_uri::IriRef::parse(plain.as_str()) else {
        return Some("is not a URL");
    };
    let query = is_server && url.query().is_some();
    let fragment = (is_server || key == "$self") && url.fragment().is_some();
    match (query, fragment) {
        (true, _) => Some("has a query, so no path can be appended to it"),
        (false, true) => Some("has a fragment, which is never sent"),
        (false, false) => None,
    }
}
