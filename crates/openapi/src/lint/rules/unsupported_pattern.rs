//! Rule for a regular expression that cannot run in linear time.

use diag::{Diagnostic, Level, Lint, Sink};

use super::malformed_pattern::patterns;
use crate::lint::Place;
use crate::spec::schema::Pattern;
use sources::v30;

/// Lint that this rule reports.
pub static LINT: Lint = Lint {
    code: "GW0353",
    name: "unsupported-pattern",
    level: Level::Warn,
    summary: "a regular expression with look-around or back-references",
    explain: "Requests are matched in time that is linear in their length, so that no request can \
keep the gateway busy. Look-around (`(?=…)`, `(?!…)`, `(?<=…)`) and back-references (`\\1`) need \
backtracking, so such a pattern cannot be enforced. Most such patterns can be written differently: \
`minLength` and `maxLength` for lengths, `not: {pattern: …}` for what must not match, several \
patterns under `allOf` for what must match together. Where requests are validated it is an error. \
Patterns that need more than 1 MB when compiled are not enforced either.",
    bad: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: string, pattern: '^(?!admin)[a-z]+$'}}}\n"
    ),
    good: v30!(
        "paths: {}\ncomponents: {schemas: {A: {type: string, pattern: '^[a-z]+$', not: {pattern: ^admin}}}}\n"
    ),
};

pub(super) fn check(place: &Place<'_, '_>, sink: &mut Sink) {
    for (span, text) in patterns(place) {
        let (message, help) = match &*place.schemas.pattern(text) {
            Pattern::NotLinear(needs) => (
                format!("this pattern needs {needs}, so that it cannot be enforced"),
                "write the pattern without it, or use `not` and `allOf`",
            ),
            Pattern::TooLarge => (
                "this pattern is too large to be enforced".to_owned(),
                "use smaller counts, or `minLength` and `maxLength`",
            ),
            Pattern::Runs(_) | Pattern::Malformed(_) => continue,
        };
        sink.push(Diagnostic::new(&LINT, span, message).help(help));
    }
}
