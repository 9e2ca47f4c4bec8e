//! Rule for a server variable that does not occur in the URL.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::Place;
use crate::lint::template;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0377",
    name: "unused-server-variable",
    level: Level::Warn,
    summary: "a variable that its server's URL does not have",
    explain: "Each entry of `variables` gives the value of a name in braces of the URL. An entry \
without such a name is never used; most often one of the two names is misspelt.",
    bad: v30!("paths: {}\nservers: [{url: 'https://a.test', variables: {host: {default: a}}}]\n"),
    good: v30!(
        "paths: {}\nservers: [{url: 'https://{host}.test', variables: {host: {default: a}}}]\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let Some(url) = place.node.get("url").and_then(NodeRef::as_str) else {
        return;
    };
    let variables = place
        .node
        .get("variables")
        .and_then(|all| place.resolver.resolve(all));
    for (entry, _) in variables.into_iter().flat_map(NodeRef::entries) {
        let mut names = template::parameters(url).map(|(name, _)| name);
        if names.any(|name| name == &*entry.key) || entry.key.starts_with("x-") {
            continue;
        }
        let message = format!("the URL has no `{{{}}}`", entry.key.escape_debug());
        sink.push(Diagnostic::new(&LINT, entry.key_span, message));
    }
}
