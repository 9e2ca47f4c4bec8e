//! Rule for a path template that no router can match.

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
    explain: "Two parameters with nothing between them cannot be told apart. The name of a \
parameter must not contain `/`, and a segment may have at most 8 parameters. A segment `**` is not \
a parameter: to match everything below a path, set `x-gateway: {match: prefix}`. Percent-encode \
spaces, backslashes, control characters, and a `%` that does not begin an escape. NUL is never \
served.",
    bad: v30!("paths:\n  /a/{x}{y}: {}\n"),
    good: v30!("paths:\n  /a/{x}-{y}: {}\n"),
};

/// Maximum number of parameters in one segment. The cost of comparing two patterns grows with the
/// product of their parameters.
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
                        "a segment may have at most 8 parameters",
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
                "the name of a parameter must not contain `/`",
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
                            "to match all paths below this one, write `x-gateway: {match: prefix}` in the path item",
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

/// Mistake in a part of a path: level, message and help.
type Wrong = (Level, &'static str, String);

/// Parts of a literal that are not allowed in a URL, with their byte ranges. A part that the
/// gateway still understands as intended is a warning.
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
                "requests with NUL are never served",
                "remove it".to_owned(),
            ),
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
