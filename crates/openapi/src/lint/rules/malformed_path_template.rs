//! Rule for a path template that is not well-formed.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::template::{self, Part};
use crate::lint::{Place, within};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0322",
    name: "malformed-path-template",
    level: Level::Error,
    summary: "a path template that is not well-formed",
    explain: "A path begins with `/`, and its parameters are in braces that are closed and not \
empty: `/orders/{id}`.",
    bad: v30!("paths:\n  /a/{id: {}\n"),
    good: v30!("paths:\n  /a/b: {}\n"),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let mut say = |bytes: std::ops::Range<usize>, message: &str| {
        let span = within(place.resolver.files(), place.at, key, bytes);
        sink.push(Diagnostic::new(&LINT, span, message));
    };
    if !key.starts_with('/') {
        say(0..key.len(), "a path must begin with `/`");
        return;
    }
    for part in template::parts(key) {
        match part {
            Part::Parameter { name: "", bytes } => say(bytes, "the parameter has no name"),
            Part::Unclosed { bytes } => say(bytes, "the brace is not closed"),
            Part::Unopened { bytes } => say(bytes, "the brace was not opened"),
            Part::Literal { .. } | Part::Parameter { .. } => {}
        }
    }
}
