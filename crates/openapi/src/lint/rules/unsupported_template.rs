//! A path template of a kind that OpenAPI does not have.

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
    summary: "a path template of a kind that OpenAPI does not have",
    explain: "OpenAPI's templates have plain parameters, each for a part of one segment. `{+path}`, `{path*}` and `:id` come from other \
frameworks, so does `*`, and two parameters with nothing between them cannot be told apart. They are never taken for literal text. \
A `%` without two hexadecimal digits, NUL, blanks, backslashes and control characters stand in no URL: they are written with `%`. A \
path that shall cover everything below it has `x-gateway: {match: prefix}`.",
    bad: v30!("paths:\n  /a/:id: {}\n"),
    good: v30!("paths:\n  /a/{id}: {}\n"),
};

pub(super) fn check(key: &str, place: &Place<'_, '_>, sink: &mut Sink) {
    let mut say = |bytes: Range<usize>, message: &str, help: &str| {
        let span = within(place.resolver.files(), place.at, key, bytes);
        sink.push(Diagnostic::new(&LINT, span, message).help(help));
    };
    const PREFIX: &str = "for everything below a path write `x-gateway: {match: prefix}` at it";
    let mut behind_parameter = false;
    for part in template::parts(key) {
        let is_parameter = matches!(part, Part::Parameter { .. });
        match part {
            Part::Parameter { bytes, .. } if behind_parameter => say(
                bytes,
                "two parameters with nothing between them cannot be told apart",
                "put a literal between them, or make them one",
            ),
            Part::Parameter { name, bytes }
                if name.starts_with(['+', '#', '.', '/', ';', '?', '&']) =>
            {
                say(bytes, "OpenAPI has no such operators in templates", PREFIX);
            }
            Part::Parameter { name, bytes } if name.ends_with('*') => {
                say(
                    bytes,
                    "OpenAPI has no parameters of several segments",
                    PREFIX,
                );
            }
            Part::Literal { text, start } => {
                for star in wildcards(key, start..start + text.len()) {
                    say(
                        star,
                        "OpenAPI has no wildcards in templates",
                        "for one segment write a parameter such as `{name}`; for everything below a path write `x-gateway: {match: prefix}` at it",
                    );
                }
                for (colon, name) in colon_segments(text, key.as_bytes(), start) {
                    let help = format!("write `{{{name}}}`");
                    say(
                        start + colon..start + colon + 1 + name.len(),
                        "OpenAPI writes parameters in braces",
                        &help,
                    );
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

/// Segments of nothing but `*` that lie within a range of a path.
fn wildcards(key: &str, range: Range<usize>) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for segment in key.split('/') {
        let bytes = start..start + segment.len();
        let stars = !segment.is_empty() && segment.bytes().all(|byte| byte == b'*');
        if stars && range.start <= bytes.start && bytes.end <= range.end {
            found.push(bytes.clone());
        }
        start = bytes.end + 1;
    }
    found
}

/// What is wrong with a part of a path: how bad it is, what, and what to write.
type Wrong = (Level, &'static str, String);

/// Parts of a literal that stand in no URL, each with its bytes. Where the gateway takes them for
/// what was meant, it is a warning.
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
                "this stands in no URL as it is",
                format!("write `%{:02X}`", u32::from(c)),
            ),
            c if c.is_ascii_control() => (
                Level::Error,
                "a control character stands in no URL",
                "remove it".to_owned(),
            ),
            _ => continue,
        };
        found.push((bytes, wrong));
    }
    found
}

/// Segments of a literal that look like `:id`, each with the colon's offset.
fn colon_segments<'t>(text: &'t str, key: &'t [u8], start: usize) -> Vec<(usize, &'t str)> {
    let mut found = Vec::new();
    for (colon, _) in text.match_indices(':') {
        let opens = start + colon > 0 && key[start + colon - 1] == b'/';
        let name = &text[colon + 1..];
        let name = name.split('/').next().unwrap_or_default();
        let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        if opens && is_name {
            found.push((colon, name));
        }
    }
    found
}
