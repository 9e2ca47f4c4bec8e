//! Rule for a path template that no router can match.

use std::ops::Range;

use diag::{Diagnostic, Level, Lint, Sink};

use crate::lint::template::{self, Part};
use crate::lint::{Place, within};
use sources::v30;

/// The finding.
pub(super) static LINT: Lint = Lint {
    code: "GW0324",
    name: "unsupported-template",
    level: Level::Error,
    summary: "a path template that cannot be matched",
    explain: "Two parameters with nothing between them cannot be told apart, and the name of a parameter has no `/`. A segment has at most 8 parameters. A segment `**` is none: a \
path that shall cover everything below it has `x-gateway: {match: prefix}`. A `%` without two hexadecimal digits, NUL, blanks, backslashes and control characters stand in no URL: they are written with `%`.",
    bad: v30!("paths:\n  /a/{x}{y}: {}\n"),
    good: v30!("paths:\n  /a/{x}-{y}: {}\n"),
};

/// Most parameters of one segment: comparing patterns takes steps that multiply with them.
const PARAMETERS_MAX: usize = 8;

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let mut say = |bytes: Range<usize>, message: &str, help: &str| {
        let span = within(place.resolver.files(), place.at, key, bytes);
        sink.push(Diagnostic::new(&LINT, span, message).help(help));
    };
    let mut behind_parameter = false;
    let (mut here, mut said) = (0, false);
    for part in template::parts(key) {
        let is_parameter = matches!(part, Part::Parameter { .. });
        match &part {
            Part::Literal { text, .. } if text.contains('/') => (here, said) = (0, false),
            Part::Parameter { bytes, .. } => {
                here += 1;
                if here > PARAMETERS_MAX && !std::mem::replace(&mut said, true) {
                    say(
                        bytes.clone(),
                        "a segment has at most 8 parameters",
                        "split the segment, or take some of its parts together as one parameter",
                    );
                }
            }
            _ => {}
        }
        match part {
            Part::Parameter { bytes, .. } if behind_parameter => say(
                bytes,
                "two parameters with nothing between them cannot be told apart",
                "put a literal between them, or make them one",
            ),
            Part::Parameter { name, bytes } if name.contains('/') => say(
                bytes,
                "the name of a parameter has no `/`",
                "write a parameter for each segment",
            ),
            Part::Literal { text, start } => {
                let mut at = start;
                for segment in text.split('/') {
                    let bytes = at..at + segment.len();
                    let is_whole = key[..bytes.start].ends_with('/')
                        && (key.len() == bytes.end || key[bytes.end..].starts_with('/'));
                    if segment == "**" && is_whole {
                        say(
                            bytes.clone(),
                            "no segment can be `**`",
                            "for everything below a path write `x-gateway: {match: prefix}` at it",
                        );
                    }
                    at = bytes.end + 1;
                }
            }
            Part::Parameter { .. } | Part::Unclosed { .. } | Part::Unopened { .. } => {}
        }
        behind_parameter = is_parameter;
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

/// Fault of a part of a path: level, message and help.
type Wrong = (Level, &'static str, String);

/// Parts of a literal that are not allowed in a URL, with their byte ranges. A part that the
/// gateway reads as intended is a warning.
fn no_url(text: &str) -> Vec<(Range<usize>, Wrong)> {
    let mut found = Vec::new();
    for (at, c) in text.char_indices() {
        let bytes = at..at + c.len_utf8();
        let escape = text
            .get(at + 1..at + 3)
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()));
        let wrong = match c {
            '%' if escape == Some("00") => (
                Level::Error,
                "no request with NUL is served",
                "remove it".to_owned(),
            ),
            '%' if escape.is_none() => (
                Level::Error,
                "`%` is not followed by two hexadecimal digits",
                "a percent sign is written `%25`".to_owned(),
            ),
            '\0' => (
                Level::Error,
                "no request with NUL is served",
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
