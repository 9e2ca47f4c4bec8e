//! Rule for a path whose words are not in kebab-case.

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::Place;
use crate::lint::template::{self, Part};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0720",
    name: "path-not-in-kebab-case",
    level: Level::Warn,
    summary: "a path whose words are not in kebab-case",
    explain: "URLs are case-sensitive and copied by hand: lower-case letters and hyphens \
(`/order-items/{id}`) are the least error-prone.",
    bad: v30!("paths:\n  /orderItems:\n    get: {responses: {'200': {description: ok}}}\n"),
    good: v30!("paths:\n  /order-items:\n    get: {responses: {'200': {description: ok}}}\n"),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-/.:~".contains(c);
    let parts = template::parts(key).into_iter();
    let wrong = parts.filter_map(|part| match part {
        Part::Literal { text, .. } if !text.chars().all(plain) => Some(text),
        Part::Literal { .. }
        | Part::Parameter { .. }
        | Part::Unclosed { .. }
        | Part::Unopened { .. } => None,
    });
    for text in wrong {
        let message = format!("`{}` is not in kebab-case", text.escape_debug());
        sink.push(Diagnostic::new(&LINT, place.at, message).help(
            "write lower-case letters, digits and \
`-`",
        ));
    }
}
