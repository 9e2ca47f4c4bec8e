//! Rule for `security` that is not a list of maps of lists.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0348",
    name: "malformed-security",
    level: Level::Error,
    summary: "`security` that is not a list of requirements",
    explain: "`security` is a list of alternatives; each is a map from the names of schemes to \
lists of scopes: `security: [{key: []}, {oauth: [read]}]`. `{}` admits every caller. With any \
other value the requirements are unknown, so this rule cannot be silenced.",
    bad: v30!(
        "paths: {}\nsecurity: [key]\n",
        "components: {securitySchemes: {key: {type: apiKey, in: header, name: k}}}\n"
    ),
    good: v30!(
        "paths: {}\nsecurity: [{key: []}]\n",
        "components: {securitySchemes: {key: {type: apiKey, in: header, name: k}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(security) = place.node.get("security") else {
        return;
    };
    let mut say = |node: NodeRef<'_>, expected: &str, help: &str| {
        let message = format!("expected {expected}, found {}", node.kind_name());
        sink.push(Diagnostic::new(&LINT, node.span(), message).help(help.to_owned()));
    };
    if !security.is_list() {
        return say(
            security,
            "a list of requirements",
            "write a list: `security: [{NAME: []}]`",
        );
    }
    for item in security.items() {
        if !item.is_map() {
            say(item, "a map from schemes to scopes", "write `{NAME: []}`");
        }
        for (_, scopes) in item.entries() {
            let texts = scopes.is_list() && scopes.items().all(|scope| scope.as_str().is_some());
            if !texts {
                say(
                    scopes,
                    "a list of scopes",
                    "a scheme without scopes has `[]`",
                );
            }
        }
    }
}
