//! Rule for a variable of a server URL that is undefined, or whose default is not allowed.

use diag::{Diagnostic, Level, Lint, NodeRef, Sink};

use crate::lint::{Place, template, within};
use crate::spec::Version;
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0344",
    name: "undefined-server-variable",
    level: Level::Warn,
    summary: "a variable of a server's URL that is not defined, or whose default is not allowed",
    explain: "Each name in a server URL's braces needs an entry in `variables`. If a variable has \
an `enum`, its `default` must be one of these values.",
    bad: v30!("paths: {}\nservers: [{url: 'https://{host}/v1'}]\n"),
    good: v30!(
        "paths: {}\nservers: [{url: 'https://{host}/v1', variables: {host: {default: a.example}}}]\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    let variables = place
        .node
        .get("variables")
        .and_then(|map| place.resolver.resolve(map));
    if let Some(url) = place.node.get("url")
        && let Some(text) = url.as_str()
    {
        for (name, bytes) in template::parameters(text) {
            if variables.and_then(|map| map.get(name)).is_none() {
                let span = within(place.resolver.files(), url.span(), text, bytes);
                sink.push(Diagnostic::new(
                    &LINT,
                    span,
                    format!("the variable `{}` is not defined", name.escape_debug()),
                ));
            }
        }
    }
    for (entry, variable) in variables.into_iter().flat_map(NodeRef::entries) {
        let Some((list, values)) = variable.entry("enum") else {
            continue;
        };
        let default = variable.get("default");
        let level = if place.version == Version::V30 {
            Level::Warn
        } else {
            Level::Error
        };
        if values.is_list() && values.items().len() == 0 {
            let message = format!("the `enum` of `{}` is empty", entry.key.escape_debug());
            sink.push(Diagnostic::new(&LINT, list.key_span, message).level(level));
        } else if let Some(default) = default
            && !values.items().any(|value| value.kind() == default.kind())
        {
            let finding = Diagnostic::new(
                &LINT,
                default.span(),
                "the default is not a value of the `enum`",
            );
            sink.push(
                finding
                    .related(list.key_span, "these are allowed")
                    .level(level),
            );
        }
    }
}
