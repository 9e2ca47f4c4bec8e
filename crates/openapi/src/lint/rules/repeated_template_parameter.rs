//! Rule for a path template that names one parameter twice.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::{Place, template, within};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0323",
    name: "repeated-template-parameter",
    level: Level::Error,
    summary: "a path template that names one parameter twice",
    explain: "Each parameter of a template needs a different name. Two parameters with one name \
would have to have equal values, which no router checks.",
    bad: v30!(
        "paths:\n  /a/{id}/b/{id}:\n    parameters: [{name: id, in: path, required: true, schema: {type: string}}]\n"
    ),
    good: v30!("paths:\n  /a/{id}/b/{other}: {}\n"),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let files = place.resolver.files();
    let mut seen: Vec<(&str, std::ops::Range<usize>)> = Vec::new();
    for (name, bytes) in template::parameters(key) {
        let Some((_, first)) = seen.iter().find(|(seen, _)| *seen == name) else {
            seen.push((name, bytes));
            continue;
        };
        sink.push(
            Diagnostic::new(
                &LINT,
                within(files, place.at, key, bytes),
                format!("the template names `{}` twice", name.escape_debug()),
            )
            .related(within(files, place.at, key, first.clone()), "first here"),
        );
    }
}
