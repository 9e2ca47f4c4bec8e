//! Rule for a path template that is not a valid URL path.

use std::ops::Range;

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::template::{self, Part};
use crate::lint::{Place, within};
use sources::v30;

/// Lint that this rule reports.
pub(super) static LINT: Lint = Lint {
    code: "GW0324",
    name: "unsupported-template",
    level: Level::Error,
    summary: "a path template that cannot be matched",
    explain: "The name of a parameter must not contain `/`. Percent-encode spaces, backslashes, \
control characters, and a `%` that does not begin an escape.",
    bad: v30!("paths:\n  /a%zz: {}\n"),
    good: v30!("paths:\n  /a%25zz: {}\n"),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let mut say = |bytes: Range<usize>, message: &str, help: &str| {
        let span = within(place.resolver.files(), place.at, key, bytes);
        sink.push(Diagnostic::new(&LINT, span, message).help(help));
    };
    for part in template::parts(key) {
        if let Part::Parameter { name, bytes } = part
            && name.contains('/')
        {
            say(
                bytes,
                "the name of a parameter must not contain `/`",
                "write a parameter for each segment",
            );
        }
    }
    for part in template::parts(key) {
        if let Part::Literal { text, start } = part {
            for (at, wrong) in no_url(text) {
                let span = within(
                    place.resolver.files(),
                    place.at,
                    key,
                    start + at.start..start + at.end,
                );
                let (level, message, help) = wrong;
                sink.push(
                    Diagnostic::new(&LINT, span, message)
                        .help(help)
                        .level(level),
                );
            }
        }
    }
}

/// Mistake in a part of a path: level, message and help.
type Wrong = (Level, &'static str, String);

/// Characters of a literal that are not allowed in a URL, with their byte ranges. Level: error, or
/// warning if escaping the character keeps the meaning.
fn no_url(text: &str) -> Vec<(Range<usize>, Wrong)> {
    let mut found = Vec::new();
    for (at, c) in text.char_indices() {
        let bytes = at..at + c.len_utf8();
        let escape = text
            .get(at + 1..at + 3)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let wrong = match c {
            '%' if escape.is_none() => (
                Level::Error,
                "`%` is not followed by two hexadecimal digits",
                "a percent sign is written `%25`".to_owned(),
            ),
            '\0' => (
                Level::Error,
                "requests with NUL are never served",
                "remove it".to_owned(),
            ),
            ' ' | '\\' => (
                Level::Warn,
                "this cannot be in a URL unescaped",
                format!("write `%{:02X}`", u32::from(c)),
            ),
            c if c.is_ascii_control() => (
                Level::Error,
                "a control character cannot be in a URL",
                "remove it".to_owned(),
            ),
            _ => continue,
        };
        found.push((bytes, wrong));
    }
    found
}
